"""``dadsp train``: one run, from configuration to a scored and tracked run folder."""

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from dadsp import served_model
from dadsp.cli.results import (
    final_metrics,
    kept_files,
    load_results,
    print_facts,
    print_results,
    read_history,
    row_name,
    score,
    write_results,
)
from dadsp.cli.run_folder import remove_states, scored
from dadsp.cli.runs import TrackingOptions, Verb, keep_config, run_options, run_verb, tracked_run
from dadsp.cli.sweep import Ending, claim, identity
from dadsp.configuration.compose import build, load_study
from dadsp.errors import ConfigError
from dadsp.models.base import FitContext, Predictor, load_model, save_model
from dadsp.models.systems.naive import Naive
from dadsp.provenance import environment_tags
from dadsp.schema import Split, Study
from dadsp.served_model import example_request, save_served_model
from dadsp.splits.store import load_split, save_split
from dadsp.tracked_model import FinishedModel
from dadsp.tracking import PARENT, RunTracker, Tracker

KEYS = (
    "data",
    "split",
    "drug_features",
    "alignment",
    "model",
    "trainer",
    "tracking",
    "seed",
    "resume",
    "runs",
    "sweep",
    "plugins",
)


def run(arguments: list[str], as_json: bool) -> None:
    """Trains as the arguments say, or goes on with the run that ``resume=`` names."""
    run_verb(Verb("train", "config", KEYS, _train, _show), arguments, as_json)


def _train(config: DictConfig, folder: Path, command: str, as_json: bool, sweep: Path | None) -> Ending:
    """Trains in ``folder``; where that is a job's in a ``sweep``, only if it is not finished."""
    options, tracking = run_options(config)
    model: Predictor = build(config.model, "model")
    if model.name.startswith(("source ", "target ", "oracle ")) and not isinstance(model, Naive):
        raise ConfigError(f"model.name={model.name!r} would pass for a naive row. Choose another name.")
    study = load_study(config, folder)
    if sweep is not None and claim(folder, identity(config, study)):
        if as_json:
            print_results(load_results(folder), folder, as_json)
        return "skipped"
    split = _split(config, options.seed, study, folder)
    model.name = row_name(model, study)
    keep_config(config, folder, "data.root", "split.path")
    if not as_json:
        print_facts(study, split, model.name)
    tags = {
        "data_hash": study.content_hash,
        "split_hash": split.content_hash,
        "split": split.kind,
        "split_scope": study.scope,
    }
    tags |= environment_tags()
    run_tags = dict(tags)
    if sweep is not None and tracking.enabled:
        above = RunTracker.of_sweep(tracking.experiment, config.sweep, tracking.uri, Path(config.runs), sweep)
        run_tags[PARENT] = above.run_id
    trained_before = scored(folder)
    name = f"{model.name} seed {options.seed}"
    with tracked_run(tracking, Path(config.runs), folder, name, command, run_tags) as tracker:
        tracker.log_params(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
        if not trained_before:
            context = FitContext(
                options.seed, folder / "checkpoints", _listener(model, tracker), progress=sys.stderr.isatty()
            )
            with redirect_stdout(sys.stderr):  # progress bars; standard output is for results
                model.fit(study, split, context)
            save_model(model, folder / "model")
            facts = {"seed": options.seed, "command": command, **tags}
            # metrics.json comes last: a folder that has it holds everything else too.
            write_results(folder, score(model, study, split, facts), model, study)
        else:
            print(f"{folder.name}: its results are there; finishing what is left", file=sys.stderr, flush=True)
            for stage, epoch, metrics in read_history(folder):
                _track_epoch(model, tracker, stage, epoch, metrics)
        _track_results(tracker, tracking, folder, study, split)
    remove_states(folder)
    print_results(load_results(folder), folder, as_json, tracker.uri)
    return "skipped" if trained_before else "trained"


def _listener(model: Predictor, tracker: Tracker) -> Callable[[str, int, dict[str, float]], None]:
    """Tracks and shows each epoch."""
    seen_stages: list[str] = []

    def on_epoch(stage: str, epoch: int, metrics: dict[str, float]) -> None:
        _track_epoch(model, tracker, stage, epoch, metrics)
        if any(name.startswith("val/") for name in metrics) or stage not in seen_stages:
            seen_stages.append(stage)
            values = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            print(f"{stage}  epoch {epoch + 1}  {values}", file=sys.stderr, flush=True)

    return on_epoch


def _track_epoch(model: Predictor, tracker: Tracker, stage: str, epoch: int, metrics: dict[str, float]) -> None:
    main = stage == model.main_stage
    tracker.log_epoch(metrics if main else {f"{stage}/{name}": value for name, value in metrics.items()}, epoch)


def _track_results(tracker: Tracker, tracking: TrackingOptions, folder: Path, study: Study, split: Split) -> None:
    """Hands tracking what a scored folder holds, whoever scored it."""
    if not tracking.enabled:
        return
    tracker.log_metrics(final_metrics(folder))
    tracker.log_artifacts(path for path in kept_files(folder) if not (tracking.log_model and path.name == "model"))
    if tracking.log_model:
        _log_model(tracker, tracking, folder, study, split)


def _log_model(tracker: Tracker, tracking: TrackingOptions, folder: Path, study: Study, split: Split) -> None:
    """Hands the model to MLflow with what it needs to predict the run's lines and drugs."""
    model, results = load_model(folder / "model"), load_results(folder)
    facts = {name: results["run"][name] for name in ("system", "seed", "data_hash", "split_hash")}
    own = next(system for system in results["systems"] if system["name"] == facts["system"])
    finished = FinishedModel(
        write=partial(save_served_model, model, study, expression=tracking.log_expression),
        loader_module=served_model.__name__,
        example=partial(example_request, model, study, split, expression=tracking.log_expression),
        facts={**facts, "saw_target_labels": own["saw_target_labels"]},
    )
    tracker.log_model(finished, tracking.register, tracking.alias)


def _split(config: DictConfig, seed: int, study: Study, folder: Path) -> Split:
    path = folder / "split.json"
    if path.exists():
        return load_split(path, study)
    split: Split = build(config.split, "split", study=study, seed=seed)
    save_split(path, study, split)
    return split


def _show(folder: Path, as_json: bool) -> None:
    print_results(load_results(folder), folder, as_json)
