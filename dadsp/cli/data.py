"""``dadsp data``: describe, validate or prepare a study, compare its screens, fit curves, fetch files, simulate a study.

What an action computes with is imported when its configuration has been composed.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from dadsp.cli.help import ACTIONS, of_verb
from dadsp.configuration.compose import compose
from dadsp.errors import ConfigError, nearest


def run(arguments: list[str], as_json: bool) -> None:
    """Runs one action."""
    if not arguments:
        print(of_verb("data", []), end="")
        return
    action, *overrides = arguments
    if action not in ACTIONS:
        raise ConfigError(f"'{action}' is not an action of dadsp data. {nearest(action, ACTIONS)}")
    for place, part in enumerate(overrides):  # as Hydra's own applications take it
        option, equals, named = part.partition("=")
        if option == "--config-dir" and (equals or overrides[place + 1 :]):
            quoted = str(Path(named if equals else overrides[place + 1]).absolute()).replace("'", "\\'")
            overrides[place : place + (1 if equals else 2)] = [f"hydra.searchpath=['file://{quoted}']"]
            break
    for option in (part for part in overrides if part.startswith("-")):
        raise ConfigError(f"{option} is not an option of dadsp data {action}. Valid: --config-dir, --json, --debug.")
    if action == "describe":
        config = compose("config", overrides)
        _of("data_describe").describe_study(config, as_json)
    elif action == "concordance":
        folders, others = _out(overrides)
        if folders[1:] or folders == [""]:
            raise ConfigError("out is given once: dadsp data concordance data=NAME out=FOLDER")
        config = compose("config", others)
        _of("data_concordance").report(config, Path(folders[0]) if folders else None, as_json)
    elif action == "validate":
        config = compose("config", overrides)
        _of("data_checks").validate(config, as_json)
    elif action == "prepare":
        folders, others = _out(overrides)
        config = compose("config", others)
        _of("data_checks").prepare(config, folders[-1] if folders else None, as_json)
    elif action == "fit":
        _of("data_fit").run(overrides, as_json)
    elif action == "fetch":
        _of("data_fetch").run(overrides, as_json)
    else:
        folders, others = _out(overrides)
        if len(folders) != 1 or not folders[0]:
            raise ConfigError("out is required, once. Set it: dadsp data simulate data=simulated out=FOLDER")
        config = compose("config", others)
        _of("data_describe").simulate(config, Path(folders[0]), as_json)


def _of(module: str) -> Any:
    return import_module(f"dadsp.cli.{module}")


def _out(overrides: list[str]) -> tuple[list[str], list[str]]:
    """What ``out`` is given as, and the other overrides."""
    given = [part.removeprefix("out=") for part in overrides if part.startswith("out=")]
    return given, [part for part in overrides if not part.startswith("out=")]
