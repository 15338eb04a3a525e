"""Bad options: null, wrong types, impossible numbers, empty lists, misspelt names, text that looks like code."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from bad_cases import SINGLE, SMOKE, Case, nothing

COMMANDS = Path(__file__).with_name("bad_options.txt")
SMALL = {"train": SMOKE, "tune": (*SMOKE, "tune.trials=1"), "single-drug": SINGLE}
ON_A_RUN = ("predict", "impute", "embed", "explain", "compare", "report")


def option_cases() -> Iterator[Case]:
    """One command each; what it sets itself is not set beside it."""
    for line in COMMANDS.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        verb, *arguments = shlex.split(line)
        given = {part.partition("=")[0] for part in arguments}
        added = (*SMALL[verb], "runs=runs") if verb in SMALL else ()
        needs = ("run", "single", "pairs.csv", "drugs.csv") if verb in ON_A_RUN else ()
        yield Case(
            "option",
            line,
            nothing,
            (verb, *(part for part in added if part.partition("=")[0] not in given), *arguments),
            needs,
        )
