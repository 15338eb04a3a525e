"""Wells as a table holds them → viability at doses in log10 µM, checked; controls apart."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dadsp.data.curves import suspicions
from dadsp.data.curves.options import ENDS, FitOptions
from dadsp.data.potency import PLAUSIBLE, to_potency
from dadsp.data.problems import Unreadable, refuse, stop_if_unsound
from dadsp.data.sources.response_file import ResponseFile
from dadsp.data.tables import places
from dadsp.data.units import Unit, check_units
from dadsp.errors import DadspError, SchemaError, UnitsError, examples
from dadsp.schema import Note

_PERCENT = 3.0  # no fraction's median lies beyond, and no percentage's hundredth part of a screen within


class Wells(NamedTuple):
    """Wells of a table.

    Attributes:
        treated: Columns cell_id, drug_id, log_dose (log10 µM), viability (1 without effect, 0 without a living cell); the
            index counts the data rows of the file.
        controls: Wells of dose 0: cell_id, drug_id, viability.
        notes: What was left out or is suspicious.
    """

    treated: pd.DataFrame
    controls: pd.DataFrame
    notes: tuple[Note, ...]


def read_wells(file: ResponseFile, fit: FitOptions, root: Path) -> Wells:
    """The wells of a response file.

    Raises:
        SchemaError: Doses or responses are missing, negative or repeated where they may not be.
        UnitsError: Doses or responses cannot be in the unit that was declared.
    """
    path = root / file.path
    table = file.wells(root)
    stop_if_unsound()  # of rows that are refused curves would be missing
    wrong: list[DadspError] = []
    if "unit" in table:
        check_units(table["unit"], fit.dose_unit, f"{path}, doses", "responses.fit.dose_unit")
    table, notes = _measured(table, file, path, wrong)
    if "replicate" in table:
        table = _each_once(table, path, wrong)
    table = table.assign(viability=_viability(table["value"].to_numpy(), fit, path, wrong))
    is_control = (table["dose"] == 0).to_numpy() & (fit.dose_unit in ("um", "nm", "m"))
    controls, treated = table[is_control], table[~is_control]
    if len(controls):
        notes = (*notes, Note(f"wells of {len(table)} at dose 0 taken for untreated controls, not for doses", len(controls)))
    if not len(treated):
        raise SchemaError(f"{path}: all of {len(table)} wells have the dose 0. Check columns.dose and fit.dose_unit.")
    treated = treated.assign(log_dose=_log_doses(treated["dose"], fit.dose_unit, path, wrong))
    for error in wrong:  # all of them, while problems are collected
        refuse(error)
    if wrong:  # what else would be found follows from them
        raise Unreadable(f"{path} holds wells that cannot be read.")
    notes = (*notes, *suspicions.of_wells(treated, fit, path))
    names = ["cell_id", "drug_id"]
    return Wells(treated[[*names, "log_dose", "viability"]], controls[[*names, "viability"]], notes)


def _measured(
    table: pd.DataFrame, file: ResponseFile, path: Path, wrong: list[DadspError]
) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    """The wells with a dose and a response, and a note on the others."""
    gone = table["dose"].isna() | table["value"].isna()
    if not gone.any():
        return table, ()
    shown = places(path, table.index[gone])
    if gone.all():
        raise SchemaError(f"{path}: no well has both a dose and a response. Check columns.dose and columns.value.")
    if file.on_missing_value == "error":
        wrong.append(
            SchemaError(
                f"{path}: {int(gone.sum())} of {len(table)} wells have no dose or no response (e.g. {shown}). Supply what "
                "is missing, or set responses.on_missing_value: drop."
            )
        )
    return table[~gone], (Note(f"wells of {len(table)} without a dose or a response left out", int(gone.sum()), shown),)


def _each_once(table: pd.DataFrame, path: Path, wrong: list[DadspError]) -> pd.DataFrame:
    """Each replicate of a dose once."""
    again = table.duplicated(["cell_id", "drug_id", "dose", "replicate"]) & (table["dose"] != 0)
    if again.any():
        wrong.append(
            SchemaError(
                f"{path}: {int(again.sum())} of {len(table)} wells repeat a replicate of the same line, drug and dose (e.g. "
                f"{places(path, table.index[again])}). Keep one row of each, or leave columns.replicate out to count all."
            )
        )
    return table[~again]


def _viability(values: NDArray[np.float64], fit: FitOptions, path: Path, wrong: list[DadspError]) -> NDArray[np.float64]:
    """1 for a well like the untreated ones, 0 without a living cell."""
    untreated, killed = ENDS[fit.response]
    size = np.abs(values)
    middle, nearly_all = float(np.median(size)), float(np.quantile(size, 0.99))
    percent = fit.response.endswith("percent")
    if middle > (_PERCENT * 100 if percent else _PERCENT):
        may_be = not percent and middle <= _PERCENT * 100
        remedy = f"Percentages? Set fit.response: {fit.response}_percent. " if may_be else ""
        wrong.append(
            UnitsError(
                f"{path}: the median of {len(values)} responses is {np.median(values):g}, which no {fit.response} can be "
                f"(e.g. {_few(values[size > _PERCENT])}). {remedy}Signals must first be divided by those of untreated wells."
            )
        )
    elif percent and nearly_all <= _PERCENT:
        fraction = fit.response.removesuffix("_percent")
        wrong.append(
            UnitsError(
                f"{path}: 99 % of {len(values)} responses lie within ±{nearly_all:.3g} (e.g. {_few(values)}), too close to "
                f"0 for {fit.response}. Fractions? Set fit.response: {fraction}."
            )
        )
    return (values - killed) / (untreated - killed)


def _log_doses(doses: "pd.Series[float]", unit: Unit, path: Path, wrong: list[DadspError]) -> NDArray[np.float64]:
    """log10 µM of each dose, NaN where it is negative."""
    linear = unit in ("um", "nm", "m")
    negative = ((doses < 0) & linear).to_numpy()
    if negative.any():
        wrong.append(
            UnitsError(
                f"{path}: {int(negative.sum())} of {len(doses)} doses are negative, which none in {unit} can be (e.g. "
                f"{_named(doses[negative], path)}). Logarithms? Set fit.dose_unit: log10_um or ln_um."
            )
        )
    logs = np.full(len(doses), np.nan)
    sound = np.asarray(doses, dtype=np.float64)[~negative]
    with np.errstate(over="ignore"):
        logs[~negative] = -to_potency(sound, unit, (-np.inf, np.inf), str(path)).astype(np.float64)
    outside = ~negative & ~((-logs >= PLAUSIBLE[0]) & (-logs <= PLAUSIBLE[1]))
    if outside.any():
        wrong.append(
            UnitsError(
                f"{path}: {int(outside.sum())} of {len(doses)} doses read as {unit} lie beyond 0.1 fM to 10 M (e.g. "
                f"{_named(doses[outside], path)}). Set fit.dose_unit to the unit that the file has."
            )
        )
    return logs


def _named(doses: "pd.Series[Any]", path: Path) -> str:
    return examples(f"{places(path, [row])}: {dose:g}" for row, dose in doses.head(4).items())  # type: ignore[list-item]


def _few(values: NDArray[np.float64]) -> str:
    return examples(f"{value:g}" for value in values[:4])
