"""Sweeps over several processes, killed ones among them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from joblib.externals.loky import get_reusable_executor  # type: ignore[import-untyped]
from mlflow import MlflowClient

from dadsp.cli.main import main
from tests.support.processes import interrupted_at, killed_in_an_epoch

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAIR = ["data=simulated_tiny", "model=naive_mean,naive_drug_mean", "seed=0"]


SMALL = "defaults: [source_only]\npretraining: null\nencoder_widths: [8, 4]\n"


@pytest.fixture
def small(tmp_path: Path) -> str:
    """Where ``model=small`` stands: a network of some seconds, among systems that have none of its keys."""
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "small.yaml").write_text(SMALL)
    return f"--config-dir={tmp_path / 'conf'}"


def command(runs: Path, *overrides: str) -> list[str]:
    return ["train", "-m", f"runs={runs}", *overrides]


def run(capsys: pytest.CaptureFixture[str], runs: Path, *overrides: str) -> str:
    """What a sweep that must succeed says on its way; its jobs may start processes, it starts none of its own."""
    capsys.readouterr()
    assert main(command(runs, *overrides)) == 0
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


def test_a_sweep_killed_in_the_middle_ends_as_if_it_had_not_been(
    small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = "model=naive_drug_mean,small,naive_mean"
    settings = [small, "data=simulated_tiny", models, "trainer.max_epochs=3", "trainer.patience=null", "trainer.threads=1"]
    settings += ["trainer.checkpoint_every_s=0", "trainer.block_lines=4"]
    run(capsys, tmp_path / "whole", *settings, "tracking=none")
    killed_in_an_epoch("dadsp_a", 3, *command(tmp_path / "killed", *settings))
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


def test_a_failing_job_among_two_workers_of_joblib_fails_the_parent_run_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = ["data=simulated_tiny", "model=naive_mean", "seed=x,0", "hydra/launcher=parallel", "hydra.launcher.n_jobs=2"]
    try:
        assert main(command(tmp_path, *bad)) == 2
    finally:
        get_reusable_executor().shutdown(wait=True)
    last = capsys.readouterr().err.splitlines()[-1]
    assert "1 of 2 jobs failed" in last
    assert "seed=x" in last
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


def test_the_interrupt_key_ends_a_sweep_with_a_word_on_how_to_go_on(small: str, tmp_path: Path) -> None:
    settings = [small, "data=simulated_tiny", "model=small", "trainer.max_epochs=1000", "trainer.patience=null"]
    code, rest = interrupted_at("dadsp_a  epoch 1/", *command(tmp_path, *settings))
    assert code == 130
    assert "the sweep's own command" in rest
    parent, (job,) = children(tmp_path, "dadsp")
    assert (parent.info.status, job.info.status) == ("KILLED", "KILLED")
