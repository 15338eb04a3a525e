"""Sweeps over several processes, killed ones among them."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from dadsp.cli.main import main
from tests.support.interrupts import interrupted_at

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAIR = ["data=simulated_tiny", "model=naive_mean,naive_drug_mean", "seed=0"]


def command(runs: Path, *overrides: str) -> list[str]:
    return [sys.executable, "-m", "dadsp", "train", "-m", f"runs={runs}", *overrides]


def run(capsys: pytest.CaptureFixture[str], runs: Path, *overrides: str) -> str:
    """What a sweep that must succeed says on its way; its jobs may start processes, it starts none of its own."""
    capsys.readouterr()
    assert main(["train", "-m", f"runs={runs}", *overrides]) == 0
    return capsys.readouterr().err


def systems(runs: Path) -> dict[str, Any]:
    found = sorted(runs.glob("sweeps/*/*/metrics.json"))
    return {path.parent.name: json.loads(path.read_text())["systems"] for path in found}


def children(runs: Path, experiment: str) -> tuple[Any, Sequence[Any]]:
    """The one run without a parent, and the others."""
    client = MlflowClient(tracking_uri=f"sqlite:///{runs / 'mlflow.db'}")
    named = client.get_experiment_by_name(experiment)
    assert named is not None
    found = client.search_runs([named.experiment_id])
    (parent,) = (run for run in found if "mlflow.parentRunId" not in run.data.tags)
    return parent, [run for run in found if run is not parent]


def test_a_sweep_killed_in_the_middle_ends_as_if_it_had_not_been(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = "model=naive_drug_mean,source_only,naive_mean"
    settings = ["data=simulated_tiny", models, "trainer.max_epochs=3", "trainer.patience=null", "trainer.threads=1"]
    settings.append("trainer.checkpoint_every_s=0")
    run(capsys, tmp_path / "whole", *settings, "tracking=none")
    with subprocess.Popen(command(tmp_path / "killed", *settings), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("dadsp_a  epoch 2 "):
                process.send_signal(signal.SIGKILL)
                break
    assert len(systems(tmp_path / "killed")) == 1
    said = run(capsys, tmp_path / "killed", *settings)
    assert said.count("skipped") == 1
    assert "3 jobs, 2 trained, 1 finished before" in said
    assert systems(tmp_path / "killed") == systems(tmp_path / "whole")
    parent, jobs = children(tmp_path / "killed", "dadsp")
    assert {job.info.status for job in [parent, *jobs]} == {"FINISHED"}
    assert len(jobs) == 3


@pytest.mark.timeout(900)  # Ray's seven processes start slowly where cores are busy
def test_two_workers_of_a_local_ray_share_one_parent_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, tmp_path, *PAIR, "hydra/launcher=ray", "hydra.launcher.init.num_cpus=2", "sweep=pair")
    assert "2 jobs, 2 trained" in said
    assert len(systems(tmp_path)) == 2
    parent, jobs = children(tmp_path, "dadsp")
    assert parent.info.run_name == "pair"
    assert parent.info.status == "FINISHED"
    assert {job.data.tags["mlflow.parentRunId"] for job in jobs} == {parent.info.run_id}
    assert len({job.info.run_name for job in jobs}) == 2


def test_a_failing_job_among_two_workers_of_joblib_fails_the_parent_run_alone(tmp_path: Path) -> None:
    bad = ["data=simulated_tiny", "model=naive_mean", "seed=x,0", "hydra/launcher=parallel", "hydra.launcher.n_jobs=2"]
    done = subprocess.run(command(tmp_path, *bad), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "1 of 2 jobs failed" in done.stderr.splitlines()[-1]
    assert "seed=x" in done.stderr.splitlines()[-1]
    parent, (job,) = children(tmp_path, "dadsp")
    assert (parent.info.status, job.info.status) == ("FAILED", "FINISHED")
    assert job.data.tags["mlflow.parentRunId"] == parent.info.run_id


# By two of their rows; that all compose, and that every system trains, are other tests' claims.
@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("table1", ["model=dadsp_a,linear"]),
        ("table3", ["model=dadsp_a", "drug_features=ssp,gcn"]),
    ],
)
def test_a_table_is_swept_and_compared_with_its_published_numbers_on_simulated_screens(
    table: str, rows: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = ["data=simulated_tiny", "trainer=tiny", "model.encoder_widths=[8,4]", "seed=0", "tracking=none"]
    run(capsys, tmp_path, f"experiment={table}", *rows, *tiny)
    expected = ROOT / "experiments" / table / "expected.csv"
    compared = ["compare", f"runs={tmp_path / 'sweeps' / table}", f"expected={expected}", f"out={tmp_path / 'out'}"]
    assert main([*compared, "replicates=100"]) == 0
    found = pd.read_csv(tmp_path / "out" / "compare.csv").set_index("system")
    published = pd.read_csv(expected).set_index("system")
    swept = [name for name in published.index if name in found.index]
    assert len(swept) == 2
    assert found.loc[swept, "paper_rmse"].to_list() == published.loc[swept, "rmse"].to_list()


def test_the_interrupt_key_ends_a_sweep_with_a_word_on_how_to_go_on(tmp_path: Path) -> None:
    settings = ["data=simulated_tiny", "model=source_only", "trainer.max_epochs=50", "trainer.patience=null"]
    code, rest = interrupted_at("dadsp_a  epoch 1 ", command(tmp_path, *settings))
    assert code == 130
    assert "the sweep's own command" in rest
    parent, (job,) = children(tmp_path, "dadsp")
    assert (parent.info.status, job.info.status) == ("KILLED", "KILLED")
