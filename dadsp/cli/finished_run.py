"""A finished run of ``dadsp train``, opened again: its model, its data, its split."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dadsp import plugins
from dadsp.building import check
from dadsp.configuration.compose import load_study
from dadsp.errors import ConfigError, DadspError, LoadError, examples
from dadsp.models.base import Predictor, load_model
from dadsp.plain_yaml import read_plain_yaml
from dadsp.schema import Split, Study
from dadsp.splits.store import load_split


@dataclass(frozen=True)
class FinishedRun:
    """What a run folder holds, and the data it names."""

    folder: Path
    config: DictConfig
    model: Predictor
    study: Study
    split: Split


def open_run(folder: Path) -> FinishedRun:
    """The run of ``folder``.

    Raises:
        ConfigError: No folder, or one without a finished run.
        LoadError: Its files are damaged, or its data cannot be read again or have changed.
    """
    finished_folder(folder, "run")
    config, study = read_run_data(folder)
    split = load_split(folder / "split.json", study)
    return FinishedRun(folder, config, load_model(folder / "model"), study, split)


def finished_folder(folder: Path, key: str) -> Path:
    """The same folder, if ``dadsp train`` finished a run in it.

    Raises:
        ConfigError: There is no such folder, no finished run in it, or one of another verb; names the ``key`` that gave it.
    """
    if not (folder / "metrics.json").is_file() or not (folder / "model").is_dir():
        raise ConfigError(f"{key}={folder} holds no finished run. Give a run folder of dadsp train.")
    return folder


@contextmanager
def complete(folder: Path, what: str = "run", remedy: str = "Train it again, or leave it out.") -> Iterator[None]:
    """Reads files of a run, or ``what`` else a folder holds, in its block; whatever is wrong with them becomes one error.

    Raises:
        LoadError: Something failed in the block.
    """
    try:
        yield
    except DadspError:
        raise
    except Exception as error:  # absent keys and columns, YAML, Parquet and OS errors: each has its own class
        raise LoadError(f"{folder} does not hold a complete {what} ({error!r}). {remedy}") from error


def read_settings(folder: Path) -> dict[str, Any]:
    """The configuration of the run in ``folder`` as plain values.

    The file may come from elsewhere: nothing in it is resolved. A run writes its configuration with every interpolation
    resolved, so that one in the file is no work of dadsp.

    Raises:
        LoadError: It cannot be read, or holds interpolations.
    """
    path = folder / "config.yaml"
    try:
        settings = read_plain_yaml(path)
    except OSError as error:
        raise LoadError(f"{path} cannot be read ({error.strerror or error}).") from error
    if not isinstance(settings, dict):
        raise LoadError(f"{path} is not a configuration. Train again.")
    found = list(_interpolations(settings))
    if found:
        raise LoadError(
            f"{path} holds {len(found)} interpolations (e.g. {examples(found)}), which no run writes. Train again."
        )
    return settings


def read_config(folder: Path) -> DictConfig:
    """The same, to build from: what it names is checked first, wherever it stands.

    Raises:
        LoadError: It cannot be read, needs a plug-in that is not in use, or names what dadsp does not build at that place.
    """
    settings = read_settings(folder)
    plugins.require(settings.get("plugins"), folder / "config.yaml")
    try:
        check(settings, "")
    except ConfigError as error:
        raise LoadError(f"{folder / 'config.yaml'}: {error}") from None
    return OmegaConf.create(settings)


def _interpolations(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _interpolations(str(key))
            yield from _interpolations(value)
    elif isinstance(node, list):
        for value in node:
            yield from _interpolations(value)
    elif isinstance(node, str) and "${" in node:
        yield node


def read_run_data(folder: Path) -> tuple[DictConfig, Study]:
    """The configuration of the run in ``folder`` and its study, read anew.

    Raises:
        LoadError: Either cannot be read.
    """
    config = read_config(folder)
    try:
        return config, load_study(config, folder)
    except DadspError as error:
        raise LoadError(f"The run's own data cannot be read again: {error}") from error
