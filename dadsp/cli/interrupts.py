"""The interrupt key: pressed once it ends a command in good order, and pressing it again at once breaks nothing."""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_S = 5.0  # files and the tracking run are closed meanwhile
SAID = "\ninterrupted already: closing files and the tracking run; press again in some seconds to end at once\n"


@contextmanager
def one_interrupt() -> Iterator[None]:
    """In its block the first interrupt raises KeyboardInterrupt; more within ``GRACE_S`` get an answer, a later one kills.

    Where the key is ignored, as in the background, or somebody handles it already, nothing changes.
    """
    usual = threading.current_thread() is threading.main_thread()
    if not usual or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    first: list[float] = []

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        if not first:
            first.append(time.monotonic())
            raise KeyboardInterrupt
        if time.monotonic() - first[0] < GRACE_S:
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, SAID.encode())  # no buffer that may be in use
            return
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)

    def afterwards(number: int, frame: FrameType | None) -> None:
        if time.monotonic() - first[0] < GRACE_S:  # the process is ending; or whoever asked for the verb goes on
            return
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, afterwards if first else signal.default_int_handler)
        if first:  # Python's own end would give the key back its power to kill
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
