"""What the verbs that make run folders share: starting, resuming, tracking."""

import logging
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import Field, StrictInt, model_validator
from pydantic.dataclasses import dataclass

from dadsp import plugins
from dadsp.cli.app import run_app
from dadsp.cli.finished_run import read_config
from dadsp.cli.run_folder import IDENTITY, LOCK, RUN, finished, note_run, run_facts, sole_process, unsent
from dadsp.cli.sweep import Ending, lean
from dadsp.credentials import LeanFormatter, without_credentials
from dadsp.errors import ConfigError, DadspError, LoadError, StorageError, nearest
from dadsp.files import write_text
from dadsp.options import STRICT, validated
from dadsp.tracking import TOKEN, NullTracker, RunTracker, Tracker, new_token


@dataclass(frozen=True, config=STRICT)
class RunOptions:
    """Top-level values; ``seed`` is a whole number, never text that looks like one."""

    seed: StrictInt
    runs: str = Field(min_length=1)


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


class Verb(NamedTuple):
    """A verb whose runs live in folders of their own; ``metrics.json`` is written last.

    Attributes:
        name: As the user types it.
        config_name: Its primary configuration, whose Hydra job name names the log file.
        keys: Of that configuration, all of them.
        work: Does the run: configuration, folder, command that began it, whether to print JSON, folder of its sweep.
        show: Prints the results of a finished run: folder, whether as JSON.
    """

    name: str
    config_name: str
    keys: tuple[str, ...]
    work: Callable[[DictConfig, Path, str, bool, Path | None], Ending]
    show: Callable[[Path, bool], None]

    @property
    def log(self) -> str:
        """Name of the log file."""
        return f"{self.name.replace('-', '_')}.log"


def run_verb(verb: Verb, arguments: list[str], as_json: bool) -> None:
    """Starts a run as the arguments say, or goes on with the one that ``resume=`` names."""
    if any(part.startswith("resume=") for part in arguments):
        arguments = plugins.taken(arguments)
    resumed = [part.removeprefix("resume=") for part in arguments if part.startswith("resume=")]
    if resumed and resumed[-1] not in ("", "null"):
        others = [part for part in arguments if not part.startswith("resume=") and part != "tracking=none"]
        if others:
            raise ConfigError(
                f"A resumed run keeps its own configuration; {others[0]} cannot be set with resume. Leave it out."
            )
        _resume(verb, Path(resumed[-1]), "tracking=none" not in arguments, as_json)
        return
    run_app(verb.name, verb.config_name, arguments, lambda config: _start(verb, config, as_json))


def keep_config(config: DictConfig, folder: Path, *paths: str) -> None:
    """Resolves a configuration and writes it to the run folder, with ``runs`` and these keys as absolute paths.

    A run is resumed from wherever the user stands. Passwords and tokens of addresses stay in memory.
    """
    OmegaConf.resolve(config)
    for key in ("runs", *paths):
        if isinstance(path := OmegaConf.select(config, key), str):
            OmegaConf.update(config, key, str(Path(path).absolute()))
    write_text(folder / "config.yaml", OmegaConf.to_yaml(lean(config)))


def run_options(config: DictConfig) -> tuple[RunOptions, TrackingOptions]:
    """Seed, folder of runs, and tracking, checked."""
    top = validated(RunOptions, {key: config[key] for key in ("seed", "runs")}, "")
    return top, validated(TrackingOptions, OmegaConf.to_container(config.tracking), "tracking")


@contextmanager
def tracked_run(
    tracking: TrackingOptions, runs: Path, folder: Path, run_name: str, command: str, tags: Mapping[str, str]
) -> Iterator[Tracker]:
    """The tracker of the run in ``folder``, open in the block; taken up again where ``run.json`` names one.

    ``run.json`` says ``tracked: false`` from before the tracking run exists until it was closed as finished.
    """
    if not tracking.enabled:
        note_run(folder, {"command": command, "run_id": None, "uri": None})
        yield NullTracker()
        return
    earlier = run_facts(folder)
    known = {"run_id": None, "uri": None, "token": new_token(), **earlier}
    facts = {name: known[name] for name in ("run_id", "uri", "token")} | {"command": command, "tracked": False}
    note_run(folder, facts)
    try:
        own = {**tags, TOKEN: facts["token"]}
        tracker = RunTracker.start(tracking.experiment, run_name, tracking.uri, runs, own, facts["run_id"])
    except DadspError:
        if earlier:
            note_run(folder, earlier)
        else:
            (folder / RUN).unlink()
        raise
    facts |= {"run_id": tracker.run_id, "uri": tracker.uri}
    note_run(folder, facts)
    with tracker:
        yield tracker
    note_run(folder, facts | {"tracked": True, "unsent": tracker.store_failed})


def _start(verb: Verb, config: DictConfig, as_json: bool) -> Ending:
    folder = Path(HydraConfig.get().runtime.output_dir)
    given = map(without_credentials, HydraConfig.get().overrides.task)
    command = shlex.join(["dadsp", verb.name, *given])
    sweep = folder.parent if HydraConfig.get().mode is RunMode.MULTIRUN else None
    if sweep is None:
        _refuse_files(folder, verb)  # before a lock is left there
    with sole_process(folder, job=sweep is not None, wait=sweep is not None):
        if sweep is not None and not (folder / IDENTITY).exists():
            _refuse_files(folder, verb)
        try:
            check_keys(config, verb.keys, verb.name)
            _set_threads(config)
            with _told_how_to_go_on(verb, folder):
                return verb.work(config, folder, command, as_json, sweep)
        except DadspError:
            if not (folder / RUN).exists():  # nothing was trained: leave no empty run behind
                for name in (IDENTITY, "split.json", "config.yaml", verb.log, LOCK):
                    (folder / name).unlink(missing_ok=True)
                folder.rmdir()
                if sweep is None and config.get("runs") is None:
                    folder.parent.rmdir()  # Hydra made a folder of that name
            raise


def _refuse_files(folder: Path, verb: Verb) -> None:
    if any(entry.name not in (verb.log, LOCK) for entry in folder.iterdir()):
        raise ConfigError(f"{folder} already holds files. Choose a new hydra.run.dir, or go on with resume={folder}.")


@contextmanager
def _told_how_to_go_on(verb: Verb, folder: Path) -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        if not (folder / RUN).exists():
            raise
        raise StorageError(f"{error} Then the run goes on: dadsp {verb.name} resume={folder}") from error


def check_keys(config: DictConfig, keys: Sequence[str], verb: str) -> None:
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
        raise ConfigError(f"resume must stand alone: dadsp {verb} resume=<run folder>.")


def _set_threads(config: DictConfig) -> None:
    """Writes the launcher's threads per job into the configuration, so that the run folder states them."""
    threads = HydraConfig.get().job.env_set.get("OMP_NUM_THREADS")
    if threads is not None and "trainer" in config and OmegaConf.select(config, "trainer.threads") is None:
        OmegaConf.update(config, "trainer.threads", int(threads))


def _resume(verb: Verb, folder: Path, tracked: bool, as_json: bool) -> None:
    if not (folder / "config.yaml").is_file():
        raise LoadError(f"{folder} holds no run to go on with (no config.yaml). Check the folder.")
    config = read_config(folder)
    for key in config:
        if key not in verb.keys:
            raise LoadError(f"{folder / 'config.yaml'}: {key!s} is not a known key. {nearest(str(key), verb.keys)}")
    if _nothing_left(folder, tracked):
        verb.show(folder, as_json)
        return
    with sole_process(folder):
        if _nothing_left(folder, tracked):  # by now
            verb.show(folder, as_json)
            return
        log_to(folder / verb.log)
        command = run_facts(folder).get("command", f"resume={folder}")
        try:
            config.tracking.enabled = config.tracking.enabled and tracked
            with _told_how_to_go_on(verb, folder):
                verb.work(config, folder, command, as_json, None)
        except OmegaConfBaseException as error:
            raise LoadError(f"{folder / 'config.yaml'} is damaged: {error}. Start the run again.") from error


def _nothing_left(folder: Path, tracked: bool) -> bool:
    """Whether ``resume`` has nothing to do: it also sends what a store had failed to take, unless nothing is tracked."""
    return finished(folder) and not (tracked and unsent(folder))


def log_to(path: Path) -> None:
    """Appends what is logged to a file, unless it goes somewhere already."""
    if logging.getLogger().handlers:
        return
    handler = logging.FileHandler(path)
    handler.setFormatter(LeanFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
