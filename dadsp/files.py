"""Writing files so that a reader never meets half of one."""

import errno
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dadsp.errors import DadspError, LoadError, StorageError

TEMPORARY = ".part-"  # begins the name of a file that is not yet whole; the number of the process that writes it follows
FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)  # no room left on the disk, in a file, or for this user


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Calls ``write`` on a temporary name in the same folder, then renames it to ``path``.

    Args:
        path: Final name; its parent folder is created.
        write: Writes the whole content to the path it is given (same suffix as ``path``).

    Raises:
        StorageError: The folder cannot be created or written, or is full; ``path`` is then unchanged.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent)
        prefix = f"{TEMPORARY}{os.getpid()}-{path.stem}-"
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        umask = os.umask(0)
        os.umask(umask)
        write(temporary)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except Exception as error:  # writers in C and Rust wrap what the system said in classes of their own
        if (reason := refusal(error)) is None:
            raise
        raise StorageError(f"Cannot write {path}: {reason}. {_remedy(reason)}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def withdraw(path: Path) -> None:
    """Removes the file that says that those beside it are complete, before they are written anew.

    Raises:
        StorageError: It cannot be removed, or its folder is none.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error.strerror}. {_remedy('')}") from error


def remove_temporaries(folder: Path) -> None:
    """Removes what killed writers left below ``folder``, in which nobody else may be writing."""
    for path in folder.rglob(f"{TEMPORARY}*"):
        path.unlink(missing_ok=True)


def _remove_abandoned(folder: Path) -> None:
    """Removes what writers left in ``folder`` that are no longer running on this machine."""
    for entry in os.scandir(folder) if os.name == "posix" else ():
        writer = entry.name.removeprefix(TEMPORARY).partition("-")[0]
        if not (entry.name.startswith(TEMPORARY) and writer.isdecimal()):
            continue
        try:
            os.kill(int(writer), 0)  # asks whether it is there
        except ProcessLookupError:
            Path(entry.path).unlink(missing_ok=True)
        except (OSError, OverflowError):  # somebody else's
            continue


def refusal(error: BaseException) -> str | None:
    """What the system said when it did not take a file, if that is what ``error`` is about, else None."""
    if isinstance(error, DadspError):
        return None
    if isinstance(error, OSError):
        return error.strerror or str(error)
    said = str(error).lower()
    return next(
        (os.strerror(code) for code in FULL if os.strerror(code).lower() in said or f"os error {code})" in said), None
    )


def is_full(error: OSError) -> bool:
    """Whether there is no room for what was to be written."""
    return error.errno in FULL


def _remedy(reason: str) -> str:
    if reason in map(os.strerror, FULL):
        return "Free space there, or raise the limit, and run again."
    return "Choose a writable folder with free space."


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    write_atomically(path, lambda temporary: _put(temporary, text))


def write_json(path: Path, content: Any, *, indent: int | None = 2) -> None:
    """Writes JSON atomically; NaN is refused, so write None with a reason instead."""
    write_text(path, json.dumps(content, indent=indent, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        LoadError: The file is absent or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LoadError(
            f"Cannot read {path}: {error.strerror or error}. Check that the folder is a finished dadsp run."
        ) from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, and lists in lists without end, too
        raise LoadError(f"{path} is damaged: {error}. Restore it from a copy or train again.") from error


def _put(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
