"""The ``dadsp`` command: finds the verb, turns errors into one line and an exit code."""

import atexit
import gc
import logging
import os
import sys

from dadsp import __version__, plugins
from dadsp.cli import help
from dadsp.cli.interrupts import one_interrupt
from dadsp.cli.script import one_line
from dadsp.cli.verbs import run as run_verb
from dadsp.errors import DadspError
from dadsp.files import is_full

GO_ON = {
    "train": ": the run folder keeps the last whole epoch; go on with resume=<folder>, or with the sweep's own command",
    "single-drug": ": the run folder keeps every finished repeat; go on with dadsp single-drug resume=<folder>",
    "tune": ": the trials that ended are kept; go on with the same command",
}

SOON_OVER = ("predict",)  # verbs whose process ends before garbage could matter


def main(argv: list[str] | None = None) -> int:
    """Runs one verb.

    Returns:
        0 on success, 2 when the input or configuration is at fault, 1 on a defect of dadsp, 130 when interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    as_json = "--json" in arguments
    arguments = [part for part in arguments if part not in ("--debug", "--json")]
    if arguments[:1] == ["help"] and arguments[1:]:
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(help.general(), end="")
        return 0
    if arguments[0] == "--version":
        print(f"dadsp {__version__}")
        return 0
    if argv is None and arguments[0] in SOON_OVER:
        _leave_garbage()
    logging.raiseExceptions = False  # a log that cannot be written is no reason for a traceback
    with one_interrupt():
        return _run(arguments, as_json, debug)


def _leave_garbage() -> None:
    """For a process that is soon over: it looks for no garbage among the 300,000 objects that torch is, nor when it ends."""
    gc.disable()
    atexit.register(gc.freeze)  # at its end Python would look through them even so


def _run(arguments: list[str], as_json: bool, debug: bool) -> int:
    try:
        if "--help" in arguments or "-h" in arguments:
            print(help.of_verb(arguments[0], plugins.taken(arguments[1:])), end="")
            return 0
        run_verb(arguments[0], arguments[1:], as_json)
    except DadspError as error:
        if debug:
            raise
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted" + GO_ON.get(arguments[0], ""), file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and is_full(error):
            again = GO_ON.get(arguments[0], ": run again")
            print(f"error: no room is left: {one_line(error)}. Free some, then go on{again}.", file=sys.stderr)
            return 2
        kind = type(error).__name__
        print(f"error: unexpected {kind}: {one_line(error)}. Run again with --debug and report it.", file=sys.stderr)
        return 1
    return 0
