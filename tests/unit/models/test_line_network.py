"""Networks that learn which line: levels in closed form, switches that act, adaptation, ensembles, averages, rounding."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from dadsp.drugs.morgan import Morgan
from dadsp.errors import ConfigError
from dadsp.models.base import FitContext
from dadsp.models.networks.which_line import unexplained
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.models.systems.line_network import LineNetworkSystem
from dadsp.models.training.options import TrainingOptions
from dadsp.models.training.stage import Stage, cosine, run_stage
from dadsp.schema import Pairs, Split, Study
from tests.support.studies import holey_study
from tests.support.systems import LIVELY, assert_reloads_bit_for_bit, same, weights, with_target_expression

SMALL: dict[str, Any] = {
    **{key: value for key, value in LIVELY.items() if key != "pretraining"},
    "code_width": 4,
    "dropout": 0.0,
    "discriminator_widths": (6, 4),
}
PUBLISHED: dict[str, Any] = {"head": "published", "centred": False, "free_codes": False}


def fitted(study: Study, split: Split, seed: int = 0, **options: Any) -> LineNetworkSystem:
    training = {"max_epochs": 3, "min_blocks": 6, "patience": None, **options.pop("training", {})}
    features = options.pop("drug_features", Morgan(bits=64))
    model = LineNetworkSystem(features, training, **{**SMALL, **options})
    return model.fit(study, split, FitContext(seed=seed))


def everything(study: Study, model: LineNetworkSystem) -> Any:
    cells, drugs = (part.ravel() for part in np.indices((len(study.target.cells), len(study.target.drugs))))
    return model.predict(Pairs(study.target, "target", cells, drugs))


def test_unexplained_is_one_for_drug_means_and_zero_for_the_labels() -> None:
    drug = np.array([0, 0, 1, 1, 1, 2])
    truth = np.array([1, 3, 0, 1, 5, 9], dtype=np.float32)
    means = np.array([2, 2, 2, 2, 2, 9], dtype=np.float32)
    assert unexplained(truth, means + drug.astype(np.float32), drug) == pytest.approx(1)
    assert unexplained(truth, truth - 4 * drug.astype(np.float32), drug) == pytest.approx(0)
    assert unexplained(truth, means + 2 * (truth - means), drug) == pytest.approx(1)
    assert unexplained(truth[-1:], truth[-1:], drug[-1:]) == 1


def test_untrained_it_predicts_about_the_drugs_levels() -> None:
    study, split = holey_study()
    model = fitted(study, split, training={"learning_rate": 1e-12})
    train = study.source.responses.take(split.train_idx)
    for drug in np.unique(train.drug_idx):
        mean = float(train.potency[train.drug_idx == drug].mean())
        rows = np.zeros(len(study.source.cells), dtype=np.int64) + drug
        predicted = model.predict(Pairs(study.source, "source", np.arange(len(rows)), rows))
        # The network beside the level is of the order of the labels' spread about it.
        assert abs(float(predicted.mean()) - mean) < 2 * model.levels.spread
    assert [key in model.levels.keys for key in study.source.drug_keys] == [
        row in train.drug_idx for row in range(len(study.source.drugs))
    ]


@pytest.mark.parametrize(
    "switch",
    [
        {"centred": False},
        {"free_codes": False},
        {"free_code_dropout": 0.9},
        {"drug_weighting": "drugs"},
        {"drug_weighting": "spread"},
        {"head": "film"},
        {"head": "mlp"},
        {"code_width": 5},
        {"adaptation": "adversary"},
        {"adaptation": "mmd"},
        {"adaptation": "coral"},
        PUBLISHED,
        {"training": {"weight_decay": 0.1}},
        {"training": {"schedule": "cosine"}},
        {"training": {"ensemble": 2}},
        {"training": {"perturbation": 1}},
    ],
    ids=lambda switch: ",".join(f"{key}={value}" for key, value in switch.items()),
)
def test_every_switch_acts_and_every_variant_is_saved(switch: dict[str, Any], tmp_path: Path) -> None:
    study, split = holey_study()
    slow = {"learning_rate": 3e-4} | switch.get("training", {})  # so slow that the last epoch is the best
    plain = fitted(study, split, training={"learning_rate": 3e-4})
    options: dict[str, Any] = {**switch, "training": slow}
    other = fitted(study, split, **options)
    assert not np.array_equal(everything(study, plain), everything(study, other))
    assert np.isfinite(everything(study, other)).all()
    assert_reloads_bit_for_bit(other, study, split, tmp_path / "model")


@pytest.mark.parametrize("batching", ["blocks", "pairs"])
def test_weights_of_drugs_count_in_both_kinds_of_batches(batching: str) -> None:
    study, split = holey_study()
    given: dict[str, Any] = {"training": {"batching": batching, "batch_size": 8}}
    plain, other = (fitted(study, split, drug_weighting=kind, **given) for kind in ("pairs", "spread"))
    assert not np.array_equal(everything(study, plain), everything(study, other))


def test_each_drug_counts_alike_under_drugs_and_by_its_spread_under_spread() -> None:
    study, split = holey_study()
    train = study.source.responses.take(split.train_idx)
    for kind in ("drugs", "spread"):
        pairs = fitted(study, split, drug_weighting=kind)._labelled(train)
        assert float(pairs.weights.mean()) == pytest.approx(1, abs=1e-5)
        total = np.bincount(pairs.drug, pairs.weights)[np.unique(pairs.drug)]
        if kind == "drugs":
            assert total == pytest.approx(total[0], rel=1e-5)
        else:
            own = [float(pairs.weights[pairs.drug == drug][0]) for drug in np.unique(pairs.drug)]
            variance = [float(np.var(pairs.label[pairs.drug == drug])) for drug in np.unique(pairs.drug)]
            assert np.multiply(own, variance) == pytest.approx(own[0] * variance[0], rel=1e-3)


def test_the_published_head_without_adaptation_is_the_source_only_network() -> None:
    study, split = holey_study()
    training = {"max_epochs": 3, "min_blocks": 6, "patience": None}
    ours = fitted(study, split, **PUBLISHED, selection="source_val")
    kept = {key: value for key, value in SMALL.items() if key != "code_width"}
    theirs = DadspA(Morgan(bits=64), training, **kept, pretraining=None, adversarial_weight=0.0)
    theirs.fit(study, split, FitContext(seed=0))
    ours_again = fitted(study, split, **PUBLISHED, selection="source_val", adaptation="coral", adaptation_weight=0.0)
    for model in (ours, ours_again):
        assert len(weights(model)) == len(weights(theirs))
    assert same(weights(ours), weights(ours_again))


def test_the_published_head_takes_nothing_that_is_given() -> None:
    with pytest.raises(ConfigError, match="Set centred and free_codes false"):
        LineNetworkSystem(head="published")


@pytest.mark.parametrize("adaptation", ["mmd", "coral"])
def test_adaptation_brings_the_codes_of_both_screens_closer(adaptation: str) -> None:
    study, split = holey_study()
    far = with_target_expression(study, study.target.cells.expression * 3)
    distances = []
    for weight in (0.0, 30.0):
        model = fitted(
            far,
            split,
            adaptation=adaptation,
            adaptation_weight=weight,
            scaling_scope="joint",
            selection="source_val",
            training={"max_epochs": 40, "learning_rate": 0.01, "average_epochs": 40},
        )
        codes = model.codes(far.source, "source"), model.codes(far.target, "target")
        moments = [part.mean(0) if adaptation == "mmd" else part.std(0) for part in codes]
        distances.append(float(np.linalg.norm(moments[0] - moments[1])))
    assert distances[1] < distances[0]


def test_the_biased_mmd_makes_all_lines_alike_where_the_unbiased_one_does_not() -> None:
    study, split = holey_study()
    spread = {}
    for estimator in ("biased", "unbiased"):
        model = fitted(
            study,
            split,
            adaptation="mmd",
            adaptation_weight=30.0,
            mmd_estimator=estimator,
            selection="source_val",
            training={"max_epochs": 40, "learning_rate": 0.01, "average_epochs": 40},
        )
        spread[estimator] = float(model.codes(study.source, "source").std(0).sum())
    assert spread["biased"] < 0.5 * spread["unbiased"]


def test_mmd_is_nothing_in_a_batch_of_one_line_of_each_screen() -> None:
    study, split = holey_study()
    model = fitted(study, split, adaptation="mmd", training={"min_blocks": 10_000})
    assert np.isfinite(everything(study, model)).all()


def test_an_ensemble_is_the_mean_of_its_members_and_the_first_is_the_network_alone(tmp_path: Path) -> None:
    study, split = holey_study()
    alone, three = fitted(study, split), fitted(study, split, training={"ensemble": 3})
    assert same(weights(alone), [value.clone() for value in three.members[0].state_dict().values()])
    parts = []
    for member in three.members:
        single = fitted(study, split, training={"max_epochs": 1})
        single.members = [member]
        parts.append(everything(study, single))
    assert len({part.tobytes() for part in parts}) == 3
    assert everything(study, three) == pytest.approx(np.mean(parts, axis=0), abs=1e-5)
    assert set(three.history()["stage"]) == {"line_network", "member_2_line_network", "member_3_line_network"}
    assert three.codes(study.source, "source").shape[1] == 3 * SMALL["encoder_widths"][-1]
    functions = three.potency_functions(Pairs(study.target, "target", np.arange(4), np.zeros(4, dtype=np.int64)))
    assert np.sum([function.share for function in functions], axis=0) == pytest.approx(1)


def test_any_network_may_be_an_ensemble(tmp_path: Path) -> None:
    study, split = holey_study()
    training = {"max_epochs": 2, "min_blocks": 1, "ensemble": 2}
    model = DadspA(Morgan(bits=64), training, **LIVELY, discriminator_widths=(6, 4)).fit(study, split)
    assert len(model.members) == 2
    assert_reloads_bit_for_bit(model, study, split, tmp_path / "model")


def test_attributions_are_of_what_is_predicted_and_of_the_structure_alone() -> None:
    study, split = holey_study()
    model = fitted(study, split, training={"max_epochs": 5, "learning_rate": 0.01})
    pairs = Pairs(study.target, "target", np.arange(6), np.zeros(6, dtype=np.int64))
    (function,) = model.potency_functions(pairs)
    lines = torch.from_numpy(function.scale(study.target.cells.expression[:6]))
    assert function.of_first_outputs(function.first_layer(lines)).numpy() == pytest.approx(model.predict(pairs), abs=1e-5)
    codes = function.codes(function.first_layer(lines))
    drug = function.drug_row.repeat(6, 1)
    assert drug.shape[1] == 64
    assert function.of_drug_features(drug, codes).numpy() == pytest.approx(model.predict(pairs), abs=1e-5)


class EverBetter(Stage):
    """A linear layer whose last epoch is always the best; notes its weights as trained."""

    def __init__(self, options: TrainingOptions) -> None:
        layer = torch.nn.Linear(2, 1)
        super().__init__("toy", layer, options, FitContext(), monitor="down")
        self.layer = layer
        self.trained: list[torch.Tensor] = []

    def losses(self, batch: Any) -> dict[str, torch.Tensor]:
        return {"loss": ((self.layer(batch[0]) - 3) ** 2).mean()}

    def on_train_epoch_end(self) -> None:
        self.trained.append(self.layer.weight.detach().clone())
        super().on_train_epoch_end()

    def validate(self) -> dict[str, float]:
        return {"down": -float(self.current_epoch)}


def test_averaged_weights_are_the_plain_mean_of_few_epochs_and_then_move() -> None:
    stage = EverBetter(TrainingOptions(max_epochs=5, average_epochs=3, learning_rate=0.1))
    batches = TensorDataset(torch.rand(12, 2))
    run_stage(stage, DataLoader(batches, batch_size=4), 3, FitContext())
    expected = torch.stack(stage.trained[:3]).mean(0)
    for later in stage.trained[3:]:
        expected = expected + (later - expected) / 3
    assert torch.allclose(stage.layer.weight, expected, atol=1e-6)
    assert not torch.allclose(stage.layer.weight, stage.trained[-1], atol=1e-3)


def test_perturbed_weights_differ_by_rounding_alone_and_each_draw_otherwise() -> None:
    study, split = holey_study()
    still = {"learning_rate": 1e-12, "max_epochs": 1}
    drawn = [weights(fitted(study, split, training={**still, "perturbation": draw})) for draw in (0, 1, 1, 2)]
    assert same(drawn[1], drawn[2])
    assert not same(drawn[1], drawn[3])
    for a, b in zip(drawn[0], drawn[1], strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-7)
    assert not same(drawn[0], drawn[1])


def test_cosine_ends_at_nothing() -> None:
    assert [cosine(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([1, 0.5, 0])


def test_a_drug_of_the_target_that_trained_has_its_level_and_code_and_another_has_neither() -> None:
    study, split = holey_study()
    model = fitted(study, split)
    rows = model._drug_rows(study.target)
    for row, key in enumerate(study.target.drug_keys):
        number = int(rows[row, -1])
        assert number == (model.levels.keys.index(key) + 1 if key in model.levels.keys else 0)
    strange = replace(study.target.drugs, smiles=("CCCCCCCCO", *study.target.drugs.smiles[1:]))
    strange = replace(strange, structure_keys=("none of these", *study.target.drugs.structure_keys[1:]))
    other = model._drug_rows(replace(study.target, drugs=strange))
    assert other[0, -1] == 0
    assert other[0, -2] != rows[0, -2]
