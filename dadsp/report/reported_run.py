"""A finished run as its folder tells it, without its model and data."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dadsp.cli.compare import REPETITIONS, flat
from dadsp.cli.finished_run import complete, read_settings
from dadsp.evaluation.metric import METRICS
from dadsp.evaluation.naive_predictions import FILE as NAIVE
from dadsp.evaluation.naive_predictions import lacking, naive_tables, read_naive, scored_again, with_newer_metrics
from dadsp.evaluation.report import read_comparison
from dadsp.files import read_json
from dadsp.report.document import SUFFIXES
from dadsp.schema import PredictionTable

PASSWORD = re.compile(r"(?<=://)[^/@\s]+(?=@)")
TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class ReportedRun:
    """What a run folder holds, for reading.

    Attributes:
        folder: Where it lies.
        results: What ``metrics.json`` holds.
        config: ``config.yaml``, passwords taken out.
        settings: The same, flat.
        comparison: ``comparison.csv``, with the scores that its version did not know yet.
        split: What ``split.json`` holds, row numbers counted.
        predictions: Of validation and test pairs.
        data: What ``dadsp.data.describe`` said of the study, and names of drugs; empty in runs older than that file.
        notes: What reading left out, merged or clipped, by screen.
        history: One row per epoch, None where the system has none.
        tracked: What ``run.json`` holds.
        times: First and last time in the log.
        figures: Of the folder ``figures``.
    """

    folder: Path
    results: Mapping[str, Any]
    config: str
    settings: Mapping[str, str]
    comparison: pd.DataFrame
    split: Mapping[str, Any]
    predictions: pd.DataFrame
    data: Mapping[str, Any]
    notes: Mapping[str, list[dict[str, Any]]]
    history: pd.DataFrame | None
    tracked: Mapping[str, Any]
    times: tuple[str, str] | None
    figures: Mapping[str, bytes]

    @property
    def system(self) -> str:
        """Its name."""
        return str(self.results["run"]["system"])

    @property
    def replicate(self) -> str:
        """Seed, and fold and repeat where the split has them."""
        repeated = [f"{key} {self.settings[f'split.{key}']}" for key in REPETITIONS if f"split.{key}" in self.settings]
        return ", ".join([f"seed {self.results['run']['seed']}", *repeated])

    @property
    def own(self) -> Mapping[str, Any]:
        """Scores of the system itself."""
        return next(row for row in self.results["systems"] if row["name"] == self.system)

    @property
    def scope(self) -> str:
        """On which screens its split stands."""
        return str(self.split.get("scope", "across"))

    @property
    def screens(self) -> tuple[str, str]:
        """Names of the screens that train and test."""
        if self.data:
            return self.data["source"]["name"], self.data["target"]["name"]
        roles = {"source": ("source", "source"), "target_oracle": ("target", "target")}.get(self.scope, ("source", "target"))
        named = [self.settings.get(f"data.{role}.name") for role in roles]
        first, second = named
        return (first or f"the {roles[0]} screen", second or f"the {roles[1]} screen")

    def facts(self) -> dict[str, Any]:
        """The same for machines, without tables of pairs and drugs."""
        kept = ["name", "kind", "saw_target_labels", "pooled", "strata", "per_drug_median", "skill"]
        newer = ("median_drug_pearson_interval", "which_line", "note")  # older runs lack them
        return {
            "folder": str(self.folder),
            "run": self.results["run"],
            "times": self.times,
            "data": {key: value for key, value in self.data.items() if key != "drug_names"},
            "notes": self.notes,
            "split": self.split,
            "systems": [
                {key: row[key] for key in [*kept, *(name for name in newer if name in row)]}
                for row in self.results["systems"]
            ],
            "figures": list(self.figures),
        }


def read_run(folder: Path) -> ReportedRun:
    """The run in ``folder``, without its model and data.

    Raises:
        LoadError: A file is absent or damaged.
    """
    with complete(folder):
        settings = read_settings(folder)
        text = PASSWORD.sub("…", (folder / "config.yaml").read_text(encoding="utf-8"))
        rows = read_json(folder / "split.json")
        split = {name: len(value) if name.endswith("_idx") else value for name, value in rows.items()}
        history, log = folder / "history.csv", folder / "train.log"
        times = TIME.findall(log.read_text(encoding="utf-8", errors="replace")) if log.exists() else []
        predictions = pd.read_parquet(folder / "predictions.parquet")
        results, comparison = _scores(folder, predictions)
        run = ReportedRun(
            folder=folder,
            results=results,
            config=text,
            settings=dict(flat(settings)),
            comparison=comparison,
            split=split,
            predictions=predictions,
            data=_read_if_there(folder / "data_facts.json"),
            notes=_read_if_there(folder / "data_notes.json"),
            history=pd.read_csv(history) if history.exists() else None,
            tracked=_read_if_there(folder / "run.json"),
            times=(times[0], times[-1]) if times else None,
            figures=read_figures(folder / "figures"),
        )
        _ = run.own, run.replicate  # what every page shows
        return run


def _scores(folder: Path, predictions: pd.DataFrame) -> tuple[dict[str, Any], pd.DataFrame]:
    """``metrics.json`` and ``comparison.csv``; scores that they were written without are computed from kept predictions."""
    results: dict[str, Any] = read_json(folder / "metrics.json")
    comparison, names = read_comparison(folder / "comparison.csv"), lacking(folder / "comparison.csv")
    if not names and all(set(METRICS) <= set(system["pooled"]) for system in results["systems"]):
        return results, comparison
    test = PredictionTable(predictions[predictions["split"] == "test"])
    tables = {**naive_tables(read_naive(folder / NAIVE)), results["run"]["system"]: test}
    systems = [with_newer_metrics(system, tables.get(system["name"])) for system in results["systems"]]
    return {**results, "systems": systems}, scored_again(comparison, tables, names)


def _read_if_there(path: Path) -> Any:
    return read_json(path) if path.exists() else {}


def read_figures(folder: Path) -> dict[str, bytes]:
    """Pictures of a folder by file name; none where there is no such folder."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return {path.name: path.read_bytes() for path in paths if path.suffix in SUFFIXES}
