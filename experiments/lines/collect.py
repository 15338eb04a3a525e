"""results.csv and summary.csv from runs of experiment=lines and experiment=adaptation_lines.

    python experiments/lines/collect.py runs/sweeps/lines runs/sweeps/adaptation_lines [--out experiments/lines]

results.csv: one row per run, with the weight of the adaptation, the size of a planted shift, and how much of the variance
among held-out source lines the kept epoch left unexplained. summary.csv: mean and standard deviation over seeds, and the
difference in r to the same network without adaptation, paired by seed, with a 95 % t interval.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf
from scipy import stats

from dadsp.errors import DadspError
from dadsp.files import write_atomically
from dadsp.runs.collection import row_identity, scored_below
from dadsp.runs.folder import RunFolder

R = "median_drug_pearson"
SCORES = ("rmse", R, f"{R}_low", f"{R}_high", "ceiling", "skill")
TEST = ["study", "shift", "alignment"]
SYSTEM = [*TEST, "system", "weight"]


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
    """The system's row of one run."""
    config: Any = OmegaConf.load(folder / "config.yaml")
    table = folder.comparison
    model = table[table["kind"] == "model"].iloc[0]
    history = pd.read_csv(folder / "history.csv")
    naive = table[table["kind"] == "naive_source"]
    identity = row_identity(folder)
    adapted = config.model.get("adaptation", "adversary")
    weight = config.model.get("adaptation_weight", config.model.get("adversarial_weight", 0.0))
    return {
        "shift": config.data.get("batch_sd", np.nan) if "simulated" in identity["study"] else np.nan,
        "system": model["system"],
        "weight": 0.0 if adapted == "none" else float(weight),
        **identity,
        **{score: model[score] for score in SCORES},
        "best_naive_rmse": naive["rmse"].min(),
        "best_naive_r": naive[R].max(),
        "val_unexplained": history.get("val/source/unexplained", pd.Series([np.nan])).min(),
        "val_rmse": history["val/source/rmse"].min(),
    }


def summarised(results: pd.DataFrame) -> pd.DataFrame:
    """One row per system and test."""
    grouped = results.groupby(SYSTEM, sort=False, dropna=False)
    numbers = [*SCORES, "best_naive_rmse", "best_naive_r", "val_unexplained", "val_rmse"]
    table = (
        grouped.agg(runs=("seed", "size")).join(grouped[numbers].mean()).join(grouped[["rmse", R]].std().add_suffix("_sd"))
    )
    plain = results[results["weight"] == 0].set_index([*TEST, "seed"])
    plain = plain[plain["system"].str.startswith(("line network", "source-only"))]
    differences = []
    for key, part in grouped:
        of = dict(zip(SYSTEM, key, strict=True))
        base = "line network" if str(of["system"]).startswith("line network") else "source-only network"
        own = plain[plain["system"].str.startswith(base)][R]
        paired = part.set_index([*TEST, "seed"])[R].sub(own).dropna()
        half = stats.sem(paired) * stats.t.ppf(0.975, len(paired) - 1) if len(paired) > 1 else np.nan
        differences.append({**of, "r_minus_none": paired.mean() if len(paired) else np.nan, "half_width": half})
    return table.reset_index().merge(pd.DataFrame(differences), on=SYSTEM, how="left")


if __name__ == "__main__":
    try:
        main()
    except DadspError as error:
        raise SystemExit(f"error: {error}") from None
