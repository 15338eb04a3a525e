"""results.csv and summary.csv from runs of experiment=lines and experiment=adaptation_lines.

    python experiments/lines/collect.py runs/sweeps/lines runs/sweeps/adaptation_lines [--out experiments/lines]

results.csv: one row per run, with the weight of the adaptation, the size of a planted shift, keys that were changed (one
switch of the network at a time), and how much of the variance among held-out source lines the kept epoch left unexplained.
summary.csv: mean and standard deviation over seeds, and differences to the same network without adaptation and with nothing
changed, paired by seed (and fold), with 95 % t intervals.
"""

import argparse
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf
from scipy import stats

from dadsp.cli.script import end
from dadsp.files import write_atomically
from dadsp.runs.collection import own_row, row_identity, scored_below
from dadsp.runs.folder import RunFolder, complete

R = "median_drug_pearson"
SCORES = ("rmse", R, f"{R}_low", f"{R}_high", "ceiling", "skill")
TEST = ["study", "fold", "shift", "alignment"]
SYSTEM = [*(name for name in TEST if name != "fold"), "system", "weight", "changed"]
PAIR = [*TEST, "seed"]
DIFFERENCES = ("rmse", "val_unexplained", R)
ALWAYS = (
    *("data", "alignment", "model", "seed", "experiment", "tracking", "split", "split.fold", "sweep", "data.batch_sd"),
    "model.mmd_estimator",  # the system's name says it
)
BASES = dict.fromkeys(
    ("source-only network", "DADSP-A", "published network, MMD", "published network, CORAL"), "source-only network"
)
WEIGHTS = ("model.adaptation_weight", "model.adversarial_weight")


def main() -> None:
    """Writes both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("experiments/lines"))
    arguments = parser.parse_args()
    results = pd.DataFrame([row_of(folder) for folder in scored_below(arguments.sweeps)]).sort_values(
        [*SYSTEM, "seed"], ignore_index=True
    )
    for name, table in (("results", results), ("summary", summarised(results))):
        write_atomically(arguments.out / f"{name}.csv", lambda path, table=table: table.round(4).to_csv(path, index=False))


def row_of(folder: RunFolder) -> dict[str, Any]:
    """The system's row of one run, or one error where it is damaged."""
    model = own_row(folder)
    with complete(folder.path):
        return _row_of(folder, model)


def _row_of(folder: RunFolder, model: "pd.Series[Any]") -> dict[str, Any]:
    config: Any = OmegaConf.load(folder / "config.yaml")
    table = folder.comparison
    history = pd.read_csv(folder / "history.csv") if (folder / "history.csv").exists() else pd.DataFrame()
    naive = table[table["kind"] == "naive_source"]
    identity = row_identity(folder)
    adapted = config.model.get("adaptation", "adversary")
    weight = config.model.get("adaptation_weight", config.model.get("adversarial_weight", 0.0))
    biased = adapted == "mmd" and config.model.get("mmd_estimator", "biased") == "biased"
    keys = [part for part in shlex.split(identity["command"]) if "=" in part]
    return {
        "shift": config.data.get("batch_sd", np.nan) if "simulated" in identity["study"] else np.nan,
        "system": f"{model['system']}{' (biased)' if biased else ''}",
        "weight": 0.0 if adapted == "none" else float(weight),
        "changed": " ".join(key for key in keys if key.partition("=")[0] not in (*ALWAYS, *WEIGHTS, "runs")),
        "fold": config.split.get("fold"),
        **identity,
        **{score: model[score] for score in SCORES},
        "best_naive_rmse": naive["rmse"].min(),
        "best_naive_r": naive[R].max(),
        "val_unexplained": history.get("val/source/unexplained", pd.Series([np.nan])).min(),
        "val_rmse": history["val/source/rmse"].min() if "val/source/rmse" in history else np.nan,
    }


def summarised(results: pd.DataFrame) -> pd.DataFrame:
    """One row per system and test."""
    grouped = results.groupby(SYSTEM, sort=False, dropna=False)
    numbers = [*SCORES, "best_naive_rmse", "best_naive_r", "val_unexplained", "val_rmse"]
    table = (
        grouped.agg(runs=("seed", "size")).join(grouped[numbers].mean()).join(grouped[["rmse", R]].std().add_suffix("_sd"))
    )
    plain = results[(results["weight"] == 0) & (results["changed"] == "")].fillna({"fold": -1, "shift": -1}).set_index(PAIR)
    differences = []
    for key, part in grouped:
        of = dict(zip(SYSTEM, key, strict=True))
        base = "line network" if str(of["system"]).startswith("line network") else BASES.get(str(of["system"]), "")
        own = plain[plain["system"] == base]
        for name in DIFFERENCES:
            paired = part.fillna({"fold": -1, "shift": -1}).set_index(PAIR)[name].sub(own[name]).dropna()
            of |= dict(zip((f"{name}_minus_plain", f"{name}_half_width"), interval(paired), strict=True))
        differences.append({**of, "pairs": len(paired)})
    return table.reset_index().merge(pd.DataFrame(differences), on=SYSTEM, how="left")


def interval(values: "pd.Series[float]") -> tuple[float, float]:
    """Mean, and half the width of its 95 % t interval."""
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1) if len(values) > 1 else np.nan
    return (float(values.mean()) if len(values) else np.nan), float(half)


if __name__ == "__main__":
    raise SystemExit(end(main))
