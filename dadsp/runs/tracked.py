"""A run in MLflow: what ``tracking`` may ask for, the tracker of a run folder, and what it is handed."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import pandas as pd
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from dadsp import plugins
from dadsp.errors import DadspError
from dadsp.evaluation.compare import best_naive
from dadsp.evaluation.scores import scores_of
from dadsp.options import STRICT
from dadsp.runs.folder import RUN, RunFolder
from dadsp.schema import Split, Study
from dadsp.tracked_model import FinishedModel
from dadsp.tracking import TOKEN, NullTracker, RunTracker, Tracker, new_token

# MLflow shows metrics in the order of their names: what runs are compared by first, stages before the main one last.
COMPARED, OTHER_STAGES = "compare", "z_stage"
MAIN_SCORES = ("rmse", "r2", "median_drug_pearson")


@dataclass(frozen=True, config=STRICT)
class TrackingOptions:
    """Config group ``tracking``."""

    enabled: bool
    uri: str | None
    experiment: str = Field(min_length=1)
    log_model: bool = True
    log_expression: bool = True
    register: str | None = Field(default=None, pattern=r"^[^/:]+$")
    alias: str | None = Field(default=None, pattern=r"^[\w-]+$")

    @model_validator(mode="after")
    def _names_a_model_that_is_logged(self) -> Self:
        if self.alias and not self.register:
            raise ValueError("alias needs a registered model to stand on. Set register.")
        if self.register and not self.log_model:
            raise ValueError("register needs log_model=true.")
        if re.fullmatch(r"latest|v\d+", self.alias or "", re.IGNORECASE):
            raise ValueError(f"alias={self.alias} is a name that MLflow keeps for versions. Choose another.")
        return self


@contextmanager
def tracked_run(
    tracking: TrackingOptions, runs: Path, folder: RunFolder, run_name: str, command: str, tags: Mapping[str, str]
) -> Iterator[Tracker]:
    """The tracker of the run in ``folder``, open in the block; taken up again where ``run.json`` names one.

    ``run.json`` says ``tracked: false`` from before the tracking run exists until it was closed as finished.
    """
    if not tracking.enabled:
        folder.note_tracking({"command": command, "run_id": None, "uri": None})
        yield NullTracker()
        return
    earlier = folder.tracking
    known = {"run_id": None, "uri": None, "token": new_token(), **earlier}
    facts = {name: known[name] for name in ("run_id", "uri", "token")} | {"command": command, "tracked": False}
    folder.note_tracking(facts)
    try:
        own = {**tags, TOKEN: facts["token"]}
        tracker = RunTracker.start(tracking.experiment, run_name, tracking.uri, runs, own, facts["run_id"])
    except DadspError:
        if earlier:
            folder.note_tracking(earlier)
        else:
            (folder / RUN).unlink()
        raise
    facts |= {"run_id": tracker.run_id, "uri": tracker.uri, "experiment_id": tracker.experiment_id}
    folder.note_tracking(facts)
    with tracker:
        yield tracker
    folder.note_tracking(facts | {"tracked": True, "unsent": tracker.store_failed})


def track_results(tracker: Tracker, tracking: TrackingOptions, folder: RunFolder, study: Study, split: Split) -> None:
    """Hands tracking what a scored folder holds, whoever scored it."""
    if not tracking.enabled:
        return
    tracker.log_metrics(final_metrics(folder))
    tracker.log_artifacts(path for path in folder.kept_files() if not (tracking.log_model and path.name == "model"))
    if tracking.log_model:
        _log_model(tracker, tracking, folder, study, split)


def _log_model(tracker: Tracker, tracking: TrackingOptions, folder: RunFolder, study: Study, split: Split) -> None:
    """Hands the model to MLflow with what it needs to predict the run's lines and drugs."""
    from dadsp import served_model

    model, results = folder.model(), folder.results
    facts = {name: results["run"][name] for name in ("system", "seed", "data_hash", "split_hash")}
    own = next(system for system in results["systems"] if system["name"] == facts["system"])
    finished = FinishedModel(
        write=partial(
            served_model.save_served_model, model, study, expression=tracking.log_expression, trust=folder.trust()
        ),
        loader_module=served_model.__name__,
        example=partial(served_model.example_request, model, study, split, expression=tracking.log_expression),
        facts={**facts, "saw_target_labels": own["saw_target_labels"]},
        requirements=plugins.requirements(),
    )
    tracker.log_model(finished, tracking.register, tracking.alias)


def final_metrics(folder: RunFolder) -> dict[str, float]:
    """The flat final metrics of a scored run, as tracking takes them; NaN where undefined."""
    results = folder.results
    facts, systems = results["run"], {system["name"]: system for system in results["systems"]}
    own, tested = systems.pop(facts["system"]), f"test/{tested_on(facts)}"
    table = folder.comparison.set_index("system").loc[facts["system"]]
    # JSON holds the numbers to the last digit, and pandas may read those of a CSV file with an error in it.
    scores = {score.name: own["pooled"].get(score.name, table[score.name]) for score in scores_of("tracking")}
    scores["skill"] = own["skill"]["value"]
    naive = {f"naive/{name}/rmse": system["pooled"]["rmse"] for name, system in systems.items()}
    found = {f"{tested}/{name}": value for name, value in scores.items()} | naive | _side_by_side(scores, folder.comparison)
    return {name: math.nan if value is None else float(value) for name, value in found.items()}


def _side_by_side(scores: Mapping[str, Any], comparison: pd.DataFrame) -> dict[str, Any]:
    """What tells a run from others, where MLflow shows it first: its main scores and those of the best naive row."""
    rival = best_naive(comparison)
    own = {f"{COMPARED}/{name}": scores[name] for name in MAIN_SCORES}
    return own if rival is None else own | {f"{COMPARED}/best_naive_{name}": rival[name] for name in MAIN_SCORES}


def tested_on(facts: Mapping[str, Any]) -> str:
    """Which screen's pairs were tested, of a run with these facts."""
    return "source" if facts.get("split_scope") == "source" else "target"
