"""``dadsp`` in processes of its own, to be killed or interrupted.

They are forked from one that has imported everything, as imports take ten seconds and a tiny run takes two. What starts with
``python -m dadsp`` is seen in tests/integration/test_start.py.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parents[2]
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["tests.support.preloaded"])
PROCESS = multiprocessing.context.ForkServerProcess


def forked(target: Callable[..., None], *given: Any) -> PROCESS:
    """A function at work in a process of its own."""
    process = FORKED.Process(target=target, args=given)
    with chdir(ROOT):  # the first start imports from there
        process.start()
    return process


@contextmanager
def running(*arguments: str, prepare: Callable[[], None] | None = None) -> Iterator[tuple[PROCESS, TextIO]]:
    """A command at work, and its standard error as it comes; its figures are not drawn. It is awaited at the end.

    Args:
        arguments: After ``dadsp``.
        prepare: Called in the process before.
    """
    reader, writer = FORKED.Pipe(duplex=False)
    process = forked(_dadsp, writer, arguments, dict(os.environ), os.getcwd(), prepare)
    writer.close()
    try:
        with reader, open(reader.fileno(), closefd=False, encoding="utf-8") as said:
            yield process, said
            said.read()  # a full pipe would hold the process up
        process.join()
    finally:
        process.kill()
        process.join()


def killed_in_an_epoch(stage: str, epoch: int, *arguments: str) -> None:
    """Runs a command that is killed after the first step of an epoch (from 1) of a stage of training."""
    with running(*arguments, prepare=partial(_die_in_an_epoch, stage, epoch)) as (process, said):
        last = said.read()
    assert process.exitcode == -signal.SIGKILL, last


def interrupted_at(start_of_line: str, *arguments: str, times: int = 1) -> tuple[int | None, str]:
    """Runs a command, interrupts it when such a line appears on standard error; its exit code and what it then said."""
    with running(*arguments) as (process, said):
        for line in said:
            if line.startswith(start_of_line):
                break
        for _ in range(times):
            with suppress(ProcessLookupError):  # it may have closed everything before the next one
                os.kill(process.pid or 0, signal.SIGINT)
            signal.sigtimedwait([], 0.003)
        rest = said.read()
    return process.exitcode, rest


def _dadsp(
    stderr: Connection,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    folder: str,
    prepare: Callable[[], None] | None,
) -> None:
    from dadsp.cli.main import main
    from tests.support.drawing import undrawn

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores the key
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    os.dup2(stderr.fileno(), sys.stderr.fileno())
    stderr.close()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    if prepare is not None:
        prepare()
    with undrawn():
        sys.exit(main(list(arguments)))


def _die_in_an_epoch(stage: str, epoch: int) -> None:
    from dadsp.models.training.stage import Stage

    def die(self: Stage, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.name == stage and self.current_epoch == epoch - 1:
            os.kill(os.getpid(), signal.SIGKILL)

    Stage.on_train_batch_end = die  # type: ignore[method-assign, assignment]
