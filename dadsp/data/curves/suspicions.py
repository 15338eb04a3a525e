"""Signs that doses or responses are not what they were declared to be, each a note."""

from pathlib import Path

import numpy as np
import pandas as pd

from dadsp.data.curves.options import FitOptions
from dadsp.data.tables import places
from dadsp.errors import examples
from dadsp.schema import Note

_USUAL_TOP_UM = (0.05, 1000.0)  # the median highest dose of a screen lies inside
_POSSIBLE = (-0.5, 2.0)  # viabilities of single wells; noise reaches as far
_LADDER = 4  # doses that show a rule
_CURVES_TO_JUDGE = 1000
_LEAP = 2 - 1e-3  # decades between neighbouring doses, or between lines: another unit is likelier than such a design


def of_wells(wells: pd.DataFrame, fit: FitOptions, path: Path) -> tuple[Note, ...]:
    """Notes on doses and responses that are possible but unlikely as declared.

    Args:
        wells: cell_id, drug_id, dose (as written), log_dose (log10 µM), viability; its index counts the file's data rows.
        fit: What was declared.
        path: The file.
    """
    pairs = wells.groupby(["cell_id", "drug_id"], sort=False)
    ends = pairs["log_dose"].agg(["min", "max"])
    notes = [
        *_dose_scale(wells, ends, fit),
        *_mixed_units(wells, ends),
        *_direction(wells, fit),
        *_repeated(wells, path),
    ]
    odd = wells[~wells["viability"].between(*_POSSIBLE)]
    if len(odd):
        what = f"suspicious responses: wells of {len(wells)} with a viability outside {_POSSIBLE[0]} to {_POSSIBLE[1]}, kept"
        notes.append(Note(what, len(odd), places(path, odd.index)))
    return tuple(notes)


def _dose_scale(wells: pd.DataFrame, ends: pd.DataFrame, fit: FitOptions) -> list[Note]:
    """Another unit, or logarithms taken for doses or the other way round."""
    top = float(10 ** ends["max"].median())
    if not _USUAL_TOP_UM[0] <= top <= _USUAL_TOP_UM[1]:
        what = (
            f"suspicious dose unit {fit.dose_unit}: the median highest dose is {top:.3g} µM, outside the usual "
            f"{_USUAL_TOP_UM[0]:g} to {_USUAL_TOP_UM[1]:g}; curves"
        )
        return [Note(what, len(ends))]
    pairs = wells.groupby(["cell_id", "drug_id"], sort=False)
    some = wells[pairs.ngroup() < _CURVES_TO_JUDGE].groupby(["cell_id", "drug_id"])["dose"]
    ladders = {tuple(sorted(set(doses))) for _, doses in some}
    long = [np.array(ladder) for ladder in ladders if len(ladder) >= _LADDER]
    written_logs = fit.dose_unit not in ("um", "nm", "m")
    even = [ladder for ladder in long if _even(ladder, written_logs)]
    if len(even) <= len(long) / 2:
        return []
    shown = examples(f"{dose:g}" for dose in even[0])
    seem = "doses, not logarithms" if written_logs else "logarithms, not doses"
    how = "a constant ratio" if written_logs else "equal steps"
    what = f"suspicious dose unit {fit.dose_unit}: doses rise by {how}, as if they were {seem}; ladders"
    return [Note(what, len(even), shown)]


def _even(ladder: np.ndarray, of_logs: bool) -> bool:
    with np.errstate(divide="ignore", invalid="ignore"):
        ladder = np.log(ladder) if of_logs else ladder
        steps = np.diff(ladder)
    return bool(np.isfinite(ladder).all() and np.ptp(steps) < 0.02 * abs(steps.mean()))


def _mixed_units(wells: pd.DataFrame, ends: pd.DataFrame) -> list[Note]:
    """Leaps inside curves; dose ranges that differ between the lines of a drug."""
    notes = []
    logs = wells.sort_values(["cell_id", "drug_id", "log_dose"])
    steps = logs.groupby(["cell_id", "drug_id"])["log_dose"].diff()
    usual = steps[steps > 1e-3].median()
    leap = logs[steps >= max(_LEAP, 2 * usual)] if usual == usual else logs[:0]
    if len(leap):
        pairs = leap.drop_duplicates(["cell_id", "drug_id"])
        notes.append(
            Note(
                "suspicious doses: curves with neighbouring doses 100-fold or more apart, as if units were mixed",
                len(pairs),
                examples(f"{row.cell_id}/{row.drug_id}" for row in pairs.itertuples()),
            )
        )
    by_drug = ends.groupby("drug_id", sort=False)["max"]
    apart = by_drug.max() - by_drug.min()
    far, some = apart[apart >= _LEAP], apart[(apart > 0.02) & (apart < _LEAP)]
    if len(far):
        what = "suspicious doses: drugs whose highest dose differs 100-fold or more between lines, as if units were mixed"
        notes.append(Note(what, len(far), examples(far.index)))
    if len(some):
        what = "drugs whose highest dose differs between lines, so that areas over tested doses do not compare (fit.range)"
        notes.append(Note(what, len(some), examples(some.index)))
    return notes


def _direction(wells: pd.DataFrame, fit: FitOptions) -> list[Note]:
    """Most curves that go anywhere rise with the dose."""
    keys = [wells["cell_id"], wells["drug_id"]]
    centred = wells[["log_dose", "viability"]] - wells[["log_dose", "viability"]].groupby(keys, sort=False).transform("mean")
    x, y = centred["log_dose"], centred["viability"]
    sums = pd.DataFrame({"xy": x * y, "xx": x * x, "yy": y * y}).groupby(keys, sort=False).sum()
    sums = sums[(sums["xx"] > 0) & (sums["yy"] > 0)]
    r: pd.Series[float] = sums["xy"] / np.sqrt(sums["xx"] * sums["yy"])
    rising, falling = r[r > 0.7], r[r < -0.7]
    if len(rising) <= len(falling):
        return []
    other = "inhibition" if "viability" in fit.response else "viability"
    what = (
        f"suspicious responses: {len(falling)} curves fall with the dose and more rise, as if {fit.response} were {other}, "
        "or doses ran the other way; rising curves"
    )
    return [Note(what, len(rising), examples(f"{cell}/{drug}" for cell, drug in rising.index))]


def _repeated(wells: pd.DataFrame, path: Path) -> list[Note]:
    columns = ["cell_id", "drug_id", "log_dose", "viability", "replicate"]
    again = wells.duplicated([name for name in columns if name in wells])
    if not again.any():
        return []
    what = f"wells of {len(wells)} that repeat another in line, drug, dose and response, each counted"
    return [Note(what, int(again.sum()), places(path, wells.index[again]))]
