"""``dadsp train``: one run, from configuration to a scored and tracked run folder."""

import logging
import shlex
import shutil
import sys
from contextlib import redirect_stdout
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from dadsp.cli.configuration import build, run_app
from dadsp.cli.results import load_results, print_facts, print_results, score, write_results
from dadsp.errors import ConfigError, DadspError, LoadError, nearest
from dadsp.files import read_json, write_json, write_text
from dadsp.models.base import FitContext, Predictor, save_model
from dadsp.schema import Split, Study
from dadsp.splits.store import load_split, save_split
from dadsp.tracking import NullTracker, RunTracker, environment_tags

log = logging.getLogger(__name__)

KEYS = ("data", "split", "drug_features", "model", "trainer", "tracking", "seed", "resume", "runs")


def run(arguments: list[str], as_json: bool) -> None:
    """Trains as the arguments say, or goes on with the run that ``resume=`` names."""
    resumed = [part.removeprefix("resume=") for part in arguments if part.startswith("resume=")]
    if resumed and resumed[-1] not in ("", "null"):
        others = [part for part in arguments if not part.startswith("resume=")]
        if others:
            raise ConfigError(
                f"A resumed run keeps its own configuration; {others[0]} cannot be set with resume. Leave it out."
            )
        _resume(Path(resumed[-1]), as_json)
        return
    run_app("train", "config", arguments, lambda config: _start(config, as_json))


def _start(config: DictConfig, as_json: bool) -> None:
    folder = Path(HydraConfig.get().runtime.output_dir)
    command = shlex.join(["dadsp", "train", *HydraConfig.get().overrides.task])
    if (folder / "config.yaml").exists():
        raise ConfigError(f"{folder} already holds a run. Choose another hydra.run.dir, or go on with resume={folder}.")
    try:
        unknown = [str(key) for key in config if key not in KEYS]
        if unknown:
            raise ConfigError(f"{unknown[0]} is not a known key. {nearest(unknown[0], KEYS)}")
        _train(config, folder, command, as_json)
    except DadspError:
        if not (folder / "run.json").exists():  # nothing was trained: leave no empty run behind
            shutil.rmtree(folder)
        raise


def _resume(folder: Path, as_json: bool) -> None:
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
    _train(config, folder, command, as_json)


def _train(config: DictConfig, folder: Path, command: str, as_json: bool) -> None:
    model: Predictor = build(config.model, "model")
    study: Study = build(config.data, "data")
    split = _split(config, study, folder)
    OmegaConf.resolve(config)
    write_text(folder / "config.yaml", OmegaConf.to_yaml(config))
    if not as_json:
        print_facts(study, split, model.name)
    tags = {"data_hash": study.content_hash, "split_hash": split.content_hash, **environment_tags()}
    with _tracker(config, folder, model.name, command, tags) as tracker:
        tracker.log_params(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
        seen_stages: list[str] = []

        def on_epoch(stage: str, epoch: int, metrics: dict[str, float]) -> None:
            main = any(name.startswith("val/") for name in metrics)
            tracker.log_epoch(metrics if main else {f"{stage}/{k}": v for k, v in metrics.items()}, epoch)
            if main or stage not in seen_stages:
                seen_stages.append(stage)
                values = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
                print(f"{stage}  epoch {epoch + 1}  {values}", file=sys.stderr, flush=True)

        context = FitContext(config.seed, folder / "checkpoints", on_epoch, progress=sys.stderr.isatty())
        with redirect_stdout(sys.stderr):  # progress bars; standard output is for results
            model.fit(study, split, context)
        save_model(model, folder / "model")
        results = score(model, study, split, {"seed": config.seed, "command": command, **tags})
        # metrics.json comes last: a folder that has it holds everything else too.
        tracker.log_metrics(results.metrics)
        tracker.log_artifacts(write_results(folder, results, model, study))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    print_results(load_results(folder), folder, as_json, tracker.uri)


def _split(config: DictConfig, study: Study, folder: Path) -> Split:
    path = folder / "split.json"
    if path.exists():
        return load_split(path, study)
    split: Split = build(config.split, "split", study=study, seed=config.seed)
    save_split(path, study, split)
    return split


def _tracker(config: DictConfig, folder: Path, name: str, command: str, tags: dict[str, str]) -> RunTracker | NullTracker:
    tracking = config.tracking
    known = folder / "run.json"
    if not tracking.enabled:
        write_json(known, {"command": command, "run_id": None, "uri": None})
        return NullTracker()
    resume_id = read_json(known)["run_id"] if known.exists() else None
    run_name = f"{name} seed {config.seed}"
    tracker = RunTracker.start(tracking.experiment, run_name, tracking.uri, Path(config.runs), tags, resume_id)
    write_json(known, {"command": command, "run_id": tracker.run_id, "uri": tracker.uri})
    return tracker
