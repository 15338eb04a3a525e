"""Logistic curves through many sets of points at once.

A curve's best grid point of (EC50, slope) is found first: given these two, top and bottom follow from two linear equations.
From there Levenberg–Marquardt steps go downhill within the bounds, for all curves in one set of arrays.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dadsp.data.curves.options import FitOptions

Floats = NDArray[np.float64]
BOTTOM, TOP, LOG_EC50, SLOPE = range(4)

_BEYOND = 1.0  # decades that an EC50 may lie beyond the tested doses
_AT_ONCE = 2048  # curves in one set of arrays
_GRID = (31, 9)  # EC50s, slopes
_STEPS = 200
_ENOUGH = 1e-11  # of the mean square: a step that gains less is the last


@dataclass(frozen=True, eq=False)
class Curves:
    """Fitted curves: viability = bottom + (top − bottom) / (1 + 10^(slope · (log10 dose − log10 EC50))).

    Attributes:
        parameters: bottom, top, log10 EC50(µM) and slope, shape (n, 4).
    """

    parameters: Floats

    def at(self, log_dose: Floats) -> Floats:
        """Viability at doses in log10 µM, shape (n, k), of each curve."""
        bottom, top, _, _ = self.parameters.T[..., None]
        viability: Floats = bottom + (top - bottom) * _untouched(log_dose, self.parameters)
        return viability

    def log_ic50(self) -> Floats:
        """log10 µM at which each curve crosses one half; inf where it stays above, −inf where it begins at or below."""
        bottom, top, log_ec50, slope = self.parameters.T
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = log_ec50 + np.log10((top - 0.5) / (0.5 - bottom)) / slope
        return np.where(top <= 0.5, -np.inf, np.where(bottom >= 0.5, np.inf, crossing))

    def area(self, low: Floats, high: Floats) -> Floats:
        """Mean viability of each curve between two doses in log10 µM, in closed form."""
        bottom, top, log_ec50, slope = self.parameters.T
        ends = [np.logaddexp(0, np.log(10) * slope * (log_dose - log_ec50)) for log_dose in (low, high)]
        touched = (ends[1] - ends[0]) / (np.log(10) * slope * (high - low))
        mean: Floats = top - (top - bottom) * touched
        return mean


def fit_curves(start: NDArray[np.int64], log_dose: Floats, viability: Floats, weight: Floats, options: FitOptions) -> Curves:
    """The least-squares curve through the points of each set.

    Args:
        start: Where each set of points begins, shape (n,), ascending; the last ends with the arrays.
        log_dose: log10 µM, shape (points,).
        viability: Shape (points,).
        weight: What each point counts, e.g. its number of wells; positive, shape (points,).
        options: Bounds of top, bottom and slope; an EC50 may lie a decade beyond the points.
    """
    counts = np.diff(np.append(start, len(log_dose)))
    found = np.empty((len(start), 4))
    for chosen in _parts(counts):
        place = np.arange(counts[chosen].max())
        there = place < counts[chosen, None]
        rows = np.where(there, start[chosen, None] + place, start[chosen, None])
        share = np.where(there, weight[rows], 0.0)
        points = _Points(log_dose[rows], viability[rows], share / share.sum(axis=1, keepdims=True))
        low, high = _bounds(points, options)
        found[chosen] = _descended(points, _best_of_grid(points, low, high), low, high)
    return Curves(found)


@dataclass(frozen=True, eq=False)
class _Points:
    """Points of some curves, each array (curves, points); weights of a curve add up to 1."""

    log_dose: Floats
    viability: Floats
    weight: Floats

    def take(self, rows: NDArray[np.int64]) -> "_Points":
        return _Points(self.log_dose[rows], self.viability[rows], self.weight[rows])

    def misfit(self, parameters: Floats) -> Floats:
        """Mean squared distance of each curve."""
        squares = (self.viability - Curves(parameters).at(self.log_dose)) ** 2
        mean: Floats = (self.weight * squares).sum(axis=1)
        return mean


def _parts(counts: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Rows of curves with about as many points, so that arrays hold little air."""
    order = np.argsort(counts, kind="stable")
    for first in range(0, len(order), _AT_ONCE):
        yield order[first : first + _AT_ONCE]


def _untouched(log_dose: Floats, parameters: Floats) -> Floats:
    """How far each curve is from bottom (0) to top (1) at the doses."""
    _, _, log_ec50, slope = parameters.T[..., None]
    share: Floats = 1 / (1 + 10 ** np.clip(slope * (log_dose - log_ec50), -100, 100))
    return share


def _bounds(points: _Points, options: FitOptions) -> tuple[Floats, Floats]:
    n = len(points.log_dose)
    ends = points.log_dose.min(axis=1) - _BEYOND, points.log_dose.max(axis=1) + _BEYOND
    low, high = (
        np.column_stack(
            [np.tile((options.bottom[end], options.top[end]), (n, 1)), ends[end], np.full(n, options.slope[end])]
        )
        for end in (0, 1)
    )
    return low, high


def _best_of_grid(points: _Points, low: Floats, high: Floats) -> Floats:
    """Parameters of the best grid point of each curve."""
    best = np.full(len(low), np.inf)
    found = low.copy()
    for share in np.linspace(0, 1, _GRID[0]):
        for slope in np.geomspace(low[0, SLOPE], high[0, SLOPE], _GRID[1]):
            tried = low.copy()
            tried[:, LOG_EC50] += share * (high - low)[:, LOG_EC50]
            tried[:, SLOPE] = slope
            tried[:, BOTTOM], tried[:, TOP] = _plateaus(points, tried, low, high)
            misfit = points.misfit(tried)
            better = misfit < best
            best[better], found[better] = misfit[better], tried[better]
    return found


def _plateaus(points: _Points, parameters: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """The best bottom and top for the given EC50 and slope, within the bounds (alternating where one is at its bound)."""
    g = _untouched(points.log_dose, parameters)
    w, y = points.weight, points.viability
    aa, ab, bb = (w * (1 - g) ** 2).sum(1), (w * (1 - g) * g).sum(1), (w * g**2).sum(1)
    ya, yb = (w * (1 - g) * y).sum(1), (w * g * y).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        bottom = (ya * bb - yb * ab) / (aa * bb - ab**2)
        bottom = np.clip(np.nan_to_num(bottom, posinf=0, neginf=0), low[:, BOTTOM], high[:, BOTTOM])
        top = np.clip(np.nan_to_num((yb - ab * bottom) / bb, posinf=1, neginf=1), low[:, TOP], high[:, TOP])
        bottom = np.clip(np.nan_to_num((ya - ab * top) / aa, posinf=0, neginf=0), low[:, BOTTOM], high[:, BOTTOM])
    return bottom, top


def _descended(points: _Points, parameters: Floats, low: Floats, high: Floats) -> Floats:
    """Levenberg–Marquardt from the given parameters; a parameter at a bound stays there while the slope leads beyond it."""
    found = parameters.copy()
    misfit = points.misfit(found)
    damping = np.full(len(found), 1e-2)
    going = np.arange(len(found))
    for _ in range(_STEPS):
        if not len(going):
            break
        here = points.take(going)
        own = found[going], low[going], high[going]
        tried = np.clip(own[0] + _step(here, *own, damping[going]), *own[1:])
        after = here.misfit(tried)
        better = after < misfit[going]
        over = better & (misfit[going] - after <= _ENOUGH + 1e-9 * after)
        rows = going[better]
        found[rows], misfit[rows] = tried[better], after[better]
        damping[going] = np.where(better, damping[going] / 5, damping[going] * 4)
        going = going[~over & (damping[going] < 1e9)]
    return found


def _step(points: _Points, parameters: Floats, low: Floats, high: Floats, damping: Floats) -> Floats:
    bottom, top, log_ec50, slope = parameters.T[..., None]
    g = _untouched(points.log_dose, parameters)
    falls = -np.log(10) * g * (1 - g) * (top - bottom)  # derivative to slope · (log dose − log EC50)
    jacobian = np.stack([1 - g, g, -falls * slope, falls * (points.log_dose - log_ec50)], axis=2)
    weighted = points.weight[..., None] * jacobian
    residual = points.viability - (bottom + (top - bottom) * g)
    gradient = (weighted * residual[..., None]).sum(axis=1)
    normal = weighted.transpose(0, 2, 1) @ jacobian
    fixed = ((parameters <= low) & (gradient <= 0)) | ((parameters >= high) & (gradient >= 0))
    gradient[fixed] = 0
    normal[fixed] = 0
    normal.transpose(0, 2, 1)[fixed] = 0
    diagonal = np.arange(4)
    scale = np.maximum(normal[:, diagonal, diagonal], 1e-9)
    normal[:, diagonal, diagonal] += damping[:, None] * scale + fixed + 1e-12
    steps: Floats = np.linalg.solve(normal, gradient[..., None])[..., 0]
    return steps
