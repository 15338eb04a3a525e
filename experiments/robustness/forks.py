"""Commands of dadsp in processes of their own that need no start-up: each is forked from one that has imported everything.

A forked process runs ``dadsp`` as the command would, can be killed as any other, and takes a second where a
fresh interpreter takes ten, nine of them for imports, during which nothing is read or written.
"""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import NamedTuple

import dadsp
import dadsp.__main__ as command

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: threads do not survive a fork
os.environ["DADSP_REAL_DATA"] = ""  # the campaign is the same where the real screens lie

MODULES = (
    "torch",
    "pandas",
    "pyarrow.csv",
    "pyarrow.parquet",
    "h5py",
    "rdkit.Chem",
    "pytorch_lightning",
    "optuna",
    "matplotlib.pyplot",
    "sklearn.svm",
    "sklearn.manifold",
    "scipy.stats",
    "captum.attr",
    "mlflow",
    *(module.name for module in walk_packages(dadsp.__path__, "dadsp.") if "plugins" not in module.name),
)
MEMORY_BYTES = 16 * 2**30  # of address space; a file that makes dadsp ask for more must not take the machine along


class Ended(NamedTuple):
    """How a command ended.

    Attributes:
        code: Exit code; negative: the number of the signal that ended it.
        seconds: Wall time from the fork.
        cpu_seconds: Time of the processor, which does not count what others do on the machine.
        stopped: Whether it was still running at the limit, and was killed.
        out: What it printed.
        err: What it wrote to standard error.
    """

    code: int
    seconds: float
    cpu_seconds: float
    stopped: bool
    out: str
    err: str


def preload() -> None:
    """Imports what any verb may import."""
    from dadsp.tracking_store import MLFLOW_DEFAULTS

    for name, value in MLFLOW_DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name in MODULES:
        import_module(name)


def run(
    arguments: Sequence[str],
    folder: Path,
    limit_s: float,
    watch: Callable[[int, float], None] | None = None,
) -> Ended:
    """Runs ``dadsp`` with these arguments in ``folder``.

    Args:
        arguments: As on the command line.
        folder: Working directory.
        limit_s: Seconds after which it is killed.
        watch: Called every few milliseconds with the process's id and the seconds since its start; may send it a signal.
    """
    logs = [folder.parent / f"{folder.name}.{name}" for name in ("out", "err")]
    sys.stdout.flush()
    sys.stderr.flush()
    started = time.monotonic()
    process = os.fork()
    if process == 0:
        _become(arguments, folder, logs)
    stopped = False
    while True:
        known, status, used = os.wait4(process, os.WNOHANG)
        seconds = time.monotonic() - started
        if known:
            break
        if watch is not None:
            watch(process, seconds)
        if seconds > limit_s and not stopped:
            stopped = True
            os.killpg(process, signal.SIGKILL)
        time.sleep(0.003)
    texts = [path.read_text(encoding="utf-8", errors="replace") if path.exists() else "" for path in logs]
    for path in logs:
        path.unlink(missing_ok=True)
    return Ended(os.waitstatus_to_exitcode(status), seconds, used.ru_utime + used.ru_stime, stopped, *texts)


def _become(arguments: Sequence[str], folder: Path, logs: Sequence[Path]) -> None:
    """The forked process: never returns."""
    code = 70
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores the key
        for number, path in zip((1, 2), logs, strict=True):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        os.chdir(folder)
        code = command.main(list(arguments))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # as the interpreter would: a traceback and exit code 1
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
