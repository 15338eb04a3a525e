"""Split-conformal intervals ŷ ± half width, calibrated on cell lines that trained nothing.

Pairs of one line are not exchangeable with pairs of another, so lines are the units here. With K calibration lines, each has
weight 1/(K + 1), shared evenly by its pairs, and the last 1/(K + 1) stands at an infinite error; the half width is the 1 − α
quantile of this distribution of |y − ŷ|. If a new line is exchangeable with the calibration lines, and one of its pairs is
drawn at random, the interval holds its label with probability ≥ 1 − α. That is an average over lines and drugs, no promise
for a single drug or line, and none for lines of another screen.

Reference: Dunn, Wasserman & Ramdas, JASA 2023; Lee, Barber & Willett, arXiv 2306.06342 (hierarchical conformal prediction).
"""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dadsp.errors import ConfigError
from dadsp.models.trust.group_quantile import TOLERANCE, group_mean, group_quantiles
from dadsp.schema import BoolArray, IntArray
from dadsp.seeding import derive_seed

Values = NDArray[np.float64]

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # nominal coverages of the curve
HALVINGS = 200


def fewest_lines(alpha: float) -> int:
    """How many calibration lines a finite interval needs: K with K/(K + 1) ≥ 1 − α."""
    return max(1, math.ceil(1 / alpha - 1 - TOLERANCE))


def half_width(error: Values, line: IntArray, alpha: float) -> float:
    """Half the width of the interval that misses with probability at most ``alpha``, in the unit of ``error``.

    Args:
        error: |y − ŷ| of each calibration pair, shape (n,).
        line: Which line each pair is of, shape (n,).
        alpha: In (0, 1).

    Raises:
        ConfigError: There are too few lines for a finite interval.
    """
    n_lines, fewest = len(np.unique(line)), fewest_lines(alpha)
    if n_lines < fewest:
        raise ConfigError(
            f"alpha={alpha:g} needs {fewest} held-out lines to calibrate intervals, and there are {n_lines}. "
            f"Set alpha to {math.ceil(1000 / (n_lines + 1)) / 1000:g} or more, or train with a larger "
            "split.val_fraction."
        )
    return float(group_quantiles(error, line, [1 - alpha])[0])


def halved_coverage(error: Values, line: IntArray, alpha: float, seed: int) -> Values:
    """Coverage of held-out lines by intervals calibrated on other held-out lines, shape (HALVINGS,).

    The lines are halved at random, one half calibrates and the other is covered; NaN where half of them are too few to
    calibrate. Halves of one set of lines are exchangeable by construction, so the mean shows that the intervals are computed
    rightly and the spread how much lines differ. It cannot show a shift.
    """
    lines = np.unique(line)
    n_calibrating = len(lines) // 2
    if n_calibrating < fewest_lines(alpha):
        return np.full(HALVINGS, np.nan)
    random = np.random.default_rng(derive_seed(seed, "halves"))
    covered = []
    for _ in range(HALVINGS):
        calibrates: BoolArray = np.isin(line, random.permutation(lines)[:n_calibrating])
        width = half_width(error[calibrates], line[calibrates], alpha)
        covered.append(group_mean(error[~calibrates] <= width, line[~calibrates]))
    return np.array(covered)


def resampled_coverage(covered: BoolArray, line: IntArray, seed: int) -> Values:
    """Coverage of lines drawn with replacement, shape (HALVINGS,): how much it depends on which lines were held out."""
    if not len(line):
        return np.full(HALVINGS, np.nan)
    _, which, n_pairs = np.unique(line, return_inverse=True, return_counts=True)
    of_line = np.bincount(which, weights=covered) / n_pairs
    random = np.random.default_rng(derive_seed(seed, "lines"))
    return np.asarray(random.choice(of_line, (HALVINGS, len(of_line))).mean(axis=1), dtype=np.float64)


def coverage_curve(
    held_out: tuple[Values, IntArray],
    tested: tuple[Values, IntArray],
    alpha: float,
    seed: int,
    widths: Callable[[float], tuple[Values, Values]] | None = None,
) -> pd.DataFrame:
    """Nominal against true coverage, averaged over lines, at ``LEVELS`` and at 1 − ``alpha``.

    Args:
        held_out: |y − ŷ| and line of each pair of the held-out source lines, which calibrate.
        tested: The same of the target's measured pairs.
        alpha: In (0, 1).
        seed: Of the halvings.
        widths: Half widths of the held-out and of the tested pairs' intervals at a level, from a calibration on folds; None
            calibrates on the held-out lines.

    Returns:
        Columns nominal; half_width (median of the tested pairs'); source, the mean of ``halved_coverage``, with its 5th and
        95th percentile as source_low and source_high (under ``widths``: of ``resampled_coverage``); target. Levels for which
        there are too few held-out lines are left out, and so are pairs without an interval.
    """
    records = []
    for nominal in sorted({*LEVELS, 1 - alpha}):
        if widths is not None or len(np.unique(held_out[1])) >= fewest_lines(1 - nominal):
            if widths is None:
                width = half_width(*held_out, 1 - nominal)
                halved, of_tested = halved_coverage(*held_out, 1 - nominal, seed), np.full(len(tested[0]), width)
            else:
                own, of_tested = widths(nominal)
                claimed = np.isfinite(own)
                halved = resampled_coverage((held_out[0] <= own)[claimed], held_out[1][claimed], seed)
                width = float(np.nanmedian(of_tested)) if np.isfinite(of_tested).any() else np.nan
            told = np.isfinite(of_tested)
            source = dict(zip(("source_low", "source_high"), np.percentile(halved, (5, 95)), strict=True))
            target = group_mean((tested[0] <= of_tested)[told], tested[1][told])
            record = {"nominal": nominal, "half_width": width, "source": halved.mean(), **source, "target": target}
            records.append(record)
    return pd.DataFrame(records)
