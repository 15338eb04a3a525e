"""CCLE's drug data (NP24) refitted and compared with its published numbers: ``results.csv``, ``picture.png``.

python experiments/curves/refit.py CCLE_NP24.2009_Drug_data_2015.02.24.csv --out experiments/curves
"""

import argparse
import hashlib
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import least_squares

from dadsp.analysis.curve_sheets import curve_panel
from dadsp.data.curves.fit import Curves, fit_curves
from dadsp.data.curves.table import FittedTable, fitted_table
from dadsp.data.sources.ccle import DrugData, curves
from dadsp.data.tables import read_table
from dadsp.evaluation.figures import COUNTS, DPI, GREY, LABEL
from dadsp.files import write_atomically
from dadsp.provenance import git_sha
from dadsp.written_tables import write_csv

FIT = {"dose_unit": "um", "response": "activity_percent"}
RULES: dict[str, dict[str, Any]] = {
    "default: top 1, bottom 0 to 1, slope 0.1 to 4": {},
    "area by trapezoids": {"area": "trapezoid"},
    "top 0.8 to 1.2": {"top": [0.8, 1.2]},
    "bottom -0.5 to 1": {"bottom": [-0.5, 1]},
    "slope 0.1 to 10": {"slope": [0.1, 10]},
    "two parameters: top 1, bottom 0": {"bottom": [0, 0]},
    "default, flagged poor_fit or not_monotone left out": {"drop": ["poor_fit", "not_monotone"]},
}
DRAWS, ORACLES = 200, 200
PUBLISHED = {
    "cell_id": "CCLE Cell Line Name",
    "drug_id": "Compound",
    "ic50": "IC50 (uM)",
    "area": "ActArea",
    "kind": "FitType",
}
CAP_UM = 8.0


def measures(both: pd.DataFrame) -> dict[str, float]:
    """How far refitted and published numbers agree."""
    ours, theirs = both["ic50_relation"] == "", both["ic50"] < CAP_UM
    distance = both["distance"][ours & theirs]
    return {
        "curves": len(both),
        "both_reached": len(distance),
        "ic50_median_abs_log10": distance.median(),
        "ic50_q90_abs_log10": distance.quantile(0.9),
        "same_censoring": float((((both["ic50_relation"] == ">") | (both["ic50_um"] >= CAP_UM)) == ~theirs).mean()),
        "r_area": float(np.corrcoef(1 - both["auc"], both["area"])[0, 1]),
    }


def compared(found: FittedTable, published: pd.DataFrame) -> pd.DataFrame:
    both = found.curves.merge(published, on=["cell_id", "drug_id"], validate="one_to_one")
    return both.assign(distance=np.abs(np.log10(both["ic50_um"] / both["ic50"])))


def spread(both: pd.DataFrame) -> dict[str, float]:
    """2.5 and 97.5 % quantiles over draws of lines, with all their curves."""
    random = np.random.default_rng(0)
    lines = both["cell_id"].unique()
    rows = both.groupby("cell_id").indices
    drawn = []
    for _ in range(DRAWS):
        chosen = np.concatenate([rows[line] for line in random.choice(lines, len(lines))])
        drawn.append(measures(both.iloc[chosen]))
    table = pd.DataFrame(drawn)[["ic50_median_abs_log10", "r_area"]]
    return {
        f"{name}_{end}": table[name].quantile(share) for name in table for end, share in (("low", 0.025), ("high", 0.975))
    }


def against_scipy(found: FittedTable, file: DrugData) -> dict[str, float]:
    """scipy on some curves, four starts each, in the same run: its time for a curve over ours, and whose misfit is lower."""
    assert file.fit is not None
    points = found.points
    start = np.flatnonzero(~points["curve"].duplicated())
    x, y, w = points[["log_dose", "viability", "wells"]].to_numpy(np.float64).T
    began = time.perf_counter()
    fitted = fit_curves(start, x, y, w, file.fit)
    ours_s = (time.perf_counter() - began) / len(start)
    ends = np.append(start, len(x))
    chosen = np.random.default_rng(0).choice(len(start), ORACLES, replace=False)
    points_of = [slice(ends[n], ends[n + 1]) for n in chosen]
    began = time.perf_counter()
    best = [_best(x[own], y[own]) for own in points_of]
    scipy_s = (time.perf_counter() - began) / ORACLES
    lines = [Curves(fitted.parameters[n : n + 1]).at(x[None, own])[0] for n, own in zip(chosen, points_of, strict=True)]
    ours = [float(np.mean((line - y[own]) ** 2)) for line, own in zip(lines, points_of, strict=True)]
    excess = np.array(ours) - np.array(best)
    return {
        "scipy_curves": ORACLES,
        "scipy_time_over_ours": round(scipy_s / ours_s, -1),
        "worse_than_scipy": int((excess > 1e-6).sum()),
        "better_than_scipy": int((excess < -1e-6).sum()),
    }


def _best(x: np.ndarray, y: np.ndarray) -> float:
    bounds = ([0, x.min() - 1, 0.1], [1, x.max() + 1, 4])
    starts = [[0.3, middle, slope] for middle in (x.min() + 1, x.max() - 1) for slope in (0.7, 2.0)]

    def residual(p: np.ndarray) -> np.ndarray:
        return np.asarray(p[0] + (1 - p[0]) / (1 + 10 ** (p[2] * (x - p[1]))) - y)

    return float(min(2 * least_squares(residual, begin, bounds=bounds).cost for begin in starts) / len(x))


def picture(found: FittedTable, both: pd.DataFrame, path: Path) -> None:
    figure = Figure(figsize=(13, 10.2), dpi=DPI, layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.05, 1))
    of_ic50, of_area = above.subplots(1, 2)
    reached = both[(both["ic50_relation"] == "") & (both["ic50"] < CAP_UM)]
    facts = measures(both)
    counts: dict[str, Any] = {"gridsize": 55, "mincnt": 1, "bins": "log", "cmap": COUNTS}
    of_ic50.hexbin(reached["ic50"], reached["ic50_um"], xscale="log", yscale="log", **counts)
    of_ic50.plot([2.5e-3, 8], [2.5e-3, 8], color=GREY, linewidth=0.8)
    said = f"{len(reached):,} curves reached in both; median |Δ log10| {facts['ic50_median_abs_log10']:.3f}"
    of_ic50.set(xlabel="published IC50, µM", ylabel="refitted IC50, µM", title=said)
    of_area.hexbin(both["area"], 1 - both["auc"], **counts)
    of_area.plot([0, 8], [0, 1], color=GREY, linewidth=0.8)
    said = f"{len(both):,} curves; r {facts['r_area']:.3f}"
    of_area.set(xlabel="published ActArea (of 8)", ylabel="1 − AUC of the fitted curve", title=said)
    panels = below.subplots(2, 5, sharey=True)
    start = np.searchsorted(found.points["curve"].to_numpy(), np.arange(len(both) + 1))
    rows = found.curves.reset_index(drop=True)
    worst = reached.sort_values("distance").index[[-1, -40, -200]]
    flags = rows["flags"].str.split(";").explode()
    flagged = [flags.index[flags == name][7] for name in ("flat", "not_monotone", "poor_fit", "top_off", "ic50_below")]
    for panel, n in zip(panels.flat, [1, 2000, *flagged, *worst], strict=True):
        curve_panel(panel, rows.iloc[n], found.points.iloc[start[n] : start[n + 1]])
    below.supylabel("viability", fontsize=LABEL)
    below.suptitle("two usual curves, five flagged, three whose IC50 is far from the published", fontsize=LABEL)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", metadata={"Software": None}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    published = read_table(arguments.table, PUBLISHED, numbers=("ic50", "area"))
    identity = {
        "seed": 0,
        "command": "python experiments/curves/refit.py CCLE_NP24.2009_Drug_data_2015.02.24.csv --out experiments/curves",
        "commit": git_sha(Path(__file__).parents[2]),
        "data_hash": hashlib.blake2b(arguments.table.read_bytes(), digest_size=16).hexdigest(),
    }
    results = []
    for rule, more in RULES.items():
        file = DrugData.model_validate({"path": str(arguments.table), "fit": {**FIT, **more}})
        found = fitted_table(file, Path())
        both = compared(found, published)
        results.append({"rule": rule, **measures(both), **spread(both)})
        if not more:
            results[-1] |= against_scipy(found, file)
            kinds = [(kind, part) for kind, part in both.groupby("kind") if kind != "Constant"]
            results += [{"rule": f"default, published as {kind}", **measures(part), **spread(part)} for kind, part in kinds]
            picture(found, both, arguments.out / "picture.png")
    medians = curves(arguments.table)
    sums = {"sum of the medians": medians["activity"], "sum of the negative medians": medians["activity"].clip(upper=0)}
    for what, activity in sums.items():
        summed = -activity.groupby([medians["cell_id"], medians["drug_id"]], sort=False).sum()
        known = published.set_index(["cell_id", "drug_id"])["area"].reindex(summed.index)
        results.append(
            {"rule": f"no fit: minus the {what}", "curves": len(summed), "r_area": np.corrcoef(summed, known)[0, 1]}
        )
    table = pd.DataFrame(results).assign(**identity)
    floats = table.select_dtypes("float").columns
    table[floats] = table[floats].round(4)
    write_atomically(arguments.out / "results.csv", partial(write_csv, table))


if __name__ == "__main__":
    main()
