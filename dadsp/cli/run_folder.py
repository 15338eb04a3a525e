"""The life of a run folder: who may work in it, what is left of killed processes, and when it is finished.

The folder is the truth. It is finished when its results are written, its tracking run is closed, and no training states are
left; a process killed before the last of these has the rest caught up from the folder, without training again.
"""

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dadsp.errors import ConfigError, StorageError
from dadsp.files import read_json, refusal, remove_temporaries, write_json

RUN, RESULTS, IDENTITY = "run.json", "metrics.json", "identity.json"
STATES = ("checkpoints", "states")  # folders of training states
LOCK, LOCKS = ".lock", ".locks"


def scored(folder: Path, results: str = RESULTS) -> bool:
    """Whether the results are there, which are written last of all that a reader needs."""
    return (folder / results).is_file()


def finished(folder: Path, results: str = RESULTS) -> bool:
    """Whether nothing is left to do: results written, tracking closed, training states removed.

    A run whose store was closed but refused entries is finished, so that a dead server does not open a sweep's jobs again
    for ever; ``unsent`` tells such runs. Runs of older versions, and those that are not tracked, are finished with their
    results.
    """
    states = any((folder / name).exists() for name in STATES)
    return scored(folder, results) and not states and run_facts(folder).get("tracked", True)


def unsent(folder: Path) -> bool:
    """Whether the store failed to take entries of the run."""
    return bool(run_facts(folder).get("unsent", False))


def run_facts(folder: Path) -> dict[str, Any]:
    """What ``run.json`` says: command, id and store of the tracking run; empty where there is none."""
    return dict(read_json(folder / RUN)) if (folder / RUN).exists() else {}


def note_run(folder: Path, facts: Mapping[str, Any]) -> None:
    """Writes ``run.json``."""
    write_json(folder / RUN, dict(facts))


def remove_states(folder: Path) -> None:
    """Removes training states, which a run with results needs no more."""
    for name in STATES:
        shutil.rmtree(folder / name, ignore_errors=True)


@contextmanager
def sole_process(folder: Path, *, job: bool = False, wait: bool = False) -> Iterator[None]:
    """Lets one process at a time work in ``folder``, and clears away what a killed one was writing there.

    The system gives a lock back when its process is killed. That of a sweep's ``job`` lies beside the folder, which may be
    moved aside; any other inside it, until the run is finished.

    Args:
        folder: Created if need be.
        job: Whether it belongs to a sweep.
        wait: Whether to wait for another process that works there.

    Raises:
        ConfigError: Another process is at it, and this one is not to wait.
        StorageError: The folder is not for writing.
    """
    beside = job or (folder / IDENTITY).exists()
    place = folder.parent / LOCKS / f"{folder.name}.lock" if beside else folder / LOCK
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place)
        _acquire(lock, folder, wait)
    except OSError as error:
        raise StorageError(f"Cannot work in {folder}: {refusal(error)}. Choose a folder for writing, with space.") from error
    try:
        folder.mkdir(exist_ok=True)
        remove_temporaries(folder)
        yield
    finally:
        try:
            if not beside and folder.is_dir() and finished(folder):
                place.unlink(missing_ok=True)  # whoever waits for it finds nothing left to do
        finally:
            lock.release()


def _acquire(lock: FileLock, folder: Path, wait: bool) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            raise ConfigError(
                f"Another process is working in {folder}. Let it come to its end, or stop it and ask again."
            ) from None
        print(f"{folder.name}: another process is at it; waiting for its end", file=sys.stderr, flush=True)
        lock.acquire()
