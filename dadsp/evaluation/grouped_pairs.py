"""Pairs of many groups at once: what the formulas of metrics are written in."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dadsp.schema import BoolArray, IntArray

Values = NDArray[np.float64]

# A collapsed network repeats one number up to float32 rounding; correlating that rounding would report noise as signal.
CONSTANT_TOLERANCE = 8 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True, eq=False)
class GroupedPairs:
    """Labels and predictions of pairs that fall into groups, e.g. one group per drug.

    Attributes:
        true: Measured potency, −log10 IC50(µM), shape (n_pairs,).
        pred: Predicted potency, the same unit and shape.
        capped: Where the label is an upper bound on potency, the same shape.
        group: Number of each pair's group, from 0 to n_groups − 1, the same shape.
        n_groups: How many groups; some may be empty.
        source: The source screen's own label of the pair, NaN where there is none; None where nobody asked.
        low: Lower end of the system's own 90 % interval, NaN where it states none; None likewise.
        high: Upper end.
    """

    true: Values
    pred: Values
    capped: BoolArray
    group: IntArray
    n_groups: int
    source: Values | None = None
    low: Values | None = None
    high: Values | None = None

    @classmethod
    def in_one_group(cls, true: Values, pred: Values, capped: BoolArray, **more: Values) -> "GroupedPairs":
        """All pairs together; ``more`` are source, low and high."""
        return cls(true, pred, capped, np.zeros(len(true), dtype=np.int64), 1, **more)

    @cached_property
    def n(self) -> IntArray:
        """Pairs of each group, shape (n_groups,)."""
        return np.bincount(self.group, minlength=self.n_groups)

    @cached_property
    def n_capped(self) -> IntArray:
        """Capped pairs of each group, the same shape."""
        return np.bincount(self.group[self.capped], minlength=self.n_groups)

    @cached_property
    def error(self) -> Values:
        """Predicted minus measured, shape (n_pairs,)."""
        return self.pred - self.true

    def total(self, values: Values) -> Values:
        """Sums of one value per pair within each group, shape (n_groups,)."""
        return np.bincount(self.group, weights=values, minlength=self.n_groups).astype(np.float64, copy=False)

    def mean(self, values: Values) -> Values:
        """Means of one value per pair within each group, shape (n_groups,); NaN for an empty group."""
        return self.total(values) / self.n

    def centred(self, values: Values) -> Values:
        """The values minus the mean of their group, shape (n_pairs,)."""
        return values - self.mean(values)[self.group]

    def correlation(self, a: Values, b: Values) -> Values:
        """Pearson r of two values per pair within each group, shape (n_groups,)."""
        a, b = self.centred(a), self.centred(b)
        scale: Values = np.sqrt(self.total(a * a)) * np.sqrt(self.total(b * b))
        return np.clip(self.total(a * b) / scale, -1, 1)

    def ranks(self, values: Values) -> Values:
        """Rank of each value within its group, from 1; equal values share their mean rank; shape (n_pairs,)."""
        return ranks(values, self.group)

    @cached_property
    def labels_constant(self) -> BoolArray:
        """Groups whose labels are one number up to float32 rounding, as those of fewer than two pairs; shape (n_groups,)."""
        return is_constant(self.true, self.group, self.n_groups)

    @cached_property
    def predictions_constant(self) -> BoolArray:
        """The same of predictions."""
        return is_constant(self.pred, self.group, self.n_groups)

    @cached_property
    def beyond_range(self) -> BoolArray:
        """Groups without pairs, or whose squared errors overflow: a quotient by infinity would read as 0."""
        with np.errstate(all="ignore"):
            return ~np.isfinite(np.sqrt(self.total(self.error * self.error) / self.n))


def ranks(values: Values, group: IntArray) -> Values:
    """Rank of each value within its group, from 1; equal values share their mean rank."""
    below, ties = ties_within(values, group)
    # A tie of n values above p others has the mean rank p + (n + 1)/2, a whole number of halves and so exact.
    return below + (ties + 1) / 2


def ties_within(values: Values, group: IntArray) -> tuple[IntArray, IntArray]:
    """How many values of its group are less than each value, and how many equal it, itself among them."""
    if not len(values):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    order = np.lexsort((values, group))
    ordered, of_group = values[order], group[order]
    first_of_group = np.diff(of_group, prepend=of_group[0] - 1) != 0
    number = np.arange(len(values))
    within = number - np.maximum.accumulate(np.where(first_of_group, number, 0))
    first_of_tie = first_of_group | (ordered != np.roll(ordered, 1))
    tie = np.cumsum(first_of_tie) - 1
    below, ties = np.empty_like(number), np.empty_like(number)
    below[order], ties[order] = within[first_of_tie][tie], np.bincount(tie)[tie]
    return below, ties


def is_constant(values: Values, group: IntArray, n_groups: int) -> BoolArray:
    """Whether each group's values are one number up to float32 rounding; an empty group's are."""
    low, high = np.full(n_groups, np.inf), np.full(n_groups, -np.inf)
    np.minimum.at(low, group, values)
    np.maximum.at(high, group, values)
    with np.errstate(over="ignore"):
        constant: BoolArray = high - low <= CONSTANT_TOLERANCE * np.maximum(np.abs(low), np.abs(high))
    return constant
