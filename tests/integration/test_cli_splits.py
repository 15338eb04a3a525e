"""``dadsp train`` under every split: what trained a system is told by every output, and a saved split is used again."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from dadsp.cli.main import main

NAIVE = ["train", "data=simulated_tiny", "model=naive_drug_mean", "tracking=none"]
MARK = "(oracle: trained on target labels)"


def train(runs: Path, *overrides: str, verb: list[str] = NAIVE) -> Path:
    assert main([*verb, f"runs={runs}", *overrides]) == 0
    return max((path.parent for path in runs.glob("*/metrics.json")), key=lambda path: path.stat().st_mtime_ns)


def metrics(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return content


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network trained and tested inside the target, tracked."""
    smoke = ["train", "experiment=smoke", "split=cell_blind", "split.scope=target_oracle", "split.fold=1"]
    return train(tmp_path_factory.mktemp("supervised") / "runs", verb=smoke)


def test_every_row_of_a_run_inside_the_target_says_that_it_saw_target_labels(supervised: Path) -> None:
    systems = {row["name"]: row for row in metrics(supervised)["systems"]}
    naive = {f"target {effect} {MARK}": "naive_target" for effect in ("mean", "drug mean", "cell mean", "drug + cell")}
    lookups = ("tissue × drug mean", "copied label", "copied label, shrunken")
    of_lookups = {f"target {name} {MARK}": "naive_target" for name in lookups}
    in_sample = {f"oracle target {effect}": "naive_oracle" for effect in ("mean", "drug mean", "cell mean", "drug + cell")}
    expected = {f"DADSP-A {MARK}": "model", **naive, **of_lookups, **in_sample}
    assert {name: row["kind"] for name, row in systems.items()} == expected
    assert all(row["saw_target_labels"] for row in systems.values())
    assert pd.read_csv(supervised / "comparison.csv")["saw_target_labels"].all()
    assert systems[f"DADSP-A {MARK}"]["skill"]["vs"] in naive
    run = metrics(supervised)["run"]
    assert (run["split"], run["split_scope"]) == ("cell_blind", "target_oracle")


def test_predictions_inside_the_target_are_of_lines_that_train_nothing(supervised: Path) -> None:
    table = pd.read_parquet(supervised / "predictions.parquet")
    assert set(table["domain"]) == {"target"}
    assert set(table["split"]) == {"val", "test"}
    assert not table["cell_seen"].any()
    assert table["drug_seen"].all()
    val, test = (set(table.loc[table["split"] == part, "cell_id"]) for part in ("val", "test"))
    assert not val & test


def test_mlflow_and_the_saved_model_tell_that_target_labels_trained(
    supervised: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracking = json.loads((supervised / "run.json").read_text())
    run = MlflowClient(tracking_uri=tracking["uri"]).get_run(tracking["run_id"])
    assert run.info.run_name == f"DADSP-A {MARK} seed 0"
    assert run.data.tags["split_scope"] == "target_oracle"
    assert run.data.metrics["test/target/rmse"] == pytest.approx(metrics(supervised)["systems"][0]["pooled"]["rmse"])
    test = pd.read_parquet(supervised / "predictions.parquet").query("split == 'test'")
    test[["cell_id", "drug_id"]].to_csv(tmp_path / "pairs.csv", index=False)
    capsys.readouterr()
    arguments = [f"run={supervised}", f"pairs={tmp_path / 'pairs.csv'}", f"out={tmp_path / 'out.csv'}"]
    assert main(["predict", *arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["system"] == f"DADSP-A {MARK}"
    predicted = pd.read_csv(tmp_path / "out.csv")["neg_log10_ic50_um"]
    assert predicted.to_numpy() == pytest.approx(test["y_pred"].to_numpy(), abs=1e-6)


def test_a_run_inside_the_source_saw_no_target_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = train(tmp_path, "split=both_blind", "split.folds=3")
    shown = capsys.readouterr().out
    assert "source test pairs" in shown
    assert "split: pairs left out, of a tested line with another drug" in shown
    assert re.search(r"^source: simulated source", shown, re.MULTILINE)
    assert not re.search(r"^target", shown, re.MULTILINE)
    kinds = {row["name"]: row["kind"] for row in metrics(folder)["systems"]}
    assert kinds["source drug mean (capped labels)"] == kinds["source mean (raw labels)"] == "naive_source"
    assert kinds["oracle source mean"] == "naive_oracle"
    assert len(kinds) == 15
    table = pd.read_parquet(folder / "predictions.parquet")
    assert set(table["domain"]) == {"source"}
    assert not table[["cell_seen", "drug_seen", "pair_seen"]].to_numpy().any()


@pytest.mark.parametrize(
    "split", ["pair", "drug_blind", "tissue_blind split.folds=3", "cross_screen split.overlap=drop_both"]
)
def test_every_split_runs_to_a_scored_table(tmp_path: Path, split: str) -> None:
    folder = train(tmp_path, *f"split={split}".split())
    table = pd.read_parquet(folder / "predictions.parquet").query("split == 'test'")
    assert metrics(folder)["systems"][0]["pooled"]["n"] == len(table) > 0
    assert not table["pair_seen"].any()


def test_a_saved_split_serves_another_system_and_seed_and_survives_its_file(tmp_path: Path) -> None:
    first = train(tmp_path / "one", "split=drug_blind", "split.scope=target_oracle")
    reuse = ["split=saved", f"split.path={first / 'split.json'}", "model=naive_cell_mean", "seed=5"]
    second = train(tmp_path / "two", *reuse)
    assert (second / "split.json").read_text() == (first / "split.json").read_text()
    one, two = metrics(first)["run"], metrics(second)["run"]
    assert (one["split_hash"], one["split_scope"]) == (two["split_hash"], two["split_scope"])
    assert two["system"] == f"target cell mean {MARK}"
    expected = metrics(second)["systems"]
    (first / "split.json").unlink()
    (second / "metrics.json").unlink()
    assert main(["train", f"resume={second}"]) == 0
    assert metrics(second)["systems"] == expected


def test_an_altered_split_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = train(tmp_path / "one", "split=pair") / "split.json"
    saved = json.loads(path.read_text())
    saved["train_idx"].append(saved["test_idx"][0])
    path.write_text(json.dumps(saved))
    assert main([*NAIVE, f"runs={tmp_path / 'two'}", "split=saved", f"split.path={path}"]) == 2
    assert "is damaged: its rows do not have the hash it names" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["split=cell_blnd"], r"split=cell_blnd is not a valid choice\. Did you mean 'cell_blind'"),
        (["split=cell_blind", "split.scope=across"], r"split\.scope='across' is not a valid choice"),
        (
            ["split=cell_blind", "split.scope=target"],
            r"split\.scope='target' is not a valid choice. Did you mean 'target_oracle'",
        ),
        (["split.scope=source"], r"split\.scope='source' is not a valid choice"),
        (["split=cell_blind", "split.folds=50"], r"split\.folds=50, but there are only 40 cell lines"),
        (["split=cell_blind", "split.fold=5"], "5 folds count from 0 to 4"),
        (["split=cell_blind", "split.overlap=keep"], r"split\.overlap is a key of another choice"),
        (["split=saved"], r"split\.path is required"),
        (["split=saved", "split.path=nowhere.json"], "nowhere.json"),
        (["split.overlap=drop"], r"split\.overlap='drop' is not a valid choice"),
        (
            ["split.overlap=drop_drugs", "data.n_source_drugs=6", "data.n_target_drugs=6", "data.n_shared_drugs=6"],
            "leaves none of",
        ),
        (["data.n_tissues=1", "split=tissue_blind"], "there are only 1 known tissues"),
        (["model.name=target mean", "model=dadsp_a"], "would pass for a naive row"),
    ],
)
def test_impossible_split_is_one_line_and_exit_2(
    overrides: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*NAIVE, f"runs={tmp_path / 'runs'}", *overrides]) == 2
    printed = capsys.readouterr()
    assert re.search(message, printed.err), printed.err
    assert printed.err.count("\n") == 1
