"""``dadsp train``: one run, from configuration to a scored and tracked run folder."""

import logging
import shlex
import shutil
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import Field, StrictInt
from pydantic.dataclasses import dataclass

from dadsp.cli.configuration import build, load_study, run_app
from dadsp.cli.results import load_results, print_facts, print_results, row_name, score, write_results
from dadsp.cli.sweep import IDENTITY, Ending, claim, identity, sole_process
from dadsp.errors import ConfigError, DadspError, LoadError, nearest
from dadsp.files import read_json, write_json, write_text
from dadsp.models.base import FitContext, Predictor, save_model
from dadsp.models.naive import Naive
from dadsp.options import validated
from dadsp.schema import Split, Study
from dadsp.splits.store import load_split, save_split
from dadsp.tracking import PARENT, NullTracker, RunTracker, environment_tags

log = logging.getLogger(__name__)


@dataclass(frozen=True, config={"extra": "forbid"})
class RunOptions:
    """Top-level values; ``seed`` is a whole number, never text that looks like one."""

    seed: StrictInt
    runs: str = Field(min_length=1)


@dataclass(frozen=True, config={"extra": "forbid"})
class TrackingOptions:
    """Config group ``tracking``."""

    enabled: bool
    uri: str | None
    experiment: str = Field(min_length=1)


KEYS = ("data", "split", "drug_features", "model", "trainer", "tracking", "seed", "resume", "runs", "sweep")


def run(arguments: list[str], as_json: bool) -> None:
    """Trains as the arguments say, or goes on with the run that ``resume=`` names."""
    resumed = [part.removeprefix("resume=") for part in arguments if part.startswith("resume=")]
    if resumed and resumed[-1] not in ("", "null"):
        others = [part for part in arguments if not part.startswith("resume=") and part != "tracking=none"]
        if others:
            raise ConfigError(
                f"A resumed run keeps its own configuration; {others[0]} cannot be set with resume. Leave it out."
            )
        _resume(Path(resumed[-1]), "tracking=none" not in arguments, as_json)
        return
    run_app("train", "config", arguments, lambda config: _start(config, as_json))


def _start(config: DictConfig, as_json: bool) -> Ending:
    folder = Path(HydraConfig.get().runtime.output_dir)
    command = shlex.join(["dadsp", "train", *HydraConfig.get().overrides.task])
    sweep = folder.parent if HydraConfig.get().mode is RunMode.MULTIRUN else None
    with sole_process(folder) if sweep else nullcontext():
        known = sweep is not None and (folder / IDENTITY).exists()
        if not known and any(entry.name != "train.log" for entry in folder.iterdir()):
            raise ConfigError(f"{folder} already holds files. Choose a new hydra.run.dir, or go on with resume={folder}.")
        try:
            check_keys(config, KEYS)
            _set_threads(config)
            return _train(config, folder, command, as_json, sweep)
        except DadspError:
            if not (folder / "run.json").exists():  # nothing was trained: leave no empty run behind
                for name in (IDENTITY, "split.json", "config.yaml", "train.log"):
                    (folder / name).unlink(missing_ok=True)
                folder.rmdir()
            raise


def check_keys(config: DictConfig, keys: Sequence[str]) -> None:
    """Nothing, where ``config`` has exactly these top-level keys and asks for a new run.

    Raises:
        ConfigError: It has others, lacks some, or names a run to go on with.
    """
    for key in config:
        if key not in keys:
            raise ConfigError(f"{key!s} is not a known key. {nearest(str(key), keys)}")
    for key in keys:
        if key not in config:
            raise ConfigError(f"{key} is required. Leave it in.")
    if config.resume is not None:
        raise ConfigError("resume must stand alone: dadsp train resume=<run folder>.")


def _set_threads(config: DictConfig) -> None:
    """Writes the launcher's threads per job into the configuration, so that the run folder states them."""
    threads = HydraConfig.get().job.env_set.get("OMP_NUM_THREADS")
    if threads is not None and OmegaConf.select(config, "trainer.threads") is None:
        OmegaConf.update(config, "trainer.threads", int(threads))


def _resume(folder: Path, tracked: bool, as_json: bool) -> None:
    try:
        config = OmegaConf.load(folder / "config.yaml")
    except OSError as error:
        raise LoadError(f"{folder} holds no run to go on with ({error.strerror}: config.yaml). Check the folder.") from error
    except Exception as error:  # every YAML defect has its own class
        raise LoadError(f"{folder / 'config.yaml'} is damaged: {error}. Start the run again.") from error
    if not isinstance(config, DictConfig):
        raise LoadError(f"{folder / 'config.yaml'} is not a configuration. Start the run again.")
    if (folder / "metrics.json").exists():
        print_results(load_results(folder), folder, as_json)
        return
    logging.basicConfig(filename=folder / "train.log", level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    command = read_json(folder / "run.json")["command"] if (folder / "run.json").exists() else f"resume={folder}"
    try:
        config.tracking.enabled = config.tracking.enabled and tracked
        _train(config, folder, command, as_json, sweep=None)
    except OmegaConfBaseException as error:
        raise LoadError(f"{folder / 'config.yaml'} is damaged: {error}. Start the run again.") from error


def _train(config: DictConfig, folder: Path, command: str, as_json: bool, sweep: Path | None) -> Ending:
    """Trains in ``folder``; where that is a job's in a ``sweep``, only if it is not finished."""
    options = validated(RunOptions, {key: config[key] for key in ("seed", "runs")}, "")
    tracking = validated(TrackingOptions, OmegaConf.to_container(config.tracking), "tracking")
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
    OmegaConf.resolve(config)
    for node, key in ((config, "runs"), (config.data, "root"), (config.split, "path")):
        if isinstance(node.get(key), str):
            node[key] = str(Path(node[key]).absolute())  # a run is resumed from wherever the user stands
    write_text(folder / "config.yaml", OmegaConf.to_yaml(config))
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
    with _tracker(tracking, Path(config.runs), folder, f"{model.name} seed {options.seed}", command, run_tags) as tracker:
        tracker.log_params(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
        seen_stages: list[str] = []

        def on_epoch(stage: str, epoch: int, metrics: dict[str, float]) -> None:
            main = stage == model.main_stage
            tracker.log_epoch(metrics if main else {f"{stage}/{k}": v for k, v in metrics.items()}, epoch)
            if any(name.startswith("val/") for name in metrics) or stage not in seen_stages:
                seen_stages.append(stage)
                values = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
                print(f"{stage}  epoch {epoch + 1}  {values}", file=sys.stderr, flush=True)

        context = FitContext(options.seed, folder / "checkpoints", on_epoch, progress=sys.stderr.isatty())
        with redirect_stdout(sys.stderr):  # progress bars; standard output is for results
            model.fit(study, split, context)
        save_model(model, folder / "model")
        results = score(model, study, split, {"seed": options.seed, "command": command, **tags})
        # metrics.json comes last: a folder that has it holds everything else too.
        tracker.log_metrics(results.metrics)
        tracker.log_artifacts(write_results(folder, results, model, study))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    print_results(load_results(folder), folder, as_json, tracker.uri)
    return "trained"


def _split(config: DictConfig, seed: int, study: Study, folder: Path) -> Split:
    path = folder / "split.json"
    if path.exists():
        return load_split(path, study)
    split: Split = build(config.split, "split", study=study, seed=seed)
    save_split(path, study, split)
    return split


def _tracker(
    tracking: TrackingOptions, runs: Path, folder: Path, run_name: str, command: str, tags: dict[str, str]
) -> RunTracker | NullTracker:
    known = folder / "run.json"
    if not tracking.enabled:
        write_json(known, {"command": command, "run_id": None, "uri": None})
        return NullTracker()
    resume_id = read_json(known)["run_id"] if known.exists() else None
    tracker = RunTracker.start(tracking.experiment, run_name, tracking.uri, runs, tags, resume_id)
    write_json(known, {"command": command, "run_id": tracker.run_id, "uri": tracker.uri})
    return tracker
