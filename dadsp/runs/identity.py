"""What identifies a run: its settings, its data, the code that makes numbers. Who may work in its folder.

The folder of a sweep's job is named by its settings, so that the same job always finds it. ``identity.json`` in it adds what
else decides the result: data and code.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dadsp import plugins
from dadsp.errors import ConfigError, StorageError
from dadsp.files import read_json, refusal, remove_temporaries, write_json
from dadsp.provenance import code_hash
from dadsp.runs.folder import IDENTITY, RunFolder
from dadsp.schema import Study

LOCK, LOCKS = ".lock", ".locks"
SUPERSEDED = "superseded"  # folder beside the sweeps, of jobs made of other data or code

Tell = Callable[[str], None]


def identity(settings_hash: str, settings: Mapping[str, Any], study: Study) -> dict[str, str]:
    """All that decides a result: settings, data, code, that of plug-ins too where the settings name something of theirs.

    Runs of one identity differ in nothing that matters.
    """
    own = {"settings": settings_hash, "data_hash": study.content_hash, "code_hash": code_hash()}
    return own | plugins.identity(settings)


def claim(folder: RunFolder, made_of: Mapping[str, str], tell: Tell) -> bool:
    """Takes ``folder`` for what is made of these settings, data and code.

    What stands there and was made of others is moved aside, so that results of two makings never mix.

    Args:
        folder: Of a sweep's job, in which this process works alone.
        made_of: Its identity.
        tell: Is told in a line what was found there.

    Returns:
        Whether the folder holds the finished results already.
    """
    known = folder / IDENTITY
    if known.exists():
        earlier = read_json(known)
        differing = [key.removesuffix("_hash") for key in made_of if earlier.get(key) != made_of[key]]
        if differing:
            aside = _move_aside(folder.path)
            tell(f"{folder.path.name}: made of other {' and '.join(differing)}; moved to {aside}")
    if folder.finished:
        tell(f"{folder.path.name}: finished before with the same settings, data and code; skipped")
        return True
    write_json(known, dict(made_of))
    return False


def _move_aside(folder: Path) -> Path:
    """Moves the folder to ``SUPERSEDED``, beside the folder that holds it, and leaves an empty one in its place."""
    shelf = folder.parent.parent / SUPERSEDED / folder.parent.name
    shelf.mkdir(parents=True, exist_ok=True)
    aside = shelf / f"{folder.name}.{sum(1 for _ in shelf.glob(f'{folder.name}.*')) + 1}"
    folder.rename(aside)
    folder.mkdir()
    return aside


@contextmanager
def sole_process(folder: Path, *, job: bool = False, wait: Tell | None = None) -> Iterator[None]:
    """Lets one process at a time work in ``folder``, and clears away what a killed one was writing there.

    The system gives a lock back when its process is killed. That of a sweep's ``job`` lies beside the folder, which may be
    moved aside; any other inside it, until the run is finished.

    Args:
        folder: Created if need be.
        job: Whether it belongs to a sweep.
        wait: Where another process works there, is told so before this one waits for its end; None refuses to wait.

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
            if not beside and folder.is_dir() and RunFolder(folder).finished:
                place.unlink(missing_ok=True)  # whoever waits for it finds nothing left to do
        finally:
            lock.release()


def _acquire(lock: FileLock, folder: Path, wait: Tell | None) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if wait is None:
            raise ConfigError(
                f"Another process is working in {folder}. Let it come to its end, or stop it and ask again."
            ) from None
        wait(f"{folder.name}: another process is at it; waiting for its end")
        lock.acquire()
