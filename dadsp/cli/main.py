"""The ``dadsp`` command: finds the verb, turns errors into one line and an exit code."""

import os
import sys
from collections.abc import Callable
from importlib import import_module

from dadsp import __version__
from dadsp.errors import ConfigError, DadspError, nearest

VERBS = {
    "train": "train a system on the source, adapt it, predict the target, score it beside naive predictors",
    "predict": "potency of new lines and drugs by a trained model",
    "data": "describe, validate, prepare or simulate a study; fetch published files",
}

HELP = """dadsp: cell-line drug sensitivity, predicted across screens

Usage: dadsp VERB [key=value …] [--json] [--debug]

Verbs:
{verbs}

Examples:
  dadsp train                                         the embedded simulated study, DADSP-A
  dadsp train data=gdsc_ccle_panel seed=1             the real panel (data.root= or DADSP_REAL_DATA)
  dadsp train -m model=dadsp_a,source_only seed=0,1,2 a sweep
  dadsp train model=dadsp_a --cfg job                 print the configuration, train nothing
  dadsp train resume=runs/…                           go on with a killed run
  dadsp predict run=runs/… pairs=pairs.csv            predict new pairs
  dadsp data describe data=gdsc_ccle_panel --json     counts, ranges, overlaps, naive scores

Options:
  --json     results as JSON on standard output
  --debug    full traceback on errors
  --version  print the version
  dadsp VERB --help   keys and choices of a verb
"""


def main(argv: list[str] | None = None) -> int:
    """Runs one verb.

    Returns:
        0 on success, 2 when the input or configuration is at fault, 1 on a defect of dadsp, 130 when interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    as_json = "--json" in arguments
    arguments = [part for part in arguments if part not in ("--debug", "--json")]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP.format(verbs="\n".join(f"  {verb:<9}{what}" for verb, what in VERBS.items())), end="")
        return 0
    if arguments[0] == "--version":
        print(f"dadsp {__version__}")
        return 0
    try:
        _verb(arguments[0])(arguments[1:], as_json)
    except DadspError as error:
        if debug:
            raise
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        go_on = ": the run folder keeps the last whole epoch; go on with dadsp train resume=<folder>"
        print("interrupted" + (go_on if arguments[0] == "train" else ""), file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        kind = type(error).__name__
        print(f"error: unexpected {kind}: {_one_line(error)}. Run again with --debug and report it.", file=sys.stderr)
        return 1
    return 0


def _verb(name: str) -> Callable[[list[str], bool], None]:
    if name not in VERBS:
        raise ConfigError(f"'{name}' is not a verb of dadsp. {nearest(name, VERBS)}")
    run: Callable[[list[str], bool], None] = import_module(f"dadsp.cli.{name}").run
    return run


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
