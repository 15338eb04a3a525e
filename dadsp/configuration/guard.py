"""What Hydra would do with a configuration folder from elsewhere beyond reading values, and may not do here.

Hydra builds callbacks, launchers and log handlers from whatever ``_target_``, ``class`` and ``ext://`` name, sets
environment variables, and reads a pickle under ``--experimental-rerun``. A file can ask for each of these, so none is done
on a file's word.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import yaml
from hydra._internal import hydra as hydra_app
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import get_args_parser
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_yaml_loader

from dadsp.configuration.folder import conf_folder
from dadsp.errors import ConfigError, examples
from dadsp.plain_yaml import read_plain_yaml
from dadsp.plugins import conf_folders

# What may be named in hydra.job_logging and hydra.hydra_logging.
LOG_CLASSES = (
    "logging.StreamHandler",
    "logging.FileHandler",
    "logging.NullHandler",
    "colorlog.ColoredFormatter",
    "dadsp.credentials.LeanFormatter",
)
LOG_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
LOG_FILE = "${hydra.runtime.output_dir}/${hydra.job.name}.log"
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG")
REFUSED_OPTIONS = {
    "experimental_rerun": "--experimental-rerun reads a pickle, which can run code. Give the overrides of that run again.",
    "config_name": "--config-name has no use here: every verb has its own configuration. Leave it out.",
    "config_path": "--config-path has no use here. Add your own files with --config-dir FOLDER.",
}

_load = OmegaConf.load


def _load_checked(file: Any) -> Any:
    """As ``OmegaConf.load`` on the open file that Hydra gives it, once a file from elsewhere is known to come to an end."""
    if not Path(file.name).resolve().is_relative_to(conf_folder()):
        read_plain_yaml(Path(file.name))
        return _load(file)
    return OmegaConf.create(_shipped(file.read()) or {})


@cache
def _shipped(text: str) -> Any:
    """What a file of dadsp's own configuration says; a process that composes again parses none again."""
    return yaml.load(text, Loader=get_yaml_loader())


class GuardedLoader(ConfigLoaderImpl):
    """Hydra's loader of configurations, which refuses what would run code; jobs of a sweep take it along.

    Choices of plug-ins stand behind dadsp's own and cannot take their place.
    """

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        for folder in conf_folders():
            config_search_path.prepend(
                "plugins", f"file://{folder}", SearchPathQuery(provider="schema")
            )  # which must be last
        super().__init__(config_search_path)

    def load_configuration(
        self, config_name: str | None, overrides: list[str], run_mode: RunMode, *args: Any, **kwargs: Any
    ) -> DictConfig:
        """The composed configuration; that of a sweep, under which its jobs start, with the first of all it varies.

        So a key that all models of a sweep have need not be one of the default model.

        Raises:
            ConfigError: It asks for more than values.
            LoadError: A file of it is damaged, or would grow beyond measure.
        """
        first = _first_of_sweeps(overrides) if run_mode is RunMode.MULTIRUN else overrides
        with replaced(OmegaConf, "load", _load_checked):
            try:
                config = super().load_configuration(config_name, first, run_mode, *args, **kwargs)
            except HydraException:
                if first == overrides:
                    raise
                config = super().load_configuration(config_name, overrides, run_mode, *args, **kwargs)
        if first != overrides:
            parsed = OverridesParser.create().parse_overrides(overrides)
            config.hydra.overrides.task = [each.input_line for each in parsed if not each.is_hydra_override()]
        check_hydra(config.hydra)
        return config


def _first_of_sweeps(overrides: list[str]) -> list[str]:
    """Overrides with the first value of each that varies."""
    first = []
    for each in OverridesParser.create().parse_overrides(overrides):
        varied = each.is_sweep_override()
        first.append(f"{each.get_key_element()}={next(each.sweep_string_iterator())}" if varied else str(each.input_line))
    return first


class _Application(hydra_app.Hydra):
    """Hydra, which asks a first composition only whether it is a sweep; here a single job runs with that one."""

    _composed: DictConfig | None = None

    def get_mode(self, config_name: str | None, overrides: list[str]) -> RunMode | None:
        if get_args_parser().parse_args().multirun:
            return None
        try:
            self._composed = self.compose_config(config_name, overrides, RunMode.RUN, with_log_configuration=True)
        except Exception:
            if super().get_mode(config_name, overrides) is not RunMode.MULTIRUN:
                raise
            return RunMode.MULTIRUN
        mode: RunMode | None = self._composed.hydra.mode
        return mode

    def compose_config(
        self, config_name: str | None, overrides: list[str], run_mode: RunMode, *args: Any, **more: Any
    ) -> DictConfig:
        if self._composed is not None and run_mode is RunMode.RUN:
            return self._composed
        return super().compose_config(config_name, overrides, run_mode, *args, **more)


@contextmanager
def replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    """In its block, what a module or class calls ``name`` is ``value``."""
    before = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def guarded() -> Iterator[None]:
    """In its block, Hydra loads with ``GuardedLoader``, and composes a command once."""
    with replaced(hydra_app, "ConfigLoaderImpl", GuardedLoader), replaced(hydra_app, "Hydra", _Application):
        yield


def check_options(arguments: list[str]) -> None:
    """Passes if every option is one of Hydra's that has a use here.

    Raises:
        ConfigError: One is not, or lacks its value.
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise ConfigError(
            f"{message[0].upper()}{message[1:]}. Valid options: --config-dir, -m, --cfg, --help, --json, --debug."
        )

    parser.error = refuse  # type: ignore[method-assign]
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        refuse(f"unknown option {examples(unknown)}")
    for name, reason in REFUSED_OPTIONS.items():
        if getattr(given, name) is not None:
            raise ConfigError(reason)


def own_choices(arguments: list[str]) -> list[str]:
    """Those of a command's arguments that say where choices of the user's own lie, as they were given.

    Hydra does not count them among the overrides of the task, and without them the command is another.
    """
    folder = get_args_parser().parse_known_args(arguments)[0].config_dir
    named = [part for part in arguments if part.lstrip("+").startswith("hydra.searchpath=")]
    return [*(["--config-dir", folder] if folder is not None else []), *named]


def check_hydra(node: DictConfig) -> None:
    """Passes if Hydra's own part of a configuration names no code and sets no variable beyond those listed above.

    Raises:
        ConfigError: It does.
    """
    if OmegaConf.select(node, "callbacks"):
        raise _refused("hydra.callbacks", examples(node.callbacks))
    for plugin in ("launcher", "sweeper"):  # their own _target_ must be an installed plug-in of Hydra, which Hydra checks
        for key, value in _leaves(OmegaConf.to_container(node[plugin], resolve=True), f"hydra.{plugin}"):
            if key.rpartition(".")[2] == "_target_" and key != f"hydra.{plugin}._target_":
                raise _refused(key, value)
    for logging in ("job_logging", "hydra_logging"):
        for key, value in _leaves(OmegaConf.to_container(node[logging], resolve=False), f"hydra.{logging}"):
            _check_log_setting(key, value)
    for name in OmegaConf.select(node, "job.env_set") or ():
        if name not in VARIABLES:
            raise ConfigError(f"hydra.job.env_set.{name} is not set by a configuration. Set it in your shell.")


def _check_log_setting(key: str, value: Any) -> None:
    last = key.rpartition(".")[2]
    if last in ("class", "()") and value not in LOG_CLASSES:
        raise _refused(key, value)
    names = isinstance(value, str) and (value.startswith(("ext://", "cfg://")) or "${" in value)
    if names and value not in (*LOG_STREAMS, LOG_FILE):
        raise _refused(key, value)


def _refused(key: str, value: object) -> ConfigError:
    return ConfigError(f"{key}={value} names code, and a configuration names none here. Remove it.")


def _leaves(node: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Every value that is no container, with its dotted key."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{where}.{key}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _leaves(value, f"{where}.{number}")
    else:
        yield where, node
