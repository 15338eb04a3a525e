"""What a run tells MLflow: settings, one row of metrics per epoch, files. The only importer of mlflow.

The run folder is the truth. A store that fails while a run is under way costs entries in that store, never the run.
"""

import logging
import math
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock

from dadsp.credentials import without_credentials
from dadsp.errors import DadspError, LoadError, examples
from dadsp.files import read_json, write_json
from dadsp.provenance import code_hash
from dadsp.tracked_model import FinishedModel, track_model
from dadsp.tracking_store import first_line, opened, store_address

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

logger = logging.getLogger(__name__)

MAX_VALUE_LENGTH = 6000  # characters of a parameter value MLflow accepts
PARAMS_PER_REQUEST = 100  # MLflow's own limit
PAUSE_AFTER_FAILURE_S = 60.0
PARENT = "mlflow.parentRunId"  # the tag by which MLflow nests runs
TOKEN = "dadsp.run"  # the tag by which a run is found whose id no folder knows yet


class RunTracker:
    """One MLflow run, open while its ``with`` block runs.

    Attributes:
        run_id: MLflow's id of the run; pass it as ``resume_id`` to go on with the same run.
        experiment_id: MLflow's id of the experiment.
        uri: The tracking store, without user name or password.
        store_failed: Whether entries are missing because the store failed, so that they could be sent another time.
    """

    def __init__(self, client: "MlflowClient", run: "Run", uri: str, *, resumed: bool = False) -> None:
        """Wraps a run that exists; use ``start``."""
        self.run_id: str = run.info.run_id
        self.experiment_id: str = run.info.experiment_id
        self.uri = without_credentials(uri)
        self._client = client
        self._known_params: dict[str, str] = dict(run.data.params)
        self._known_points: dict[str, dict[int, float]] | None = {} if resumed else None
        self._paused_until = -math.inf
        self._unsent = 0
        self.store_failed = False

    @classmethod
    def start(
        cls,
        experiment: str,
        run_name: str,
        uri: str | None,
        folder: Path,
        tags: Mapping[str, str],
        resume_id: str | None = None,
    ) -> Self:
        """A run in state RUNNING, new or taken up again.

        Args:
            experiment: Name of the experiment; created when absent.
            run_name: Display name of a new run.
            uri: Tracking store. None takes ``MLFLOW_TRACKING_URI``, else ``folder``/mlflow.db with the files under
                ``folder``/mlartifacts.
            folder: The folder that holds all runs; used by the embedded store only.
            tags: Put on the run; on resumption they replace those of the same name. A run that bears the same ``TOKEN``
                already is taken up again.
            resume_id: Id of the run to go on with.

        Raises:
            LoadError: The store holds no run ``resume_id``.
            DadspError: The store cannot be reached or refuses the run.
        """
        store = store_address(uri, folder)
        embedded = not uri and not os.environ.get("MLFLOW_TRACKING_URI")
        artifacts = (folder.resolve() / "mlartifacts").as_uri() if embedded else None
        tags = {key: without_credentials(value) for key, value in tags.items()}
        run_name = without_credentials(run_name)
        with opened(store) as client:
            if resume_id is None:
                experiment_id = _experiment_id(client, experiment, artifacts)
                resume_id = _run_with_token(client, experiment_id, tags.get(TOKEN))
                if resume_id is None:
                    return cls(client, client.create_run(experiment_id, tags=dict(tags), run_name=run_name), store)
            run = _existing_run(client, resume_id, store)
            client.update_run(resume_id, status="RUNNING")
            for key, value in tags.items():
                client.set_tag(resume_id, key, value)
            return cls(client, run, store, resumed=True)

    @classmethod
    def of_sweep(cls, experiment: str, name: str, uri: str | None, folder: Path, sweep: Path) -> Self:
        """The run above all jobs of a sweep: made by whichever process asks first, taken up again by the others.

        Args:
            experiment: Name of the experiment.
            name: Display name of the sweep.
            uri: Tracking store, as for ``start``.
            folder: The folder that holds all runs.
            sweep: The folder of the sweep, which keeps the run's id.
        """
        known = sweep / "sweep.json"
        (sweep / ".locks").mkdir(parents=True, exist_ok=True)
        with FileLock(sweep / ".locks" / "sweep.lock"):
            facts: dict[str, Any] = (
                read_json(known) if known.exists() else {"run_id": None, "uri": None, "token": new_token()}
            )
            write_json(known, facts)  # the token first: a process killed once the run is made can still be followed
            tags = {"code_hash": code_hash()}
            if "token" in facts:
                tags[TOKEN] = str(facts["token"])
            tracker = cls.start(experiment, name, uri, folder, tags, facts["run_id"])
            write_json(known, {**facts, "run_id": tracker.run_id, "uri": tracker.uri})
        return tracker

    def log_params(self, params: Mapping[str, Any]) -> int:
        """Logs settings, nested ones under dotted keys.

        MLflow never changes a parameter. Where a resumed run differs from its beginning, the first value stays and the
        log names the keys.

        Returns:
            How many values were longer than MLflow takes and were cut (they end in "…").
        """
        values = dict(_flattened(params))
        long = [key for key, value in values.items() if len(value) > MAX_VALUE_LENGTH]
        for key in long:
            values[key] = values[key][: MAX_VALUE_LENGTH - 1] + "…"
        changed = [key for key, value in values.items() if self._known_params.get(key, value) != value]
        if long:
            logger.warning(
                "%d settings are too long for the tracking store and were cut there: %s", len(long), examples(long)
            )
        if changed:
            logger.warning("%d settings keep their first value in the tracking store: %s", len(changed), examples(changed))
        fresh = [item for item in values.items() if item[0] not in self._known_params]
        self._known_params.update(fresh)
        for first in range(0, len(fresh), PARAMS_PER_REQUEST):
            self._send_params(fresh[first : first + PARAMS_PER_REQUEST])
        return len(long)

    def log_epoch(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Adds one point, at step ``epoch``, to each metric's curve; values that are not finite are left out.

        A run that was taken up again repeats epochs since its last state: points that are there already are not sent twice.
        """
        if any(math.isfinite(value) for value in metrics.values()):
            self._send(lambda: self._send_points(metrics, epoch))

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Logs final numbers, as curves of one point; values that are not finite are left out."""
        self.log_epoch(metrics, epoch=0)

    def log_artifacts(self, paths: Iterable[Path]) -> None:
        """Copies files and whole folders into the run's artifacts, each under its own name; hidden files stay behind."""
        for path in paths:
            self._send(partial(self._send_files, path))

    def log_model(self, model: FinishedModel, register: str | None = None, alias: str | None = None) -> None:
        """Logs a model of flavour python_function under ``runs:/<run id>/model``; its loading runs no pickled code.

        Args:
            model: What is logged.
            register: Name of the registered model that gets this one as a new version.
            alias: Alias of that version, taken from an earlier one.
        """
        self._send(lambda: track_model(self._client, self.experiment_id, self.run_id, model, register, alias))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes the run as FINISHED, KILLED (interrupted from the keyboard) or FAILED (any other exception)."""
        status = "FINISHED" if kind is None else "KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED"
        self._paused_until = -math.inf
        self._send(lambda: self._client.set_terminated(self.run_id, status))
        if self._unsent:
            logger.warning("%d entries of this run are missing in the tracking store %s.", self._unsent, self.uri)

    def _send_params(self, items: list[tuple[str, str]]) -> None:
        from mlflow.entities import Param

        params = [Param(key, value) for key, value in items]
        self._send(lambda: self._client.log_batch(self.run_id, params=params, synchronous=True))

    def _send_points(self, metrics: Mapping[str, float], epoch: int) -> None:
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        points = [Metric(_key(name), float(value), now_ms, epoch) for name, value in metrics.items() if math.isfinite(value)]
        if self._known_points is not None:
            points = [point for point in points if self._points_of(point.key).get(epoch) != point.value]
        if points:
            self._client.log_batch(self.run_id, metrics=points, synchronous=True)

    def _points_of(self, metric: str) -> dict[int, float]:
        """What the store holds of a metric's curve, as it was when the run was taken up again."""
        assert self._known_points is not None
        if metric not in self._known_points:
            history = self._client.get_metric_history(self.run_id, metric)
            self._known_points[metric] = {point.step: point.value for point in history}
        return self._known_points[metric]

    def _send_files(self, path: Path) -> None:
        files = sorted(inner for inner in path.rglob("*") if inner.is_file()) if path.is_dir() else [path]
        for file in files:
            inside = file.relative_to(path.parent)
            if not any(part.startswith(".") for part in inside.parts):
                below = inside.parent.as_posix()
                self._client.log_artifact(self.run_id, str(file), None if below == "." else below)

    def _send(self, call: Callable[[], object]) -> None:
        """Does ``call``; after a failure the store is left alone for a while, so that a dead one cannot slow training."""
        from mlflow.exceptions import MlflowException

        if time.monotonic() < self._paused_until:
            self._unsent += 1
            return
        try:
            call()
        except (MlflowException, OSError, DadspError) as error:
            if not self._unsent:
                logger.warning(
                    "The tracking store %s did not take an entry (%s). The run goes on; its folder holds everything.",
                    self.uri,
                    first_line(error),
                )
            self._unsent += 1
            if getattr(error, "error_code", None) != "INVALID_PARAMETER_VALUE":  # that is this entry's fault alone
                self.store_failed = True
                self._paused_until = time.monotonic() + PAUSE_AFTER_FAILURE_S


class NullTracker:
    """Stands in for ``RunTracker`` when nothing is tracked (``tracking=none``)."""

    run_id: None = None
    experiment_id: None = None
    uri: None = None
    store_failed = False

    def log_params(self, params: Mapping[str, Any]) -> int:
        """Does nothing; no value is cut."""
        return 0

    def log_epoch(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Does nothing."""

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Does nothing."""

    def log_artifacts(self, paths: Iterable[Path]) -> None:
        """Does nothing."""

    def log_model(self, model: FinishedModel, register: str | None = None, alias: str | None = None) -> None:
        """Does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Does nothing."""


Tracker = RunTracker | NullTracker


def new_token() -> str:
    """Marks the run of one folder in the store, before the store has given it an id."""
    return uuid.uuid4().hex


def _run_with_token(client: "MlflowClient", experiment_id: str, token: str | None) -> str | None:
    """The id of the run that was begun under this token, if there is one."""
    found = client.search_runs([experiment_id], f"tags.`{TOKEN}` = '{token}'", max_results=1) if token else []
    return found[0].info.run_id if found else None


def _experiment_id(client: "MlflowClient", name: str, artifacts: str | None) -> str:
    """The id of the experiment, created if need be, also when another process creates it at this moment."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name, artifact_location=artifacts)
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise DadspError(
            f"Experiment '{name}' was deleted from the tracking store. "
            f"Restore it (mlflow experiments restore -x {found.experiment_id}) or set another tracking.experiment."
        )
    return found.experiment_id


def _existing_run(client: "MlflowClient", run_id: str, store: str) -> "Run":
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise LoadError(
            f"The tracking store {without_credentials(store)} holds no run {run_id}. "
            "Set tracking.uri to the store the run was begun in, or tracking=none."
        ) from error


def _flattened(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in params.items():
        if isinstance(value, Mapping) and value:
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield _key(f"{prefix}{name}"), without_credentials(str(value))


def _key(name: str) -> str:
    """``name`` in the alphabet of MLflow: letters, digits, and ``_ - . : /`` and space."""
    return re.sub(r"[^\w\-.:/ ]", "_", name)
