"""Several processes for one run, several jobs at a time: what they write, and on how many threads."""

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from joblib.externals.loky import get_reusable_executor  # type: ignore[import-untyped]
from omegaconf import OmegaConf

from dadsp.cli.main import main
from dadsp.configuration.compose import threads_per_job
from tests.support.guests import install, no_plugins
from tests.support.meeting import CONF

SMOKE = ["train", "experiment=smoke", "model.pretraining=null", "tracking=none"]  # one stage: each starts its processes anew


def trained(runs: Path, *overrides: str) -> Path:
    assert main([*SMOKE, f"runs={runs}", *overrides]) == 0
    (folder,) = runs.iterdir()
    return folder


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.slow
def test_two_processes_write_one_run_folder_like_one_process(tmp_path: Path) -> None:
    # That they train the same every time is seen where a killed pair of them resumes (tests/unit/models/test_processes.py).
    few = "trainer.max_epochs=2"
    alone = trained(tmp_path / "alone", few)
    shared = trained(tmp_path / "shared", few, "trainer=ddp", "trainer.device=cpu")
    assert files_of(shared) == files_of(alone)
    histories = [pd.read_csv(folder / "history.csv") for folder in (alone, shared)]
    assert list(histories[1].columns) == list(histories[0].columns)
    assert len(histories[1]) == len(histories[0])
    log = (shared / "train.log").read_text()
    assert "dadsp_a: 2 × 1 CPU threads" in log
    assert log.count("dadsp_a epoch") == histories[1]["stage"].eq("dadsp_a").sum()


@pytest.mark.slow
def test_jobs_of_a_sweep_run_at_once_each_on_its_share_of_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path / "conf" / "split", tmp_path / "met"):
        folder.mkdir(parents=True)
    (tmp_path / "conf" / "split" / "meeting.yaml").write_text(CONF)
    install(tmp_path / "site", monkeypatch, meeting="tests.support.meeting:register_all")
    met = [f"--config-dir={tmp_path / 'conf'}", "plugins=[meeting]", "split=meeting", f"split.folder={tmp_path / 'met'}"]
    sweep = ["hydra/launcher=parallel", "seed=0,1", "trainer.max_epochs=1", f"runs={tmp_path}", "-m"]
    # More threads than there are cores, if the launcher did not say otherwise.
    monkeypatch.setenv("OMP_NUM_THREADS", str(2 * threads_per_job(1)))
    get_reusable_executor().shutdown(wait=True)  # what an earlier test left has its threads already
    try:
        with no_plugins():
            assert main([*SMOKE, *met, *sweep]) == 0
    finally:
        get_reusable_executor().shutdown(wait=True)
    share = threads_per_job(2)
    folders = list(tmp_path.glob("sweeps/*/*_seed*/"))
    assert len(folders) == 2
    for folder in folders:
        assert OmegaConf.load(folder / "config.yaml").trainer.threads == share
        assert f"dadsp_a: 1 × {share} CPU threads" in (folder / "train.log").read_text()


@pytest.mark.parametrize(("overrides", "expected"), [([], 3), (["trainer.threads=5"], 5)])
def test_run_folder_states_the_threads_of_a_job(
    overrides: list[str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(13), raising=False)
    launcher = ["hydra/launcher=parallel", "hydra.launcher.n_jobs=4", "data=simulated_tiny", "model=naive_mean"]
    assert main(["train", *launcher, "tracking=none", f"runs={tmp_path}", *overrides]) == 0
    (folder,) = tmp_path.iterdir()
    config: Any = OmegaConf.load(folder / "config.yaml")
    assert config.trainer.threads == expected


@pytest.mark.parametrize(("n_jobs", "threads"), [(1, 12), (5, 2), (12, 1), (40, 1), (-1, 1)])
def test_cores_are_shared_among_jobs(n_jobs: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(12), raising=False)
    assert threads_per_job(n_jobs) == threads
