"""A run folder: how far it has come, what it reads of earlier versions, what it refuses."""

import json
from pathlib import Path

import pandas as pd
import pytest

from dadsp.errors import ConfigError, LoadError
from dadsp.runs.folder import FORMAT, RunFolder, complete
from dadsp.runs.run import Run
from tests.support.metrics import BIAS, registered
from tests.support.run_folders import write_run


def folder_with(path: Path, **files: object) -> RunFolder:
    """A folder with these JSON files."""
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return RunFolder(path)


@pytest.mark.parametrize(
    ("files", "states", "expected"),
    [
        ({}, [], "begun"),
        ({"run": {"tracked": False}}, [], "begun"),
        ({"metrics": {}, "run": {"tracked": False}}, [], "begun"),
        ({"metrics": {}, "run": {"tracked": True}}, ["checkpoints"], "begun"),
        ({"metrics": {}, "run": {"tracked": True}}, [], "finished"),
        ({"metrics": {}, "run": {"run_id": None}}, [], "finished"),  # not tracked at all
        ({"metrics": {}}, [], "finished"),  # of a version without run.json
    ],
)
def test_state_follows_results_tracking_and_training_states(
    files: dict[str, object], states: list[str], expected: str, tmp_path: Path
) -> None:
    folder = folder_with(tmp_path / "run", **files)
    for name in states:
        (folder / name).mkdir()
    assert folder.state == expected
    assert repr(folder) == f"<{expected} run in {tmp_path / 'run'}>"
    folder.remove_states()
    assert not any((folder / name).exists() for name in states)


def test_results_state_their_format_and_those_without_one_are_read(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    folder.write_results({"run": {"seed": 1}})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"format": FORMAT, "run": {"seed": 1}}
    assert folder_with(tmp_path, metrics={"run": {"seed": 2}}).results["run"] == {"seed": 2}


@pytest.mark.parametrize("written", [FORMAT + 1, "new", None])
def test_results_of_a_newer_version_are_refused_with_the_remedy(written: object, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"reads up to .*Install a newer dadsp"):
        _ = folder_with(tmp_path, metrics={"format": written}).results


def test_settings_are_read_back_as_they_were_kept_whatever_text_looks_like(tmp_path: Path) -> None:
    settings = {"text": ["1e-3", "12", "true", "no", "null", "2026-01-01", "α → β", ""], "numbers": [1e-7, 3, True, None]}
    folder = RunFolder(tmp_path)
    folder.keep_settings(settings)
    assert folder.settings == settings


def test_settings_with_interpolations_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("data:\n  root: ${oc.env:HOME}\n")
    with pytest.raises(LoadError, match="holds 1 interpolations"):
        _ = RunFolder(tmp_path).settings


def test_parts_that_a_run_may_lack_are_empty(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert (folder.history.empty, folder.data_facts, folder.figures(), folder.times()) == (True, {}, {}, None)
    assert dict(folder.naive_predictions) == {}
    pd.DataFrame({"stage": ["a"], "epoch": [0], "loss": [0.1]}).to_csv(tmp_path / "history.csv", index=False)
    assert folder.history["loss"].tolist() == [0.1]


def test_scores_hold_a_metric_that_is_newer_than_the_run_and_the_comparison_what_was_written(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    pd.testing.assert_frame_equal(folder.scores, folder.comparison)
    with registered(BIAS):
        assert folder.scores["bias"].notna().all()
        assert folder.comparison["bias"].isna().all()
        assert Run(folder).table["bias"].tolist() == folder.scores["bias"].tolist()


def test_folder_without_a_finished_run_is_refused_under_the_key_that_named_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"runs=.* holds no finished run"):
        folder_with(tmp_path, metrics={}).trained("runs")
    (tmp_path / "model").mkdir()
    assert RunFolder(tmp_path).trained("runs").path == tmp_path


def test_whatever_is_wrong_with_a_file_becomes_one_error(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"does not hold a complete run \(KeyError\('x'\)\)"), complete(tmp_path):
        _ = {}["x"]
