"""A finished run as its folder tells it, without its model and data."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dadsp.evaluation.metric import METRICS, POTENCY_UNIT
from dadsp.evaluation.naive_predictions import with_newer_metrics
from dadsp.runs.collection import REPETITIONS, flat
from dadsp.runs.folder import CONFIG, HISTORY, RunFolder, complete

PASSWORD = re.compile(r"(?<=://)[^/@\s]+(?=@)")


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

    @property
    def unit(self) -> str:
        """Of its labels; runs older than ``data_facts.json`` have IC50s."""
        measure = self.data.get("target", {}).get("measure", "ic50")
        return POTENCY_UNIT if measure == "ic50" else f"share of the area that is lost ({measure})"

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


def read_run(folder: RunFolder) -> ReportedRun:
    """The run in ``folder``, without its model and data.

    Raises:
        LoadError: A file is absent or damaged.
    """
    with complete(folder.path):
        predictions = folder.predictions
        results, comparison = _scores(folder)
        run = ReportedRun(
            folder=folder.path,
            results=results,
            config=PASSWORD.sub("…", (folder / CONFIG).read_text(encoding="utf-8")),
            settings=dict(flat(folder.settings)),
            comparison=comparison,
            split=folder.split_facts,
            predictions=predictions.frame,
            data=folder.data_facts,
            notes=folder.data_notes,
            history=folder.history if (folder / HISTORY).exists() else None,
            tracked=folder.tracking,
            times=folder.times(),
            figures=folder.figures(),
        )
        _ = run.own, run.replicate  # what every page shows
        return run


def _scores(folder: RunFolder) -> tuple[dict[str, Any], pd.DataFrame]:
    """Results and comparison, with the metrics that are newer than the run."""
    results = folder.results
    if all(set(METRICS) <= set(system["pooled"]) for system in results["systems"]):
        return results, folder.scores
    tables = folder.test_tables()
    systems = [with_newer_metrics(system, tables.get(system["name"])) for system in results["systems"]]
    return {**results, "systems": systems}, folder.scores
