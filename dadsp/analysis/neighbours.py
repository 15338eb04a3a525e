"""What a line's nearest neighbours say of a feature space: do the screens mix, do tissues and lines stay together?"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dadsp.schema import BoolArray, IntArray

Values = NDArray[np.float64]


def nearest(distances: Values, k: int) -> IntArray:
    """Columns of the k least distances of each row, nearest first, ties by column; shape (n, k)."""
    return np.argsort(distances, axis=1, kind="stable")[:, :k]


def domain_mixing(distances: Values, is_target: BoolArray, k: int) -> float:
    """Share of a line's k nearest neighbours that the other screen measured, over the share that chance gives.

    Args:
        distances: Of all lines of both screens, shape (n, n).
        is_target: Which of them are the target's, shape (n,).
        k: Neighbours; all other lines where there are fewer.

    Returns:
        Mean over lines: 0 where the screens are apart, 1 where they mix as if drawn from one pot; above 1 where lines seek
        the other screen, as shared lines do that find their partners.
    """
    n = len(distances)
    apart = distances.copy()
    np.fill_diagonal(apart, np.inf)  # no line is its own neighbour
    among = nearest(apart, min(k, n - 1))
    other = (is_target[among] != is_target[:, None]).mean(axis=1)
    expected = np.where(is_target, (~is_target).sum(), is_target.sum()) / (n - 1)
    return float(np.mean(other / expected))


class Agreement(NamedTuple):
    """Share of neighbours of a line's own tissue, averaged over lines.

    Attributes:
        share: Among the k nearest.
        by_chance: Among all that could be neighbours.
        n_lines: Lines it is over.
    """

    share: float
    by_chance: float
    n_lines: int


def tissue_agreement(distances: Values, tissues: Sequence[str | None], others: Sequence[str | None], k: int) -> Agreement:
    """How often the k nearest neighbours of a line are of its tissue, among lines of known tissue.

    Args:
        distances: From lines to possible neighbours, shape (n, m); infinite where a line may not be the neighbour.
        tissues: Of the lines, shape (n,).
        others: Of the possible neighbours, shape (m,). Lines whose tissue none of them has are left out.
        k: Neighbours; all where there are fewer.

    Returns:
        NaN over 0 lines where no line can be judged.
    """
    own, other = np.array(tissues, dtype=object), np.array(others, dtype=object)
    columns = np.flatnonzero([name is not None for name in others])
    allowed = np.isfinite(distances[:, columns])
    same = (own[:, None] == other[columns]) & allowed
    rows = np.flatnonzero(same.any(axis=1))
    if not len(rows):
        return Agreement(float("nan"), float("nan"), 0)
    same, allowed = same[rows], allowed[rows]
    among = nearest(distances[np.ix_(rows, columns)], min(k, int(allowed.sum(axis=1).min())))
    share = np.take_along_axis(same, among, axis=1).mean(axis=1)
    return Agreement(float(share.mean()), float(np.mean(same.sum(axis=1) / allowed.sum(axis=1))), len(rows))


def partner_ranks(distances: Values, partner: IntArray) -> IntArray:
    """Place of each line's partner among all lines of the other screen, 1 where none is nearer; shape (n,).

    Args:
        distances: From lines to those of the other screen, shape (n, m).
        partner: Column of each line's partner, shape (n,).
    """
    own = np.take_along_axis(distances, partner[:, None], axis=1)
    ranks: IntArray = 1 + (distances < own).sum(axis=1)
    return ranks


def harmonised(tissue: str | None) -> str | None:
    """A tissue code without case and punctuation, so that screens that spell it differently agree."""
    plain = "".join(letter for letter in (tissue or "").casefold() if letter.isalnum())
    return plain or None
