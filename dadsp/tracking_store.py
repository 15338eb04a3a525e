"""Opening MLflow's store, and making an SQLite one that is whole or absent.

MLflow makes a store by all migrations it ever had, which takes seconds; a process killed among them leaves a file that
MLflow can neither use nor mend. Here a new store is made aside and renamed, from a script of its tables where that is known
to be what the migrations of the installed MLflow would make.
"""

import hashlib
import logging
import os
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import unquote
from urllib.request import urlopen

from filelock import FileLock

from dadsp.credentials import without_credentials
from dadsp.errors import DadspError
from dadsp.files import write_text

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

PROBE_TIMEOUT_S = 5.0
TABLES = Path(__file__).with_suffix(".sql")  # makes an empty store; its first line says of which migrations
HALF_MADE = "_alembic_tmp_"  # begins the names of tables that a migration is at
NOT_RECORDED = ("alembic_version", "workspaces", "experiments")  # an empty store has rows in these

# Set before mlflow is imported, and only where the user has not chosen otherwise.
MLFLOW_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # a run reports to nobody but its own store
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # every failure reaches us as an exception; the rest is table-creation noise
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # mlflow's 7 growing pauses would hold an epoch for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it would print the address as it is, password and all
    "MLFLOW_UV_AUTO_DETECT": "false",  # a logged model would take along the lock file of whatever folder one stands in
}


def store_address(uri: str | None, folder: Path) -> str:
    """Where runs are tracked: ``uri``, else ``MLFLOW_TRACKING_URI``, else an SQLite file in ``folder``.

    A run folder keeps its address without credentials; ``MLFLOW_TRACKING_URI`` lends them where it names the same place.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if uri and given and without_credentials(given) == uri:
        return given
    return uri or given or _sqlite_uri(folder.resolve() / "mlflow.db")


@contextmanager
def opened(store: str) -> Iterator["MlflowClient"]:
    """A client of ``store``, while nobody else opens it; mlflow's global tracking address stays as it is.

    Raises:
        DadspError: The store cannot be reached or is broken; so is whatever mlflow raises in the block.
    """
    try:
        with _sole_opener(store):
            _probe(store)
            for name, value in MLFLOW_DEFAULTS.items():
                os.environ.setdefault(name, value)
            from mlflow import MlflowClient

            if (path := sqlite_path(store)) is not None:
                prepare(path)
            yield MlflowClient(tracking_uri=store)
    except DadspError:
        raise
    except Exception as error:  # mlflow lets the errors of a dozen database drivers through
        raise DadspError(
            f"The tracking store {without_credentials(store)} refused the run: {first_line(error)}. "
            "Check tracking.uri and MLFLOW_TRACKING_URI, or set tracking=none."
        ) from error


def sqlite_path(store: str) -> Path | None:
    """The database file of an SQLite store, None for any other store or one in memory."""
    name = unquote(store.removeprefix("sqlite:///").split("?")[0])
    return Path(name) if store.startswith("sqlite:///") and name not in ("", ":memory:") else None


def first_line(error: BaseException) -> str:
    """What ``error`` says first, without credentials."""
    return without_credentials((str(error).strip() or type(error).__name__).splitlines()[0].rstrip("."))


def prepare(path: Path) -> None:
    """Leaves an SQLite store at ``path`` that mlflow can open; the caller alone may be at it.

    A store that somebody was killed over is moved aside if it records nothing.

    Raises:
        DadspError: Such a store holds records, so that only its owner can decide.
    """
    for leftover in path.parent.glob(f".{path.name}-*.new*"):
        leftover.unlink(missing_ok=True)
    if path.exists() and path.stat().st_size and (defect := defect_of(path)):
        if records := _records(path):
            raise DadspError(
                f"The tracking store {path} is broken ({defect}) but holds records ({records}), so nothing was changed. "
                "Put back a backup of it, or mend a copy: drop its _alembic_tmp_ tables, then mlflow db upgrade "
                f"{_sqlite_uri(path)}. Until then set tracking.uri to another store, or tracking=none."
            )
        aside = _move_aside(path)
        logger.warning(
            "The tracking store %s was left half-made (%s) and holds no run; moved to %s.", path, defect, aside.name
        )
    if not path.exists() or not path.stat().st_size:
        _make(path)


def defect_of(path: Path) -> str | None:
    """What shows that a process was killed while it made or changed the tables of a store; None for any other store.

    A store made whole by an older release is not concerned: mlflow says of it what to do.
    """
    with closing(sqlite3.connect(path)) as store:
        tables = {name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if half_made := sorted(name for name in tables if name.startswith(HALF_MADE)):
            return f"table {half_made[0]} is half-made"
        if "alembic_version" not in tables:
            return "it has no version"
        revisions = [name for (name,) in store.execute("SELECT version_num FROM alembic_version")]
        if len(revisions) != 1:
            return "it has no version"
        lacking = sorted(_tables_of_mlflow() - tables)
        begun = "experiments" in tables and store.execute("SELECT count(*) FROM experiments").fetchone()[0] > 0
    if begun and not lacking:
        return None
    from mlflow.store.db.utils import _get_latest_schema_revision

    current = revisions[0] == _get_latest_schema_revision()
    if current and lacking:
        return f"it lacks table {lacking[0]}"
    # mlflow makes the first experiment once all migrations are done.
    return None if current or begun else f"its migrations ended at {revisions[0]}"


def write_tables() -> None:
    """Writes ``TABLES`` anew, from the migrations of the installed mlflow."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        migrate(Path(folder) / "mlflow.db")
        with closing(sqlite3.connect(Path(folder) / "mlflow.db")) as store:
            script = "\n".join(line.rstrip() for line in "\n".join(store.iterdump()).splitlines())
    write_text(TABLES, f"-- migrations {migrations_hash()}\n{script}\n")


def migrate(path: Path) -> None:
    """Makes an empty store as mlflow itself does."""
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

    engine = create_sqlalchemy_engine(_sqlite_uri(path))
    try:
        _initialize_tables(engine)
    finally:
        engine.dispose()


def migrations_hash() -> str:
    """Hash of all that decides which tables the installed mlflow makes: its migrations and what they begin with."""
    import mlflow.store

    root = Path(mlflow.store.__path__[0])
    scripts = sorted((root / "db_migrations" / "versions").glob("*.py"))
    digest = hashlib.blake2b(digest_size=16)
    for path in (root / "tracking" / "dbmodels" / "initial_models.py", root / "db_migrations" / "env.py", *scripts):
        digest.update(f"{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _make(path: Path) -> None:
    new = path.with_name(f".{path.name}-{os.getpid()}.new")
    try:
        known, _, script = TABLES.read_text(encoding="utf-8").partition("\n")
        if known == f"-- migrations {migrations_hash()}":
            with closing(sqlite3.connect(new)) as store:
                store.executescript(script)
        else:
            logger.info("The tables of this release of mlflow are made by its migrations, which takes some seconds.")
            migrate(new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _move_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.broken-{number}")).exists():
        number += 1
    path.rename(aside)
    return aside


def _records(path: Path) -> str:
    """Which tables of a broken store hold what somebody recorded, and how much; empty where none does."""
    with closing(sqlite3.connect(path)) as store:
        tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        rows = {name: store.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}
    allowed = {name.removeprefix(HALF_MADE): int(name.removeprefix(HALF_MADE) in NOT_RECORDED) for name in tables}
    found = [f"{name}: {n}" for name, n in rows.items() if n > allowed[name.removeprefix(HALF_MADE)]]
    return ", ".join(found)


def _tables_of_mlflow() -> set[str]:
    import mlflow.store.db.utils  # noqa: F401  imports all tables
    from mlflow.store.db.base_sql_model import Base

    return set(Base.metadata.tables)


@contextmanager
def _sole_opener(store: str) -> Iterator[None]:
    """Lets one process at a time open an SQLite store: two that both create its tables would break each other."""
    path = sqlite_path(store)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock", timeout=120):
        yield


def _probe(store: str) -> None:
    """Fails within seconds where mlflow itself would try for minutes."""
    path = sqlite_path(store)
    if path is not None and path.exists():
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA schema_version")
    if not store.startswith(("http://", "https://")):
        return
    address = without_credentials(store)
    try:
        with urlopen(f"{address.partition('?')[0].rstrip('/')}/health", timeout=PROBE_TIMEOUT_S):
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
        f"No tracking server answers at {address} ({reason}). "
        "Start it, correct tracking.uri or MLFLOW_TRACKING_URI, or set tracking=none."
    )


def _sqlite_uri(path: Path) -> str:
    # Only what has a meaning in a URI is escaped, so that the address reads like the path.
    return "sqlite:///" + str(path).replace("%", "%25").replace("?", "%3F")
