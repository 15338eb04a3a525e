"""From settings, as plain values, to what a run is made of: its study, its split, its model."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from dadsp.building import build
from dadsp.data.new_pairs import read_pairs
from dadsp.errors import ConfigError, DadspError, LoadError, nearest
from dadsp.models.base import Predictor
from dadsp.models.idle_keys import idle_trainer, told
from dadsp.models.systems.naive import Naive
from dadsp.models.training.options import TrainingOptions
from dadsp.options import validated
from dadsp.runs.folder import SPLIT, STUDY, RunFolder
from dadsp.schema import Pairs, Scope, Screen, Split, Study
from dadsp.splits.calibration import with_calibration
from dadsp.splits.store import load_split, save_split, saved_scope

KEPT_STUDY = "dadsp.data.cache.kept_study"


def model_of(settings: Mapping[str, Any]) -> Predictor:
    """The system of ``settings["model"]``, not yet fitted.

    Raises:
        ConfigError: An option is impossible, or the name would pass for a naive row's.
    """
    model: Predictor = build(settings["model"], "model")
    if model.name.startswith(("source ", "target ", "oracle ")) and not isinstance(model, Naive):
        raise ConfigError(f"model.name={model.name!r} would pass for a naive row. Choose another name.")
    return model


def without_effect(model: Predictor, settings: Mapping[str, Any]) -> list[str]:
    """A line for each reason that keys which were set cannot act: the model's own, and the trainer where it takes none.

    Raises:
        ConfigError: An option of a trainer that nothing takes is impossible.
    """
    lines = model.without_effect()
    if settings.get("trainer") and "training" not in settings["model"]:
        training = validated(TrainingOptions, settings["trainer"], "trainer")
        lines += told(training, "trainer", [idle_trainer("the system takes no trainer")])
    return lines


def load_study(settings: Mapping[str, Any], folder: Path | None) -> Study:
    """The study that a run sees: both screens, or the one that its split stands in.

    Args:
        settings: The run's; its split names the screens, unless it names a saved split, which knows them.
        folder: The run's, where there is one; the split it may hold already goes before the configuration.

    Raises:
        ConfigError: ``split.scope`` is no choice.
        DadspError: The data cannot be read.
    """
    study = read_study(_here(settings, folder))
    own = folder / SPLIT if folder else None
    given: Any = settings.get("split")
    chosen = given if isinstance(given, Mapping) else {}
    saved = own if own and own.exists() else chosen.get("path")
    scope = saved_scope(Path(saved)) if saved else chosen.get("scope", "across")
    if scope not in get_args(Scope):
        raise ConfigError(f"split.scope={scope!r} is not a valid choice. {nearest(str(scope), get_args(Scope))}")
    if scope == "across":
        return study
    return study.within("source" if scope == "source" else "target")


def _here(settings: Mapping[str, Any], folder: Path | None) -> Mapping[str, Any]:
    """Settings whose study lies in the run's folder, wherever that is now."""
    data: Any = settings["data"]
    if folder is None or not isinstance(data, Mapping) or data.get("_target_") != KEPT_STUDY:
        return settings
    return {**settings, "data": {**data, "folder": str(folder / STUDY)}}


def read_study(settings: Mapping[str, Any]) -> Study:
    """The study of ``settings["data"]``; jobs of a sweep that follow each other on the same data read it once.

    Raises:
        DadspError: The data cannot be read.
    """
    return _study(json.dumps(settings["data"]))


def forget_studies() -> None:
    """What was read is read again when next asked for: files may have changed."""
    _study.cache_clear()


@lru_cache(maxsize=1)
def _study(text: str) -> Study:
    study: Study = build(json.loads(text), "data")
    return study


def split_of(settings: Mapping[str, Any], seed: int, study: Study, folder: Path) -> Split:
    """The split that the run's folder holds, or a new one, which is then saved there."""
    path = folder / SPLIT
    if path.exists():
        return load_split(path, study)
    split: Split = build(settings["split"], "split", study=study, seed=seed)
    split = with_calibration(study, split, settings.get("calibration") or {}, target_pairs)
    save_split(path, study, split)
    return split


def target_pairs(path: Path, screen: Screen) -> Pairs:
    """The pairs of a table, of a target screen's lines and drugs.

    Raises:
        DadspError: The table cannot be used, or names others.
    """
    return read_pairs(path, expression=None, drugs=None, known=[screen], domain="target")[0]


def read_run_data(folder: RunFolder) -> Study:
    """The study of a run, read anew.

    Raises:
        LoadError: Its configuration or its data cannot be read.
    """
    settings = folder.buildable_settings()
    try:
        return load_study(settings, folder.path)
    except DadspError as error:
        raise LoadError(f"The run's own data cannot be read again: {error}") from error
