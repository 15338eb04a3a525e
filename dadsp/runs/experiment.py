"""One experiment: a system learns from a study's split and is scored beside the naive rows; a folder and MLflow keep it."""

import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from copy import deepcopy
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any

from dadsp import plugins
from dadsp.building import name_of
from dadsp.data.cache import keep_study
from dadsp.errors import ConfigError
from dadsp.models.base import FitContext, Predictor, save_model
from dadsp.models.calibrated import calibrated, given_pairs, label_words
from dadsp.models.trust.trust import Method, Trust, labelled, trust_of
from dadsp.options import check_choice
from dadsp.provenance import environment_tags
from dadsp.runs.folder import MODEL, SPLIT, STUDY, TRUST, RunFolder
from dadsp.runs.identity import sole_process
from dadsp.runs.run import Run, keep_screens
from dadsp.runs.scoring import row_name, score, write_results
from dadsp.runs.tracked import OTHER_STAGES, TrackingOptions, track_results, tracked_run
from dadsp.schema import Pairs, Split, Study
from dadsp.splits.store import save_split
from dadsp.tracking import Tracker


@dataclass(frozen=True)
class Origin:
    """What a run folder and its tracking say of how the run came about.

    Attributes:
        settings: The run's configuration as plain values.
        command: That began it.
        runs: The folder that holds all runs, and the embedded store.
        tags: For the tracking run, beside what identifies it.
        tell: Is told in a line what happens that is not in the results.
    """

    settings: Mapping[str, Any]
    command: str
    runs: Path
    tags: Mapping[str, str] = field(default_factory=dict)
    tell: Callable[[str], None] = lambda line: None


def run_experiment(
    study: Study,
    split: Split,
    model: Predictor,
    folder: str | Path | None = None,
    tracker: TrackingOptions | None = None,
    context: FitContext | None = None,
    intervals: Method = "auto",
) -> Run:
    """Fits ``model``, scores it on the test pairs beside the naive rows, and keeps all of it in ``folder``.

    Args:
        study: What to learn from and predict.
        split: Of that study.
        model: Not yet fitted; it is fitted in place.
        folder: Of the run, with the study in it, so that the run can be opened again; None keeps the run in memory alone. A
            run that was killed there goes on.
        tracker: Where to track the run; None does not.
        context: Seed and what is told of each epoch; None takes seed 0. Training states are kept in ``folder``.
        intervals: What calibrates them: ``"cross_fit"``, ``"held_out_lines"`` or ``"none"``; ``"auto"`` cross-fits where
            fitting takes seconds. See docs/intervals.md.

    Raises:
        DadspError: Training failed, or another process works in the folder, or it cannot be written.
    """
    context = context or FitContext()
    check_choice("intervals", intervals, Method)
    if folder is None:
        model.name = row_name(model, study)
        trust = _fitted(model, study, split, context, context, intervals)
        model, trust = _calibrated(model, study, split, trust)
        results = score(model, study, split, _facts(study, split, context))
        return Run(model=model, study=study, split=split, results=results, trust=trust)
    place = RunFolder(folder)
    place.path.parent.mkdir(parents=True, exist_ok=True)
    with sole_process(place.path):
        if not (place / SPLIT).exists():
            keep_study(study, place / STUDY)
            save_split(place / SPLIT, study, split)
        elif place.split(study).content_hash != split.content_hash:
            raise ConfigError(f"{place.path} holds a run on another split. Choose a new folder.")
        origin = Origin(_settings(study, split, model, place, context), "dadsp.run_experiment", place.path.parent)
        return work_in(place, study, split, model, tracker or NO_TRACKING, context, origin, intervals)


NO_TRACKING = TrackingOptions(enabled=False, uri=None, experiment="dadsp")


def work_in(
    folder: RunFolder,
    study: Study,
    split: Split,
    model: Predictor,
    tracking: TrackingOptions,
    context: FitContext,
    origin: Origin,
    intervals: Method = "auto",
) -> Run:
    """The run of a folder that holds the split already and in which this process works alone, brought to its end."""
    model.name = row_name(model, study)
    folder.keep_settings(origin.settings)
    made_with = environment_tags() | plugins.identity(origin.settings) | plugins.versions()
    facts = {"command": origin.command, **_facts(study, split, context), **made_with}
    tags = {"system": model.name, "study": f"{study.source.name} → {study.target.name}"}
    tags |= {name: value for name, value in facts.items() if name not in ("command", "seed")}
    given = f" + {facts['target_labels']}" if "target_labels" in facts else ""
    name = f"{model.name}{given} seed {context.seed}"
    with tracked_run(tracking, origin.runs, folder, name, origin.command, {**tags, **origin.tags}) as tracker:
        tracker.log_params(origin.settings)
        if folder.scored:
            origin.tell(f"{folder.path.name}: its results are there; finishing what is left")
            for stage, epoch, metrics in epochs(folder):
                _track_epoch(model, tracker, stage, epoch, metrics)
        else:
            with redirect_stdout(sys.stderr):  # progress bars; standard output is for results
                on_epoch = _both(model, tracker, context)
                keeping = replace(context, checkpoints=folder / "checkpoints", on_epoch=on_epoch)
                trust = _fitted(model, study, split, keeping, context, intervals)
            model, trust = _calibrated(model, study, split, trust)
            save_model(model, folder / MODEL)
            if trust is not None:
                trust.save(folder / TRUST)
            keep_screens(folder, model, study)
            results = score(model, study, split, {"seed": context.seed, **facts})
            write_results(folder, results, model, study)
        track_results(tracker, tracking, folder, study, split)
    folder.remove_states()
    return Run(folder, study=study, split=split)


def _fitted(
    model: Predictor, study: Study, split: Split, keeping: FitContext, context: FitContext, intervals: Method
) -> Trust | None:
    """Fits the model; how far to trust it, with its true coverage of labelled test pairs, which calibrate nothing.

    Args:
        model: Fitted in place.
        study: To learn from.
        split: Of it.
        keeping: For fitting the model itself, whose states are kept.
        context: For fitting it on folds.
        intervals: See ``trust_of``.
    """
    unfitted = deepcopy(model) if intervals == "cross_fit" else None
    model.fit(study, split, keeping)
    trust = trust_of(model, unfitted, study, split, context, intervals)
    if trust is None:
        return None
    tested = study.target.responses.take(split.test_idx)
    pairs = Pairs(study.target, "target", tested.cell_idx, tested.drug_idx)
    return trust.measured_on("target", labelled(trust, model, study.target, pairs, tested.potency))


def _calibrated(model: Predictor, study: Study, split: Split, trust: Trust | None) -> tuple[Predictor, Trust | None]:
    """The model calibrated with given target labels, where there are some; its intervals then are its own."""
    return (model, trust) if not len(split.calibrate_idx) else (calibrated(model, study, split), None)


def epochs(folder: RunFolder) -> list[tuple[str, int, dict[str, float]]]:
    """Stage, epoch and metrics of every epoch of a scored run, in their order."""
    records = folder.history.drop(columns="collapsed", errors="ignore").to_dict("records")
    return [(str(record.pop("stage")), int(record.pop("epoch")), record) for record in records]  # type: ignore[misc]


def _facts(study: Study, split: Split, context: FitContext) -> dict[str, Any]:
    facts = {
        "seed": context.seed,
        "data_hash": study.content_hash,
        "split_hash": split.content_hash,
        "split": split.kind,
        "split_scope": study.scope,
    }
    return facts if not len(split.calibrate_idx) else {**facts, "target_labels": label_words(given_pairs(study, split))}


def _both(model: Predictor, tracker: Tracker, context: FitContext) -> Callable[[str, int, dict[str, float]], None]:
    """Tells tracking and then the caller of each epoch."""

    def on_epoch(stage: str, epoch: int, metrics: dict[str, float]) -> None:
        _track_epoch(model, tracker, stage, epoch, metrics)
        context.on_epoch(stage, epoch, metrics)

    return on_epoch


def _track_epoch(model: Predictor, tracker: Tracker, stage: str, epoch: int, metrics: dict[str, float]) -> None:
    before = "" if stage == model.main_stage else f"{OTHER_STAGES}/{stage}/"
    tracker.log_epoch({f"{before}{name}": value for name, value in metrics.items()}, epoch)


def _settings(study: Study, split: Split, model: Predictor, folder: RunFolder, context: FitContext) -> dict[str, Any]:
    """What ``config.yaml`` says of a run that was made of objects."""
    data = {
        "_target_": "dadsp.data.cache.kept_study",
        "folder": str((folder / STUDY).absolute()),
        "source": study.source.name,
        "target": study.target.name,
    }
    target = name_of("model", type(model))
    kind = {"_target_": target} if target else {"class": f"{type(model).__module__}.{type(model).__qualname__}"}
    options = getattr(model, "options", None)
    known = asdict(options) if is_dataclass(options) and not isinstance(options, type) else {}
    return {"data": data, "split": {"kind": split.kind}, "model": {**kind, **_plain(known)}, "seed": context.seed}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | None) else str(value)
