"""Few labels of a new assay on the command line: given in training, given to predict, and which to measure next."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dadsp.cli.main import main

TINY = ["train", "data=simulated_tiny", "model=pairwise_gp", "tracking=none"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few") / "run"
    assert main([*TINY, f"hydra.run.dir={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few") / "calibrated"
    assert main([*TINY, "calibration.labels_per_drug=3", f"hydra.run.dir={folder}"]) == 0
    return folder


def refused(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(arguments) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert words in line


def test_a_calibrated_system_is_of_a_class_of_its_own(run: Path, calibrated: Path) -> None:
    table = pd.read_csv(calibrated / "comparison.csv")
    assert table["kind"].head(3).tolist() == ["calibrated", "model", "naive_calibrated"]
    assert table["system"][0] == "pairwise GP + 3 target labels per drug"
    assert table["saw_target_labels"].head(3).tolist() == [True, False, True]
    assert table["n"].nunique() == 1
    assert table["n"][0] == pd.read_csv(run / "comparison.csv")["n"][0] - 18
    assert json.loads((calibrated / "metrics.json").read_text())["run"]["target_labels"] == "3 target labels per drug"
    assert table["rmse"][0] < table["rmse"][1]


def test_calibrated_and_other_runs_are_compared_apart(
    run: Path, calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = f"runs=[{run},{calibrated}]"
    assert main(["compare", both, f"out={tmp_path / 'out'}", "replicates=100", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["comparisons"]) == 2
    assert main(["compare", f"runs={calibrated}", f"out={tmp_path / 'one'}", "replicates=100"]) == 0
    assert "‡ pairwise GP" in capsys.readouterr().out


def test_predicting_with_labels_gives_what_a_calibrated_run_gives(
    run: Path, calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same labels, the same lines to take means over: the same predictions."""
    tested = pd.read_parquet(calibrated / "predictions.parquet").query("split == 'test'")
    whole = pd.read_parquet(run / "predictions.parquet").query("split == 'test'")
    keys = ["cell_id", "drug_id"]
    given = whole.merge(tested[keys], how="left", indicator=True).query("_merge == 'left_only'")
    given[keys].assign(ic50_um=10.0 ** -given["y_true"]).to_csv(tmp_path / "labels.csv", index=False)
    tested[keys].to_csv(tmp_path / "pairs.csv", index=False)
    asked = [f"run={run}", f"pairs={tmp_path / 'pairs.csv'}", f"calibrate={tmp_path / 'labels.csv'}"]
    assert main(["predict", *asked, f"out={tmp_path / 'out.csv'}"]) == 0
    assert f"intervals are the system's own; pairs: {len(tested)}\n" in capsys.readouterr().err
    found = pd.read_csv(tmp_path / "out.csv")
    assert found["neg_log10_ic50_um"].to_numpy() == pytest.approx(tested["y_pred"].to_numpy(), abs=1e-4)
    assert (found["low_90"] <= found["low_50"]).all()
    assert (found["neg_log10_ic50_um"] <= found["high_90"] + 1e-6).all()
    assert np.isfinite(found["high_90"]).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cell_id,drug_id\nTC0001,TD001\n", "needs one of the columns neg_log10_ic50_um and ic50_um, and has neither"),
        ("cell_id,drug_id,ic50_um\nTC0001,TD001,0\n", "1 of 1 values of ic50_um are no label"),
        ("cell_id,drug_id,ic50_um\nTC0001,TD001,1\nTC0001,TD001,2\n", "1 of 2 labels are of a pair named before"),
        ("cell_id,drug_id,ic50_um\nnobody,TD001,1\n", "not known"),
    ],
)
def test_labels_that_are_none_are_refused(
    run: Path, text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.csv").write_text(text)
    asked = [f"run={run}", "drugs=all", f"calibrate={tmp_path / 'labels.csv'}", f"out={tmp_path / 'out.csv'}"]
    refused(["predict", *asked], words, capsys)
    assert not (tmp_path / "out.csv").exists()


def test_a_run_calibrated_in_training_predicts_and_takes_no_other_labels(
    calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", f"run={calibrated}", "drugs=all", f"out={tmp_path / 'out.csv'}"]) == 0
    assert np.isfinite(pd.read_csv(tmp_path / "out.csv")["low_90"]).all()
    (tmp_path / "labels.csv").write_text("cell_id,drug_id,ic50_um\nTC0001,TD001,1\n")
    asked = [f"run={calibrated}", "drugs=all", f"calibrate={tmp_path / 'labels.csv'}", f"out={tmp_path / 'again.csv'}"]
    refused(["predict", *asked], "was calibrated in training", capsys)


def test_pairs_to_measure_next_are_listed_with_their_wells(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["design", f"run={run}", "budget=10", "again=true", "per_line=2"]) == 0
    assert "10 pairs of simulated target to measure" in capsys.readouterr().out
    assert {path.name for path in (run / "design").iterdir()} == {
        *("design.csv", "design.json", "gain.png", "plate_map.csv", "plates.png")
    }
    listed = pd.read_csv(run / "design" / "design.csv")
    assert listed["cell_id"].value_counts().max() <= 2
    refused(["design", f"run={run}", "budget=0"], "budget", capsys)
    refused(["design", f"run={run}", "plate=100"], "Valid: 96, 384, 1536", capsys)
    refused(["design", f"run={run}", "again=true", "without_drugs=[aspirin]"], "aspirin", capsys)
