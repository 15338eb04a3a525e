"""What a run tells MLflow: settings, one row of metrics per epoch, files. The only importer of mlflow.

The run folder is the truth. A store that fails while a run is under way costs entries in that store, never the run.
"""

import ast
import hashlib
import logging
import math
import os
import re
import sqlite3
import ssl
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

from filelock import FileLock

from dadsp.errors import DadspError, LoadError, examples, nearest
from dadsp.files import read_json, write_json

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.models import ModelSignature

logger = logging.getLogger(__name__)

MAX_VALUE_LENGTH = 6000  # characters of a parameter value MLflow accepts
PARAMS_PER_REQUEST = 100  # MLflow's own limit
PROBE_TIMEOUT_S = 5.0
PAUSE_AFTER_FAILURE_S = 60.0
PACKAGE = Path(__file__).resolve().parent
PARENT = "mlflow.parentRunId"  # the tag by which MLflow nests runs
MODEL = "model"  # name of a run's logged model
PACKAGES = ("dadsp", "torch", "pytorch-lightning", "rdkit", "numpy", "pandas", "scikit-learn")

# Set before mlflow is imported, and only where the user has not chosen otherwise.
MLFLOW_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # a run reports to nobody but its own store
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # every failure reaches us as an exception; the rest is table-creation noise
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # mlflow's 7 growing pauses would hold an epoch for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_UV_AUTO_DETECT": "false",  # a logged model would take along the lock file of whatever folder one stands in
}


class FinishedModel(NamedTuple):
    """A model as a run hands it to MLflow.

    Attributes:
        write: Writes its files into the folder it is given.
        loader_module: The installed module whose ``_load_pyfunc`` reads them.
        example: Gives a request that it can answer.
        facts: Stand in its metadata and on its page.
    """

    write: Callable[[Path], None]
    loader_module: str
    example: Callable[[], "pd.DataFrame"]
    facts: Mapping[str, object]


class RunTracker:
    """One MLflow run, open while its ``with`` block runs.

    Attributes:
        run_id: MLflow's id of the run; pass it as ``resume_id`` to go on with the same run.
        experiment_id: MLflow's id of the experiment.
        uri: The tracking store, without user name or password.
    """

    def __init__(self, client: "MlflowClient", run: "Run", uri: str) -> None:
        """Wraps a run that exists; use ``start``."""
        self.run_id: str = run.info.run_id
        self.experiment_id: str = run.info.experiment_id
        self.uri = _without_credentials(uri)
        self._client = client
        self._known_params: dict[str, str] = dict(run.data.params)
        self._paused_until = -math.inf
        self._unsent = 0

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
            tags: Put on the run; on resumption they replace those of the same name.
            resume_id: Id of the run to go on with.

        Raises:
            LoadError: The store holds no run ``resume_id``.
            DadspError: The store cannot be reached or refuses the run.
        """
        chosen = uri or os.environ.get("MLFLOW_TRACKING_URI")
        store = chosen or _sqlite_uri(folder.resolve() / "mlflow.db")
        artifacts = None if chosen else (folder.resolve() / "mlartifacts").as_uri()
        with _explained(store), _sole_opener(store):
            _probe(store)
            client = _open_client(store)
            if resume_id is None:
                experiment_id = _experiment_id(client, experiment, artifacts)
                return cls(client, client.create_run(experiment_id, tags=dict(tags), run_name=run_name), store)
            run = _existing_run(client, resume_id, store)
            client.update_run(resume_id, status="RUNNING")
            for key, value in tags.items():
                client.set_tag(resume_id, key, value)
            return cls(client, run, store)

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
            resume_id = read_json(known)["run_id"] if known.exists() else None
            tracker = cls.start(experiment, name, uri, folder, {"code_hash": code_hash()}, resume_id)
            write_json(known, {"run_id": tracker.run_id, "uri": tracker.uri})
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
        """Adds one point, at step ``epoch``, to each metric's curve; values that are not finite are left out."""
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        points = [Metric(_key(k), float(v), now_ms, epoch) for k, v in metrics.items() if math.isfinite(v)]
        if points:
            self._send(lambda: self._client.log_batch(self.run_id, metrics=points, synchronous=True))

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Logs final numbers, as curves of one point; values that are not finite are left out."""
        self.log_epoch(metrics, epoch=0)

    def log_artifacts(self, paths: Iterable[Path]) -> None:
        """Copies files and whole folders into the run's artifacts, each under its own name."""
        for path in paths:
            if path.is_dir():
                self._send(partial(self._client.log_artifacts, self.run_id, str(path), path.name))
            else:
                self._send(partial(self._client.log_artifact, self.run_id, str(path)))

    def log_model(self, model: FinishedModel, register: str | None = None, alias: str | None = None) -> None:
        """Logs a model of flavour python_function under ``runs:/<run id>/model``; its loading runs no pickled code.

        Args:
            model: What is logged.
            register: Name of the registered model that gets this one as a new version.
            alias: Alias of that version, taken from an earlier one.
        """
        self._send(lambda: self._log_model(model, register, alias))

    def _log_model(self, model: FinishedModel, register: str | None, alias: str | None) -> None:
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it warns of a class of its own
            from mlflow import pyfunc

        client = self._client
        tags = {name: str(value) for name, value in model.facts.items()}
        logged = client.create_logged_model(self.experiment_id, MODEL, self.run_id, tags)
        with TemporaryDirectory() as scratch:
            data, folder = Path(scratch) / "dadsp", Path(scratch) / "mlflow"
            model.write(data)
            pyfunc.save_model(
                folder,
                loader_module=model.loader_module,
                data_path=str(data),
                mlflow_model=Model(
                    artifact_path=logged.artifact_location,
                    run_id=self.run_id,
                    model_id=logged.model_id,
                    model_uuid=logged.model_id,
                    metadata=dict(model.facts),
                ),
                signature=_signature(),
                input_example=model.example(),
                # Named rather than inferred, which would load the model in another process.
                pip_requirements=[f"{package}=={version(package)}" for package in ("dadsp", "mlflow")],
            )
            client.log_model_artifacts(logged.model_id, str(folder))
        client.finalize_logged_model(logged.model_id, "READY")
        client.log_outputs(self.run_id, [LoggedModelOutput(logged.model_id, step=0)])
        if register:
            self._register(logged, register, alias)

    def _register(self, logged: "LoggedModel", name: str, alias: str | None) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # By its place: an address "models:/…" would be looked up in mlflow's global store.
        made = self._client.create_model_version(name, logged.artifact_location, self.run_id, model_id=logged.model_id)
        if alias:
            self._client.set_registered_model_alias(name, alias, made.version)

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
                    _first_line(error),
                )
            self._unsent += 1
            if getattr(error, "error_code", None) != "INVALID_PARAMETER_VALUE":  # that is this entry's fault alone
                self._paused_until = time.monotonic() + PAUSE_AFTER_FAILURE_S


class NullTracker:
    """Stands in for ``RunTracker`` when nothing is tracked (``tracking=none``)."""

    run_id: None = None
    experiment_id: None = None
    uri: None = None

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


def download_runs(
    experiment: str, uri: str | None, folder: Path, files: Sequence[str], into: Path, optional: Sequence[str] = ()
) -> list[Path]:
    """Copies files of an experiment's finished runs, for reading; runs that lack one (parents of sweeps) are passed over.

    Args:
        experiment: Its name.
        uri: Tracking store, as ``RunTracker.start`` takes it.
        folder: The folder that holds all runs; used by the embedded store only.
        files: Names of artifacts.
        into: Where to copy, one folder for each run.
        optional: Names of artifacts that a run may lack.

    Returns:
        The folders, oldest run first.

    Raises:
        LoadError: There is no such store or experiment.
        DadspError: The store cannot be reached.
    """
    store = uri or os.environ.get("MLFLOW_TRACKING_URI") or _sqlite_uri(folder.resolve() / "mlflow.db")
    path = _sqlite_path(store)
    if path is not None and not path.exists():
        raise LoadError(f"There is no tracking store {path}, hence no experiment '{experiment}'. Name the runs' folder.")
    with _explained(store), _sole_opener(store):
        _probe(store)
        client = _open_client(store)
        found = client.get_experiment_by_name(experiment)
        if found is None:
            names = [known.name for known in client.search_experiments()]
            raise LoadError(f"The tracking store holds no experiment '{experiment}'. {nearest(experiment, names)}")
        copied: list[Path] = []
        token = None
        while True:
            finished = "attributes.status = 'FINISHED'"
            page = client.search_runs([found.experiment_id], finished, order_by=["start_time ASC"], page_token=token)
            for run in page:
                run_id = run.info.run_id
                kept = {artifact.path for artifact in client.list_artifacts(run_id)}
                if set(files) <= kept:
                    copied.append(into / run_id)
                    copied[-1].mkdir()
                    for name in [*files, *kept.intersection(optional)]:
                        client.download_artifacts(run_id, name, str(copied[-1]))
            token = page.token
            if not token:
                return copied


def environment_tags() -> dict[str, str]:
    """What the run was made with: versions and, in a git checkout, the commit.

    No host name, user name or path is among them.

    Returns:
        ``version.<package>`` for the packages that matter (only those installed), ``version.python``, ``code_hash``, and
        ``git.sha``, which ends in "-dirty" when code, settings or pins differ from the commit.
    """
    tags = {"code_hash": code_hash(), "version.python": ".".join(map(str, sys.version_info[:3]))}
    for package in PACKAGES:
        try:
            tags[f"version.{package}"] = version(package)
        except PackageNotFoundError:
            continue
    sha = git_sha(PACKAGE.parent)
    return tags if sha is None else {"git.sha": sha, **tags}


@cache
def code_hash(package: Path = PACKAGE) -> str:
    """Hash of a package's modules, by default dadsp's, as Python reads them: comments, docstrings, layout do not count."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                node.body = [part for part in node.body if not _is_docstring(part)]
        digest.update(f"{path.relative_to(package).as_posix()}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def git_sha(checkout: Path) -> str | None:
    """The commit of ``checkout``, with "-dirty" when what decides a result differs from it; None outside git."""
    # An installed package may lie in a virtual environment inside somebody else's checkout, whose commit says nothing.
    if not (checkout / ".git").exists():
        return None
    sha = _git(checkout, "rev-parse", "HEAD")
    changes = _git(checkout, "status", "--porcelain", "--", "dadsp", "conf", "pyproject.toml", "constraints.txt")
    if not sha or changes is None:
        return None
    return f"{sha}-dirty" if changes else sha


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _open_client(store: str) -> "MlflowClient":
    """A client bound to ``store``; mlflow's global tracking address stays as it is."""
    for name, value in MLFLOW_DEFAULTS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store)


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


def _signature() -> "ModelSignature":
    """What a logged model takes and gives: the columns of ``dadsp predict`` (docs/mlflow.md)."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import Map

    inputs: list[ColSpec | TensorSpec] = [
        ColSpec("string", "cell_id"),
        ColSpec("string", "drug_id"),
        ColSpec("string", "smiles", required=False),
        ColSpec(Map("double"), "expression", required=False),
    ]
    outputs = {"cell_id": "string", "drug_id": "string", "neg_log10_ic50_um": "float", "ic50_um": "double"}
    params = {"domain": "target", "on_unknown": "error"}
    return ModelSignature(
        Schema(inputs),
        Schema([ColSpec(kind, name) for name, kind in outputs.items()]),
        ParamSchema([ParamSpec(name, "string", default) for name, default in params.items()]),
    )


def _existing_run(client: "MlflowClient", run_id: str, store: str) -> "Run":
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise LoadError(
            f"The tracking store {_without_credentials(store)} holds no run {run_id}. "
            "Set tracking.uri to the store the run was begun in, or tracking=none."
        ) from error


@contextmanager
def _explained(store: str) -> Iterator[None]:
    """Turns whatever mlflow raises while a run is opened into one sentence with a remedy."""
    try:
        yield
    except DadspError:
        raise
    except Exception as error:  # mlflow lets the errors of a dozen database drivers through
        raise DadspError(
            f"The tracking store {_without_credentials(store)} refused the run: {_first_line(error)}. "
            "Check tracking.uri and MLFLOW_TRACKING_URI, or set tracking=none."
        ) from error


@contextmanager
def _sole_opener(store: str) -> Iterator[None]:
    """Lets one process at a time open an SQLite store: two that both create its tables would break each other."""
    path = _sqlite_path(store)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock", timeout=120):
        yield


def _probe(store: str) -> None:
    """Fails within seconds where mlflow itself would try for minutes."""
    path = _sqlite_path(store)
    if path is not None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA schema_version")
    if not store.startswith(("http://", "https://")):
        return
    try:
        with urlopen(f"{_without_credentials(store).rstrip('/')}/health", timeout=PROBE_TIMEOUT_S):
            return
    except HTTPError as error:
        if error.code < 500:  # something answers: a server that asks for a password is mlflow's business
            return
        reason: object = f"status {error.code}"
    except URLError as error:
        if isinstance(error.reason, ssl.SSLError):  # reached; whether to trust it is mlflow's setting
            return
        reason = error.reason
    except TimeoutError:
        reason = f"no answer in {PROBE_TIMEOUT_S:g} s"
    raise DadspError(
        f"No tracking server answers at {_without_credentials(store)} ({reason}). "
        "Start it, correct tracking.uri or MLFLOW_TRACKING_URI, or set tracking=none."
    )


def _sqlite_uri(path: Path) -> str:
    # Only what has a meaning in a URI is escaped, so that the address reads like the path.
    return "sqlite:///" + str(path).replace("%", "%25").replace("?", "%3F")


def _sqlite_path(store: str) -> Path | None:
    """The database file of an SQLite store, None for any other store or one in memory."""
    name = unquote(store.removeprefix("sqlite:///").split("?")[0])
    return Path(name) if store.startswith("sqlite:///") and name not in ("", ":memory:") else None


def _without_credentials(uri: str) -> str:
    return urlsplit(uri)._replace(netloc=urlsplit(uri).netloc.rpartition("@")[2]).geturl() if "@" in uri else uri


def _flattened(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in params.items():
        if isinstance(value, Mapping) and value:
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield _key(f"{prefix}{name}"), str(value)


def _key(name: str) -> str:
    """``name`` in the alphabet of MLflow: letters, digits, and ``_ - . : /`` and space."""
    return re.sub(r"[^\w\-.:/ ]", "_", name)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
