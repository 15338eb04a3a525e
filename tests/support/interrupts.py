"""Pressing the interrupt key while a command runs."""

import os
import signal
import subprocess
from collections.abc import Sequence


def interrupted_at(start_of_line: str, command: Sequence[str]) -> tuple[int, str]:
    """Runs a command, interrupts it when such a line appears on standard error; its exit code and what it then said."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores the key
    try:
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith(start_of_line):
                    process.send_signal(signal.SIGINT)
                    break
            rest = process.stderr.read()
    finally:
        signal.signal(signal.SIGINT, before)
    return process.returncode, rest
