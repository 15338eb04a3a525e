"""``dadsp single-drug``: every method on every drug and repeat, then the tables of the paper."""

import json
import math
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from dadsp.building import build
from dadsp.cli.begin import Verb
from dadsp.cli.console import console, print_notes
from dadsp.errors import ConfigError
from dadsp.options import validated
from dadsp.runs.folder import FIGURES, RunFolder
from dadsp.runs.job import Ending, Job
from dadsp.runs.single_drug import TABLES, run_single_drug
from dadsp.schema import ResponsePanel
from dadsp.singledrug.lines import chosen_drugs
from dadsp.singledrug.settings import OPTIONS, SingleDrugOptions

KEYS = ("panel", "drug", *OPTIONS, "tracking", "seed", "resume", "runs", "plugins")

# Of the means over drugs, those of the first of two tables: one alone is too wide for whole headings in a terminal.
SCORES = ("drugs", "mse", "mse_over_mean", "r2", "pearson", "accuracy", "balanced_accuracy", "kappa")


def _compare(job: Job, as_json: bool) -> Ending:
    top, tracking = job.options()
    if tracking.register:
        raise ConfigError("tracking.register has no use here: only dadsp train logs a model. Leave it out.")
    given = job.settings
    options = validated(SingleDrugOptions, {key: given[key] for key in OPTIONS}, "")
    panel: ResponsePanel = build(given["panel"], "panel")
    rows = chosen_drugs(panel, given["drug"], options)
    if not as_json:
        _print_facts(panel, len(rows), options)
    compared_before = run_single_drug(job.folder, panel, rows, options, tracking, top.seed, job.origin("panel.root"))
    _show(job.folder, as_json)
    return "skipped" if compared_before else "trained"


def _print_facts(panel: ResponsePanel, n_drugs: int, options: SingleDrugOptions) -> None:
    protocol = options.protocol
    print(
        f"{panel.name}: {panel.response}, {len(panel.cells):,} lines × {len(panel.genes):,} genes, {n_drugs} of "
        f"{len(panel.drugs)} drugs"
    )
    print_notes((panel,))
    n_genes = options.selection.kept(len(panel.genes))
    print(
        f"{protocol.repeats} partitions of each drug's lines, {1 - protocol.test_fraction:.0%} train; {n_genes:,} genes are "
        f"selected on: {', '.join(protocol.selection_scopes)}; classes cut at quartiles of: {protocol.threshold_scope}\n",
        flush=True,
    )


def _show(folder: RunFolder, as_json: bool) -> None:
    results = folder.results
    if as_json:
        print(json.dumps({"folder": str(folder.path), **results}, allow_nan=False))
        return
    tables = {name: pd.read_csv(folder / f"{name}.csv", index_col=0) for name in TABLES}
    oracle: dict[Any, bool] = tables["summary"]["saw_test_labels"].to_dict()
    # All systems would not fit a terminal: the file has them.
    fair = [name for name in tables["mse"] if not oracle[name] and "all genes" not in str(name)]
    cut = "" if results["run"]["threshold_scope"] == "train" else "; classes cut at oracle quartiles, of test lines too"
    _print_table(tables["mse"][fair], f"Mean squared error of {results['run']['response']}, mean over repeats")
    _print_table(tables["accuracy"], f"3-class accuracy, distribution over drugs{cut}")
    means = tables["summary"].drop(columns="saw_test_labels")
    scores = [name for name in means if name in SCORES]
    _print_table(means[scores], f"Means over drugs{cut}")
    _print_table(means.drop(columns=scores), "Cost and genes, means over drugs")
    if len(tables["leak"]):
        _print_table(tables["leak"], "What selecting genes with test labels is worth: MSE of oracle − honest")
    if any(oracle.values()):
        print("oracle selection: genes were selected with the labels of test lines; no fair rival to the other rows.")
    print(f"run folder  {folder.path}")
    print(f"figures     {folder / FIGURES}")


def _print_table(frame: pd.DataFrame, title: str) -> None:
    """A frame as a terminal table under a title of its own line, which a narrow table would break."""
    print(title)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", overflow="fold")
    for name in frame.columns:
        heading = str(name).replace("_", " ")
        longest = max(map(len, heading.split()))  # else a narrow terminal would cut words, and two headings might look alike
        table.add_column(heading, justify="right", min_width=longest, max_width=max(10, longest))
    for label, values in zip(frame.index, frame.to_numpy(), strict=True):
        cells = zip(frame.columns, values, strict=True)
        table.add_row(str(label), *(f"{value:.0f}" if name == "drugs" else _cell(value) for name, value in cells))
    console().print(table)


def _cell(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


VERB = Verb("single-drug", KEYS, _compare, _show)
