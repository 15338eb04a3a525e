"""Runs tracked by a real MLflow server on this machine, and by processes that start at the same moment."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from dadsp.cli.main import main
from dadsp.tracking import RunTracker

pytestmark = pytest.mark.slow

START_WITHIN_S = 120


@dataclass
class Server:
    uri: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Ends the server and its workers, which form a process group of their own."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=30)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = [
        "--backend-store-uri",
        f"sqlite:///{tmp_path / 'server.db'}",
        "--artifacts-destination",
        str(tmp_path / "served"),
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
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path, env=quiet, start_new_session=True)
    running = Server(f"http://127.0.0.1:{port}", process)
    try:
        wait_until_healthy(running, tmp_path / "server.log")
        yield running
    finally:
        running.stop()


def wait_until_healthy(server: Server, log: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with urlopen(f"{server.uri}/health", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"mlflow server did not start:\n{log.read_text()[-2000:]}")


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
    assert (tmp_path / "served").is_dir()
    assert not (tmp_path / "runs").exists()


def test_server_that_dies_during_the_run_costs_a_warning_and_a_few_seconds(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RunTracker.start("screens", "first", server.uri, tmp_path / "runs", {}) as tracker:
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


RACER = """
import sys, time
from pathlib import Path
import mlflow
from dadsp.tracking import RunTracker

ready, go, runs = map(Path, sys.argv[1:])
ready.touch()
while not go.exists():
    time.sleep(0.001)
with RunTracker.start("screens", ready.name, None, runs, {}) as tracker:
    tracker.log_epoch({"loss": 1.0}, 0)
print(tracker.run_id)
"""


def test_processes_that_start_together_share_one_new_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    ready, go, runs = [tmp_path / name for name in ("a", "b")], tmp_path / "go", tmp_path / "runs"
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(mark), str(go), str(runs)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        for mark in ready
    ]
    deadline = time.monotonic() + START_WITHIN_S
    while not all(mark.exists() for mark in ready) and time.monotonic() < deadline:
        time.sleep(0.05)
    go.touch()
    outputs = [racer.communicate(timeout=START_WITHIN_S) for racer in racers]

    assert [racer.returncode for racer in racers] == [0, 0], "\n".join(error for _, error in outputs)
    client = MlflowClient(tracking_uri=f"sqlite:///{runs / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("screens")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    assert {run.info.run_id for run in found} == {output.strip() for output, _ in outputs}
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
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and b"s3cretword" in path.read_bytes()]
    assert holding == []
