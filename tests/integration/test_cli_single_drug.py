"""``dadsp single-drug`` from the command line to the run folder, and ``dadsp predict`` on what it leaves."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from rich.console import Console

import dadsp
from dadsp.cli.main import main
from dadsp.configuration.compose import build, compose
from dadsp.files import read_json
from dadsp.runs import single_drug
from dadsp.singledrug.protocol import run_repeat
from tests.support.raw_files import write_rows

TINY = [
    "single-drug",
    "panel=simulated_tiny",
    "protocol.repeats=2",
    "protocol.methods=[network,svr,mean]",
    "protocol.inner_folds=2",
    "protocol.selection_scopes=[train,all_oracle]",
    "selection.n_genes=12",
    "selection.step=0.3",
    "network.architecture=growth",
    "network.growth.max_fits=1",
    "network.max_epochs=2",
    "compression.rounds=1",
    "compression.max_epochs=1",
]
SYSTEMS = {
    "grown network",
    "grown network, compressed",
    "SVR",
    "mean",
    "grown network, oracle selection",
    "SVR, oracle selection",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("single") / "runs"
    assert main([*TINY, f"runs={runs}"]) == 0
    return next(path.parent for path in runs.glob("*/metrics.json"))


def metrics(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return content


def test_run_folder_holds_everything_and_no_leftover(finished: Path) -> None:
    tables = {"results.csv", "summary.csv", "mse.csv", "accuracy.csv", "leak.csv"}
    assert {path.name for path in finished.iterdir()} - {"single_drug.log"} == tables | {
        "config.yaml",
        "run.json",
        "drugs",
        "figures",
        "metrics.json",
    }
    assert {path.name for path in (finished / "figures").iterdir()} == {"mse_per_drug.png", "accuracy_against_time.png"}
    drugs = sorted((finished / "drugs").iterdir())
    assert [path.name for path in drugs] == ["000_SD001", "001_SD002"]
    repeat = drugs[0] / "repeat_1"
    assert {path.name for path in repeat.iterdir()} == {"result.json", "predictions.parquet", "model", "run.json"}


def test_table_is_the_mean_of_the_kept_predictions(finished: Path) -> None:
    errors = []
    for repeat in (0, 1):
        table = pd.read_parquet(finished / "drugs" / "000_SD001" / f"repeat_{repeat}" / "predictions.parquet")
        svr = table[(table["method"] == "svr") & (table["selection_scope"] == "train")]
        errors.append(np.mean((svr["y_true"] - svr["y_pred"].astype(float)) ** 2))
    assert metrics(finished)["mse"]["SD001"]["SVR"] == pytest.approx(np.mean(errors))


def test_oracle_rows_say_so_and_their_leak_is_a_number(finished: Path) -> None:
    content = metrics(finished)
    for system, row in content["summary"].items():
        assert row["saw_test_labels"] == ("oracle" in system)
    assert set(content["summary"]) == SYSTEMS
    for system, row in content["leak"].items():
        mse = content["mse"]["mean"]
        assert row["difference"] == pytest.approx(mse[f"{system}, oracle selection"] - mse[system])


def test_results_name_command_seed_and_data(finished: Path) -> None:
    run = metrics(finished)["run"]
    assert run["seed"] == 0
    assert run["command"].startswith("dadsp single-drug panel=simulated_tiny protocol.repeats=2")
    assert run["response"] == "−log10 IC50(µM)"
    panel = build(compose("single_drug", ["panel=simulated_tiny"]).panel, "panel")
    assert run["data_hash"] == panel.content_hash


def test_mlflow_has_a_run_for_the_drug_under_that_of_the_run_and_one_for_each_repeat_under_it(finished: Path) -> None:
    known = read_json(finished / "run.json")
    client = MlflowClient(tracking_uri=known["uri"])
    drug = client.get_run(read_json(finished / "drugs" / "001_SD002" / "run.json")["run_id"])
    repeat = client.get_run(read_json(finished / "drugs" / "001_SD002" / "repeat_0" / "run.json")["run_id"])
    assert drug.data.tags["mlflow.parentRunId"] == known["run_id"]
    assert repeat.data.tags["mlflow.parentRunId"] == drug.info.run_id
    assert {client.get_run(known["run_id"]).info.status, drug.info.status, repeat.info.status} == {"FINISHED"}
    result = read_json(finished / "drugs" / "001_SD002" / "repeat_0" / "result.json")
    svr = next(row for row in result["rows"] if row["method"] == "svr")
    assert repeat.data.metrics["mse/SVR"] == pytest.approx(svr["mse"])
    assert drug.data.metrics["mse/SVR"] == pytest.approx(metrics(finished)["mse"]["SD002"]["SVR"])
    assert len(client.get_metric_history(repeat.info.run_id, "growth/val_mse")) == 1
    assert {item.path for item in client.list_artifacts(repeat.info.run_id)} >= {"result.json", "model"}


def test_killed_run_goes_on_after_its_last_finished_repeat_to_the_same_scores(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[tuple[str, int]] = []

    def killed_at_the_third(lines: Any, response: str, repeat: int, *others: Any) -> Any:
        ran.append((lines.drug_id, repeat))
        if len(ran) == 3:
            raise KeyboardInterrupt
        return run_repeat(lines, response, repeat, *others)

    monkeypatch.setattr(single_drug, "run_repeat", killed_at_the_third)
    assert main([*TINY, "protocol.methods=[svr,mean]", f"runs={tmp_path}", "tracking=none"]) == 130
    assert "dadsp single-drug resume=" in capsys.readouterr().err
    folder = next(tmp_path.glob("*_single_drug_*"))
    assert main(["single-drug", f"resume={folder}"]) == 0
    assert ran == [("SD001", 0), ("SD001", 1), ("SD002", 0), ("SD002", 0), ("SD002", 1)]
    expected = metrics(finished)["mse"]
    assert metrics(folder)["mse"] == {
        drug: {name: expected[drug][name] for name in row} for drug, row in metrics(folder)["mse"].items()
    }
    assert main(["single-drug", f"resume={folder}"]) == 0
    assert len(ran) == 5


def test_json_output_is_json_alone(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["single-drug", f"resume={finished}", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["mse"] == metrics(finished)["mse"]
    assert Path(printed["folder"]) == finished


def test_printed_tables_name_the_oracle(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["single-drug", f"resume={finished}"]) == 0
    printed = capsys.readouterr().out
    for expected in ("Mean squared error of −log10 IC50(µM)", "3-class accuracy", "MSE of oracle − honest", "no fair rival"):
        assert expected in printed


def test_headings_are_whole_in_a_terminal_of_eighty_columns(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dadsp.cli.single_drug.console", lambda: Console(width=80))
    assert main(["single-drug", f"resume={finished}"]) == 0
    printed = capsys.readouterr().out
    assert "…" not in printed
    means = printed[printed.index("Means over drugs") :]
    assert len(re.findall(r"\baccuracy\b", means[: means.index("─")])) == 2  # accuracy, and balanced accuracy
    assert "balanced" in means


def test_the_tiny_panel_runs_without_further_settings(tmp_path: Path) -> None:
    quick = ["protocol.repeats=1", "protocol.methods=[svr,mean]", "protocol.inner_folds=2", "selection.step=0.3"]
    assert main(["single-drug", "panel=simulated_tiny", *quick, "tracking=none", f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    results = pd.read_csv(tmp_path / "run" / "results.csv")
    assert set(results.loc[results["method"] == "svr", "n_genes"]) == {40}  # half of 80


@pytest.mark.parametrize("form", ["network", "compressed"])
def test_predict_repeats_what_was_scored_and_names_the_class(finished: Path, tmp_path: Path, form: str) -> None:
    method = {"network": "network", "compressed": "network_compressed"}[form]
    kept = []
    for row, drug in enumerate(("SD001", "SD002")):
        table = pd.read_parquet(finished / "drugs" / f"{row:03d}_{drug}" / "repeat_1" / "predictions.parquet")
        own = table[(table["method"] == method) & (table["selection_scope"] == "train")]
        kept.append(own.assign(drug_id=drug))
    expected = pd.concat(kept, ignore_index=True).sample(frac=1, random_state=0)
    pairs = write_rows(tmp_path / "pairs.csv", ["cell_id", "drug_id"], expected[["cell_id", "drug_id"]].to_numpy().tolist())
    out = tmp_path / "out.csv"
    assert main(["predict", f"run={finished}", f"pairs={pairs}", f"out={out}", "repeat=1", f"form={form}"]) == 0
    predicted = pd.read_csv(out)
    in_python = dadsp.load_single_drug(finished).predict(pd.read_csv(pairs), repeat=1, form=form)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(in_python, predicted, check_dtype=False, rtol=1e-6)
    assert np.allclose(predicted["response"], expected["y_pred"], atol=1e-5)
    cuts = {
        drug: read_json(finished / "drugs" / f"{row:03d}_{drug}" / "repeat_1" / "result.json")["cuts"]
        for row, drug in enumerate(("SD001", "SD002"))
    }
    for drug, response, called in zip(predicted["drug_id"], predicted["response"], predicted["sensitivity"], strict=True):
        low, high = cuts[drug]
        assert called == ("sensitive" if response >= high else "resistant" if response <= low else "moderate")


def test_predict_reads_new_lines_by_gene_name(finished: Path, tmp_path: Path) -> None:
    panel = build(compose("single_drug", ["panel=simulated_tiny"]).panel, "panel")
    lines = [["NEW", *panel.cells.expression[3][::-1].tolist()]]
    expression = write_rows(tmp_path / "new.csv", ["cell_id", *panel.genes[::-1]], lines)
    known, new = tmp_path / "known.csv", tmp_path / "out.csv"
    own = write_rows(tmp_path / "own.csv", ["cell_id", "drug_id"], [[panel.cells.ids[3], "SD002"]])
    pairs = write_rows(tmp_path / "pairs.csv", ["cell_id", "drug_id"], [["NEW", "SD002"]])
    assert main(["predict", f"run={finished}", f"pairs={own}", f"out={known}"]) == 0
    assert main(["predict", f"run={finished}", f"pairs={pairs}", f"expression={expression}", f"out={new}"]) == 0
    assert pd.read_csv(new)["response"].tolist() == pytest.approx(pd.read_csv(known)["response"].tolist())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["drug=SD009"], "1 of 1 names are no drugs of simulated source (SD009). Did you mean"),
        (["selection.n_genes=500"], "selection.n_genes=500, but simulated source has 80 genes"),
        (["protocol.repeats=0"], "protocol.repeats=0 is not valid"),
        (["protocol.selection_scopes=[all]"], "'all' is not a valid choice"),
        (["protocol.threshold_scope=test"], "Valid: all_oracle, train"),
        (["network.depth=3"], "network.depth is not a known key"),
        (["panel=simulatd"], "panel=simulatd is not a valid choice"),
        (["panel.n_genes=1"], "panel.n_genes=1 is not valid"),
        (["protocol.min_lines=100"], "2 of 2 drugs have fewer than 100 measured lines"),
    ],
)
def test_mistake_is_one_line_with_exit_code_2_and_leaves_no_run(
    overrides: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TINY, f"runs={tmp_path / 'runs'}", "tracking=none", *overrides]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list((tmp_path / "runs").glob("*_single_drug_*"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["repeat=7"], "holds no model of repeat=7"),
        (["form=zip"], "form='zip' is not a valid choice"),
        (["drugs=pairs.csv"], "drugs has no use here"),
    ],
)
def test_prediction_that_cannot_be_made_is_one_line(
    finished: Path, overrides: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = write_rows(tmp_path / "pairs.csv", ["cell_id", "drug_id"], [["SC0001", "SD001"]])
    assert main(["predict", f"run={finished}", f"pairs={pairs}", f"out={tmp_path / 'out.csv'}", *overrides]) == 2
    assert message in capsys.readouterr().err


def test_a_sweep_has_a_finished_folder_per_job(tmp_path: Path) -> None:
    few = ["protocol.methods=[svr,mean]", "protocol.repeats=1", "tracking=none"]
    assert main([*TINY, *few, "seed=0,1", f"runs={tmp_path}", "-m"]) == 0
    assert sorted(metrics(path.parent)["run"]["seed"] for path in tmp_path.rglob("metrics.json")) == [0, 1]


def test_registering_a_model_is_refused_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, f"runs={tmp_path / 'runs'}", "tracking.register=sensitivity"]) == 2
    assert "only dadsp train logs a model" in capsys.readouterr().err
