"""What makes a fitted curve doubtful: numbers of each curve, and the flags that follow from them."""

import numpy as np
import pandas as pd

from dadsp.data.curves.options import FitOptions, Flag

MOST_RMSE = 0.2  # of the doses' mean viabilities around the curve
LEAST_R2 = 0.5  # of a curve that falls
LEAST_FALL = 0.2  # of the curve over its tested doses; one that falls less is flat
MOST_RISE = 0.3  # of a dose's mean viability above that of a lower dose
MOST_SPREAD = 0.2  # standard deviation of wells of one dose, or of controls
MOST_OFF = 0.3  # of the lowest dose from top, of any dose below bottom, of the controls' mean from 1

FLAGS: dict[Flag, str] = {
    "few_doses": "fewer different doses than min_doses: not fitted",
    "flat": f"the curve falls by less than {LEAST_FALL} over its tested doses: no EC50",
    "not_monotone": f"a dose's mean viability exceeds that of a lower dose by more than {MOST_RISE}",
    "poor_fit": f"RMSE of the doses' means above {MOST_RMSE}, or R² below {LEAST_R2} where the curve is not flat",
    "noisy": f"wells of one dose differ: pooled standard deviation above {MOST_SPREAD}",
    "bad_controls": f"wells at dose 0: standard deviation above {MOST_SPREAD}, or their mean more than {MOST_OFF} from 1",
    "top_off": f"the lowest dose's mean viability lies more than {MOST_OFF} outside the bounds of top",
    "bottom_off": f"a dose's mean viability lies more than {MOST_OFF} below the bounds of bottom",
    "ic50_above": "the curve crosses one half above the highest dose, or never: IC50 censored there",
    "ic50_below": "the curve lies below one half at the lowest dose: IC50 set there",
    "area_beyond": "the area's range exceeds the tested doses: the curve is extrapolated there",
}


def residuals(points: pd.DataFrame) -> pd.DataFrame:
    """Columns rmse and r2 of each curve, by its number.

    Args:
        points: curve, viability, fitted, wells (how many each mean is of).
    """
    w = points["wells"]
    by_curve = points["curve"]
    total = w.groupby(by_curve).sum()
    mean = (w * points["viability"]).groupby(by_curve).sum() / total
    left = (w * (points["viability"] - points["fitted"]) ** 2).groupby(by_curve).sum()
    there = (w * (points["viability"] - by_curve.map(mean)) ** 2).groupby(by_curve).sum()
    return pd.DataFrame({"rmse": np.sqrt(left / total), "r2": 1 - left / there.where(there > 0)})


def largest_rise(points: pd.DataFrame) -> "pd.Series[float]":
    """How far each curve's mean viability rises above the lowest of its lower doses; points in order of dose."""
    lowest = points.groupby("curve")["viability"].cummin()
    return (points["viability"] - lowest).groupby(points["curve"]).max()


def flags(curves: pd.DataFrame, fit: FitOptions) -> "pd.Series[str]":
    """The flags of each curve, joined by ";", in the order of ``FLAGS``; "" for none.

    Args:
        curves: n_doses, fall, rise, rmse, r2, spread, control_mean, control_sd, first, lowest, log_ic50, low, high (log10 µM
            of the tested doses), area_low, area_high; NaN where not known.
        fit: Bounds.
    """
    c = curves
    few = c["n_doses"] < fit.min_doses
    flat = c["fall"] < LEAST_FALL
    raised = {
        "few_doses": few,
        "flat": flat,
        "not_monotone": c["rise"] > MOST_RISE,
        "poor_fit": (c["rmse"] > MOST_RMSE) | (~flat & (c["r2"] < LEAST_R2)),
        "noisy": c["spread"] > MOST_SPREAD,
        "bad_controls": (c["control_sd"] > MOST_SPREAD) | ((c["control_mean"] - 1).abs() > MOST_OFF),
        "top_off": (c["first"] > fit.top[1] + MOST_OFF) | (c["first"] < fit.top[0] - MOST_OFF),
        "bottom_off": c["lowest"] < fit.bottom[0] - MOST_OFF,
        "ic50_above": c["log_ic50"] > c["high"],
        "ic50_below": c["log_ic50"] < c["low"],
        "area_beyond": (c["area_low"] < c["low"] - 0.01) | (c["area_high"] > c["high"] + 0.01),
    }
    joined = pd.Series("", index=c.index, dtype="str")
    for name in FLAGS:
        joined = joined.mask(raised[name], joined + ";" + name)
    return joined.str.removeprefix(";")
