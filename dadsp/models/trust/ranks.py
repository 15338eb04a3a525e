"""Where a line stands among lines for a drug, and a drug among drugs for a line."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dadsp.models.trust.own_lines import OwnLines
from dadsp.schema import Domain, FloatArray, IntArray, Pairs

FEWEST_LINES = 20  # of a request, for its own lines to say what is usual for a drug


def rank(potency: FloatArray, group: IntArray) -> IntArray:
    """1 for the most sensitive of each group, equal for equals; shape (n_pairs,)."""
    ranked = pd.Series(potency).groupby(group).rank(method="min", ascending=False)
    return ranked.to_numpy().astype(np.int64)


def percentile(potency: FloatArray, group: IntArray) -> FloatArray:
    """Share of the others of each group that are less sensitive, in %; equals count half; NaN alone; shape (n_pairs,)."""
    groups = pd.Series(potency).groupby(group)
    others = groups.transform("size").to_numpy() - 1
    below = groups.rank(method="average").to_numpy() - 1
    share: FloatArray = np.where(others > 0, 100 * below / np.maximum(others, 1), np.nan).astype(np.float32)
    return share


def percentile_in_drug(
    potency: FloatArray, pairs: Pairs, own_lines: OwnLines | None, name: Callable[[Domain], str]
) -> tuple[FloatArray, NDArray[np.object_]]:
    """Share of lines that are less sensitive to the pair's drug, in %, and whose lines those are; each of shape (n_pairs,).

    Args:
        potency: Of each pair.
        pairs: With ``FEWEST_LINES`` lines or more, a drug's lines are held against each other; with fewer, against the run's
            own lines of the platform, where the run knows the drug.
        own_lines: What is predicted of those; None: it is not known.
        name: Of the screen whose lines they are.
    """
    drugs, drug, n_lines = np.unique(pairs.drug_idx, return_inverse=True, return_counts=True)
    share, among = np.full(len(pairs), np.nan, dtype=np.float32), np.full(len(pairs), "", dtype=object)
    many = n_lines[drug] >= FEWEST_LINES
    if many.any():
        share[many], among[many] = percentile(potency[many], drug[many].astype(np.int64)), "this table"
    if own_lines is not None and not many.all():
        keys = pairs.screen.drug_keys
        order = np.argsort(drug, kind="stable")
        ends = np.cumsum(n_lines)
        for place in np.flatnonzero(n_lines < FEWEST_LINES):
            rows = order[ends[place] - n_lines[place] : ends[place]]
            share[rows] = own_lines.percentile(pairs.domain, keys[drugs[place]], potency[rows])
            among[rows] = np.where(np.isnan(share[rows]), "", name(pairs.domain))
    return share, among
