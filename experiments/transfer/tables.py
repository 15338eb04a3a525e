"""The README's tables in Markdown, from summary.csv.

    python experiments/transfer/tables.py [experiments/transfer/summary.csv]

A cell is RMSE / r per drug: means over seeds, ± standard deviation where there are three or more, and the mean of the runs'
own 95 % intervals of r.
"""

import sys
from pathlib import Path

import pandas as pd

STUDIES = ("gdsc12_ccle", "gdsc12_ccle_auc", "gdsc12_ctrp")
HEADINGS = ("CCLE, IC50", "CCLE, area", "CTRP, area")
CLOSED_FORM = ("pairwise GP", "ridge per drug", "drug kernel ridge")
OTHERS = ("LightGBM on PCA", "random forest", "logistic regression", "ridge", "SVR (Nyström, 500 components)")
NETWORKS = ("DADSP-A", "DADSP-A⁻", "source-only network", "DADSP-B", "DeepDSC-2", "SLA")
NAIVE = ("copied label, shrunken", "copied label", "tissue × drug mean", "drug + cell")
R = "median_drug_pearson"


def main() -> None:
    """Prints them."""
    table = pd.read_csv(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "summary.csv")
    table = table.fillna({"alignment": "none"})
    rows = [(name, "none" if name == "drug kernel ridge" else "bridge") for name in CLOSED_FORM]
    rows += [(name, alignment) for name in NETWORKS for alignment in ("bridge", "none")] + [
        (name, "none") for name in OTHERS
    ]
    print(_table(table, "keep", rows, naive=True))
    both = [(name, "bridge") for name in CLOSED_FORM[:2]] + [(name, "none") for name in (*NETWORKS, *OTHERS)]
    for overlap in ("drop_lines", "drop_drugs"):
        print(f"\n{overlap}\n\n{_table(table, overlap, both, naive=False)}")


def _table(table: pd.DataFrame, overlap: str, rows: list[tuple[str, str]], *, naive: bool) -> str:
    lines = [f"| system | seeds | {' | '.join(HEADINGS)} |", "|---|---|---|---|---|"]
    part = table[(table["overlap"] == overlap) & (table["kind"] == "model")]
    for name, alignment in rows:
        found = [_row(part, study, name, alignment) for study in STUDIES]
        seeds = ["–" if row is None else str(int(row["runs"])) for row in found]
        label = name + (", bridge" if alignment == "bridge" and name in NETWORKS else "")
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
    main()
