"""A finished run of ``dadsp train``, opened again: its model, its data, its split."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dadsp.cli.configuration import load_study
from dadsp.errors import ConfigError, DadspError, LoadError
from dadsp.models.base import Predictor, load_model
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


def read_config(folder: Path) -> DictConfig:
    """The configuration of the run in ``folder``.

    Raises:
        LoadError: It cannot be read.
    """
    try:
        config: Any = OmegaConf.load(folder / "config.yaml")
    except Exception as error:  # absent, unreadable, or no YAML: each has its own class
        raise LoadError(f"{folder / 'config.yaml'} cannot be read ({error}).") from error
    return config  # type: ignore[no-any-return]


def read_settings(folder: Path) -> dict[str, Any]:
    """The same as plain values, resolved.

    Raises:
        LoadError: It cannot be read.
    """
    return OmegaConf.to_container(read_config(folder), resolve=True)  # type: ignore[return-value]


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
