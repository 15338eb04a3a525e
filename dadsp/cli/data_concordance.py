"""``dadsp data concordance``: how far the two screens of a study agree where both measured."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig
from rich.box import SIMPLE_HEAD
from rich.table import Table

from dadsp.analysis.concordance import VERDICTS, Concordance, concordance
from dadsp.analysis.concordance_figure import concordance_figure
from dadsp.cli.console import console
from dadsp.configuration.compose import build
from dadsp.files import withdraw, write_atomically, write_json
from dadsp.schema import Study
from dadsp.written_tables import write_csv

MAX_ROWS = 40  # of drugs in the terminal; the file has all
COLUMNS = {
    "n": "Lines",
    "r": "r",
    "r_raw": "r unclipped",
    "spearman": "Spearman",
    "rmse": "RMSE",
    "bias": "Bias",
    "censored_target": "At the cap",
}


def report(config: DictConfig, out: Path | None, as_json: bool) -> None:
    """Prints the agreement, and writes its tables and figure where ``out`` says."""
    study: Study = build(config.data, "data")
    found = concordance(study)
    if out is not None:
        _write(found, out)
    if as_json:
        drugs = found.drugs.astype(object).where(found.drugs.notna(), None).to_dict("records")
        print(json.dumps({**found.facts, "per_drug": drugs, "out": None if out is None else str(out)}, allow_nan=False))
        return
    _print_drugs(found)
    _print_genes(found.facts)
    if out is not None:
        print(f"results  {out}")


def _write(found: Concordance, out: Path) -> None:
    """Writes the tables and the figure and, last, ``concordance.json``: a folder that has it is complete."""
    withdraw(out / "concordance.json")
    write_atomically(out / "concordance_drugs.csv", partial(write_csv, found.drugs))
    write_atomically(out / "concordance_genes.csv", partial(write_csv, found.genes))
    concordance_figure(found, out / "concordance.png")
    write_json(out / "concordance.json", found.facts)


def _print_drugs(found: Concordance) -> None:
    facts, drugs = found.facts, found.drugs
    _say(
        f"{facts['source']} and {facts['target']}: {facts['shared_lines']:,} lines and {facts['shared_drugs']:,} labelled "
        f"drugs stand in both, {facts['shared_pairs']:,} pairs were measured in both"
    )
    lacking = facts["target_drugs_not_in_source"]
    if lacking:
        more = ", …" if len(lacking) > 8 else ""
        _say(
            f"{len(lacking)} labelled drugs of {facts['target']} have no label of the same structure in {facts['source']}: "
            f"{', '.join(lacking[:8])}{more}"
        )
    if not len(drugs):
        _say("No drug has labels in both, so labels cannot be compared.")
        return
    columns = {key: head for key, head in COLUMNS.items() if key != "r_raw" or facts["label_cap"] == "target"}
    table = Table(box=SIMPLE_HEAD, title="Labels per drug", title_justify="left")
    table.add_column("Drug", max_width=30, no_wrap=True)
    for head in columns.values():
        table.add_column(head, justify="right")
    table.add_column("Verdict", no_wrap=True)
    left_out, half = max(0, len(drugs) - MAX_ROWS), MAX_ROWS // 2
    for place, row in enumerate(drugs.to_dict("records")):
        if left_out and place == half:
            table.add_row(f"… {left_out} drugs between …")
        if not left_out or not half <= place < half + left_out:
            table.add_row(row["drug"], *(_cell(key, row[key]) for key in columns), row["verdict"])
    table.add_section()
    median = facts["drugs"]["median"]
    table.add_row(f"median of {facts['drugs']['judged']} drugs", *(_cell(key, median.get(key)) for key in columns))
    console().print(table)
    given = [word for word, count in facts["drugs"]["verdicts"].items() if count]
    _say("Verdict, by r alone. " + "; ".join(f"{word}: {VERDICTS[word]}" for word in given))
    _say(
        f"Bias: mean of {facts['source']} − {facts['target']}. The median r is the label ceiling: what "
        f"{facts['source']}'s own measurement of a pair reaches as a prediction."
    )
    if facts["measures"]["source"] != facts["measures"]["target"]:
        _say(f"No RMSE and bias: labels are {' and '.join(facts['measures'].values())}")


def _print_genes(facts: dict[str, Any]) -> None:
    genes = facts["genes"]
    if genes["r"]["median"] is None:
        _say(f"\nExpression: {facts['shared_lines']} shared lines are too few to correlate genes.")
        return
    table = Table(box=SIMPLE_HEAD, title=f"Expression per gene, {genes['n']:,} genes over {facts['shared_lines']:,} lines",
                  title_justify="left")  # fmt: skip
    table.add_column("")
    for head in genes["r"]:
        table.add_column(head, justify="right")
    for key, words in (("r", "Pearson r"), ("spearman", "Spearman")):
        table.add_row(words, *(f"{value:.3f}" for value in genes[key].values()))
    console().print(table)
    if genes["undefined"]:
        _say(f"{genes['undefined']:,} genes are constant in one of the screens")
    _say("lowest r: " + ", ".join(f"{gene} {r:.2f}" for gene, r in genes["worst"].items()))


def _cell(key: str, value: Any) -> str:
    if value is None or pd.isna(value):
        return "–"
    if key == "censored_target":
        return f"{value:.0%}"
    return f"{value:,}" if isinstance(value, int | np.integer) else f"{value:.2f}"


def _say(text: str) -> None:
    """Prints a sentence, folded at the width of the tables."""
    console().print(text, highlight=False, markup=False)
