"""Running one function in several fresh processes of this machine, which can average tensors among themselves.

The processes are started here, not by running the command again (Lightning's own way), so that whatever surrounds training,
such as the run folder and tracking, happens once, in the process that the user started.
"""

import logging
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from logging.handlers import QueueHandler
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing
from torch.multiprocessing.spawn import ProcessExitedException, start_processes

from dadsp.errors import DadspError

Work = Callable[..., None]


def run_in_processes(work: Work, n: int, arguments: tuple[Any, ...], backend: str, callback: Callable[..., None]) -> None:
    """Calls ``work(rank, report, *arguments)`` in ``n`` processes and returns when all have ended.

    What the first process logs, and what any process passes to ``report``, arrives here while they run. The CPU threads of
    this process are divided among them.

    Args:
        work: Can be imported by name. Its tensors arrive in shared memory; it must not change them in place.
        n: How many processes.
        arguments: Can be pickled.
        backend: Of torch.distributed: ``"gloo"`` on the CPU, ``"nccl"`` on GPUs.
        callback: Called here with what was reported. If it raises, the processes are killed.

    Raises:
        DadspError: A process raised it, or was killed.
    """
    spawn = multiprocessing.get_context("spawn")  # a forked process could use neither GPU nor autograd after its parent did
    messages = spawn.Queue()
    n_threads = max(1, torch.get_num_threads() // n)
    with tempfile.TemporaryDirectory() as folder:
        # Processes find each other through a file: a free port could be taken by a job beside this one.
        meeting = (Path(folder) / "meeting").as_uri()
        settings = (n, n_threads, backend, meeting, messages, work, arguments)
        started = start_processes(_process, settings, n, join=False, daemon=True, start_method="spawn")
        try:
            ended = False
            while not ended:
                try:
                    ended = started.join(timeout=0.1)
                except ProcessExitedException as error:
                    raise DadspError(
                        f"A training {error}, perhaps because memory ran out. Free some, or use fewer trainer.devices."
                    ) from error
                finally:  # what a process reported before it failed says more than its exit code
                    _receive(messages, callback)
        finally:
            for process in started.processes:
                process.kill()
                process.join()


def _receive(messages: Any, callback: Callable[..., None]) -> None:
    while not messages.empty():
        message = messages.get()
        if isinstance(message, DadspError):
            raise message
        if isinstance(message, logging.LogRecord):
            logger = logging.getLogger(message.name)
            if logger.isEnabledFor(message.levelno):
                logger.handle(message)
        else:
            callback(*message)


def _process(
    rank: int, n: int, n_threads: int, backend: str, meeting: str, messages: Any, work: Work, arguments: tuple[Any, ...]
) -> None:
    root = logging.getLogger()
    root.addHandler(QueueHandler(messages) if rank == 0 else logging.NullHandler())
    root.setLevel(logging.INFO)
    torch.set_num_threads(n_threads)
    # Lightning reads from here that it is one of several processes, and that their threads are chosen.
    os.environ |= {"LOCAL_RANK": str(rank), "OMP_NUM_THREADS": str(n_threads)}
    distributed.init_process_group(backend, init_method=meeting, rank=rank, world_size=n)
    try:
        with redirect_stdout(sys.stderr):  # standard output is for results
            work(rank, lambda *message: messages.put(message), *arguments)
    except DadspError as error:
        messages.put(error)
    distributed.destroy_process_group()
