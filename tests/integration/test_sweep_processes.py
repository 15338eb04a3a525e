"""Sweeps over several processes, killed ones among them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.slow

PAIR = ["data=simulated_tiny", "model=naive_mean,naive_drug_mean", "seed=0,1"]


def command(runs: Path, *overrides: str) -> list[str]:
    return [sys.executable, "-m", "dadsp", "train", "-m", f"runs={runs}", *overrides]


def run(runs: Path, *overrides: str) -> str:
    """What a sweep that must succeed says on its way."""
    done = subprocess.run(command(runs, *overrides), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stderr


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


def test_a_sweep_killed_in_the_middle_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    models = "model=naive_drug_mean,source_only,naive_mean"
    settings = ["data=simulated_tiny", models, "trainer.max_epochs=4", "trainer.patience=null", "trainer.threads=1"]
    settings.append("trainer.checkpoint_every_s=0")
    run(tmp_path / "whole", *settings, "tracking=none")
    with subprocess.Popen(command(tmp_path / "killed", *settings), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("dadsp_a  epoch 2 "):
                process.send_signal(signal.SIGKILL)
                break
    assert len(systems(tmp_path / "killed")) == 1
    said = run(tmp_path / "killed", *settings)
    assert said.count("skipped") == 1
    assert "3 jobs, 2 trained, 1 finished before" in said
    assert systems(tmp_path / "killed") == systems(tmp_path / "whole")
    parent, jobs = children(tmp_path / "killed", "dadsp")
    assert {job.info.status for job in [parent, *jobs]} == {"FINISHED"}
    assert len(jobs) == 3


@pytest.mark.parametrize(
    "launcher",
    [
        ["hydra/launcher=parallel", "hydra.launcher.n_jobs=2"],
        ["hydra/launcher=ray", "hydra.launcher.init.num_cpus=2"],
    ],
    ids=["joblib", "ray"],
)
def test_two_workers_share_one_parent_run(launcher: list[str], tmp_path: Path) -> None:
    said = run(tmp_path, *PAIR, *launcher, "sweep=pair")
    assert "4 jobs, 4 trained" in said
    assert len(systems(tmp_path)) == 4
    parent, jobs = children(tmp_path, "dadsp")
    assert parent.info.run_name == "pair"
    assert parent.info.status == "FINISHED"
    assert {job.data.tags["mlflow.parentRunId"] for job in jobs} == {parent.info.run_id}
    assert len({job.info.run_name for job in jobs}) == 4
    assert "4 finished before" in run(tmp_path, *PAIR, *launcher, "sweep=pair")


def test_a_failing_job_among_two_workers_fails_the_parent_run_alone(tmp_path: Path) -> None:
    bad = ["data=simulated_tiny", "model=naive_mean", "seed=x,0", "hydra/launcher=parallel", "hydra.launcher.n_jobs=2"]
    done = subprocess.run(command(tmp_path, *bad), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "1 of 2 jobs failed" in done.stderr.splitlines()[-1]
    assert "seed=x" in done.stderr.splitlines()[-1]
    parent, (job,) = children(tmp_path, "dadsp")
    assert (parent.info.status, job.info.status) == ("FAILED", "FINISHED")


# Systems that stand for the whole table, which is long.
@pytest.mark.parametrize(
    ("table", "systems_of_it"),
    [("table1", "model=dadsp_a,source_only"), ("table2", "model=dadsp_a,source_only"), ("table3", "drug_features=morgan")],
)
def test_the_sweep_of_a_table_runs_on_simulated_screens(table: str, systems_of_it: str, tmp_path: Path) -> None:
    tiny = ["data=simulated_tiny", "trainer=tiny", f"sweep={table}_tiny", "seed=0", "tracking=none"]
    run(tmp_path, f"experiment={table}", systems_of_it, *tiny)
    assert len(systems(tmp_path)) == systems_of_it.count(",") + 1


def test_the_interrupt_key_ends_a_sweep_with_a_word_on_how_to_go_on(tmp_path: Path) -> None:
    settings = ["data=simulated_tiny", "model=source_only", "trainer.max_epochs=50", "trainer.patience=null"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command(tmp_path, *settings), stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("dadsp_a  epoch 1 "):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "the sweep's own command" in rest
    parent, (job,) = children(tmp_path, "dadsp")
    assert (parent.info.status, job.info.status) == ("KILLED", "KILLED")
