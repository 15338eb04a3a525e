"""The groups a split keeps together, by identity across screens, and holding some of them out."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dadsp.errors import ConfigError
from dadsp.schema import IntArray, Screen

Grouping = Literal["pair", "line", "drug", "tissue"]
Names = NDArray[Any]
Choice = Callable[[Grouping, Names], Names]

PLURAL: dict[Grouping, str] = {"pair": "pairs", "line": "cell lines", "drug": "drugs", "tissue": "known tissues"}


def group_of_pairs(screen: Screen, by: Grouping) -> Names:
    """The group of each measured pair, shape (n_pairs,); None where the tissue is unknown.

    Lines and drugs go by ``Screen.line_keys`` and ``Screen.drug_keys``, so that one line or structure under two ids is one.
    """
    responses = screen.responses
    if by == "tissue":
        return np.array(tissue_of_lines(screen), dtype=object)[responses.cell_idx]
    lines = np.array(screen.line_keys, dtype=object)[responses.cell_idx]
    if by == "line":
        return lines
    drugs = np.array(screen.drug_keys, dtype=object)[responses.drug_idx]
    return drugs if by == "drug" else lines + " × " + drugs


def tissue_of_lines(screen: Screen) -> list[str | None]:
    """The tissue of each row of the screen's lines; None where no id of the line names one, or its ids disagree."""
    named: dict[str, set[str]] = {}
    for line, tissue in zip(screen.line_keys, screen.cells.tissues, strict=True):
        named.setdefault(line, set()).update(() if tissue is None else (tissue,))
    return [next(iter(named[line])) if len(named[line]) == 1 else None for line in screen.line_keys]


def hold_out(screen: Screen, rows: IntArray, groupings: Sequence[Grouping], choose: Choice) -> tuple[IntArray, IntArray]:
    """The rows left and the rows held out.

    A row is held out where all its groups are, and left where none is. Rows of which some groups are held out, such as a
    held-out line with a drug that is not, stand in neither. Rows without a group are left.

    Args:
        screen: Gives the pairs.
        rows: Rows of its responses to divide.
        groupings: By what to divide.
        choose: Gets a grouping and the names of its groups among ``rows``, sorted; returns those to hold out.
    """
    held = []
    for by in groupings:
        groups = group_of_pairs(screen, by)[rows]
        names = np.array(sorted(set(groups) - {None}), dtype=object)
        held.append(pd.Series(groups, dtype=object).isin(choose(by, names)).to_numpy())
    return rows[~np.any(held, axis=0)], rows[np.all(held, axis=0)]


def share(key: str, fraction: float, random: np.random.Generator) -> Choice:
    """Holds out a random share of the groups, at least one.

    Args:
        key: The option that gives the share, for errors.
        fraction: In (0, 1).
        random: Draws them.
    """

    def choose(by: Grouping, names: Names) -> Names:
        n = max(1, round(fraction * len(names)))
        if n >= len(names):
            raise ConfigError(
                f"split.{key}={fraction} holds out all of {len(names)} {PLURAL[by]}, and none is left to train on. "
                "Lower it, hold out less elsewhere, or add data."
            )
        return random.choice(names, n, replace=False)

    return choose


def fold_of(fold: int, folds: int, random: np.random.Generator) -> Choice:
    """Holds out one of ``folds`` random parts of the groups, which together hold each group once."""

    def choose(by: Grouping, names: Names) -> Names:
        if len(names) < folds:
            raise ConfigError(f"split.folds={folds}, but there are only {len(names)} {PLURAL[by]}. Lower split.folds.")
        return np.array_split(random.permutation(names), folds)[fold]

    return choose
