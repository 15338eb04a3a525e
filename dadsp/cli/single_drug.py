"""``dadsp single-drug``: every method on every drug and repeat, then the tables of the paper."""

import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, cast

import pandas as pd
from omegaconf import DictConfig, OmegaConf
from rich.box import SIMPLE_HEAD
from rich.table import Table

from dadsp.cli.results import console, load_results, print_notes
from dadsp.cli.run_folder import finished, remove_states, run_facts, scored
from dadsp.cli.runs import Verb, keep_config, run_options, run_verb, tracked_run
from dadsp.cli.sweep import Ending
from dadsp.configuration.compose import build
from dadsp.errors import ConfigError
from dadsp.files import read_json, write_atomically, write_json
from dadsp.models.base import FitContext
from dadsp.options import validated
from dadsp.provenance import environment_tags
from dadsp.schema import ResponsePanel
from dadsp.singledrug.figures import accuracy_against_time, mse_per_drug
from dadsp.singledrug.lines import chosen_drugs, drug_lines
from dadsp.singledrug.protocol import MODEL, PREDICTIONS, RESULT, run_repeat
from dadsp.singledrug.report import accuracy_table, confusions, leak_table, mse_table, results_frame, summary
from dadsp.singledrug.settings import SingleDrugOptions
from dadsp.tracking import Tracker
from dadsp.written_tables import write_csv

OPTIONS = ("protocol", "selection", "network", "compression")
KEYS = ("panel", "drug", *OPTIONS, "tracking", "seed", "resume", "runs", "plugins")
KEPT = ("config.yaml", "results.csv", "summary.csv", "mse.csv", "accuracy.csv", "leak.csv", "figures", "metrics.json")
TABLES = {"summary": summary, "mse": mse_table, "accuracy": accuracy_table, "leak": leak_table}


def run(arguments: list[str], as_json: bool) -> None:
    """Compares as the arguments say, or goes on with the run that ``resume=`` names."""
    run_verb(Verb("single-drug", "single_drug", KEYS, _compare, _show), arguments, as_json)


def drug_folder(folder: Path, row: int, drug_id: str) -> Path:
    """Where a run keeps what belongs to one drug of the panel: the row makes it unique, the name readable."""
    return folder / "drugs" / f"{row:03d}_{re.sub(r'[^0-9A-Za-z.-]', '_', drug_id)}"


def _compare(config: DictConfig, folder: Path, command: str, as_json: bool, sweep: Path | None) -> Ending:
    top, tracking = run_options(config)
    if tracking.register:
        raise ConfigError("tracking.register has no use here: only dadsp train logs a model. Leave it out.")
    given = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    options = validated(SingleDrugOptions, {key: given[key] for key in OPTIONS}, "")
    panel: ResponsePanel = build(config.panel, "panel")
    rows = chosen_drugs(panel, given["drug"], options)
    keep_config(config, folder, "panel.root")
    if not as_json:
        _print_facts(panel, len(rows), options)
    tags = {"data_hash": panel.content_hash, **environment_tags()}
    tracked = partial(tracked_run, tracking, Path(config.runs), command=command)
    results: list[dict[str, Any]] = []
    with tracked(folder, f"single-drug {panel.name} seed {top.seed}", tags=tags) as tracker:
        tracker.log_params(cast(dict[str, Any], OmegaConf.to_container(config)))
        with redirect_stdout(sys.stderr):  # standard output is for results
            for row in rows:
                place = drug_folder(folder, row, panel.drugs.ids[row])
                results += _run_drug(panel, row, options, FitContext(top.seed), place, tracked, _under(tracker, tags))
        if not (compared_before := scored(folder)):
            facts = {"seed": top.seed, "command": command, "panel": panel.name, "response": panel.response}
            facts |= {"threshold_scope": options.protocol.threshold_scope, **tags}
            _write_results(folder, results, facts)
        tracker.log_artifacts(folder / name for name in KEPT)
        tracker.log_metrics(_metrics(results_frame(results)))
    _show(folder, as_json)
    return "skipped" if compared_before else "trained"


def _run_drug(
    panel: ResponsePanel,
    row: int,
    options: SingleDrugOptions,
    context: FitContext,
    folder: Path,
    tracked: Callable[..., AbstractContextManager[Tracker]],
    tags: dict[str, str],
) -> list[dict[str, Any]]:
    """Every repeat of one drug, read back where it is finished; MLflow has a run for the drug and one under it for each."""
    lines = drug_lines(panel, row)
    folders = [folder / f"repeat_{number}" for number in range(options.protocol.repeats)]
    name = f"{lines.drug_id} seed {context.seed}"
    results: list[dict[str, Any]] = []
    if all(finished(place, RESULT) for place in folders) and run_facts(folder).get("tracked", True):
        return [read_json(place / RESULT) for place in folders]
    with tracked(folder, name, tags=tags) as parent:
        parent.log_params({"drug": lines.drug_id})
        for number, place in enumerate(folders):
            if finished(place, RESULT):
                results.append(read_json(place / RESULT))
                continue
            with tracked(place, f"{name} repeat {number}", tags=_under(parent, tags)) as child:
                child.log_params({"drug": lines.drug_id, "repeat": number})
                results.append(run_repeat(lines, panel.response, number, options, place, context))  # or reads it back
                frame = results_frame(results[-1:])
                child.log_metrics(_metrics(frame))
                for step, trial in enumerate(_growth(results[-1])):
                    child.log_epoch({"growth/val_mse": trial["val_mse"], "growth/layers": len(trial["widths"])}, step)
                child.log_artifacts([path for path in (place / n for n in (RESULT, PREDICTIONS, MODEL)) if path.exists()])
            remove_states(place)
            scores = "  ".join(f"{system} {mse:.3f}" for system, mse in zip(frame["system"], frame["mse"], strict=True))
            print(f"{lines.drug_id}  repeat {number + 1}/{len(folders)}  MSE: {scores}", file=sys.stderr, flush=True)
        parent.log_metrics(_metrics(results_frame(results)))
    return results


def _under(parent: Tracker, tags: dict[str, str]) -> dict[str, str]:
    """Tags of a run that stands under ``parent`` in MLflow."""
    return tags if parent.run_id is None else {**tags, "mlflow.parentRunId": parent.run_id}


def _metrics(frame: pd.DataFrame) -> dict[str, float]:
    """Mean scores of each system by name, as tracking takes them."""
    table = summary(frame).drop(columns="saw_test_labels")
    return {f"{name}/{system}": float(value) for name in table for system, value in table[name].items()}


def _growth(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Every network that the honest growth search tried."""
    for row in result["rows"]:
        if row["method"] == "network" and row["selection_scope"] == "train":
            return cast(list[dict[str, Any]], row["log"])
    return []


def _write_results(folder: Path, results: Sequence[dict[str, Any]], facts: dict[str, Any]) -> None:
    """All rows, the tables, figures and, last, ``metrics.json``."""
    frame = results_frame(results)
    tables = {name: make(frame) for name, make in TABLES.items()}
    for name, table in ({"results": frame.set_index("drug_id")} | tables).items():
        write_atomically(folder / f"{name}.csv", partial(write_csv, table, index=True))
    mse_per_drug(frame, facts["response"], folder / "figures" / "mse_per_drug.png")
    accuracy_against_time(frame, folder / "figures" / "accuracy_against_time.png")
    plain = {name: json.loads(table.to_json(orient="index")) for name, table in tables.items()}
    write_json(folder / "metrics.json", {"run": facts, **plain, "confusion": confusions(results)})


def _print_facts(panel: ResponsePanel, n_drugs: int, options: SingleDrugOptions) -> None:
    protocol = options.protocol
    print(
        f"{panel.name}: {panel.response}, {len(panel.cells):,} lines × {len(panel.genes):,} genes, {n_drugs} of "
        f"{len(panel.drugs)} drugs"
    )
    print_notes((panel,))
    print(
        f"{protocol.repeats} partitions of each drug's lines, {1 - protocol.test_fraction:.0%} train; "
        f"{options.selection.n_genes:,} genes are selected on: {', '.join(protocol.selection_scopes)}; classes are cut at "
        f"quartiles of: {protocol.threshold_scope}\n",
        flush=True,
    )


def _show(folder: Path, as_json: bool) -> None:
    results = load_results(folder)
    if as_json:
        print(json.dumps({"folder": str(folder), **results}, allow_nan=False))
        return
    tables = {name: pd.read_csv(folder / f"{name}.csv", index_col=0) for name in TABLES}
    oracle: dict[Any, bool] = tables["summary"]["saw_test_labels"].to_dict()
    # All systems would not fit a terminal: the file has them.
    fair = [name for name in tables["mse"] if not oracle[name] and "all genes" not in str(name)]
    cut = "" if results["run"]["threshold_scope"] == "train" else "; classes cut at oracle quartiles, of test lines too"
    _print_table(tables["mse"][fair], f"Mean squared error of {results['run']['response']}, mean over repeats")
    _print_table(tables["accuracy"], f"3-class accuracy, distribution over drugs{cut}")
    _print_table(tables["summary"].drop(columns="saw_test_labels"), f"Means over drugs{cut}")
    if len(tables["leak"]):
        _print_table(tables["leak"], "What selecting genes with test labels is worth: MSE of oracle − honest")
    if any(oracle.values()):
        print("oracle selection: genes were selected with the labels of test lines; no fair rival to the other rows.")
    print(f"run folder  {folder}")
    print(f"figures     {folder / 'figures'}")


def _print_table(frame: pd.DataFrame, title: str) -> None:
    """A frame as a terminal table under a title of its own line, which a narrow table would break."""
    print(title)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("")
    for name in frame.columns:
        table.add_column(str(name).replace("_", " "), justify="right", max_width=10)
    for label, values in zip(frame.index, frame.to_numpy(), strict=True):
        table.add_row(str(label), *map(_cell, values))
    console().print(table)


def _cell(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"
