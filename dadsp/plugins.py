"""Plug-ins: installed packages that add classes of their own to those that dadsp builds (docs/extend.md).

A package offers one in the entry point group ``dadsp.plugins``: a module, or a function without arguments, that calls
``register``. It is imported on the user's word alone: ``plugins=[NAME]`` of a command, ``DADSP_PLUGINS`` of the environment,
or ``use`` in Python. A file may state with which plug-ins it was made; it never has one imported.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from typing import Any

from dadsp import building
from dadsp.errors import ConfigError, DadspError, LoadError, examples, nearest
from dadsp.provenance import packages_hash

GROUP = "dadsp.plugins"
VARIABLE = "DADSP_PLUGINS"
KINDS = (*building.REGISTERED, "metric", "conf")

_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*")
_used: list[str] = []
_conf: list[Path] = []


def register(kind: str, what: Any) -> None:
    """Adds to what dadsp builds; for a plug-in to call.

    Args:
        kind: What it is: a kind of ``building.REGISTERED``, ``"metric"``, or ``"conf"`` for a folder of configurations.
        what: The class or function, or its dotted name (then it is imported when it is first needed); the metric, or its
            dotted name; the folder.

    Raises:
        ConfigError: There is no such kind, or ``what`` cannot be found again under its name.
    """
    if kind not in KINDS:
        raise ConfigError(f"A plug-in cannot register a '{kind}'. {nearest(kind, KINDS)}")
    if kind == "conf":
        folder = Path(str(what))
        if not folder.is_dir():
            raise ConfigError(f"{folder}, which a plug-in registers for its configurations, is no folder.")
        if folder not in _conf:
            _conf.append(folder)
    elif kind == "metric":
        from dadsp.evaluation.scores import register as add_metric  # pandas, which a command that fails early does without

        add_metric(building.imported(what) if isinstance(what, str) else what)
    else:
        building.add_guest(kind, what)


def use(*names: str) -> None:
    """Imports these plug-ins, and those that ``DADSP_PLUGINS`` names, unless they are in use already.

    Raises:
        ConfigError: One is not installed, is offered twice, or fails.
    """
    for name in dict.fromkeys((*_of_environment(), *names)):
        if name not in _used:
            _load(_entry_point(name))
            _used.append(name)


def used() -> tuple[str, ...]:
    """Plug-ins in use, in the order in which they were asked for."""
    return tuple(_used)


def conf_folders() -> tuple[Path, ...]:
    """Folders of configurations that plug-ins in use have, laid out as dadsp's own ``conf``."""
    return tuple(_conf)


def taken(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command without ``plugins=``; the plug-ins that it names are in use afterwards.

    Raises:
        ConfigError: As for ``use``.
    """
    given = [part.removeprefix("plugins=") for part in arguments if part.startswith("plugins=")]
    names = [name.strip(" '\"") for value in given for name in value.strip("[]").split(",")]
    chosen = [name for name in names if name not in ("", "null")]
    if strange := [name for name in chosen if not _NAME.fullmatch(name)]:
        raise ConfigError(f"plugins={examples(strange)} is no name of a plug-in. Give names: plugins=[mylab].")
    use(*chosen)
    return [part for part in arguments if not part.startswith("plugins=")]


def require(names: object, where: object) -> None:
    """Passes if the plug-ins that a file was made with are in use.

    Args:
        names: What the file states, whatever that is; None and an empty list need nothing.
        where: The file, for the error.

    Raises:
        LoadError: One is not in use: the user has to ask for it, since a file alone has no code imported.
    """
    use()
    if names is None:
        return
    if not isinstance(names, list) or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
        raise LoadError(f"{where}: plugins is no list of names. Restore the file from a copy.")
    missing = [name for name in names if name not in _used]
    if not missing:
        return
    absent = sorted(set(missing) - {point.name for point in _installed()})
    first = f"Install {examples(absent)} (as its authors say; often pip install NAME). " if absent else ""
    raise LoadError(
        f"{where} was made with {len(missing)} plug-in(s) not in use here: {examples(missing)}. A file alone has no code "
        f"imported. {first}If you trust them, add plugins=[{','.join(missing)}] to the command (in Python: "
        f"dadsp.plugins.use), or set {VARIABLE}={','.join(missing)}."
    )


def versions() -> dict[str, str]:
    """Package and version of each plug-in in use, by ``version.plugin.NAME``: part of where a result comes from."""
    return {f"version.plugin.{name}": f"{package.name} {package.version}" for name, package in _packages().items()}


def requirements() -> list[str]:
    """The same packages as pip takes them."""
    return sorted({f"{package.name}=={package.version}" for package in _packages().values()})


def identity(settings: object) -> dict[str, str]:
    """``plugins_hash``: of the code of all packages that these settings name something of by a plug-in in use; else nothing.

    The release of a plug-in's own package counts too: compiled code and files of data are told by it alone.
    """
    guests = building.guests_in(settings)
    if not guests:
        return {}
    own = [each for name, each in _packages().items() if _entry_point(name).module.partition(".")[0] in guests]
    text = "\n".join([packages_hash(guests), *sorted(f"{each.name} {each.version}" for each in own)])
    return {"plugins_hash": hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}


def _packages() -> dict[str, Distribution]:
    """The installed package of each plug-in in use."""
    points = {point.name: point for point in _installed()} if _used else {}
    return {name: dist for name in _used if name in points and (dist := points[name].dist) is not None}


def _of_environment() -> list[str]:
    return [name for name in os.environ.get(VARIABLE, "").replace(",", " ").split() if name]


def _installed() -> Iterable[EntryPoint]:
    return entry_points(group=GROUP)


def _entry_point(name: str) -> EntryPoint:
    """The installed plug-in of that name.

    Raises:
        ConfigError: There is none, or two differ.
    """
    offered = {point.name: point for point in _installed()}
    if name not in offered:
        raise ConfigError(
            f"The plug-in '{name}' is not installed here. Install the package that offers it as its authors say (often pip "
            f"install {name}), or leave it out. {nearest(name, offered) if offered else 'None is installed.'}"
        )
    values = sorted({point.value for point in _installed() if point.name == name})
    if len(values) > 1:
        raise ConfigError(f"Two packages offer a plug-in '{name}' ({examples(values)}). Uninstall one.")
    return offered[name]


def _load(point: EntryPoint) -> None:
    try:
        offered = point.load()
        if callable(offered):
            offered()
    except DadspError:
        raise
    except Exception as error:  # whatever a package of others raises
        raise ConfigError(
            f"The plug-in '{point.name}' ({point.value}) fails: {error!r}. Mend it, or leave it out."
        ) from error
