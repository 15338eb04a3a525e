"""results.csv and summary.csv from runs that differ by trainer.perturbation alone.

    python experiments/rounding/collect.py runs/sweeps/rounding [--out experiments/rounding]

results.csv: one row per run, with the draw of the perturbation (0: none). summary.csv: standard deviation, least and largest
score over the draws, by system and data; what ``dadsp reproduce`` reads.
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from dadsp.cli.script import end
from dadsp.files import write_atomically
from dadsp.runs.collection import row_identity, scored_below
from dadsp.runs.folder import RunFolder

SCORES = ("rmse", "median_drug_pearson")
SYSTEM = ["study", "system", "alignment", "data_hash", "split_hash", "seed"]


def main() -> None:
    """Writes both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("experiments/rounding"))
    arguments = parser.parse_args()
    rows = pd.DataFrame([row_of(folder) for folder in scored_below(arguments.sweeps)])
    rows = rows.sort_values([*SYSTEM, "perturbation"], ignore_index=True)
    grouped = rows.groupby(SYSTEM, sort=False)
    summary = grouped.agg(draws=("perturbation", "size"))
    for score in SCORES:
        for name in ("mean", "std", "min", "max"):
            summary[f"{score}_{'sd' if name == 'std' else name}"] = grouped[score].agg(name)
    for name, table in (("results", rows), ("summary", summary.reset_index())):
        write_atomically(arguments.out / f"{name}.csv", lambda path, table=table: table.round(6).to_csv(path, index=False))


def row_of(folder: RunFolder) -> dict[str, Any]:
    """The system's row of one run, with its draw."""
    config: Any = OmegaConf.load(folder / "config.yaml")
    model = folder.comparison.query("kind == 'model'").iloc[0]
    draw = {"system": model["system"], "perturbation": int(config.model.training.perturbation)}
    return {**draw, **row_identity(folder), **{score: model[score] for score in SCORES}}


if __name__ == "__main__":
    raise SystemExit(end(main))
