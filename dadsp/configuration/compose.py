"""Composing configurations with Hydra and building objects from them, with errors a user can act on."""

import hashlib
import itertools
import json
import os
import re
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue, OmegaConfBaseException

from dadsp import building, plugins
from dadsp.configuration.arguments import readable
from dadsp.configuration.folder import conf_folder
from dadsp.configuration.guard import guarded
from dadsp.errors import ConfigError, nearest

WITH_PLUGINS = ("config", "single_drug", "tune")  # configurations that are kept with a run


def threads_per_job(n_jobs: int) -> int:
    """This machine's cores (those that this process may use) shared by parallel jobs; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // n_jobs)


# Where things lie and how fast they go; the content of the data is hashed by itself.
NOT_DECISIVE = ("hydra", "runs", "sweep", "tracking", "resume", "plugins")
NOT_DECISIVE_INSIDE = ("data.root", "trainer.threads", "trainer.checkpoint_every_s", "tune.trials", "tune.workers")


def settings_hash(config: DictConfig) -> str:
    """Hash of all settings that decide a result, 12 hexadecimal digits."""
    content: Any = OmegaConf.to_container(config)
    settings = OmegaConf.create({key: value for key, value in content.items() if key not in NOT_DECISIVE})
    # What every version did; jobs of earlier ones, which had no such keys, keep their folders.
    if settings.get("intervals") == "auto":
        del settings["intervals"]
    given = settings.get("calibration") or {}
    if "calibration" in settings and not (given.get("labels_per_drug") or given.get("pairs")):
        del settings["calibration"]
    _forget_names(settings)
    for key in NOT_DECISIVE_INSIDE:  # before interpolations copy them to other places
        OmegaConf.update(settings, key, None)
    text = json.dumps(OmegaConf.to_container(settings, resolve=True), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _forget_names(node: Any) -> None:
    """Removes what decides nothing: names of lines, unless they are matched by them, and what was once the only rule."""
    for key in node:
        child = node._get_node(key)
        if not isinstance(child, DictConfig) or child._is_none() or child._is_interpolation() or child._is_missing():
            continue
        if key == "cells" and child.get("link_by", "id") != "name" and OmegaConf.select(child, "columns.name") is not None:
            del child.columns["name"]
        if key == "drugs" and child.get("identity") == "exact":  # what every version did
            del child["identity"]
        _forget_names(child)


def free_folder(path: str) -> str:
    """``path``, or with _2, _3, … where runs of the same second have taken it."""
    names = (path if number == 1 else f"{path}_{number}" for number in itertools.count(1))
    return next(name for name in names if not Path(name).exists())


def _settings_hash_here(*, _root_: DictConfig) -> str:
    return settings_hash(_root_)


OmegaConf.register_new_resolver("threads_per_job", threads_per_job, replace=True)
OmegaConf.register_new_resolver("free_folder", free_folder, replace=True)
OmegaConf.register_new_resolver("settings_hash", _settings_hash_here, replace=True)


def compose(config_name: str, overrides: list[str]) -> DictConfig:
    """The configuration for a verb that is not a Hydra application of its own.

    Raises:
        ConfigError: It cannot be composed.
    """
    overrides = with_plugins(config_name, overrides)
    try:
        with guarded(), hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
            return hydra.compose(config_name, readable(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise explained(error, config_name if overrides else None) from error  # no known keys where the defaults fail


def with_plugins(config_name: str, overrides: list[str]) -> list[str]:
    """The overrides with the plug-ins that they or the environment name in use; configurations of runs state these.

    Raises:
        ConfigError: One is not installed, or fails.
    """
    others = plugins.taken(overrides)
    states = config_name in WITH_PLUGINS and plugins.used()
    return [*others, f"plugins=[{','.join(plugins.used())}]"] if states else others


def compose_run(config_name: str, overrides: list[str]) -> tuple[DictConfig, Path]:
    """The configuration of a run, and the new folder that it would have on the command line.

    Raises:
        ConfigError: It cannot be composed.
    """
    overrides = with_plugins(config_name, overrides)
    try:
        with guarded(), hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
            config = hydra.compose(config_name, readable(overrides), return_hydra_config=True)
            HydraConfig.instance().set_config(config)  # names of choices, which the folder's name is made of
            folder = Path(config.hydra.run.dir).absolute()
    except (HydraException, OmegaConfBaseException) as error:
        raise explained(error, config_name) from error
    finally:
        HydraConfig.instance().cfg = None
    with open_dict(config):
        del config["hydra"]
    return config, folder


def build(node: DictConfig, where: str, **passed: Any) -> Any:
    """The object a configuration node describes, as ``dadsp.building`` builds it.

    Args:
        node: Holds ``_target_`` and its arguments.
        where: The node's key, whose last part is the kind of object.
        passed: Further arguments of the target, which no configuration can hold.

    Raises:
        ConfigError: A target is not registered for its place, or its arguments are unknown, missing or impossible.
        DadspError: The target raised it.
    """
    return building.build(plain(node), where, **passed)


def plain(node: Any) -> Any:
    """A node as plain dicts, lists and values, interpolations resolved.

    Raises:
        ConfigError: A value is missing, or an interpolation leads nowhere.
    """
    try:
        return OmegaConf.to_container(node, resolve=True, throw_on_missing=True) if OmegaConf.is_config(node) else node
    except OmegaConfBaseException as error:
        raise explained(error, None) from error


def explained(error: BaseException, config_name: str | None) -> ConfigError:
    """The same failure in one sentence with the nearest valid choice."""
    text = str(error)
    if isinstance(error, MissingMandatoryValue | InterpolationToMissingValueError):
        key = getattr(error, "full_key", None) or re.sub(r".*?: ", "", text.splitlines()[0])
        return ConfigError(f"{key} is required. Set it: {key}=…")
    if choice := re.search(
        r"Could not find '(.+?)/([^/']+)'\s+Available options in '.+?':\n(.*?)(?:\n[^\t]|$)", text, re.DOTALL
    ):
        options = choice[3].split()
        return ConfigError(f"{choice[1]}={choice[2]} is not a valid choice. {nearest(choice[2], options)}")
    if key := re.search(r"Could not override '([^']+)'", text) or re.search(r"not in struct\s+full_key: (\S+)", text):
        known = _known_keys(config_name, key[1])
        deeper = re.search(r"full_key: (\S+)", str(error.__cause__))
        if deeper and deeper[1].startswith(f"{key[1]}."):
            return ConfigError(f"{deeper[1]} is not there to be changed. Add it: +{deeper[1]}=…")
        if key[1] in known:  # there, but what holds it was given another value
            above = key[1].rpartition(".")[0]
            return ConfigError(
                f"{key[1]} is a key of another choice: what {above} is here (null, or a choice of its own keys) has none of "
                "that name. Leave one of the two out."
            )
        if not known:  # below a key that the default configuration lacks
            return ConfigError(f"{key[1]} is not there to be changed. Add it: +{key[1]}=…")
        return ConfigError(f"{key[1]} is not a known key. {nearest(key[1], known)}")
    if config_name and (group := re.search(r"Could not override '?([\w/]+)'?\. No match in the defaults list", text)):
        return ConfigError(f"{group[1]} is not a known key. {nearest(group[1], _known_keys(config_name, group[1]))}")
    if override := getattr(error, "override", None):
        return ConfigError(
            f"{override} cannot be read. Put a name or SMILES with brackets, commas or signs in quotes, and the whole in "
            "others: \"KEY=['Nutlin-3a (-)']\". Where the name is a key, write it into a file of the configuration."
        )
    return ConfigError(f"{text.partition('See https')[0].strip()}. Check the command with --cfg job.")


def _known_keys(config_name: str | None, near: str) -> list[str]:
    """Dotted keys at the depth of the misspelt one, from the default configuration."""
    if config_name is None:
        return []
    GlobalHydra.instance().clear()
    config = compose(config_name, [])
    depth = near.count(".")
    keys: list[str] = []

    def walk(node: DictConfig, prefix: str) -> None:
        for key in node:
            name = f"{prefix}{key!s}"
            keys.append(name)
            if not OmegaConf.is_missing(node, key) and isinstance(node._get_node(key), DictConfig):
                walk(node[key], f"{name}.")

    walk(config, "")
    parent = near.rpartition(".")[0]
    siblings = [key for key in keys if key.count(".") == depth and key.rpartition(".")[0] == parent]
    return siblings or [key for key in keys if key.count(".") == depth]
