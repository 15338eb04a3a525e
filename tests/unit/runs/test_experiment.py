"""An experiment of objects: in memory, in a folder, gone on with, and compared."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dadsp
from dadsp.errors import ConfigError, LoadError
from dadsp.models.base import FitContext
from dadsp.models.systems.drug_ridge import DrugRidge
from dadsp.models.systems.naive import Naive
from dadsp.models.systems.pairwise_gp import PairwiseGp
from dadsp.schema import Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.drawing import undrawn
from tests.support.studies import holey_study
from tests.support.systems import poisoned


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dadsp.Run:
    study, split = holey_study()
    with undrawn():
        return dadsp.run_experiment(study, split, PairwiseGp(), tmp_path_factory.mktemp("kept") / "run")


def test_run_in_memory_scores_as_the_one_that_is_kept(kept: dadsp.Run) -> None:
    study, split = holey_study()
    run = dadsp.run_experiment(study, split, PairwiseGp())
    pd.testing.assert_frame_equal(run.table, kept.table, check_dtype=False, rtol=1e-12)
    assert run.table["system"].iloc[0] == run.name
    assert "in memory" in repr(run)
    with pytest.raises(LoadError, match="Give folder="):
        _ = run.folder


def test_kept_run_opens_again_with_its_study_wherever_it_lies_now(kept: dadsp.Run, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.symlink_to(kept.folder)
    again = dadsp.load(moved)
    assert again.study.content_hash == kept.study.content_hash
    assert again.split.content_hash == kept.split.content_hash
    pairs = again.predictions.frame.query("split == 'test'")
    predicted = again.predict(pairs[["cell_id", "drug_id"]])
    assert np.array_equal(predicted["neg_log10_ic50_um"], pairs["y_pred"].astype(np.float32))
    assert str(kept.folder) in repr(kept)


def test_the_same_call_goes_on_with_a_finished_run_without_training(
    kept: dadsp.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PairwiseGp, "_fit", lambda *given: pytest.fail("trained again"))
    again = dadsp.run_experiment(*holey_study(), PairwiseGp(), kept.folder)
    pd.testing.assert_frame_equal(again.table, kept.table)


def test_folder_of_another_study_is_refused(kept: dadsp.Run) -> None:
    study, split = holey_study()
    with pytest.raises(LoadError, match="was made for other data"):
        dadsp.run_experiment(poisoned(study), split, PairwiseGp(), kept.folder)
    with pytest.raises(ConfigError, match="holds a run on another split"):
        dadsp.run_experiment(study, cross_screen(study, seed=1, val_fraction=0.2), PairwiseGp(), kept.folder)


def test_runs_in_memory_and_in_folders_are_compared(kept: dadsp.Run) -> None:
    study, split = holey_study()
    other = dadsp.run_experiment(study, split, Naive("mean"), context=FitContext(seed=0))
    comparison = dadsp.compare([kept, other], replicates=100)
    assert {kept.name, other.name} <= set(comparison.table["system"])
    by_folder = dadsp.compare([kept.folder, other], replicates=100)
    pd.testing.assert_frame_equal(by_folder.table, comparison.table)


def test_runs_of_two_tests_are_not_compared(kept: dadsp.Run) -> None:
    study, split = holey_study()
    half = replace(split, test_idx=split.test_idx[::2])
    with pytest.raises(ConfigError, match="different pairs"):
        dadsp.compare([kept, dadsp.run_experiment(study, half, Naive("mean"))], replicates=100)


def test_tuning_finds_the_value_that_predicts_held_out_source_lines(tmp_path: Path) -> None:
    study, split = holey_study()
    seen: list[float] = []

    def make(values: Mapping[str, float]) -> DrugRidge:
        seen.append(values["penalty"])
        return DrugRidge(penalties=(values["penalty"],))

    space: dict[str, dadsp.Range | dadsp.Choices] = {"penalty": dadsp.Choices(choices=[0.1, 10.0, 1e6])}
    found = dadsp.tune(study, split, make, space, trials=4, random_trials=4, folder=tmp_path)
    assert found.best is not None
    scores = {penalty: _val_rmse(study, penalty) for penalty in set(seen)}
    assert found.score == pytest.approx(min(scores.values()))
    assert found.best["penalty"] == min(scores, key=lambda penalty: scores[penalty])
    n_seen = len(seen)
    again = dadsp.tune(study, split, make, space, trials=4, random_trials=4, folder=tmp_path)
    assert (again.score, len(seen)) == (found.score, n_seen)


def _val_rmse(study: Study, penalty: float) -> float:
    _, split = holey_study()
    run = dadsp.run_experiment(study, split, DrugRidge(penalties=(penalty,)))
    val = run.predictions.frame.query("split == 'val'")
    return float(np.sqrt(np.mean((val["y_true"] - val["y_pred"]) ** 2)))
