"""``dadsp compare`` on real run folders and on a real tracking store."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import yaml

from dadsp.cli import compare as compare_verb
from dadsp.cli.main import main
from dadsp.evaluation.scores import SCORES
from dadsp.runs.folder import NAIVE, RunFolder
from dadsp.runs.identity import SUPERSEDED
from dadsp.runs.tracked import final_metrics
from dadsp.schema import PREDICTION_COLUMNS
from dadsp.tracked_runs import download_runs
from tests.support.metrics import BIAS, registered

TINY = ["train", "data=simulated_tiny"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two naive predictors and of ridge regression on raw expression."""
    return three_runs(tmp_path_factory.mktemp("compare") / "runs", "tracking=none")


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same runs, with their copies in a tracking store."""
    return three_runs(tmp_path_factory.mktemp("tracked") / "runs", "tracking.experiment=three")


def three_runs(runs: Path, tracking: str) -> Path:
    for model in (["model=naive_mean"], ["model=naive_drug_mean"], ["model=linear", "model.features=raw"]):
        assert main([*TINY, *model, tracking, f"runs={runs}"]) == 0
    return runs


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    """A copy of the run folders that a test may spoil."""
    for folder in sorted(path.parent for path in made.glob("*/metrics.json")):
        shutil.copytree(folder, tmp_path / "runs" / folder.name)
    return tmp_path / "runs"


def compared(place: Path | str, tmp_path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    out = tmp_path / "out"
    with patch.object(compare_verb, "page", return_value="<p>drawn in another test</p>"):
        assert main(["compare", f"runs={place}", f"out={out}", "replicates=100", "--json", *arguments]) == 0
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return content


def refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["compare", *arguments]) == 2
    printed = capsys.readouterr().err
    assert re.search(message, printed), printed
    assert printed.count("\n") == 1


def folder_of(runs: Path, model: str) -> Path:
    return next(path for path in runs.iterdir() if model in path.name)


def edit(path: Path, change: Any) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_table_and_files_hold_every_system(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = compared(runs, tmp_path, capsys)
    (one,) = content["comparisons"]
    systems = {row["system"]: row for row in one["systems"]}
    for folder in runs.iterdir():
        own = json.loads((folder / "metrics.json").read_text())["systems"][0]
        found = systems.get(own["name"]) or systems[json.loads((folder / "metrics.json").read_text())["run"]["system"]]
        assert found["rmse_low"] < found["rmse"] < found["rmse_high"]
    ridge = json.loads((folder_of(runs, "linear") / "metrics.json").read_text())["systems"][0]
    assert systems["ridge on raw expression"]["rmse"] == pytest.approx(ridge["pooled"]["rmse"])
    assert len([name for name in systems if name == "source mean (capped labels)"]) <= 1
    table = pd.read_csv(tmp_path / "out" / "compare.csv")
    assert table["system"].tolist() == [row["system"] for row in one["systems"]]
    assert json.loads((tmp_path / "out" / "compare.json").read_text())["comparisons"] == content["comparisons"]


def test_terminal_and_page_show_the_table(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", f"runs={runs}", f"out={tmp_path / 'out'}", "replicates=100"]) == 0
    printed = capsys.readouterr().out
    assert "ridge on raw expression" in printed
    assert "Intervals: 100 bootstrap draws" in printed
    assert str(tmp_path / "out" / "compare.html") in printed.replace("\n", "")
    assert "ridge on raw expression" in (tmp_path / "out" / "compare.html").read_text()


def test_brief_prints_a_short_table_and_what_to_use_and_writes_everything(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with patch.object(compare_verb, "page", return_value="<p>drawn in another test</p>"):
        assert main(["compare", f"runs={runs}", f"out={out}", "replicates=100", "brief=true"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("label ceiling") == 1
    assert "Use " in printed
    assert "Mean rank" not in printed
    assert len(pd.read_csv(out / "compare.csv")) > 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs=nowhere/at/all"], "runs=nowhere/at/all is not a folder"),
        (["runs={empty}"], "holds no finished run"),
        (
            ["runs={runs}", "reference=rigde"],
            "reference=rigde is none of the systems found. Valid",
        ),
        (["runs={runs}", "expected={empty}/no.csv"], "cannot be read as a CSV file"),
        (["runs={runs}", "brief=true", "reference=ridge"], "brief says which system is best"),
        (["runs={runs}", "replicates=5"], "replicates=5 is not valid"),
        (["runs={runs}", "rreference=x"], "rreference is not a known key"),
        ([], "runs is required"),
        (["runs=three", "uri=sqlite:///{empty}/none.db"], "There is no tracking store"),
    ],
)
def test_wrong_arguments_end_with_one_line_and_code_2(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    refused([part.format(empty=empty, runs=runs) for part in arguments], message, capsys)
    assert list(empty.iterdir()) == []


def test_runs_on_other_data_are_compared_apart_and_said_so(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(folder_of(runs, "naive_mean") / "metrics.json", lambda content: content["run"].update(data_hash="0" * 32))
    content = compared(runs, tmp_path, capsys, "reference=ridge on raw expression")
    assert sorted(sum(row["kind"] == "model" for row in one["systems"]) for one in content["comparisons"]) == [1, 2]
    assert content["notes"] == ["The runs hold 2 different tests (other data or another split), compared one by one."]


def test_runs_of_one_seed_on_other_pairs_are_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictions = folder_of(runs, "naive_mean") / "predictions.parquet"
    pd.read_parquet(predictions).iloc[:-5].to_parquet(predictions)
    refused([f"runs={runs}"], "Runs of seed 0 were tested on different pairs", capsys)


def test_equal_names_with_other_settings_are_told_apart(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ridge = folder_of(runs, "linear")
    other = shutil.copytree(ridge, runs / "other_linear")
    config = yaml.safe_load((other / "config.yaml").read_text())
    config["model"]["penalties"] = [5.0]
    config["model"]["drug_features"] = {"_target_": "dadsp.drugs.profile.Profile", "reference": "training"}
    config["model"]["training"]["threads"] = 7  # makes no other system
    (other / "config.yaml").write_text(yaml.safe_dump(config))
    (one,) = compared(runs, tmp_path, capsys)["comparisons"]
    names = [row["system"] for row in one["systems"] if row["system"].startswith("ridge")]
    assert sorted(names) == [
        "ridge on raw expression [drug_features=Morgan, penalties=[1.0, 10.0, 100.0, 1000.0, 10000.0]]",
        "ridge on raw expression [drug_features=Profile, penalties=[5.0]]",
    ]


def test_repeated_run_is_replaced_by_the_newest(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = folder_of(runs, "linear")
    newer = shutil.copytree(old, runs / "newer")
    frame = pd.read_parquet(newer / "predictions.parquet")
    frame.assign(y_pred=frame["y_true"] + 0.5).to_parquet(newer / "predictions.parquet")
    os.utime(newer / "metrics.json", (4e9, 4e9))
    content = compared(runs, tmp_path, capsys)
    ridge = next(row for row in content["comparisons"][0]["systems"] if row["system"].startswith("ridge"))
    assert (ridge["runs"], ridge["rmse"]) == (1, pytest.approx(0.5))
    assert content["notes"] == [f"1 runs were repeated later; the newest stand (left out e.g. {old})."]


def test_unfinished_runs_are_left_out_and_counted(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder_of(runs, "linear") / "metrics.json").unlink()
    content = compared(runs, tmp_path, capsys)
    assert content["notes"] == [f"1 unfinished runs are left out (e.g. {folder_of(runs, 'linear')})."]


def test_what_a_sweep_replaced_stands_in_no_comparison(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.move(folder_of(runs, "linear"), runs / "sweeps" / SUPERSEDED / "linear.1")
    (one,) = compared(runs, tmp_path, capsys)["comparisons"]
    assert not [row["system"] for row in one["systems"] if row["system"].startswith("ridge")]


def test_damaged_run_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder_of(runs, "linear") / "predictions.parquet").write_bytes(b"PAR1")
    refused([f"runs={runs}"], "does not hold a complete run", capsys)


def without_newer(results: dict[str, Any]) -> None:
    """Takes out of ``metrics.json`` what older versions did not write."""
    for system in results["systems"]:
        for name in ("which_line", "median_drug_pearson_interval", "note"):
            del system[name]


def test_run_folders_of_older_versions_are_read_without_the_newer_scores(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = compared(runs, tmp_path, capsys)["comparisons"][0]["systems"]
    for folder in runs.iterdir():
        predictions = pd.read_parquet(folder / "predictions.parquet")
        predictions[list(PREDICTION_COLUMNS)].to_parquet(folder / "predictions.parquet", index=False)
        frame = pd.read_csv(folder / "comparison.csv")
        (folder / NAIVE).unlink()
        newer = [
            *list(SCORES)[list(SCORES).index("rmse_cell_profiled") :],
            "median_drug_pearson_low",
            "median_drug_pearson_high",
            "note",
        ]
        frame.drop(columns=newer).to_csv(folder / "comparison.csv", index=False)
        edit(folder / "metrics.json", without_newer)
    after = compared(runs, tmp_path, capsys)["comparisons"][0]["systems"]
    scored = ("system", "rmse", "r2", "median_drug_pearson")
    drawn = ("rmse_low", "median_drug_pearson_low", "difference", "r_difference")
    for old, new in zip(after, before, strict=True):
        assert [old[name] for name in scored] == [new[name] for name in scored]
        # Naive rows had not kept their predictions, of which intervals are drawn.
        assert [old[name] for name in drawn] == ([new[name] for name in drawn] if new["kind"] == "model" else [None] * 4)
    assert any(each["kind"] == "naive_source" and each["difference_low"] is not None for each in before)
    assert any(each["ceiling"] is not None for each in before)
    assert all(each["ceiling"] is None for each in after)
    report = ["report", f"run={folder_of(runs, 'linear')}", f"out={tmp_path / 'old.md'}", "format=md"]
    assert main(report) == 0


def test_old_runs_gain_a_metric_that_is_registered_later(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_parquet(folder_of(runs, "linear") / "predictions.parquet").query("split == 'test'")
    means = frame["y_true"].groupby(frame["drug_id"]).transform("mean")
    with registered(BIAS):
        (one,) = compared(runs, tmp_path, capsys)["comparisons"]
        assert main(["report", f"run={folder_of(runs, 'linear')}", f"out={tmp_path / 'run.md'}", "format=md"]) == 0
    systems = {row["system"]: row for row in one["systems"]}
    assert systems["ridge on raw expression"]["bias"] == pytest.approx((frame["y_pred"] - frame["y_true"]).mean())
    assert systems["oracle target drug mean"]["bias"] == pytest.approx((means - frame["y_true"]).mean(), abs=1e-7)
    assert all(row["bias"] is not None for row in one["systems"])
    assert "bias" in pd.read_csv(tmp_path / "out" / "compare.csv")
    header = next(line for line in (tmp_path / "run.md").read_text().splitlines() if line.startswith("| System | RMSE"))
    assert "| Bias | Bias per drug |" in header


def test_new_runs_hold_a_registered_metric_in_every_file(tmp_path: Path) -> None:
    with registered(BIAS):
        assert main([*TINY, "model=naive_mean", "tracking=none", f"hydra.run.dir={tmp_path / 'run'}"]) == 0
        tracked = final_metrics(RunFolder(tmp_path / "run"))
    own, *naive = json.loads((tmp_path / "run" / "metrics.json").read_text())["systems"]
    assert tracked["test/target/bias"] == own["pooled"]["bias"]
    assert all("bias" in row["pooled"] for row in naive)
    assert pd.read_csv(tmp_path / "run" / "comparison.csv")["bias"].notna().all()
    assert pd.read_parquet(tmp_path / "run" / NAIVE).columns.tolist()[-len(naive) :] == [row["name"] for row in naive]


def test_published_numbers_are_matched_by_name(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = tmp_path / "expected.csv"
    expected.write_text("system,rmse,r2,note\nridge on raw expression,0.75,0.26,LR\nSLA,0.82,0.10,\n")
    content = compared(runs, tmp_path, capsys, f"expected={expected}")
    ridge = next(row for row in content["comparisons"][0]["systems"] if row["system"].startswith("ridge"))
    assert (ridge["paper_rmse"], ridge["paper_r2"]) == (0.75, 0.26)
    assert content["notes"] == [f"1 systems of {expected} have no run here: SLA."]
    expected.write_text("system,rmse\nSLA,about 0.8\n")
    refused([f"runs={runs}", f"expected={expected}"], "needs a column system and numbers", capsys)


@pytest.mark.slow
def test_experiment_of_the_tracking_store_gives_the_same_table(
    tracked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"sqlite:///{tracked / 'mlflow.db'}"
    of_store = compared("three", tmp_path, capsys, f"uri={uri}")
    assert of_store["comparisons"] == compared(tracked, tmp_path, capsys)["comparisons"]
    refused(["runs=thre", f"uri={uri}"], "no experiment 'thre'. Did you mean 'three'", capsys)


@pytest.mark.slow
def test_runs_that_lack_a_file_are_not_downloaded(tracked: Path, tmp_path: Path) -> None:
    assert download_runs("three", f"sqlite:///{tracked / 'mlflow.db'}", tracked, ("no_such_file",), tmp_path).folders == []
    folders = download_runs("three", None, tracked, ("config.yaml",), tmp_path).folders
    assert [[path.name for path in folder.iterdir()] for folder in folders] == [["config.yaml"]] * 3
    assert np.all([(folder / "config.yaml").stat().st_size > 0 for folder in folders])
