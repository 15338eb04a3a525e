"""results.csv and summary.csv from runs that differ by trainer.perturbation alone.

    python experiments/rounding/collect.py runs/sweeps/rounding [--out experiments/rounding]

results.csv: one row per run, with the draw of the perturbation (0: none). summary.csv, by system and data, what ``dadsp
reproduce`` reads: standard deviation among draws of the same setting (seed, alignment, split), pooled over settings by
degrees of freedom, and how far the draws of the steadiest and of the least steady setting lie apart.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from dadsp.cli.script import end
from dadsp.files import write_atomically
from dadsp.runs.collection import own_row, row_identity, scored_below
from dadsp.runs.folder import RunFolder, complete

SCORES = ("rmse", "median_drug_pearson")
SYSTEM = ["study", "system", "data_hash"]
SETTING = [*SYSTEM, "alignment", "seed", "split_hash"]


def main() -> None:
    """Writes both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("experiments/rounding"))
    arguments = parser.parse_args()
    rows = pd.DataFrame([row_of(folder) for folder in scored_below(arguments.sweeps)])
    rows = rows[
        ~rows.round(4).duplicated([*SETTING, "perturbation", *SCORES], keep="last")
    ]  # a draw repeated on a like machine
    rows = rows.sort_values([*SETTING, "perturbation"], ignore_index=True)
    systems = rows.groupby(SYSTEM, sort=False)
    summary = pd.DataFrame([dict(zip(SYSTEM, key, strict=True)) | pooled(of) for key, of in systems])
    for name, table in (("results", rows), ("summary", summary)):
        write_atomically(arguments.out / f"{name}.csv", lambda path, table=table: table.round(6).to_csv(path, index=False))
    print(markdown(summary))


def pooled(rows: pd.DataFrame) -> dict[str, Any]:
    """Spread of one system on one study: √(Σ squares about each setting's mean / Σ (draws − 1))."""
    settings = rows.groupby(SETTING)
    df = len(rows) - settings.ngroups
    found: dict[str, Any] = {"settings": settings.ngroups, "draws": len(rows), "df": df}
    for score in SCORES:
        apart = settings[score].max() - settings[score].min()
        squares = ((rows[score] - settings[score].transform("mean")) ** 2).sum()
        found[f"{score}_sd"] = math.sqrt(squares / df) if df else math.nan
        found |= {f"{score}_apart_least": apart.min(), f"{score}_apart_most": apart.max()}
    return found


def markdown(summary: pd.DataFrame) -> str:
    """The README's table."""
    lines = [
        "| study | system | settings | draws | RMSE: sd (apart) | r per drug: sd (apart) |",
        "|---|---|---|---|---|---|",
    ]
    for row in summary.to_dict("records"):
        cells = []
        for score, digits in zip(SCORES, (4, 3), strict=True):
            sd, least, most = (f"{row[f'{score}_{name}']:.{digits}f}" for name in ("sd", "apart_least", "apart_most"))
            cells.append(f"{sd} ({least if least == most else f'{least} to {most}'})")
        lines.append(f"| {row['study']} | {row['system']} | {row['settings']} | {row['draws']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def row_of(folder: RunFolder) -> dict[str, Any]:
    """The system's row of one run, with its draw."""
    model = own_row(folder)
    with complete(folder.path):
        config: Any = OmegaConf.load(folder / "config.yaml")
        draw = {"system": model["system"], "perturbation": int(config.model.training.perturbation)}
        return {**draw, **row_identity(folder), **{score: model[score] for score in SCORES}}


if __name__ == "__main__":
    raise SystemExit(end(main))
