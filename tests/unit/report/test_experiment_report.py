"""The page of an experiment compares its runs and tells them apart."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from dadsp.evaluation.compare import Comparison
from dadsp.report import compare_page
from dadsp.report.document import Document, Section, Table
from dadsp.report.experiment_report import experiment_report
from dadsp.report.reported_run import read_run
from dadsp.runs.collection import ComparisonOptions, compare_runs, gather
from tests.support.metrics import BIAS, registered
from tests.support.run_folders import MEAN, ORACLE, SYSTEM, naive_of, write_run


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of a comparison are other tests' claim."""
    monkeypatch.setattr(compare_page, "drawings", lambda comparison: [])


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two seeds of one system, and a second run of the first seed with another setting."""
    for name, seed in (("a", 0), ("b", 1), ("c", 0)):
        write_run(tmp_path / "runs" / name, seed=seed)
    config = tmp_path / "runs" / "c" / "config.yaml"
    content = yaml.safe_load(config.read_text())
    content["model"]["depth"] = 3
    config.write_text(yaml.safe_dump(content))
    return tmp_path / "runs"


def reported(runs: Path) -> tuple[Document, Comparison]:
    finished, notes = gather("runs", str(runs), None, runs)
    (comparison,) = compare_runs(finished, notes, ComparisonOptions(replicates=100))
    pairs = [(each, read_run(each.run.kept)) for each in finished]
    return experiment_report("three", pairs, [comparison], notes)[0], comparison


def section(document: Document, title: str) -> Section:
    return next(each for each in document.sections if each.title.startswith(title))


def test_runs_of_one_name_and_seed_bear_their_folder(runs: Path) -> None:
    titles = [each.title for each in section(reported(runs)[0], "Runs").sections]
    assert sorted(titles) == [f"{SYSTEM}, seed 0 (a)", f"{SYSTEM}, seed 0 (c)", f"{SYSTEM}, seed 1"]


def test_settings_that_differ_stand_in_a_table(runs: Path) -> None:
    (_, table) = section(reported(runs)[0], "What the runs differ in").blocks
    assert isinstance(table, Table)
    assert "model.depth" in table.columns
    depth = {row[0]: row[list(table.columns).index("model.depth")] for row in table.rows}
    assert depth[f"{SYSTEM}, seed 0 (c)"] == "3"


def test_old_runs_are_compared_by_a_newer_metric_with_their_naive_rows(runs: Path) -> None:
    with registered(BIAS):
        document, found = reported(runs)
    text = next(block for block in section(document, "simulated").blocks if isinstance(block, Table))
    table = found.table.set_index("system")
    systems = [write_run(runs.parent / f"again {seed}", seed=seed) for seed in (0, 1)]
    for name in (MEAN, ORACLE):
        kept = [naive_of(system)[name].frame for system in systems]
        assert table.loc[name, "bias"] == pytest.approx(
            np.mean([(of["y_pred"] - of["y_true"]).mean() for of in kept]), abs=1e-7
        )
    assert table["bias"].notna().all()
    assert "Bias" in text.columns


def test_naive_rows_of_a_run_without_kept_predictions_come_from_another_of_its_seed(runs: Path) -> None:
    before = reported(runs)[1].table
    (runs / "a" / "naive.parquet").unlink()
    with registered(BIAS):
        _, found = reported(runs)
    assert found.table["bias"].notna().all()
    assert found.table["rmse"].tolist() == before["rmse"].tolist()
    for name in ("b", "c"):
        (runs / name / "naive.parquet").unlink()
    with registered(BIAS):
        _, found = reported(runs)
    assert found.table.set_index("system")["bias"].isna().to_dict() == {
        name: name in (MEAN, ORACLE) for name in found.table["system"]
    }
    assert found.table["rmse"].tolist() == pytest.approx(before["rmse"].tolist(), abs=1e-12)
