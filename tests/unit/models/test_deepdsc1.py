"""DeepDSC-1 predicts each labelled pair of the target by the network that did not see it, and says what it saw."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dadsp.errors import ConfigError
from dadsp.models.base import FitContext
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.models.systems.deepdsc1 import DeepDsc1
from dadsp.schema import Pairs, Split, Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study
from tests.support.systems import (
    LIVELY,
    OVERFITTING,
    Killed,
    assert_reloads_bit_for_bit,
    killed_at,
    noting,
    same,
    weights,
)

FOLD_BY = pytest.mark.parametrize("fold_by", ["pair", "cell", "drug"])


@pytest.fixture
def study() -> Study:
    return small_study(n_drugs=7)  # six of them in the target


@pytest.fixture
def split(study: Study) -> Split:
    return cross_screen(study, seed=0)


def fitted(study: Study, split: Split, context: FitContext | None = None, epochs: int = 1, **options: Any) -> DeepDsc1:
    training = {"max_epochs": epochs, "min_blocks": 1, **options.pop("training", {})}
    return DeepDsc1(training=training, **{**LIVELY, "pretraining": None, "folds": 2, **options}).fit(study, split, context)


def labelled_pairs(study: Study, split: Split) -> Pairs:
    responses = study.target.responses.take(split.test_idx)
    return Pairs(study.target, "target", responses.cell_idx, responses.drug_idx)


@pytest.fixture
def inner_splits(monkeypatch: pytest.MonkeyPatch) -> list[Split]:
    """The splits that the networks inside are fitted on, in order."""
    splits: list[Split] = []
    fit = DadspA.fit

    def note(model: DadspA, study: Study, split: Split, context: FitContext | None = None) -> DadspA:
        splits.append(split)
        return fit(model, study, split, context)

    monkeypatch.setattr(DadspA, "fit", note)
    return splits


@FOLD_BY
def test_folds_test_each_pair_once_and_share_no_group(
    study: Study, split: Split, inner_splits: list[Split], fold_by: str
) -> None:
    fitted(study, split, fold_by=fold_by, folds=3)
    responses = study.target.responses
    assert sorted(np.concatenate([inner.test_idx for inner in inner_splits])) == list(range(len(responses)))
    for inner in inner_splits:
        parts = [responses.take(rows) for rows in (inner.train_idx, inner.val_idx, inner.test_idx)]
        assert sum(map(len, parts)) == len(responses)
        names = {
            "pair": [set(zip(part.cell_idx.tolist(), part.drug_idx.tolist(), strict=True)) for part in parts],
            "cell": [set(part.cell_idx.tolist()) for part in parts],
            "drug": [set(part.drug_idx.tolist()) for part in parts],
        }[fold_by]
        assert sum(map(len, names)) == len(set.union(*names))


@FOLD_BY
def test_no_pair_s_own_label_reaches_its_prediction(
    study: Study, split: Split, inner_splits: list[Split], fold_by: str
) -> None:
    before = fitted(study, split, fold_by=fold_by).predict(labelled_pairs(study, split))
    fold = inner_splits[1].test_idx
    responses = study.target.responses
    potency = responses.potency.copy()
    potency[fold] = 5 - 3 * potency[fold]
    changed = replace(study, target=replace(study.target, responses=replace(responses, potency=potency)))
    after = fitted(changed, split, fold_by=fold_by).predict(labelled_pairs(study, split))
    assert np.array_equal(before[fold], after[fold])
    others = np.setdiff1d(np.arange(len(responses)), fold)
    assert not np.isclose(before[others], after[others]).any()


def test_it_says_that_it_saw_target_labels() -> None:
    model = DeepDsc1()
    assert model.sees_target_labels
    assert model.name == "DeepDSC-1 (oracle: target labels)"


def test_source_labels_reach_nothing(study: Study, split: Split) -> None:
    responses = study.source.responses
    changed = replace(study, source=replace(study.source, responses=replace(responses, potency=responses.potency[::-1])))
    ours, theirs = (fitted(data, split) for data in (study, changed))
    assert all(same(weights(a), weights(b)) for a, b in zip(ours.networks, theirs.networks, strict=True))


def test_unlabelled_pairs_get_the_mean_of_the_networks(study: Study) -> None:
    responses = study.target.responses
    labelled = replace(study, target=replace(study.target, responses=responses.take(np.arange(len(responses)) % 5 > 0)))
    model = fitted(labelled, cross_screen(labelled, seed=0))
    fresh = np.arange(len(responses)) % 5 == 0
    pairs = Pairs(study.target, "target", responses.cell_idx[fresh], responses.drug_idx[fresh])
    each = [network.predict(replace(pairs, domain="source")) for network in model.networks]
    np.testing.assert_allclose(model.predict(pairs), np.mean(each, axis=0), rtol=1e-5)


def test_a_labelled_pair_is_known_by_its_ids_in_any_screen_of_the_target(study: Study, split: Split) -> None:
    model = fitted(study, split)
    target = study.target
    rows = np.arange(len(target.cells))[::-1]
    cells = replace(
        target.cells,
        ids=tuple(target.cells.ids[row] for row in rows),
        link_ids=tuple(target.cells.link_ids[row] for row in rows),
        expression=target.cells.expression[rows],
    )
    reordered = replace(target, cells=cells, responses=target.responses.take(np.zeros(0, dtype=np.int64)))
    pairs = labelled_pairs(study, split)
    found = model.predict(Pairs(reordered, "target", rows[pairs.cell_idx], pairs.drug_idx))
    np.testing.assert_allclose(found, model.predict(pairs), rtol=1e-5)
    renamed = replace(reordered, cells=replace(cells, ids=tuple(f"new {name}" for name in cells.ids)))
    mean = model.predict(Pairs(renamed, "target", rows[pairs.cell_idx], pairs.drug_idx))
    assert not np.isclose(found, mean).any()


def test_source_lines_are_scaled_by_their_own_screen(study: Study, split: Split) -> None:
    cells = replace(study.source.cells, expression=study.source.cells.expression * 3 + 2)
    other = replace(study, source=replace(study.source, cells=cells))
    lines, drugs = np.arange(5), np.zeros(5, dtype=np.int64)
    ours, theirs = (fitted(data, split).predict(Pairs(data.source, "source", lines, drugs)) for data in (study, other))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_every_network_overfits_its_pairs(study: Study, split: Split) -> None:
    few = replace(split, test_idx=split.test_idx[:45])
    model = fitted(
        study,
        few,
        **OVERFITTING,
    )
    last = model.history().dropna(subset=["train/mse"]).groupby("stage")["train/mse"].last()
    assert list(last.index) == ["fold_1/dadsp_a", "fold_2/dadsp_a"]
    scaled = [network.labels.transform(study.target.responses.potency[few.test_idx]) for network in model.networks]
    assert (last < 0.05 * min(float(np.var(part)) for part in scaled)).all()


def test_same_seed_same_predictions_and_other_seed_others(study: Study, split: Split) -> None:
    first, again, other = (
        fitted(study, split, FitContext(seed=seed), dropout=0.3).predict(labelled_pairs(study, split)) for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.isclose(first, other).any()


def test_saved_model_predicts_bit_for_bit_the_same(study: Study, split: Split, tmp_path: Path) -> None:
    assert_reloads_bit_for_bit(fitted(study, split), study, split, tmp_path)


def test_resumed_folds_end_like_uninterrupted_ones(study: Study, split: Split, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "epochs": 3,
        "dropout": 0.2,
        "pretraining": LIVELY["pretraining"],
        "training": {"checkpoint_every_s": 0},
    }
    trained: list[tuple[str, int]] = []
    whole = fitted(
        study,
        split,
        FitContext(seed=4, on_epoch=noting(trained)),
        **settings,
    )
    with pytest.raises(Killed):
        fitted(
            study,
            split,
            killed_at("fold_2/dadsp_a", 1, seed=4, checkpoints=tmp_path),
            **settings,
        )
    went_on: list[tuple[str, int]] = []
    context = FitContext(seed=4, checkpoints=tmp_path, on_epoch=noting(went_on))
    resumed = fitted(study, split, context, **settings)
    assert went_on == trained[trained.index(("fold_2/dadsp_a", 1)) :]
    assert np.array_equal(whole.predict(labelled_pairs(study, split)), resumed.predict(labelled_pairs(study, split)))
    assert whole.history().equals(resumed.history())
    assert "val/target/rmse" in whole.history().columns


@pytest.mark.parametrize("options", [{"folds": 7, "fold_by": "drug"}, {"folds": 54}, {"folds": 1}])
def test_too_few_groups_for_the_folds_is_a_config_error(study: Study, split: Split, options: dict[str, Any]) -> None:
    if options["folds"] == 54:
        split = replace(split, test_idx=split.test_idx[:2])
    with pytest.raises(ConfigError, match=r"model\.folds"):
        fitted(study, split, **options)
