"""What a killed command and the one that went on have left, held against the same command without a kill."""

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
from kill_scenarios import Scenario

# Neither decides a result nor can be the same twice: when, how long, under which id, in which folder.
PASSING = re.compile(r"time|date|seconds|duration|_s$|_ms_|run_id|^id$|uri|command|^run$|folder|out$|git\.sha|code_hash")
TEMPORARY = re.compile(r"^\.[^/]*-[\w-]{8}(\.\w+)*$")  # as dadsp.files names what is not yet whole


def wrong_with(scenario: Scenario, folder: Path, whole: Path) -> list[str]:
    """What differs in ``folder`` from ``whole``, where nothing was killed, or was left behind; empty: all is well."""
    return [*_results(scenario, folder, whole), *_left_behind(folder), *_tracking(scenario, folder)]


def _results(scenario: Scenario, folder: Path, whole: Path) -> Iterator[str]:
    for pattern in scenario.results:
        expected = sorted(whole.glob(pattern))
        found = [path for path in sorted(folder.glob(pattern)) if _finished(path)]
        if len(found) != len(expected) or not expected:
            yield f"{len(found)} files {pattern} for {len(expected)}"
            continue
        yield from (
            f"{pattern} differs" for ours, theirs in zip(found, expected, strict=True) if _content(ours) != _content(theirs)
        )


def _finished(path: Path) -> bool:
    """Not in the folder of a run that was begun again elsewhere because it had not got far enough to be resumed."""
    return not any(path.is_relative_to(parent) for parent in path.parents if parent.name == "superseded")


def _content(path: Path) -> Any:
    """What a file says, without what may differ."""
    if path.suffix == ".json":
        return _lasting(json.loads(path.read_text(encoding="utf-8")))
    if path.suffix in (".csv", ".parquet"):
        frame = pd.read_csv(path, dtype=str) if path.suffix == ".csv" else pd.read_parquet(path)
        frame = frame.drop(columns=[name for name in frame if PASSING.search(str(name))])
        return frame.to_csv(index=False, float_format="%.17g")
    if path.suffix == ".html":
        text = path.read_text(encoding="utf-8")
        return re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?", "", text.replace(str(path.parent), ""))
    return path.read_bytes()


def _lasting(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _lasting(value) for key, value in content.items() if not PASSING.search(key)}
    return [_lasting(value) for value in content] if isinstance(content, list) else content


def _left_behind(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if TEMPORARY.match(path.name):
            yield f"temporary file {path.relative_to(folder)}"
        if path.is_dir() and path.name == "checkpoints" and "mlartifacts" not in path.parts:
            yield "checkpoints stay"


def _tracking(scenario: Scenario, folder: Path) -> Iterator[str]:
    """All runs in the store are FINISHED, as many as there must be, each with its artifacts and one model."""
    if not scenario.runs:
        return
    expected = scenario.runs + scenario.earlier
    runs, models = _rows(folder / "runs" / "mlflow.db")
    states = [status for _, status, _ in runs]
    if states.count("FINISHED") != expected:
        yield f"{states.count('FINISHED')} runs FINISHED of {expected}"
    if other := sorted({status for status in states if status != "FINISHED"}):
        yield f"runs that are {', '.join(other)}"
    ready = [run for run, status in models if status == "READY"]
    if len(ready) != scenario.models + scenario.earlier:
        yield f"{len(ready)} models for {scenario.models + scenario.earlier}"
    if unready := len(models) - len(ready):
        yield f"{unready} models that are not whole"
    without = [
        run for run, status, place in runs if status == "FINISHED" and not _is_parent(folder, run) and not _artifacts(place)
    ]
    if without:
        yield f"{len(without)} runs without artifacts"


def _rows(store: Path) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
    """Id, status and artifact place of every run; run and status of every logged model."""
    status = {0: "PENDING", 1: "PENDING", 2: "READY", 3: "FAILED"}
    if not store.exists():
        return [], []
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        runs = database.execute(
            "SELECT run_uuid, status, artifact_uri FROM runs WHERE lifecycle_stage = 'active'"
        ).fetchall()
        models = database.execute(
            "SELECT source_run_id, status FROM logged_models WHERE lifecycle_stage = 'active'"
        ).fetchall()
    return runs, [(run, status.get(code, str(code))) for run, code in models]


def _is_parent(folder: Path, run: str) -> bool:
    """A sweep's or a drug's run, which has none of its own."""
    known = [path for pattern in ("runs/sweeps/*/sweep.json", "runs/*/drugs/*/run.json") for path in folder.glob(pattern)]
    return any(json.loads(path.read_text())["run_id"] == run for path in known)


def _artifacts(place: str) -> bool:
    folder = Path(place.removeprefix("file://"))
    return folder.is_dir() and any(folder.iterdir())


def found_state(folder: Path, before: Sequence[str]) -> str:
    """One word for how far the killed command had got."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")} - set(before)
    for ending, state in (
        ("metrics.json", "scored"),
        ("best.json", "chosen"),
        ("impute.json", "written"),
        ("explanation.json", "written"),
        ("report.html", "written"),
        ("weights.safetensors", "trained"),
        ("checkpoints", "training"),
        ("trials.journal", "searching"),
        ("result.json", "repeats"),
        ("run.json", "tracked"),
        ("config.yaml", "configured"),
        ("mlflow.db", "store begun"),
    ):
        if any(name.endswith(ending) for name in names):
            return state
    return "begun" if names else "nothing"
