"""SLA selects what its objective says, and only that counts."""

import itertools
import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from dadsp.models.base import FitContext
from dadsp.models.stages.selection import SelectionStage
from dadsp.models.systems.sla import SelectiveNetwork, Sla, nearest_to_target
from dadsp.nets.autoencoder import decode
from dadsp.schema import Split, Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study
from tests.support.systems import LIVELY


@pytest.fixture
def study() -> Study:
    study = small_study()
    # Lines with unequal numbers of labels.
    sparse = study.source.responses.take(np.random.default_rng(0).permutation(60)[:47])
    return replace(study, source=replace(study.source, responses=sparse), raw_source_potency=sparse.potency)


@pytest.fixture
def split(study: Study) -> Split:
    return cross_screen(study, seed=0, val_fraction=0.2)


def system(**options: Any) -> Sla:
    training = {"max_epochs": 3, "min_blocks": 1, "patience": None, **options.pop("training", {})}
    return Sla(training=training, **{**LIVELY, **options})


def selection_stage(study: Study, split: Split, **options: Any) -> tuple[SelectionStage, Any]:
    model = system(**options)
    inputs = model._prepare(study, split, FitContext())
    assert inputs.autoencoder is not None
    network = SelectiveNetwork(model.network, inputs.autoencoder.decoders)
    near = nearest_to_target(inputs, model.options.intermediate_share)
    arguments = (1.0, model.labels, model.options, model.training, FitContext())
    stage = SelectionStage(network, inputs, near, *arguments)
    return stage, model._batches(inputs.train, stage, inputs.target_lines)


def slow_errors(stage: SelectionStage) -> list[float]:
    """r + β·e of each line, one line and one pair at a time."""
    network, found = stage.parts.eval(), []
    decoders = list(stage.network.decoders)  # type: ignore[arg-type]
    with torch.no_grad():
        for line in stage.lines:
            x = stage.expression[line : line + 1]
            code = network.encoder(x)
            rebuilt = code
            for decoder in decoders[::-1]:
                rebuilt = decoder(rebuilt)
            squared = []
            for row in np.flatnonzero(stage.pairs.line == line):
                drug = network.drug_branch(stage.drug_features[stage.pairs.drug[row]][None])
                one = torch.zeros(1, dtype=torch.int64)
                squared.append((float(network.regress(code, one, drug, one)) - stage.pairs.label[row]) ** 2)
            found.append(float(((rebuilt - x) ** 2).mean()) + stage.beta * float(np.mean(squared)))
    return found


def test_line_errors_equal_the_loop_over_lines_and_pairs(study: Study, split: Split) -> None:
    stage, _ = selection_stage(study, split, prediction_weight=3.0)
    np.testing.assert_allclose(stage.line_errors(), slow_errors(stage), rtol=1e-5)


def test_selection_is_the_best_of_all_under_fixed_weights(study: Study, split: Split) -> None:
    stage, _ = selection_stage(study, split, intermediate_share=0.6, threshold=0.97)
    errors, free = np.array(slow_errors(stage)), np.flatnonzero(stage.is_intermediate)

    def objective(chosen: tuple[int, ...]) -> float:
        v = np.ones(len(errors))
        v[free] = chosen
        return float(np.mean(v * errors) - stage.threshold * np.mean(v))

    best = min(itertools.product((0, 1), repeat=len(free)), key=objective)
    stage._trainer = type("Trainer", (), {"current_epoch": 1, "global_rank": 0})()
    stage.on_train_epoch_start()
    assert tuple(stage.selected[stage.lines][free].int().tolist()) == best
    assert 0 < sum(best) < len(best)
    assert stage.selected[stage.lines][~stage.is_intermediate].all()
    assert stage.selected[~stage.is_source].all()


@pytest.mark.parametrize("batching", ["blocks", "pairs"])
def test_loss_of_one_batch_of_everything_is_the_objective(study: Study, split: Split, batching: str) -> None:
    training = {"batching": batching, "batch_size": 1000, "block_lines": 100, "block_drugs": 100}
    stage, batches = selection_stage(study, split, training=training, prediction_weight=3.0)
    chosen = np.arange(len(stage.lines)) % 2 == 0
    stage.selected[stage.lines] = torch.from_numpy(chosen).float()
    batch, *rest = list(batches)
    assert not rest
    found = {name: value.detach() for name, value in stage.losses(batch).items()}
    target = stage.expression[torch.from_numpy(np.arange(12, 21))]
    with torch.no_grad():
        rebuilt = decode(stage.network.decoders, stage.parts.encoder(target))  # type: ignore[arg-type]
    expected = np.mean(chosen * np.array(slow_errors(stage))) - stage.threshold * chosen.mean()
    assert float(found["loss"]) == pytest.approx(expected + float(((rebuilt - target) ** 2).mean()), rel=1e-5)


def test_rounds_start_with_none_and_log_how_many_they_select(
    study: Study, split: Split, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="dadsp.models.stages.selection"):
        model = system(training={"max_epochs": 6, "learning_rate": 0.01}, intermediate_share=0.5).fit(study, split)
    selected = model.history().query("stage == 'sla_selection'")["train/selected"].tolist()
    lines = [record.getMessage() for record in caplog.records if record.name == "dadsp.models.stages.selection"]
    assert lines == [f"SLA round {row} selects {n:.0f} of 5 intermediate lines" for row, n in enumerate(selected)]
    assert selected[0] == 0
    assert selected[-1] > 0


@pytest.mark.parametrize(("threshold", "expected"), [(1e-9, [0, 0, 0]), (1e9, [0, 4, 4])])
def test_the_threshold_decides_between_nothing_and_everything(
    study: Study, split: Split, threshold: float, expected: list[int]
) -> None:
    model = system(intermediate_share=0.4, threshold=threshold).fit(study, split)
    assert model.history().query("stage == 'sla_selection'")["train/selected"].tolist() == expected


@pytest.mark.parametrize(("threshold", "counts"), [(1e-9, False), (1e9, True)])
def test_labels_of_lines_that_are_not_selected_do_not_count(
    study: Study, split: Split, threshold: float, counts: bool
) -> None:
    stage, _ = selection_stage(study, split, intermediate_share=0.4)
    responses = study.source.responses
    near = np.isin(responses.cell_idx, stage.lines[stage.is_intermediate])
    near[split.val_idx] = False
    potency = responses.potency.copy()
    potency[near] = potency[near][::-1]
    changed = replace(responses, potency=potency)
    other = replace(study, source=replace(study.source, responses=changed), raw_source_potency=potency)
    ours, theirs = (
        system(intermediate_share=0.4, threshold=threshold).fit(data, split).history().query("stage == 'sla_selection'")
        for data in (study, other)
    )
    columns = ["train/reconstruction_source", "train/prediction", "val/source/rmse"]
    assert np.allclose(ours[columns], theirs[columns], rtol=1e-5) != counts  # the mean label is summed in another order


def test_the_intermediate_lines_are_those_nearest_to_the_target(study: Study, split: Split) -> None:
    inputs = system()._prepare(study, split, FitContext())
    x = inputs.expression.double().numpy()
    distance = {line: min(float(((x[line] - x[t]) ** 2).sum()) for t in inputs.target_lines) for line in inputs.source_lines}
    nearest = sorted(distance, key=lambda line: distance[line])
    assert nearest_to_target(inputs, 0.25).tolist() == nearest[:3]
    assert nearest_to_target(inputs, 1e-6).tolist() == nearest[:1]
