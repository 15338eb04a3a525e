"""The README's tables in Markdown, from results.csv, chosen.csv and, for the published network, experiments/transfer.

    python experiments/lines/tables.py [experiments/lines] [experiments/transfer]

Scores are means over seeds ± standard deviation; differences are paired by seed (and fold), with 95 % t intervals over them.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from collect import interval, summarised

from dadsp.cli.script import end

R = "median_drug_pearson"
STUDIES = {
    "gdsc12_ccle": ("GDSC2+GDSC1 → CCLE", "CCLE, IC50"),
    "gdsc12_ccle_auc": ("GDSC2+GDSC1 → CCLE, aac", "CCLE, area"),
    "gdsc12_ctrp": ("GDSC2+GDSC1 → CTRP, auc", "CTRP, area"),
}
PUBLISHED = {"source-only network": 0.0, "DADSP-A": 1.0}  # of experiments/transfer, with the adversary's weight
ROWS = {  # of the 2 × 4 table
    "learns lines": [("line network", 0.0), *((f"line network, {name}", 0.01) for name in ("adversary", "MMD", "CORAL"))],
    "as published": [
        *(("source-only network", 0.0), ("DADSP-A", 1.0)),
        *((f"published network, {name}", 0.01) for name in ("MMD", "CORAL")),
    ],
}
ADAPTED = (
    ("line network", 0.0),
    *((f"line network, {name}", 0.01) for name in ("adversary", "MMD", "CORAL")),
    ("source-only network", 0.0),
    ("DADSP-A", 1.0),
    ("DADSP-A", 0.01),
    *((f"published network, {name}", 0.01) for name in ("MMD", "CORAL")),
)


def main() -> None:
    """Prints them."""
    here = Path(__file__).parent
    given = [Path(name) for name in sys.argv[1:]]
    here, beside = (*given, *(here, here.parent / "transfer")[len(given) :])
    results = pd.concat([pd.read_csv(here / "results.csv"), _published(beside)], ignore_index=True).fillna({"changed": ""})
    results = results.drop_duplicates(["study", "fold", "shift", "alignment", "system", "weight", "changed", "seed"])
    table = summarised(results)
    print(f"\n**Two networks × four adaptations**\n\n{_two_by_four(table[table['changed'] == ''])}")
    for study, heading in STUDIES.values():
        part = table[(table["study"] == study) & (table["changed"] == "")]
        chosen = [
            part[(part["system"] == name) & (part["weight"] == weight) & (part["alignment"] == alignment)]
            for alignment in ("none", "bridge")
            for name, weight in ADAPTED
        ]
        print(f"\n**{heading}**\n\n{_markdown(pd.concat(chosen), ['system', 'weight', 'alignment'])}")
    within = table["study"].str.split(" → ").map(lambda names: names[0] == names[-1])
    changed = table[(table["changed"] != "") & ~within]
    print(f"\n**Switches**\n\n{_markdown(changed.sort_values('changed'), ['changed'], unexplained=True)}")
    print(f"\n**Held-out lines of one screen**\n\n{_markdown(table[within], ['system', 'changed', 'alignment'])}\n")
    folds = results[results["fold"].notna() & (results["changed"] == "")].pivot(index="fold", columns="system", values=R)
    for other in ("pairwise GP", "ridge per drug"):
        print(f"r of the line network minus {other}: {_with(*interval(folds['line network'] - folds[other]), 3)}")
    weights = table[(table["changed"] == "") & table["alignment"].eq("none") & table["shift"].isna() & ~within]
    print(f"\n**Weights**\n\n{_markdown(weights, ['study', 'system', 'weight'], unexplained=True)}")
    for network in ("line network", "published"):
        print(f"\n**Scorers, {network}**\n\n{_scorers(pd.read_csv(here / 'chosen.csv'), network)}")
    print(f"\n**Planted shift**\n\n{_markdown(table[table['shift'].notna()], ['shift', 'alignment', 'system', 'weight'])}")


def _published(folder: Path) -> pd.DataFrame:
    """Runs of the published network with everything shared, as rows of these results."""
    rows = pd.read_csv(folder / "results.csv")
    rows = rows[(rows["overlap"] == "keep") & rows["system"].isin(PUBLISHED)]
    rows = rows.assign(study=rows["study"].map({name: study for name, (study, _) in STUDIES.items()}))
    return rows.assign(weight=rows["system"].map(PUBLISHED), changed="")[
        ["study", "alignment", "system", "weight", "changed", "seed", "rmse", R]
    ]


def _two_by_four(table: pd.DataFrame) -> str:
    """r per drug without adaptation, and what each adaptation adds to it."""
    lines = ["| study | alignment | network | none | adversary | MMD | CORAL |", "|---|---|---|---|---|---|---|"]
    for study, heading in STUDIES.values():
        for alignment in ("none", "bridge"):
            part = table[(table["study"] == study) & (table["alignment"] == alignment)].set_index(["system", "weight"])
            for network, (plain, *adapted) in ROWS.items():
                gains = [part.loc[key, [f"{R}_minus_plain", f"{R}_half_width"]] for key in adapted]
                cells = [heading, alignment, network, _with(part.at[plain, R], part.at[plain, f"{R}_sd"], 2)]
                lines.append(f"| {' | '.join([*cells, *(_with(*gain, 2) for gain in gains)])} |")
    return re.sub(r"-(?=\d)", "−", "\n".join(lines))


def _scorers(chosen: pd.DataFrame, network: str) -> str:
    """By the mean over seeds: what a scorer takes; its regret in r; that of its choices seed by seed."""
    tests = [(study, heading, alignment) for study, heading in STUDIES.values() for alignment in ("none", "bridge")]
    chosen = chosen[(chosen["network"] == network) & chosen["shift"].isna() & (chosen["overlap"] == "keep")]
    titles = ["scorer", *(f"{heading}, {alignment}" for _, heading, alignment in tests)]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for scorer in chosen["scorer"].unique():
        cells = []
        for study, _, alignment in tests:
            rows = chosen[(chosen["study"] == study) & (chosen["alignment"] == alignment) & (chosen["scorer"] == scorer)]
            each, mean = (rows[rows["how"] == how].iloc[0] for how in ("seed by seed", "mean over seeds"))
            taken = "" if pd.isna(mean["chosen"]) else f"{mean['chosen'].rpartition(' ×')[0]}; "
            cells.append(f"{taken}{mean['regret_r']:.2f}; {_with(each['regret_r'], each['regret_r_sd'], 2)}")
        lines.append(f"| {' | '.join([scorer, *cells])} |")
    return "\n".join(lines)


def _markdown(table: pd.DataFrame, keys: Sequence[str], *, unexplained: bool = False) -> str:
    """A row for each of ``table``, which names it by its keys."""
    scores = {"RMSE": ("rmse", 3), "r per drug": (R, 2)} | ({"unexplained": ("val_unexplained", 3)} if unexplained else {})
    titles = [*keys, "n", *scores, *(f"{title} − plain" for title in scores)]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in table.to_dict("records"):
        cells = [f"{row[key]:g}" if isinstance(row[key], float) else str(row[key]) for key in keys]
        cells.append(str(row["runs"]))
        cells += [_with(row[name], row.get(f"{name}_sd", float("nan")), digits) for name, digits in scores.values()]
        cells += [
            "" if row[f"{name}_half_width"] == 0 else _with(row[f"{name}_minus_plain"], row[f"{name}_half_width"], digits)
            for name, digits in scores.values()
        ]
        lines.append(re.sub(r"-(?=\d)", "−", f"| {' | '.join(cells)} |"))
    return "\n".join(lines)


def _with(value: float, width: float, digits: int) -> str:
    if value != value:
        return "–"
    return f"{value:.{digits}f}" + (f" ± {width:.{digits}f}" if width == width else "")


if __name__ == "__main__":
    raise SystemExit(end(main))
