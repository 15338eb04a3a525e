"""Wells → one row per (line, drug) with its fitted curve, IC50, area and flags."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dadsp.data.curves.fit import BOTTOM, LOG_EC50, SLOPE, TOP, Curves, Floats, fit_curves
from dadsp.data.curves.options import FitOptions
from dadsp.data.curves.quality import FLAGS, flags, largest_rise, residuals
from dadsp.data.curves.wells import Wells, read_wells
from dadsp.data.problems import Unreadable, refuse
from dadsp.data.sources.response_file import ResponseFile
from dadsp.errors import ConfigError, SchemaError, UnitsError, examples, nearest
from dadsp.schema import Note

PAIR = ["cell_id", "drug_id"]
_SAME_DOSE = 3  # decimals of log10 µM; "0.1" and "0.10000001" are one dose


class FittedTable(NamedTuple):
    """Curves of a table of wells.

    Attributes:
        curves: One row per (line, drug), in the file's order of first appearance, with the row of its first well as index:
            cell_id, drug_id, n_wells, n_doses, low_um, high_um, top, bottom, ec50_um, slope, rmse, r2, spread, ic50_um,
            ic50_relation, auc, area_low_um, area_high_um, flags. NaN where no curve was fitted; an IC50 that was not reached
            stands at the highest (lowest) dose with the relation ``>`` (``<``), else the relation is empty.
        points: curve (row number in ``curves``), log_dose (log10 µM), viability (mean), wells.
        notes: What was left out, flagged or is suspicious.
    """

    curves: pd.DataFrame
    points: pd.DataFrame
    notes: tuple[Note, ...]


def fitted_table(file: ResponseFile, root: Path) -> FittedTable:
    """The curves of a response file whose rows are wells.

    Args:
        file: Its ``fit`` says how.
        root: Folder to which its path refers.

    Raises:
        ConfigError: The file has no ``fit``, or its range is to be shared with a screen that is not here.
        DadspError: The table is wrong; the message says where and what to do.
    """
    fit = file.fit
    if fit is None:
        raise ConfigError("responses.fit is not set. Give it dose_unit and response (docs/curves.md).")
    if fit.range == "shared":
        raise ConfigError("fit.range: shared needs the two screens of a study. Give [lowest, highest] in µM, or tested.")
    path = root / file.path
    wells = read_wells(file, fit, root)
    points, pairs = _points(wells)
    parts = [pairs, _controls(wells.controls, pairs)]
    area_low, area_high = _range(pairs, fit, path)
    enough = (pairs["n_doses"] >= fit.min_doses).to_numpy()
    curves = _fitted(points, pairs, enough, fit)
    parts += [_shape(points, pairs, curves, enough), _areas(points, pairs, curves, area_low, area_high, fit)]
    table = pd.concat(parts, axis=1)
    table["flags"] = flags(table, fit)
    table, points, notes = _chosen(table, points, fit, path)
    return FittedTable(_public(table), points, (*wells.notes, *notes))


def fitted_labels(file: ResponseFile, root: Path) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    """What ``ResponseFile.table`` gives, from fitted curves: cell_id, drug_id, value; of concentrations relation, top_dose.

    Flat curves have no EC50: its value is missing.
    """
    curves, _, notes = fitted_table(file, root)
    labels = curves[PAIR]
    if file.measure in ("auc", "aac"):
        return labels.assign(value=curves["auc"] if file.measure == "auc" else 1 - curves["auc"]), notes
    value, low, high = curves[f"{file.measure}_um"], curves["low_um"], curves["high_um"]
    relation = curves["ic50_relation"]
    if file.measure == "ec50":
        relation = _relation(value, low, high)
        value = value.mask(_flagged(curves, "flat")).clip(low, high)
    return labels.assign(value=value, relation=relation, top_dose=high), notes


def _relation(dose: "pd.Series[float]", low: "pd.Series[float]", high: "pd.Series[float]") -> "pd.Series[str]":
    """``>`` above the tested doses, ``<`` below, else empty."""
    return pd.Series(np.select([dose > high, dose < low], [">", "<"], ""), index=dose.index)


def _flagged(curves: pd.DataFrame, name: str) -> "pd.Series[bool]":
    return curves["flags"].str.split(";").map(lambda own: name in own).astype(bool)


def _points(wells: Wells) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means per curve and dose, in order; and of each curve its pair, tested range and number of wells."""
    treated = wells.treated
    curve = treated.groupby(PAIR, sort=False).ngroup()
    first = ~treated.duplicated(PAIR)
    rows = treated.assign(curve=curve, key=treated["log_dose"].round(_SAME_DOSE)).reset_index(drop=True)
    rows = rows.sort_values(["curve", "key", "log_dose", "viability"], kind="stable")  # whatever their order was
    by_dose = rows.groupby(["curve", "key"], sort=False)
    viability = by_dose["viability"]
    points = pd.DataFrame(
        {
            "log_dose": by_dose["log_dose"].first(),
            "viability": viability.mean(),
            "wells": viability.size(),
            "var": viability.var(),
        }
    ).reset_index()
    by_curve = points.groupby("curve")
    freedom = points["wells"] - 1
    pooled = (points["var"].fillna(0) * freedom).groupby(points["curve"]).sum() / freedom.groupby(points["curve"]).sum()
    pairs = treated.loc[first, PAIR].assign(row=treated.index[first]).reset_index(drop=True)
    pairs = pairs.assign(
        n_wells=by_curve["wells"].sum(),
        n_doses=by_curve.size(),
        low=by_curve["log_dose"].min(),
        high=by_curve["log_dose"].max(),
        first=by_curve["viability"].first(),
        lowest=by_curve["viability"].min(),
        spread=np.sqrt(pooled),
        rise=largest_rise(points),
    )
    return points[["curve", "log_dose", "viability", "wells"]], pairs


def _controls(controls: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation of the untreated wells of each pair, NaN where it has none."""
    by_pair = controls.groupby(PAIR)["viability"]
    found = pd.DataFrame({"control_mean": by_pair.mean(), "control_sd": by_pair.std()})
    return pairs[PAIR].join(found, on=PAIR)[["control_mean", "control_sd"]]


def _range(pairs: pd.DataFrame, fit: FitOptions, path: Path) -> tuple[Floats, Floats]:
    """Doses in log10 µM between which each curve's area is taken."""
    low, high = pairs["low"].to_numpy(np.float64), pairs["high"].to_numpy(np.float64)
    if isinstance(fit.range, Mapping):
        unknown = [name for name in fit.range if name not in set(pairs["drug_id"])]
        if unknown:
            raise ConfigError(
                f"fit.range names {len(unknown)} drugs that {path} lacks (e.g. {examples(unknown)}). "
                f"{nearest(unknown[0], pairs['drug_id'].unique())}"
            )
        given = np.log10(np.array([fit.range.get(name, (np.nan, np.nan)) for name in pairs["drug_id"]]))
        low, high = (np.where(np.isnan(given[:, end]), own, given[:, end]) for end, own in ((0, low), (1, high)))
    elif not isinstance(fit.range, str):
        low, high = (np.full(len(pairs), np.log10(dose)) for dose in fit.range)
    apart = (low >= pairs["high"]) | (high <= pairs["low"])
    if not isinstance(fit.range, str) and apart.any():
        named = [f"{row.cell_id}/{row.drug_id}" for row in pairs[apart].head(4).itertuples()]
        refuse(
            UnitsError(
                f"{path}: {int(apart.sum())} of {len(pairs)} curves have no dose inside fit.range (e.g. {examples(named)}). "
                "Choose a range in µM that all curves tested, or check fit.dose_unit."
            )
        )
    return low, high


def _fitted(points: pd.DataFrame, pairs: pd.DataFrame, enough: np.ndarray, fit: FitOptions) -> Curves:
    """A curve for each pair, NaN for those with too few doses."""
    parameters = np.full((len(pairs), 4), np.nan)
    used = points[enough[points["curve"]]]
    if len(used):
        start = np.flatnonzero(~used["curve"].duplicated())
        log_dose, viability, counts = used[["log_dose", "viability", "wells"]].to_numpy(np.float64).T
        parameters[enough] = fit_curves(start, log_dose, viability, counts, fit).parameters
    return Curves(parameters)


def _shape(points: pd.DataFrame, pairs: pd.DataFrame, curves: Curves, enough: np.ndarray) -> pd.DataFrame:
    """The parameters of each curve, its IC50, its fall over the tested doses, and how well it fits."""
    at_ends = curves.at(pairs[["low", "high"]].to_numpy(np.float64))
    own = Curves(curves.parameters[points["curve"]]).at(points[["log_dose"]].to_numpy(np.float64))[:, 0]
    fit_of = residuals(points.assign(fitted=own)[enough[points["curve"]]]).reindex(pairs.index)
    names = {"bottom": BOTTOM, "top": TOP, "log_ec50": LOG_EC50, "slope": SLOPE}
    return pd.DataFrame(
        {
            **{name: curves.parameters[:, place] for name, place in names.items()},
            "log_ic50": np.where(enough, curves.log_ic50(), np.nan),
            "fall": at_ends[:, 0] - at_ends[:, 1],
            "rmse": fit_of["rmse"],
            "r2": fit_of["r2"],
        }
    )


def _areas(
    points: pd.DataFrame, pairs: pd.DataFrame, curves: Curves, low: Floats, high: Floats, fit: FitOptions
) -> pd.DataFrame:
    """The mean viability over the range, on the logarithm of the dose."""
    with np.errstate(divide="ignore", invalid="ignore"):
        auc = curves.area(low, high)
    if fit.area == "trapezoid":
        shown = points.assign(viability=points["viability"].clip(0, 1))
        ends = np.append(np.flatnonzero(~shown["curve"].duplicated()), len(shown))
        x, y = shown["log_dose"].to_numpy(np.float64), shown["viability"].to_numpy(np.float64)
        for curve, (first, last) in enumerate(pairwise(ends)):
            auc[curve] = _trapezoid(x[first:last], y[first:last], low[curve], high[curve])
        auc[np.isnan(curves.parameters[:, TOP])] = np.nan
    return pd.DataFrame({"auc": auc, "area_low": low, "area_high": high})


def _trapezoid(log_dose: Floats, viability: Floats, low: float, high: float) -> float:
    """Mean of the line through the points between two doses; beyond the points it goes on level."""
    inside = log_dose[(log_dose > low) & (log_dose < high)]
    x = np.concatenate([[low], inside, [high]])
    return float(np.trapezoid(np.interp(x, log_dose, viability), x) / (high - low))


def _chosen(
    table: pd.DataFrame, points: pd.DataFrame, fit: FitOptions, path: Path
) -> tuple[pd.DataFrame, pd.DataFrame, list[Note]]:
    """The curves without those to drop, points renumbered; and a note for each flag."""
    few = table["n_doses"] < fit.min_doses
    if few.any() and "few_doses" not in fit.drop:
        refuse(
            SchemaError(
                f"{path}: {int(few.sum())} of {len(table)} curves have fewer than {fit.min_doses} different doses (e.g. "
                f"{_named(table[few])}). Set fit.drop: [few_doses] to leave them out, or lower fit.min_doses."
            )
        )
    raised = {name: _flagged(table, name) for name in FLAGS}
    gone = few.copy()
    notes = []
    for name, of_flag in raised.items():
        dropped = name in fit.drop or name == "few_doses"
        gone |= of_flag & dropped
        if of_flag.any():
            what = f"curves of {len(table)} flagged {name}, {'left out' if dropped else 'kept'} ({FLAGS[name]})"
            notes.append(Note(what, int(of_flag.sum()), _named(table[of_flag])))
    if gone.all():
        if few.all() and "few_doses" not in fit.drop:  # while problems are collected, the one above says so
            raise Unreadable(f"{path} holds no curve.")
        raise SchemaError(f"{path}: none of {len(table)} curves is left. Shorten fit.drop, or lower fit.min_doses.")
    kept = ~gone.to_numpy()
    points = points[kept[points["curve"]]]
    return table[kept], points.assign(curve=(np.cumsum(kept) - 1)[points["curve"]]).reset_index(drop=True), notes


def _named(table: pd.DataFrame) -> str:
    return examples(f"{row.cell_id}/{row.drug_id}" for row in table.head(4).itertuples())


def _public(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that ``FittedTable`` names, doses in µM."""
    log_ic50 = table["log_ic50"]
    return pd.DataFrame(
        {
            **table[[*PAIR, "n_wells", "n_doses"]],
            "low_um": _um(table["low"]),
            "high_um": _um(table["high"]),
            **table[["top", "bottom"]],
            "ec50_um": _um(table["log_ec50"]),
            **table[["slope", "rmse", "r2", "spread"]],
            "ic50_um": _um(log_ic50.clip(table["low"], table["high"])),
            "ic50_relation": _relation(log_ic50, table["low"], table["high"]),
            "auc": table["auc"],
            "area_low_um": _um(table["area_low"]),
            "area_high_um": _um(table["area_high"]),
            "flags": table["flags"],
        }
    ).set_index(pd.Index(table["row"], name=None))


def _um(log_dose: "pd.Series[float]") -> "pd.Series[float]":
    """µM of log10 µM, to six digits, so that 8 is written as 8."""
    return pd.Series([float(f"{dose:.6g}") for dose in 10.0 ** log_dose.to_numpy(np.float64)], index=log_dose.index)
