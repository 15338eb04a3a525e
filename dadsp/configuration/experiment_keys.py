"""An experiment sets keys of a system, and the user names another system, which lacks them: an error that says so."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from dadsp.building import build
from dadsp.configuration.compose import plain
from dadsp.errors import ConfigError, DadspError
from dadsp.plain_yaml import read_plain_yaml


def with_experiment_named(error: Exception, config: DictConfig) -> Exception:
    """The same error, unless it is about keys of ``model`` that the experiment set: then one that names it and the remedy.

    Args:
        error: Of the job that Hydra runs now.
        config: The job's.
    """
    choices = HydraConfig.get().runtime.choices
    name = choices.get("experiment")
    if not isinstance(error, ConfigError) or name is None or "model" not in config:
        return error
    if "model." not in str(error):
        return error
    lacking = _unknown(config.model, _set_by(name))
    if not lacking:
        return error
    keys, removed = ", ".join(f"model.{key}" for key in lacking), " ".join(f"~model.{key}" for key in lacking)
    return ConfigError(
        f"experiment={name} sets keys that model={choices['model']} does not take: {keys}. Name a model that "
        f"takes them, or leave them out: {removed}"
    )


def _set_by(name: str) -> list[str]:
    """Keys of ``model`` that an experiment's own file sets."""
    for source in HydraConfig.get().runtime.config_sources:
        file = Path(source.path) / "experiment" / f"{name}.yaml"
        if source.schema == "file" and file.is_file():
            content: Any = read_plain_yaml(file)
            node = content.get("model") if isinstance(content, Mapping) else None
            return list(node) if isinstance(node, Mapping) else []
    return []


def _unknown(model: DictConfig, stated: list[str]) -> list[str]:
    """Those of the stated keys that the model does not take; some systems name but the first, so it is built again."""
    values, found = dict[str, Any](), set[str]()
    for key in model:
        try:
            values[str(key)] = plain(model[key])
        except (ConfigError, OmegaConfBaseException):  # it refers to a key that this model lacks
            found.add(str(key))
    while True:
        try:
            build({key: value for key, value in values.items() if key not in found}, "model")
            new = set[str]()
        except DadspError as error:
            new = {key for key in stated if key not in found and f"model.{key} is not a known key" in str(error)}
        if not new:
            return [key for key in stated if key in found]
        found |= new
