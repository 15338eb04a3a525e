"""Single-drug networks on one screen: every method on every drug and repeat, then the tables of the paper."""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import pandas as pd

from dadsp import plugins
from dadsp.files import read_json, write_atomically
from dadsp.models.base import FitContext
from dadsp.provenance import environment_tags
from dadsp.runs.experiment import Origin
from dadsp.runs.folder import CONFIG, DRUGS, FIGURES, RESULTS, RunFolder
from dadsp.runs.tracked import TrackingOptions, tracked_run
from dadsp.schema import ResponsePanel
from dadsp.singledrug.lines import drug_lines
from dadsp.singledrug.protocol import MODEL, PREDICTIONS, RESULT, run_repeat
from dadsp.singledrug.report import accuracy_table, confusions, leak_table, mse_table, results_frame, summary
from dadsp.singledrug.settings import SingleDrugOptions
from dadsp.tracking import Tracker
from dadsp.written_tables import write_csv

TABLES = {"summary": summary, "mse": mse_table, "accuracy": accuracy_table, "leak": leak_table}
KEPT = (CONFIG, "results.csv", *(f"{name}.csv" for name in TABLES), FIGURES, RESULTS)

Tracked = Callable[..., AbstractContextManager[Tracker]]


def run_single_drug(
    folder: RunFolder,
    panel: ResponsePanel,
    rows: Sequence[int],
    options: SingleDrugOptions,
    tracking: TrackingOptions,
    seed: int,
    origin: Origin,
) -> bool:
    """Compares the methods on these drugs of the panel, going on after the last finished repeat.

    Args:
        folder: In which this process works alone.
        panel: The screen.
        rows: Drugs of it.
        options: Protocol, selection, network, compression.
        tracking: Where to track.
        seed: Root of every random draw.
        origin: What folder and tracking say of the run.

    Returns:
        Whether it had been compared before, so that only tracking was left.
    """
    folder.keep_settings(origin.settings)
    made_with = environment_tags() | plugins.identity(origin.settings) | plugins.versions()
    tags = {"data_hash": panel.content_hash, **made_with}
    tracked = partial(tracked_run, tracking, origin.runs, command=origin.command)
    results: list[dict[str, Any]] = []
    with tracked(folder, f"single-drug {panel.name} seed {seed}", tags=tags) as tracker:
        tracker.log_params(origin.settings)
        with redirect_stdout(sys.stderr):  # standard output is for results
            for row in rows:
                place = drug_folder(folder.path, row, panel.drugs.ids[row])
                drug = _Drug(panel, row, options, FitContext(seed), tracked, _under(tracker, tags), origin.tell)
                results += drug.run(place)
        if not (compared_before := folder.scored):
            facts = {"seed": seed, "command": origin.command, "panel": panel.name, "response": panel.response}
            facts |= {"threshold_scope": options.protocol.threshold_scope, **tags}
            _write_results(folder, results, facts)
        tracker.log_artifacts(folder.kept_files(KEPT))
        tracker.log_metrics(_metrics(results_frame(results)))
    return compared_before


@dataclass(frozen=True)
class _Drug:
    """One drug of the panel, with what all of its repeats share."""

    panel: ResponsePanel
    row: int
    options: SingleDrugOptions
    context: FitContext
    tracked: Tracked
    tags: Mapping[str, str]
    tell: Callable[[str], None]

    def run(self, folder: Path) -> list[dict[str, Any]]:
        """Every repeat, read back where it is finished; MLflow has a run for the drug and one under it for each."""
        lines = drug_lines(self.panel, self.row)
        places = [RunFolder(folder / f"repeat_{number}", RESULT) for number in range(self.options.protocol.repeats)]
        name = f"{lines.drug_id} seed {self.context.seed}"
        if all(place.finished for place in places) and RunFolder(folder).tracking.get("tracked", True):
            return [read_json(place / RESULT) for place in places]
        results: list[dict[str, Any]] = []
        with self.tracked(RunFolder(folder), name, tags=self.tags) as parent:
            parent.log_params({"drug": lines.drug_id})
            for number, place in enumerate(places):
                if place.finished:
                    results.append(read_json(place / RESULT))
                    continue
                with self.tracked(place, f"{name} repeat {number}", tags=_under(parent, self.tags)) as child:
                    child.log_params({"drug": lines.drug_id, "repeat": number})
                    result = run_repeat(lines, self.panel.response, number, self.options, place.path, self.context)
                    _track_repeat(child, result, place)
                results.append(result)
                place.remove_states()
                frame = results_frame([result])
                scores = "  ".join(f"{system} {mse:.3f}" for system, mse in zip(frame["system"], frame["mse"], strict=True))
                self.tell(f"{lines.drug_id}  repeat {number + 1}/{len(places)}  MSE: {scores}")
            parent.log_metrics(_metrics(results_frame(results)))
        return results


def _track_repeat(tracker: Tracker, result: dict[str, Any], place: RunFolder) -> None:
    tracker.log_metrics(_metrics(results_frame([result])))
    for step, trial in enumerate(_growth(result)):
        tracker.log_epoch({"growth/val_mse": trial["val_mse"], "growth/layers": len(trial["widths"])}, step)
    tracker.log_artifacts(place.kept_files((RESULT, PREDICTIONS, MODEL)))


def drug_folder(folder: Path, row: int, drug_id: str) -> Path:
    """Where a run keeps what belongs to one drug of the panel: the row makes it unique, the name readable."""
    return folder / DRUGS / f"{row:03d}_{re.sub(r'[^0-9A-Za-z.-]', '_', drug_id)}"


def _under(parent: Tracker, tags: Mapping[str, str]) -> dict[str, str]:
    """Tags of a run that stands under ``parent`` in MLflow."""
    return dict(tags) if parent.run_id is None else {**tags, "mlflow.parentRunId": parent.run_id}


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


def _write_results(folder: RunFolder, results: Sequence[dict[str, Any]], facts: dict[str, Any]) -> None:
    """All rows, the tables, figures and, last, ``metrics.json``."""
    frame = results_frame(results)
    tables = {name: make(frame) for name, make in TABLES.items()}
    for name, table in ({"results": frame.set_index("drug_id")} | tables).items():
        write_atomically(folder / f"{name}.csv", partial(write_csv, table, index=True))
    from dadsp.singledrug.figures import accuracy_against_time, mse_per_drug  # pulls in matplotlib

    mse_per_drug(frame, facts["response"], folder / FIGURES / "mse_per_drug.png")
    accuracy_against_time(frame, folder / FIGURES / "accuracy_against_time.png")
    plain = {name: json.loads(table.to_json(orient="index")) for name, table in tables.items()}
    folder.write_results({"run": facts, **plain, "confusion": confusions(results)})
