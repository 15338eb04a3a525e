"""Run folders after a kill, a full disk, a second process, a password: what is kept, what is caught up, what is said."""

import errno
import json
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from mlflow import MlflowClient

from dadsp import tracking
from dadsp.cli.main import main
from dadsp.configuration.compose import free_folder
from dadsp.runs import experiment
from dadsp.runs.folder import RunFolder
from dadsp.runs.scoring import write_results
from dadsp.tracking import RunTracker
from tests.support.processes import interrupted_at, running

NAIVE = ["train", "data=simulated_tiny", "model=naive_drug_mean"]


@pytest.fixture(autouse=True)
def _own_tracking_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


class Killed(BaseException):
    """Stands for SIGKILL: nothing is closed on the way out."""


def killed_in(owner: Any, name: str, arguments: list[str], *, after: bool = False) -> None:
    """Runs a command until it calls ``owner.name``."""

    def kill(*given: Any, **named: Any) -> None:
        if after:
            whole(*given, **named)
        raise Killed

    whole: Callable[..., Any] = getattr(owner, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunTracker, "__exit__", lambda *_: None)
        patch.setattr(owner, name, kill)
        with pytest.raises(Killed):
            main(arguments)


def only(runs: Path) -> Path:
    (folder,) = runs.glob("*seed0")
    return folder


def tracked(runs: Path) -> tuple[Any, list[Any]]:
    """The only run of the store, and its models."""
    client = MlflowClient(tracking_uri=f"sqlite:///{runs / 'mlflow.db'}")
    named = client.get_experiment_by_name("dadsp")
    assert named is not None
    (run,) = client.search_runs([named.experiment_id])
    return run, list(client.search_logged_models([named.experiment_id]))


def artifacts(runs: Path) -> set[str]:
    client = MlflowClient(tracking_uri=f"sqlite:///{runs / 'mlflow.db'}")
    return {entry.path for entry in client.list_artifacts(tracked(runs)[0].info.run_id)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert main([*NAIVE, f"runs={runs}"]) == 0
    return runs


MOMENTS = {
    "before the store knows the run": (RunTracker, "start", False),
    "before the folder knows its id": (RunTracker, "start", True),
    "before its results": (experiment, "write_results", False),
    "after its results": (experiment, "write_results", True),
    "in its model": (tracking, "track_model", False),
    "before it is closed": (RunTracker, "__exit__", False),
    "before its states are removed": (RunFolder, "remove_states", False),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_run_killed_at_any_moment_is_finished_in_folder_and_store(moment: str, tmp_path: Path, whole: Path) -> None:
    owner, name, after = MOMENTS[moment]
    killed_in(owner, name, [*NAIVE, f"runs={tmp_path}"], after=after)
    folder = only(tmp_path)
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "figures" / ".part-loss-abc.png").write_bytes(b"half")
    assert not RunFolder(folder).finished
    results = (folder / "metrics.json").read_bytes() if RunFolder(folder).scored else None
    assert main(["train", f"resume={folder}"]) == 0
    assert RunFolder(folder).finished
    assert results in (None, (folder / "metrics.json").read_bytes())
    expected = json.loads((only(whole) / "metrics.json").read_text())
    assert json.loads((folder / "metrics.json").read_text())["systems"] == expected["systems"]
    (run, models), (other, _) = tracked(tmp_path), tracked(whole)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == other.data.metrics
    assert run.data.params.keys() == other.data.params.keys()
    assert artifacts(tmp_path) == artifacts(whole)
    assert [str(model.status) for model in models] == ["READY"]
    assert not list(tmp_path.rglob(".*"))


def test_model_left_half_made_is_replaced_and_a_whole_one_kept(tmp_path: Path) -> None:
    killed_in(MlflowClient, "finalize_logged_model", [*NAIVE, f"runs={tmp_path}"])
    assert [str(model.status) for model in tracked(tmp_path)[1]] == ["PENDING"]
    killed_in(MlflowClient, "log_outputs", ["train", f"resume={only(tmp_path)}"])
    (whole,) = tracked(tmp_path)[1]
    assert main(["train", f"resume={only(tmp_path)}"]) == 0
    run, models = tracked(tmp_path)
    assert [model.model_id for model in models] == [whole.model_id]
    assert [output.model_id for output in run.outputs.model_outputs] == [whole.model_id]


def test_store_that_refused_entries_does_not_open_a_finished_run_again_but_resume_sends_them(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifact", lambda *_: (_ for _ in ()).throw(OSError("no route")))
        assert main([*NAIVE, f"runs={tmp_path}"]) == 0
    assert RunFolder(only(tmp_path)).finished
    assert not artifacts(tmp_path)
    assert main(["train", f"resume={only(tmp_path)}"]) == 0
    assert "metrics.json" in artifacts(tmp_path)


def test_experiment_is_compared_with_a_word_on_runs_that_are_not_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(NAIVE) == 0
    killed_in(experiment, "write_results", NAIVE, after=True)
    capsys.readouterr()
    assert main(["compare", "runs=dadsp", "replicates=100"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 runs of experiment dadsp are not finished and left out (e.g. source drug mean" in said
    assert "(RUNNING)" in said
    assert main(["compare", "runs=runs", "replicates=100"]) == 0
    assert "not finished" not in capsys.readouterr().out


def test_run_that_another_process_works_on_is_not_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed_in(experiment, "write_results", [*NAIVE, f"runs={tmp_path}", "tracking=none"])
    folder = only(tmp_path)
    with FileLock(folder / ".lock"):
        assert main(["train", f"resume={folder}"]) == 2
    assert "Another process is working in" in capsys.readouterr().err
    assert not RunFolder(folder).scored


def test_lock_is_held_while_training_and_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[int] = []

    def asked(folder: RunFolder, *given: Any) -> None:
        refused.append(main(["train", f"resume={folder.path}"]))
        write(folder, *given)

    write = write_results
    monkeypatch.setattr(experiment, "write_results", asked)
    assert main([*NAIVE, f"runs={tmp_path}", "tracking=none"]) == 0
    assert refused == [2]
    assert not (only(tmp_path) / ".lock").exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
def test_full_disk_is_one_line_with_the_way_on(code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pandas.DataFrame.to_parquet", full)
        assert main([*NAIVE, f"runs={tmp_path}", "tracking=none"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    folder = only(tmp_path)
    assert last.startswith("error: Cannot write ")
    assert os.strerror(code) in last
    assert f"dadsp train resume={folder}" in last
    assert not list(folder.rglob(".part-*"))
    assert main(["train", f"resume={folder}"]) == 0


SECRET = "s3cr3t"


def files_with(secret: str, folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


@pytest.mark.parametrize("sweep", [[], ["-m"]])
def test_password_of_an_address_is_nowhere_but_in_memory(
    sweep: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The address stands for one that answers: the embedded store is opened instead."""
    monkeypatch.setattr(tracking, "store_address", lambda uri, folder: f"sqlite:///{tmp_path}/mlflow.db")
    runs, uri = tmp_path / "runs", f"http://ada:{SECRET}@store.example/?token={SECRET}"
    command = [NAIVE[0], *sweep, *NAIVE[1:], f"runs={runs}"]
    assert main([*command, f'tracking.uri="{uri}"']) == 0
    assert main([*command, f'tracking.uri="{uri}"', "seed=x"]) == 2
    said = capfd.readouterr()
    assert SECRET not in said.out + said.err
    assert files_with(SECRET, tmp_path) == []
    assert files_with("store.example", runs)


def only_small_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


@pytest.mark.slow
def test_file_size_limit_ends_training_in_good_order_and_it_goes_on(tmp_path: Path) -> None:
    """The kernel itself refuses: states, weights and tables all meet the limit."""
    settings = ["experiment=smoke", "trainer.checkpoint_every_s=0", "tracking=none", "model.encoder_widths=[512,64]"]
    with running("train", *settings, f"runs={tmp_path}", prepare=only_small_files) as (process, said):
        told = said.read()
    assert process.exitcode == 2
    assert "File too large" in told.splitlines()[-1]
    assert "Traceback" not in told
    folder = only(tmp_path)
    assert not list(folder.rglob(".part-*"))
    assert main(["train", f"resume={folder}"]) == 0


@pytest.mark.slow
def test_two_interrupts_at_once_close_the_tracking_run(tmp_path: Path) -> None:
    settings = ["data=simulated_tiny", "model=source_only", "trainer.max_epochs=1000", "trainer.patience=null"]
    small = ["model.pretraining=null", "model.encoder_widths=[8,4]"]
    code, rest = interrupted_at("dadsp_a  epoch 1/", "train", *settings, *small, f"runs={tmp_path}", times=3)
    assert code == 130, rest
    assert "Traceback" not in rest
    assert tracked(tmp_path)[0].info.status == "KILLED"


SINGLE = [
    "single-drug",
    "panel=simulated_tiny",
    "protocol.repeats=1",
    "protocol.methods=[svr,mean]",
    "protocol.inner_folds=2",
]


@pytest.mark.parametrize("n_closed", [0, 1, 4])
def test_single_drug_runs_left_open_by_a_kill_are_closed_without_fitting_again(n_closed: int, tmp_path: Path) -> None:
    closed: list[object] = []
    close = RunTracker.__exit__

    def killed(tracker: RunTracker, *given: Any) -> None:
        if len(closed) == n_closed or given[0] is not None:
            raise Killed
        closed.append(tracker)
        close(tracker, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunTracker, "__exit__", killed)
        with pytest.raises(Killed):
            main([*SINGLE, "selection.n_genes=12", "selection.step=0.3", f"runs={tmp_path}"])
    (folder,) = tmp_path.glob("*_single_drug_*")
    before = {path: path.read_bytes() for path in folder.rglob("result.json")}
    assert before
    assert main(["single-drug", f"resume={folder}"]) == 0
    assert {path: path.read_bytes() for path in before} == before
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    n_drugs = len(list((folder / "drugs").iterdir()))
    assert [run.info.status for run in runs] == ["FINISHED"] * (1 + 2 * n_drugs)
    assert RunFolder(folder).finished


def test_runs_of_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    assert free_folder(str(taken)) == str(taken)
    taken.mkdir()
    (tmp_path / "taken_2").mkdir()
    assert free_folder(str(taken)) == str(tmp_path / "taken_3")
    clock = "hydra.run.dir=${free_folder:'" + str(tmp_path / "one moment") + "'}"
    for _ in range(2):
        assert main([*NAIVE, f"runs={tmp_path / 'runs'}", "tracking=none", clock]) == 0
    assert all(RunFolder(tmp_path / name).finished for name in ("one moment", "one moment_2"))
