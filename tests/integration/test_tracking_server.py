"""Runs tracked by a real MLflow server on this machine, and by processes that start at the same moment."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from dadsp.cli.main import main
from dadsp.tracking import RunTracker
from tests.support.processes import FORKED, forked

pytestmark = pytest.mark.slow

START_WITHIN_S = 120


@dataclass
class Server:
    uri: str
    process: subprocess.Popen[bytes]
    folder: Path

    def stop(self) -> None:
        """Ends the server and its workers, which form a process group of their own."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=30)


@pytest.fixture(autouse=True)
def no_uri_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests that leave it running."""
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = [
        "--backend-store-uri",
        f"sqlite:///{folder / 'server.db'}",
        "--artifacts-destination",
        str(folder / "served"),
    ]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        *store,
    ]
    quiet = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=quiet, start_new_session=True)
    running = Server(f"http://127.0.0.1:{port}", process, folder)
    try:
        wait_until_healthy(running)
        yield running
    finally:
        running.stop()


def wait_until_healthy(server: Server) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with urlopen(f"{server.uri}/health", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"mlflow server did not start:\n{(server.folder / 'server.log').read_text()[-2000:]}")


def test_run_and_its_files_can_be_read_back_from_the_server(server: Server, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    figures = tmp_path / "figures"
    figures.mkdir()
    (figures / "scatter.svg").write_text("<svg/>")
    (tmp_path / "metrics.json").write_text('{"rmse": 0.7}')
    with RunTracker.start("screens", "first", server.uri, tmp_path / "runs", {"data_hash": "abc"}) as tracker:
        tracker.log_params({"model": {"width": 64}})
        for epoch in range(3):
            tracker.log_epoch({"train/loss": 3.0 - epoch}, epoch)
        tracker.log_artifacts([tmp_path / "metrics.json", figures])

    client = MlflowClient(tracking_uri=server.uri)
    run = client.get_run(tracker.run_id)
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    client.download_artifacts(tracker.run_id, "", str(fetched))
    assert run.info.status == "FINISHED"
    assert run.data.params == {"model.width": "64"}
    assert run.data.tags == {"data_hash": "abc", "mlflow.runName": "first"}
    assert [(p.step, p.value) for p in client.get_metric_history(tracker.run_id, "train/loss")] == [
        (0, 3.0),
        (1, 2.0),
        (2, 1.0),
    ]
    assert (fetched / "metrics.json").read_text() == '{"rmse": 0.7}'
    assert (fetched / "figures/scatter.svg").read_text() == "<svg/>"
    assert (server.folder / "served").is_dir()
    assert not (tmp_path / "runs").exists()


def test_server_that_dies_during_the_run_costs_a_warning_and_a_few_seconds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        serving(tmp_path) as server,
        RunTracker.start("screens", "first", server.uri, tmp_path / "runs", {}) as tracker,
    ):
        tracker.log_epoch({"loss": 1.0}, 0)
        server.stop()
        began = time.monotonic()
        for epoch in range(1, 50):
            tracker.log_epoch({"loss": 1.0}, epoch)
        tracker.log_artifacts([tmp_path / "server.log"])
    assert time.monotonic() - began < 60
    messages = [record.getMessage() for record in caplog.records if record.name == "dadsp.tracking"]
    assert len(messages) == 2
    assert "did not take an entry" in messages[0]
    assert messages[1].startswith("51 entries of this run are missing")


def race(together: Barrier, told: Path, runs: Path) -> None:
    together.wait()
    with RunTracker.start("screens", told.name, None, runs, {}) as tracker:
        tracker.log_epoch({"loss": 1.0}, 0)
    told.write_text(str(tracker.run_id))


def test_processes_that_start_together_share_one_new_store(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    runs, together = tmp_path / "runs", FORKED.Barrier(2, timeout=START_WITHIN_S)
    racers = [forked(race, together, tmp_path / name, runs) for name in ("a", "b")]
    for racer in racers:
        racer.join(START_WITHIN_S)

    assert [racer.exitcode for racer in racers] == [0, 0]
    client = MlflowClient(tracking_uri=f"sqlite:///{runs / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("screens")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    assert {run.info.run_id for run in found} == {(tmp_path / name).read_text() for name in ("a", "b")}
    assert {run.data.metrics["loss"] for run in found} == {1.0}


@pytest.mark.parametrize(
    "verb",
    [
        ["train", "data=simulated_tiny", "model=naive_mean"],
        ["single-drug", "panel=simulated_tiny", "drug=SD001", "protocol.repeats=1", "protocol.methods=[mean]"],
    ],
)
def test_a_password_reaches_the_server_and_nothing_that_is_written_or_shown(
    verb: list[str], server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    address = server.uri.replace("://", "://somebody:s3cretword@")
    small = ["selection.n_genes=12", "selection.step=0.3"] if verb[0] == "single-drug" else []
    assert main([*verb, *small, f"tracking.uri={address}", f"runs={tmp_path / 'runs'}"]) == 0
    (run, *_) = [path for path in (tmp_path / "runs").iterdir() if (path / "metrics.json").exists()]
    if verb[0] == "train":
        assert main(["report", f"run={run}", f"out={tmp_path / 'report'}"]) == 0
    said = capfd.readouterr()
    assert "s3cretword" not in said.out + said.err
    written = [path for folder in (tmp_path, server.folder) for path in folder.rglob("*") if path.is_file()]
    assert server.folder / "server.db" in written
    holding = [path for path in written if b"s3cretword" in path.read_bytes()]
    assert holding == []
