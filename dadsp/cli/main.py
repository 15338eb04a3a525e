"""The ``dadsp`` command: finds the verb, turns errors into one line and an exit code."""

import logging
import os
import sys
from collections.abc import Callable
from importlib import import_module

from dadsp import __version__
from dadsp.cli.interrupts import one_interrupt
from dadsp.credentials import without_credentials
from dadsp.errors import ConfigError, DadspError, nearest
from dadsp.files import is_full

VERBS = {
    "train": "train a system on the source, adapt it, predict the target, score it beside naive predictors",
    "tune": "search hyper-parameters that predict held-out source lines best",
    "predict": "potency of new lines and drugs by a trained model",
    "impute": "the pairs of a screen that nobody measured: potency, interval, distance to training, drugs ranked",
    "embed": "both screens' lines before and after training: a map, and how far the screens are apart",
    "explain": "critical genes, enriched gene sets and drug atoms behind a run's predictions",
    "compare": "finished runs in one table: intervals, paired differences, ranks, an HTML page",
    "report": "one page about a run or an experiment: data, split, results, figures, findings, provenance",
    "single-drug": "one network per drug, gene selection inside, beside the usual methods (paper 2)",
    "data": "describe, validate, prepare or simulate a study; how far its screens agree; fetch published files",
}

GO_ON = {
    "train": ": the run folder keeps the last whole epoch; go on with resume=<folder>, or with the sweep's own command",
    "single-drug": ": the run folder keeps every finished repeat; go on with dadsp single-drug resume=<folder>",
    "tune": ": the trials that ended are kept; go on with the same command",
}

HELP = """dadsp: cell-line drug sensitivity, predicted across screens

Usage: dadsp VERB [key=value …] [--json] [--debug]

Verbs:
{verbs}

Examples:
  dadsp train                                         the embedded simulated study, DADSP-A
  dadsp train data=gdsc_ccle_panel seed=1             the real panel (data.root= or DADSP_REAL_DATA)
  dadsp train -m model=dadsp_a,source_only seed=0,1,2 a sweep; run again, it skips what is finished
  dadsp train -m experiment=table1 seed=0,1,2,3,4     a table of the paper
  dadsp tune model=source_only tune.trials=40         a hyper-parameter search
  dadsp train model=dadsp_a --cfg job                 print the configuration, train nothing
  dadsp train resume=runs/…                           go on with a killed run
  dadsp single-drug drug=all                          the embedded simulated screen, one network per drug
  dadsp predict run=runs/… pairs=pairs.csv            predict new pairs
  dadsp impute run=runs/… domain=source               all unmeasured pairs, with intervals
  dadsp embed run=runs/…                              feature space before and after training
  dadsp explain run=runs/… drug=Paclitaxel            critical genes of its most sensitive lines
  dadsp compare runs=runs reference=DADSP-A           all finished runs side by side
  dadsp report run=runs/…                             one HTML page that can be mailed (--format md: Markdown)
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
        print(HELP.format(verbs="\n".join(f"  {verb:<13}{what}" for verb, what in VERBS.items())), end="")
        return 0
    if arguments[0] == "--version":
        print(f"dadsp {__version__}")
        return 0
    logging.raiseExceptions = False  # a log that cannot be written is no reason for a traceback
    with one_interrupt():
        return _run(arguments, as_json, debug)


def _run(arguments: list[str], as_json: bool, debug: bool) -> int:
    try:
        _verb(arguments[0])(arguments[1:], as_json)
    except DadspError as error:
        if debug:
            raise
        print(f"error: {_one_line(error)}", file=sys.stderr)
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
            print(f"error: no room is left: {_one_line(error)}. Free some, then go on{again}.", file=sys.stderr)
            return 2
        kind = type(error).__name__
        print(f"error: unexpected {kind}: {_one_line(error)}. Run again with --debug and report it.", file=sys.stderr)
        return 1
    return 0


def _verb(name: str) -> Callable[[list[str], bool], None]:
    if name not in VERBS:
        raise ConfigError(f"'{name}' is not a verb of dadsp. {nearest(name, VERBS)}")
    run: Callable[[list[str], bool], None] = import_module(f"dadsp.cli.{name.replace('-', '_')}").run
    return run


def _one_line(error: BaseException) -> str:
    line = without_credentials(" ".join(str(error).split()))
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line)
