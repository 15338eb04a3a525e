"""Runs in an embedded SQLite store, read back through MLflow's own client."""

import inspect
import logging
import math
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import pytest
from mlflow import MlflowClient, get_tracking_uri
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from dadsp import tracking, tracking_store
from dadsp.errors import DadspError, LoadError
from dadsp.tracked_model import FinishedModel
from dadsp.tracking import NullTracker, RunTracker


@pytest.fixture(autouse=True)
def _no_store_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One runs folder for the module: making the tables takes seconds."""
    folder = tmp_path_factory.mktemp("store") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with start(folder):
            pass
    return folder


def start(folder: Path, resume_id: str | None = None, uri: str | None = None, **tags: str) -> RunTracker:
    return RunTracker.start("screens", "first", uri, folder, tags, resume_id)


def read(tracker: RunTracker) -> Run:
    return MlflowClient(tracking_uri=tracker.uri).get_run(tracker.run_id)


def curve(tracker: RunTracker, metric: str) -> list[tuple[int, float]]:
    history = MlflowClient(tracking_uri=tracker.uri).get_metric_history(tracker.run_id, metric)
    return [(point.step, point.value) for point in history]


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_nested_settings_are_stored_under_dotted_keys(runs: Path) -> None:
    with start(runs) as tracker:
        tracker.log_params({"model": {"widths": [64, 32], "mmd": {"weight": 0.5}}, "seed": 0, "resume": None})
    assert read(tracker).data.params == {
        "model.widths": "[64, 32]",
        "model.mmd.weight": "0.5",
        "seed": "0",
        "resume": "None",
    }


def test_more_settings_than_one_request_takes_are_all_stored(runs: Path) -> None:
    settings = {f"key{number}": number for number in range(205)}
    with start(runs) as tracker:
        tracker.log_params(settings)
    assert read(tracker).data.params == {key: str(value) for key, value in settings.items()}


def test_long_value_is_cut_and_counted(runs: Path) -> None:
    with start(runs) as tracker:
        assert tracker.log_params({"short": "a" * 6000, "long": "b" * 6001}) == 1
    stored = read(tracker).data.params
    assert stored == {"short": "a" * 6000, "long": "b" * 5999 + "…"}


def test_metric_has_one_point_per_epoch(runs: Path) -> None:
    with start(runs) as tracker:
        for epoch, loss in enumerate((3.0, 2.0, 1.5)):
            tracker.log_epoch({"train/loss": loss, "val/source/rmse": loss / 2}, epoch)
    assert curve(tracker, "train/loss") == [(0, 3.0), (1, 2.0), (2, 1.5)]
    assert curve(tracker, "val/source/rmse") == [(0, 1.5), (1, 1.0), (2, 0.75)]


def test_epoch_without_a_finite_value_leaves_no_point(runs: Path) -> None:
    with start(runs) as tracker:
        tracker.log_epoch({"loss": 1.0, "r2": math.nan}, 0)
        tracker.log_epoch({"loss": math.inf, "r2": 0.5}, 1)
        tracker.log_epoch({"loss": math.nan}, 2)
    assert curve(tracker, "loss") == [(0, 1.0)]
    assert curve(tracker, "r2") == [(1, 0.5)]


def test_metric_named_after_a_drug_is_stored(runs: Path) -> None:
    with start(runs) as tracker:
        tracker.log_metrics({"test/rmse/5-Fluorouracil (1 µM, *)": 0.75})
    assert read(tracker).data.metrics == {"test/rmse/5-Fluorouracil _1 µM_ __": 0.75}


def test_tags_are_those_given_and_mlflow_adds_only_the_name(runs: Path) -> None:
    with start(runs, data_hash="abc") as tracker:
        pass
    assert read(tracker).data.tags == {"data_hash": "abc", "mlflow.runName": "first"}


def test_files_and_folders_can_be_fetched_back(runs: Path, tmp_path: Path) -> None:
    metrics, figures = tmp_path / "metrics.json", tmp_path / "figures"
    metrics.write_text("{}")
    figures.mkdir()
    (figures / "scatter.svg").write_text("<svg/>")
    with start(runs) as tracker:
        tracker.log_artifacts([metrics, figures])
    fetched = Path(MlflowClient(tracking_uri=tracker.uri).download_artifacts(tracker.run_id, "", str(tmp_path)))
    assert (fetched / "metrics.json").read_text() == "{}"
    assert (fetched / "figures/scatter.svg").read_text() == "<svg/>"


def test_embedded_store_writes_only_below_the_runs_folder(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace = tmp_path / "cwd"
    workplace.mkdir()
    monkeypatch.chdir(workplace)
    file = tmp_path / "note.txt"
    file.write_text("x")
    with start(runs) as tracker:
        tracker.log_artifacts([file])
    assert list(workplace.iterdir()) == []
    assert [path.name for path in (runs / "mlartifacts").rglob("note.txt")] == ["note.txt"]


def test_starting_a_run_leaves_mlflows_global_address_alone(runs: Path) -> None:
    before = get_tracking_uri()
    with start(runs) as tracker:
        assert get_tracking_uri() == before != tracker.uri


def test_store_named_by_the_environment_is_used(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(runs / "mlflow.db", tmp_path / "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    with start(tmp_path / "unused") as tracker:
        pass
    assert tracker.uri == f"sqlite:///{tmp_path / 'other.db'}"
    assert not (tmp_path / "unused").exists()


def test_configured_store_wins_over_the_environment(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with start(runs, uri=f"sqlite:///{runs / 'mlflow.db'}") as tracker:
        pass
    assert read(tracker).info.status == "FINISHED"


def test_folder_with_signs_that_mean_something_in_an_address_works(runs: Path, tmp_path: Path) -> None:
    odd = tmp_path / "50%20 λ=1,#2?"
    odd.mkdir()
    shutil.copy(runs / "mlflow.db", odd / "mlflow.db")
    with start(odd) as tracker:
        tracker.log_metrics({"rmse": 1.0})
    assert read(tracker).data.metrics == {"rmse": 1.0}
    assert {path.name for path in odd.iterdir()} == {"mlflow.db", "mlflow.db.lock"}


def test_finished_run_has_status_finished(runs: Path) -> None:
    with start(runs) as tracker:
        assert read(tracker).info.status == "RUNNING"
    assert read(tracker).info.status == "FINISHED"


@pytest.mark.parametrize(
    ("raised", "status"), [(RuntimeError, "FAILED"), (DadspError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_broken_off_run_has_its_status_and_the_exception_goes_on(
    runs: Path, raised: type[BaseException], status: str
) -> None:
    with pytest.raises(raised, match="stop"), start(runs) as tracker:
        raise raised("stop")
    assert read(tracker).info.status == status


def test_resumed_run_appends_to_its_curves(runs: Path) -> None:
    with start(runs, data_hash="old", kept="yes") as first:
        first.log_epoch({"loss": 2.0}, 0)
    with start(runs, resume_id=first.run_id, data_hash="new") as second:
        second.log_epoch({"loss": 1.0}, 1)
        assert read(second).info.status == "RUNNING"
    assert (second.run_id, second.experiment_id) == (first.run_id, first.experiment_id)
    assert curve(first, "loss") == [(0, 2.0), (1, 1.0)]
    assert read(first).data.tags == {"data_hash": "new", "kept": "yes", "mlflow.runName": "first"}
    assert read(first).info.status == "FINISHED"


def test_resumed_run_keeps_the_first_value_of_a_setting_and_names_it(runs: Path, caplog: pytest.LogCaptureFixture) -> None:
    with start(runs) as first:
        first.log_params({"trainer": {"epochs": 10}, "seed": 0})
    with start(runs, resume_id=first.run_id) as second:
        second.log_params({"trainer": {"epochs": 20}, "seed": 0, "extra": True})
    assert read(first).data.params == {"trainer.epochs": "10", "seed": "0", "extra": "True"}
    assert "1 settings keep their first value in the tracking store: trainer.epochs" in caplog.text


def test_resuming_an_unknown_run_names_it_and_the_remedy(runs: Path) -> None:
    with pytest.raises(LoadError, match=rf"holds no run {'0' * 32}.*Set tracking.uri"):
        start(runs, resume_id="0" * 32)


def test_deleted_experiment_is_told_with_the_way_back(runs: Path, tmp_path: Path) -> None:
    shutil.copy(runs / "mlflow.db", tmp_path / "mlflow.db")
    with start(tmp_path) as tracker:
        pass
    MlflowClient(tracking_uri=tracker.uri).delete_experiment(tracker.experiment_id)
    with pytest.raises(DadspError, match=rf"'screens' was deleted.*restore -x {tracker.experiment_id}"):
        start(tmp_path)


def test_file_that_is_no_database_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, and longer than the header of one, which is a hundred bytes " * 2)
    began = time.monotonic()
    with pytest.raises(DadspError, match=r"file is not a database.*tracking=none"):
        start(tmp_path)
    assert time.monotonic() - began < 5


def test_store_that_breaks_during_the_run_costs_one_warning_and_no_run(
    runs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(runs / "mlflow.db", tmp_path / "mlflow.db")
    with start(tmp_path) as tracker:
        (tmp_path / "mlflow.db").write_bytes(b"broken" * 10_000)
        for epoch in range(3):
            tracker.log_epoch({"loss": 1.0}, epoch)
        tracker.log_params({"seed": 0})
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "did not take an entry" in warnings[0]
    assert warnings[1].startswith("5 entries of this run are missing")  # 3 epochs, the settings, the closing status


class DeadClient:
    """Refuses everything and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def log_batch(self, *_: object, **__: object) -> None:
        self.calls += 1
        raise MlflowException("connection refused")


def test_dead_store_is_left_alone_and_tried_again_later(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, dead = 1000.0, DeadClient()
    tracker = start(runs)
    monkeypatch.setattr(tracker, "_client", dead)
    monkeypatch.setattr("dadsp.tracking.time.monotonic", lambda: now)
    for epoch in range(5):
        tracker.log_epoch({"loss": 1.0}, epoch)
    assert dead.calls == 1
    now += tracking.PAUSE_AFTER_FAILURE_S
    tracker.log_epoch({"loss": 1.0}, 5)
    assert dead.calls == 2


def write_nothing(folder: Path) -> None:
    raise DadspError("Cannot write the model: no space left.")


def write_one_file(folder: Path) -> None:
    folder.mkdir()
    (folder / "model.json").write_text("{}")


@pytest.mark.parametrize("fails", ["the store", "the disk"])
def test_model_that_cannot_be_logged_costs_one_warning_and_no_run(
    runs: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    example = pd.DataFrame({"cell_id": ["L1"], "drug_id": ["D1"]})
    write = write_nothing if fails == "the disk" else write_one_file
    with start(runs) as tracker:
        if fails == "the store":
            refuse = Mock(side_effect=MlflowException("database is locked"))
            monkeypatch.setattr(tracker._client, "finalize_logged_model", refuse)
        model = FinishedModel(write, "dadsp.served_model", lambda: example, {"seed": 0})
        tracker.log_model(model, "sensitivity", "champion")
    assert read(tracker).info.status == "FINISHED"
    messages = [record.getMessage() for record in caplog.records if record.name == "dadsp.tracking"]
    assert {"the store": "database is locked", "the disk": "no space left"}[fails] in messages[0]
    assert messages[1].startswith("1 entries of this run are missing")
    assert MlflowClient(tracking_uri=tracker.uri).search_registered_models() == []


def test_entry_mlflow_refuses_does_not_stop_the_next(runs: Path) -> None:
    with start(runs) as tracker:
        tracker.log_metrics({"../outside": 1.0})
        tracker.log_metrics({"rmse": 1.0})
    assert read(tracker).data.metrics == {"rmse": 1.0}


def test_unreachable_server_is_told_within_seconds_with_the_remedy(tmp_path: Path, closed_port: int) -> None:
    began = time.monotonic()
    with pytest.raises(DadspError, match=rf"No tracking server answers at http://127.0.0.1:{closed_port}.*tracking=none"):
        start(tmp_path, uri=f"http://127.0.0.1:{closed_port}")
    assert time.monotonic() - began < 5


def test_silent_server_is_told_after_the_time_out(tmp_path: Path, silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking_store, "PROBE_TIMEOUT_S", 0.2)
    with pytest.raises(DadspError, match=r"no answer in 0\.2 s|timed out"):
        start(tmp_path, uri=f"http://127.0.0.1:{silent_port}/mlflow/")


def test_password_in_an_address_is_never_shown(tmp_path: Path, closed_port: int) -> None:
    with pytest.raises(DadspError) as caught:
        start(tmp_path, uri=f"http://ada:secret@127.0.0.1:{closed_port}")
    assert "secret" not in str(caught.value)
    assert "ada" not in str(caught.value)


def test_address_of_no_known_kind_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DadspError, match=r"carrier-pigeon://home refused the run.*Check tracking\.uri"):
        start(tmp_path, uri="carrier-pigeon://home")


def test_null_tracker_can_stand_in_for_a_run_tracker(tmp_path: Path) -> None:
    offered = {name: member for name, member in inspect.getmembers(RunTracker, inspect.isfunction) if name[0] != "_"}
    for name, member in offered.items():
        assert inspect.signature(member) == inspect.signature(getattr(NullTracker, name))
    with NullTracker() as tracker:
        assert tracker.log_params({"long": "x" * 10_000}) == 0
        tracker.log_epoch({"loss": 1.0}, 0)
        tracker.log_metrics({"rmse": 1.0})
        tracker.log_artifacts([tmp_path])
    assert (tracker.run_id, tracker.experiment_id, tracker.uri) == (None, None, None)
