"""The README's tables in Markdown from summary.csv, and its paired differences from results.csv.

    python experiments/transfer/tables.py [experiments/transfer]

A cell is RMSE / r per drug: means over seeds, ± standard deviation where there are three or more, and the mean of the runs'
own 95 % intervals of r. Differences are of runs of one study and seed, with 95 % t intervals over seeds.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from dadsp.cli.script import end

STUDIES = ("gdsc12_ccle", "gdsc12_ccle_auc", "gdsc12_ctrp")
HEADINGS = ("CCLE, IC50", "CCLE, area", "CTRP, area")
CLOSED_FORM = ("pairwise GP", "ridge per drug", "drug kernel ridge")
OTHERS = ("LightGBM on PCA", "random forest", "logistic regression", "ridge", "SVR (Nyström, 500 components)")
NETWORKS = ("DADSP-A", "DADSP-A⁻", "source-only network", "DADSP-B", "DeepDSC-2", "SLA")
NAIVE = ("copied label, shrunken", "copied label", "tissue × drug mean", "drug + cell")
R = "median_drug_pearson"


def main() -> None:
    """Prints them."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    table = pd.read_csv(folder / "summary.csv").fillna({"alignment": "none"})
    rows = [(name, "none" if name == "drug kernel ridge" else "bridge") for name in CLOSED_FORM]
    rows += [(name, alignment) for name in NETWORKS for alignment in ("bridge", "none")] + [
        (name, "none") for name in OTHERS
    ]
    print(_table(table, "keep", rows, naive=True))
    both = [(name, "bridge") for name in CLOSED_FORM[:2]] + [(name, "none") for name in (*NETWORKS, *OTHERS)]
    for overlap in ("drop_lines", "drop_drugs"):
        print(f"\n{overlap}\n\n{_table(table, overlap, both, naive=False)}")
    print(f"\n{_differences(pd.read_csv(folder / 'results.csv'))}")


def _table(table: pd.DataFrame, overlap: str, rows: list[tuple[str, str]], *, naive: bool) -> str:
    lines = [f"| system | seeds | {' | '.join(HEADINGS)} |", "|---|---|---|---|---|"]
    part = table[(table["overlap"] == overlap) & (table["kind"] == "model")]
    if naive:
        ceilings = [f"– / {part[part['study'] == study]['ceiling'].max():.2f}" for study in STUDIES]
        lines.append(f"| *label ceiling* | | {' | '.join(ceilings)} |")
    for name, alignment in rows:
        found = [_row(part, study, name, alignment) for study in STUDIES]
        seeds = ["–" if row is None else str(int(row["runs"])) for row in found]
        label = name + (", bridge" if alignment == "bridge" and name in NETWORKS else "")
        label = f"**{label}**" if name == "pairwise GP" else label
        lines.append(
            f"| {label} | {seeds[0] if len(set(seeds)) == 1 else ', '.join(seeds)} | {' | '.join(map(_cell, found))} |"
        )
    sources = table[(table["overlap"] == overlap) & (table["kind"] == "naive_source")]
    for name in NAIVE if naive else ():
        found = []
        for study in STUDIES:
            of_study = sources[sources["study"] == study]
            match = of_study[of_study["system"].isin([f"source {name}", f"source {name} (capped labels)"])]
            found.append(match.iloc[0] if len(match) else None)
        lines.append(f"| {name} (naive) | | {' | '.join(map(_cell, found))} |")
    return "\n".join(lines)


def _differences(results: pd.DataFrame) -> str:
    """What the bridge and the adversary change, everything shared."""
    networks = results[(results["overlap"] == "keep") & results["system"].isin(NETWORKS)]
    by = {name: part.set_index(["study", "system", "seed"])[["rmse", R]] for name, part in networks.groupby("alignment")}
    bridged = (by["bridge"] - by["none"]).dropna()
    lines = [f"bridge − none: {len(bridged)} pairs, r higher in {(bridged[R] > 0).sum()}"]
    lines += [f"  {study}: {_interval(part)}" for study, part in bridged.groupby("study")]
    for name, part in by.items():
        pairs = part.xs("DADSP-A", level="system") - part.xs("source-only network", level="system")
        lines += [
            f"DADSP-A − source-only network, alignment {name}, {study}: {_interval(pair)}"
            for study, pair in pairs.groupby("study")
        ]
    return "\n".join(lines)


def _interval(pairs: pd.DataFrame) -> str:
    half = stats.sem(pairs) * stats.t.ppf(0.975, len(pairs) - 1)
    return (
        ", ".join(
            f"{name} {mean:+.3f} ± {width:.3f}"
            for name, mean, width in zip(("RMSE", "r"), np.mean(pairs, axis=0), half, strict=True)
        )
        + f" (n = {len(pairs)})"
    )


def _row(part: pd.DataFrame, study: str, name: str, alignment: str) -> "pd.Series | None":
    found = part[(part["study"] == study) & (part["system"] == name)]
    found = found[found["alignment"].isin([alignment, ""])]
    return found.iloc[0] if len(found) and found.iloc[0]["runs"] > 0 else None


def _cell(row: "pd.Series | None") -> str:
    if row is None:
        return "–"
    spread = {
        name: f" ± {row[f'{name}_sd']:.{digits}f}" if row["runs"] > 2 else "" for name, digits in (("rmse", 3), (R, 2))
    }
    if row["kind"] != "model":
        spread = dict.fromkeys(spread, "")
    r = "–" if pd.isna(row[R]) else f"{row[R]:.2f}{spread[R]}"
    interval = "" if pd.isna(row[R]) or row["kind"] != "model" else f" [{row[f'{R}_low']:.2f}, {row[f'{R}_high']:.2f}]"
    return f"{row['rmse']:.3f}{spread['rmse']} / {r}{interval}".replace("-", "−")


if __name__ == "__main__":
    raise SystemExit(end(main))
