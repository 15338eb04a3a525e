"""SQLite stores that were killed over, and the script that makes one at once."""

import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from dadsp import tracking_store
from dadsp.errors import DadspError
from dadsp.tracking import RunTracker
from dadsp.tracking_store import TABLES, defect_of, migrate, migrations_hash, prepare, store_address


@pytest.fixture(autouse=True)
def _no_store_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def start(folder: Path) -> RunTracker:
    return RunTracker.start("screens", "first", None, folder, {})


def do(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as store, store:
        for statement in statements:
            store.execute(statement)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    prepare(path)
    return path


@pytest.fixture
def store(empty: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(empty, tmp_path / "mlflow.db"))


# What a kill leaves at each step of MLflow's own way to make a store.
HALF_MADE = {
    "no version": ["DROP TABLE alembic_version"],
    "an empty version": ["DELETE FROM alembic_version"],
    "a table being changed": ["CREATE TABLE _alembic_tmp_experiments (experiment_id INTEGER)"],
    "a revision in the middle": ["UPDATE alembic_version SET version_num = '451aebb31d03'", "DROP TABLE logged_models"],
    "a table less": ["DROP TABLE logged_models"],
}


@pytest.mark.parametrize("what", HALF_MADE)
def test_half_made_store_without_a_run_is_moved_aside_with_a_word(
    what: str, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    do(store, *HALF_MADE[what])
    with start(store.parent) as tracker:
        pass
    assert MlflowClient(tracking_uri=tracker.uri).get_run(tracker.run_id).info.status == "FINISHED"
    assert (store.parent / "mlflow.db.broken-1").exists()
    assert "moved to mlflow.db.broken-1" in caplog.text


@pytest.mark.parametrize("what", ["no version", "a table being changed"])
def test_half_made_store_with_a_run_is_left_alone_and_the_cure_named(what: str, store: Path) -> None:
    with start(store.parent):
        pass
    do(store, *HALF_MADE[what])
    before = store.read_bytes()
    with pytest.raises(DadspError, match=r"holds records \(.*runs: 1.*\).*mlflow db upgrade.*tracking=none"):
        start(store.parent)
    assert store.read_bytes() == before
    assert not list(store.parent.glob("*broken*"))


def test_runs_in_a_table_that_was_being_changed_count(store: Path) -> None:
    with start(store.parent):
        pass
    do(store, "ALTER TABLE runs RENAME TO _alembic_tmp_runs")
    with pytest.raises(DadspError, match=r"_alembic_tmp_runs: 1"):
        start(store.parent)


def test_second_broken_store_gets_a_name_of_its_own(store: Path) -> None:
    (store.parent / "mlflow.db.broken-1").touch()
    do(store, "DROP TABLE alembic_version")
    prepare(store)
    assert {path.name for path in store.parent.glob("*broken*")} == {"mlflow.db.broken-1", "mlflow.db.broken-2"}


def test_store_of_an_older_release_is_mlflows_business(store: Path) -> None:
    with start(store.parent):
        pass
    do(store, "UPDATE alembic_version SET version_num = '451aebb31d03'")
    assert defect_of(store) is None
    before = store.read_bytes()
    prepare(store)
    assert store.read_bytes() == before


def test_whole_stores_have_no_defect(store: Path) -> None:
    assert defect_of(store) is None
    with start(store.parent):
        pass
    assert defect_of(store) is None


def test_empty_file_and_leftovers_of_killed_makers_give_way_to_a_store(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.touch()
    for name in (".mlflow.db-17.new", ".mlflow.db-17.new-journal"):
        (tmp_path / name).write_bytes(b"half")
    prepare(path)
    assert defect_of(path) is None
    assert [entry.name for entry in tmp_path.iterdir()] == ["mlflow.db"]


def test_maker_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        path.write_bytes(b"half")
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(tracking_store, "migrations_hash", lambda: "of another release")
    monkeypatch.setattr(tracking_store, "migrate", full)
    with pytest.raises(DadspError, match="database or disk is full"):
        start(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["mlflow.db.lock"]


def test_script_is_of_the_installed_mlflow() -> None:
    """Otherwise new stores take seconds: write it anew (CONTRIBUTING.md)."""
    assert TABLES.read_text(encoding="utf-8").startswith(f"-- migrations {migrations_hash()}\n")


@pytest.mark.slow
def test_script_makes_what_the_migrations_make(empty: Path, tmp_path: Path) -> None:
    migrate(tmp_path / "migrated.db")
    assert content(empty) == content(tmp_path / "migrated.db")


def content(path: Path) -> tuple[list[tuple[str, ...]], dict[str, list[tuple[object, ...]]]]:
    """Every table and index as SQLite keeps it, and every row; alembic writes a table's constraints in any order."""
    with closing(sqlite3.connect(path)) as store:
        made = store.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        tables = [name for kind, name, *_ in made if kind == "table"]
        rows = {name: store.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables}
    return [(kind, name, table, *_clauses(sql or "")) for kind, name, table, sql in made], rows


def _clauses(sql: str) -> list[str]:
    text = " ".join(sql.split()).removesuffix(")").strip()
    return sorted(re.split(r",? (?=CONSTRAINT |CHECK |FOREIGN |PRIMARY |UNIQUE )", text))


def test_environment_lends_its_password_to_the_same_address_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "http://ada:secret@store.example:5000/mlflow"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", secret)
    assert store_address("http://store.example:5000/mlflow", tmp_path) == secret
    assert store_address("http://other.example:5000/mlflow", tmp_path) == "http://other.example:5000/mlflow"
    assert store_address(None, tmp_path) == secret


def test_hash_follows_the_migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow.store

    root = Path(mlflow.store.__path__[0])
    for part in ("tracking/dbmodels", "db_migrations"):
        shutil.copytree(root / part, tmp_path / part)
    monkeypatch.setattr(mlflow.store, "__path__", [str(tmp_path)])
    before = migrations_hash()
    assert TABLES.read_text(encoding="utf-8").startswith(f"-- migrations {before}\n")
    script = next((tmp_path / "db_migrations" / "versions").glob("*.py"))
    os.truncate(script, script.stat().st_size - 1)
    assert migrations_hash() != before
