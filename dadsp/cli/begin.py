"""What the verbs that make run folders share: beginning a run, and going on with one."""

import shlex
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from dadsp.cli.console import tell
from dadsp.configuration.compose import plain, settings_hash
from dadsp.configuration.guard import own_choices
from dadsp.credentials import without_credentials
from dadsp.errors import ConfigError, DadspError, nearest
from dadsp.runs.folder import IDENTITY, RunFolder
from dadsp.runs.identity import LOCK, sole_process
from dadsp.runs.job import Ending, Job, going_on, logged_to, new_folder, told_how_to_go_on


class Verb(NamedTuple):
    """A verb whose runs live in folders of their own.

    Attributes:
        name: As the user types it.
        keys: Of its configuration, all of them.
        work: Does the run: the job, whether to print JSON.
        show: Prints the results of a finished run: folder, whether as JSON.
    """

    name: str
    keys: tuple[str, ...]
    work: Callable[[Job, bool], Ending]
    show: Callable[[RunFolder, bool], None]

    @property
    def log(self) -> str:
        """Name of the log file."""
        return f"{self.name.replace('-', '_')}.log"


def resumed(verb: Verb, arguments: list[str], as_json: bool) -> bool:
    """Goes on with the run that ``resume=`` names, if it names one; whether it does.

    Raises:
        ConfigError: Another key is given beside it.
    """
    named = [part.removeprefix("resume=") for part in arguments if part.startswith("resume=")]
    if named[-1] in ("", "null"):
        return False
    others = [part for part in arguments if not part.startswith("resume=") and part != "tracking=none"]
    if others:
        raise ConfigError(f"A resumed run keeps its own configuration; {others[0]} cannot be set with resume. Leave it out.")
    _resume(verb, RunFolder(named[-1]), "tracking=none" not in arguments, as_json)
    return True


def again(verb: str, arguments: list[str], *, without: str | None = None) -> list[str]:
    """The command that composes what Hydra composed here: with the user's own choices, and one job of a sweep.

    Args:
        verb: As the user types it.
        arguments: Of the command that was given.
        without: Overrides that begin so are left out.
    """
    given = map(without_credentials, HydraConfig.get().overrides.task)
    kept = [part for part in given if without is None or not part.lstrip("+~").startswith(without)]
    return ["dadsp", verb, *own_choices(arguments), *kept]


def begin(verb: Verb, config: DictConfig, as_json: bool, arguments: list[str]) -> Ending:
    """Begins a run in the folder that Hydra made for it, or goes on with a sweep's job in its own.

    Args:
        verb: Whose run it is.
        config: As composed.
        as_json: Whether to print JSON.
        arguments: Of the command that was given.

    Raises:
        DadspError: The verb raised it.
    """
    folder = RunFolder(HydraConfig.get().runtime.output_dir)
    command = shlex.join(again(verb.name, arguments))
    sweep = folder.path.parent if HydraConfig.get().mode is RunMode.MULTIRUN else None
    if sweep is None:
        _refuse_files(folder, verb)  # before a lock is left there
    with sole_process(folder.path, job=sweep is not None, wait=tell if sweep is not None else None):
        if sweep is not None and not (folder / IDENTITY).exists():
            _refuse_files(folder, verb)
        try:
            with new_folder(folder, verb.name, verb.log):
                check_keys(config, verb.keys, verb.name)
                _set_threads(config)
                made_of = settings_hash(config) if sweep is not None else ""
                return verb.work(Job(plain(config), folder, command, sweep, made_of, tell), as_json)
        except DadspError:
            if sweep is None and config.get("runs") is None and not folder.path.exists():
                folder.path.parent.rmdir()  # Hydra made a folder of that name
            raise


def _refuse_files(folder: RunFolder, verb: Verb) -> None:
    if any(entry.name not in (verb.log, LOCK) for entry in folder.path.iterdir()):
        raise ConfigError(
            f"{folder.path} already holds files. Choose a new hydra.run.dir, or go on with resume={folder.path}."
        )


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


def _resume(verb: Verb, folder: RunFolder, tracked: bool, as_json: bool) -> None:
    if going_on(folder, verb.keys, tracked=tracked) is None:
        verb.show(folder, as_json)
        return
    with sole_process(folder.path):
        job = going_on(folder, verb.keys, tracked=tracked, tell=tell)
        if job is None:  # by now
            verb.show(folder, as_json)
            return
        with logged_to(folder / verb.log), told_how_to_go_on(folder, verb.name):
            verb.work(job, as_json)
