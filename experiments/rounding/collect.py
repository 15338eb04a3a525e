"""results.csv and summary.csv from runs that differ by trainer.perturbation alone.

    python experiments/rounding/collect.py runs/sweeps/rounding [--out experiments/rounding]

results.csv: one row per run, with the draw of the perturbation (0: none). summary.csv: standard deviation, least and largest
score over the draws, by system and data; what ``dadsp reproduce`` reads.
"""

import argparse
import re
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from dadsp.evaluation.report import read_comparison
from dadsp.files import read_json, write_atomically
from dadsp.runs.identity import SUPERSEDED

SCORES = ("rmse", "median_drug_pearson")
SYSTEM = ["study", "system", "alignment", "data_hash", "split_hash", "seed"]


def main() -> None:
    """Writes both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("experiments/rounding"))
    arguments = parser.parse_args()
    done = [path for sweep in arguments.sweeps for path in sweep.rglob("metrics.json") if SUPERSEDED not in path.parts]
    if not done:
        raise SystemExit(f"{', '.join(map(str, arguments.sweeps))}: no finished run (metrics.json) below.")
    rows = pd.DataFrame([row_of(path.parent) for path in done])
    rows = rows.sort_values([*SYSTEM, "perturbation"], ignore_index=True)
    grouped = rows.groupby(SYSTEM, sort=False)
    summary = grouped.agg(draws=("perturbation", "size"))
    for score in SCORES:
        for name in ("mean", "std", "min", "max"):
            summary[f"{score}_{'sd' if name == 'std' else name}"] = grouped[score].agg(name)
    for name, table in (("results", rows), ("summary", summary.reset_index())):
        write_atomically(arguments.out / f"{name}.csv", lambda path, table=table: table.round(6).to_csv(path, index=False))


def row_of(folder: Path) -> dict[str, Any]:
    """The system's row of one run, with its draw."""
    run, facts = read_json(folder / "metrics.json")["run"], read_json(folder / "data_facts.json")
    config: Any = OmegaConf.load(folder / "config.yaml")
    table = read_comparison(folder / "comparison.csv")
    model = table[table["kind"] == "model"].iloc[0]
    return {
        "study": f"{facts['source']['name']} → {facts['target']['name']}",
        "system": model["system"],
        "alignment": facts.get("alignment", {}).get("kind", "none"),
        "perturbation": int(config.model.training.perturbation),
        **{name: run.get(name) for name in ("seed", "git.sha", "data_hash", "split_hash")},
        "command": re.sub(r" runs=\S+", "", run["command"]),
        **{score: model[score] for score in SCORES},
    }


if __name__ == "__main__":
    main()
