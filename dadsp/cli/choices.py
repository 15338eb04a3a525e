"""What the files of ``conf/`` offer, read as text: no configuration is composed, so that help costs no imports."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dadsp import plugins
from dadsp.configuration.folder import conf_folder

KINDS = {
    "model": "systems: model=NAME",
    "data": "studies, two screens each: data=NAME",
    "screen": "single screens: data=screens screen@data.source=NAME screen@data.target=NAME",
    "drug_features": "drug representations: drug_features=NAME",
    "alignment": "alignments of the two platforms: alignment=NAME",
    "split": "what trains, validates and tests: split=NAME",
    "trainer": "how networks are trained: trainer=NAME",
    "tracking": "where runs are recorded: tracking=NAME",
    "experiment": "settings and sweeps of the tables: experiment=NAME",
    "panel": "screens of dadsp single-drug: panel=NAME",
    "hydra/launcher": "how jobs of a sweep share machines: hydra/launcher=NAME",
}
_SECTION = re.compile(r"(?m)^(?=[A-Za-z_])")


class Choice(NamedTuple):
    """A file of a group.

    Attributes:
        name: As the user types it.
        what: Its first line of comment.
        path: The file.
    """

    name: str
    what: str
    path: Path


def choices(kind: str) -> list[Choice]:
    """What there is to choose from, by name; the choices of plug-ins in use last."""
    found: dict[str, Choice] = {}
    for folder in (conf_folder(), *plugins.conf_folders()):
        for path in sorted((folder / kind).glob("*.yaml")):
            found.setdefault(path.stem, Choice(path.stem, _first_comment(path.read_text(encoding="utf-8")), path))
    return list(found.values())


def with_parts(choice: Choice) -> Iterator[tuple[str, str]]:
    """Name and text of the choice's file and of those of its group that it is made of."""
    text = choice.path.read_text(encoding="utf-8")
    yield choice.path.name, text
    for part in re.findall(r"(?m)^  - (?!_self_)([\w/]+)(?:@_here_)?$", sections(text).get("defaults", "")):
        yield f"{part}.yaml", (choice.path.parent / f"{part}.yaml").read_text(encoding="utf-8")


def heading(text: str) -> list[str]:
    """The lines of comment at the top of a file."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.removeprefix("#").removeprefix(" "))
    return lines


def sections(text: str) -> dict[str, str]:
    """The top-level entries of a file as they stand there, by key."""
    found = {}
    for part in _SECTION.split(text)[1:]:
        found[part.partition(":")[0]] = part
    return found


def configuration(name: str) -> str:
    """The text of a verb's configuration."""
    return (conf_folder() / f"{name}.yaml").read_text(encoding="utf-8")


def groups(name: str) -> dict[str, str]:
    """The groups that a verb's configuration takes, and those of the verb that it is made of, with the choice of each."""
    listed = sections(configuration(name)).get("defaults", "")
    below = [groups(other) for other in re.findall(r"(?m)^  - (?!_self_)(\w+)$", listed)]
    own = dict(re.findall(r"(?m)^  - (?!override)([\w/]+): (\w+)", listed))
    return {group: choice for each in (*below, own) for group, choice in each.items()}


def _first_comment(text: str) -> str:
    return next(iter(heading(text)), "")
