"""Pages written while the documentation is built, from what they describe: the configuration and the Python API."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from sphinx.application import Sphinx
from yaml.nodes import MappingNode, Node, SequenceNode

CONF = Path(__file__).parents[1] / "conf"

# Verbs whose primary configuration is not called as they are, and groups whose choice is not a single key.
PRIMARY = {
    "config": "dadsp train",
    "every_verb": "Every verb",
    "fetch": "dadsp data fetch",
    "fit": "dadsp data fit",
    "single_drug": "dadsp single-drug",
}
CHOSEN_BY = {"screen": "screen@data.source={0} screen@data.target={0}", "hydra/launcher": "hydra/launcher={0}"}
INTERNAL = ("hydra/hydra_logging", "hydra/job_logging", "hydra/sweeper")

PUBLIC = (
    "dadsp.api",
    "dadsp.schema",
    "dadsp.errors",
    "dadsp.models.base",
    "dadsp.data.sources.tidy",
    "dadsp.data.sources.simulated",
    "dadsp.data.study",
    "dadsp.data.describe",
    "dadsp.splits.cross_screen",
    "dadsp.splits.within",
    "dadsp.evaluation.metrics",
    "dadsp.evaluation.compare",
)


def configuration_page() -> str:
    """Every file of ``conf/`` as Markdown: its heading comment, then a table of keys, defaults and comments."""
    primary = [path for path in sorted(CONF.glob("*.yaml")) if path.stem != "config"]
    parts = ["## Verbs", *(_section(path) for path in (CONF / "config.yaml", *primary))]
    for group in sorted({path.parent.relative_to(CONF).as_posix() for path in CONF.rglob("*/*.yaml")}):
        if group not in INTERNAL:
            parts += [f"## Group `{group}`", *(_section(path) for path in sorted((CONF / group).glob("*.yaml")))]
    return "\n\n".join(parts)


def api_page() -> str:
    """One section for each public module, filled by autodoc."""
    return "\n\n".join(f"### `{name}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n```" for name in PUBLIC)


def setup(app: Sphinx) -> dict[str, bool]:
    """Completes pages as they are read."""
    app.connect("source-read", _complete)
    return {"parallel_read_safe": True}


def _complete(app: Sphinx, page: str, text: list[str]) -> None:
    if page == "docs/configuration":
        for path in CONF.rglob("*.yaml"):
            app.env.note_dependency(str(path), docname=page)
        text[0] += "\n" + configuration_page()
    elif page == "docs/python":
        text[0] += "\n" + api_page()


def _section(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line for line in _leading_comments(lines) if not line.startswith("@package")]
    folder = path.parent.relative_to(CONF).as_posix()
    if folder == ".":
        title = PRIMARY.get(path.stem, f"dadsp {path.stem}")
    else:
        title = CHOSEN_BY.get(folder, f"{folder}={{0}}").format(path.stem)
    # What the heading comment shows as a command is one; the rest is text.
    prose = " ".join(_escaped(line) for line in head if not line.startswith("  "))
    commands = "\n".join(line.strip() for line in head if line.startswith("  "))
    table = [f"| {' | '.join(row)} |" for row in (("key", "default", "comment"), ("---",) * 3, *_rows(lines))]
    parts = [f"### `{title}`", f"`conf/{path.relative_to(CONF).as_posix()}`", prose]
    parts += [f"```text\n{commands}\n```"] if commands else []
    return "\n\n".join([*parts, "\n".join(table)] if len(table) > 2 else parts)


def _leading_comments(lines: list[str]) -> list[str]:
    """The comment lines at the top, without their signs."""
    end = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return [line.removeprefix("#").removeprefix(" ") for line in lines[:end]]


def _rows(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """Key, default and comment of each entry in order; a comment on a line of its own is a row without a key."""
    entries = {node.start_mark.line: (key, node, value) for key, node, value in _entries(yaml.compose("\n".join(lines)))}
    for number, line in enumerate(lines[len(_leading_comments(lines)) :], len(_leading_comments(lines))):
        if line.lstrip().startswith("#"):
            yield "", "", f"*{_escaped(line.strip('# '))}*"
        elif number in entries:
            key, _, value = entries[number]
            nested = isinstance(value, MappingNode) and not value.flow_style
            end = entries[number][1].end_mark if nested else value.end_mark
            rest = lines[min(end.line, len(lines) - 1)][end.column :] if end.line == number else line
            comment = re.search(r"(?:^|\s)#\s?(.*)$", rest)
            text = "" if nested else " ".join(_source(lines, value).split())
            yield f"`{key}`", f"`{text}`".replace("|", r"\|") if text else "", _escaped(comment[1]) if comment else ""


def _entries(node: Node | None, above: str = "") -> Iterator[tuple[str, Node, Node]]:
    """Dotted name, key and value of every entry, those of nested blocks after the block itself."""
    if not isinstance(node, MappingNode):
        return
    for key, value in node.value:
        name = f"{above}{key.value}"
        yield name, key, value
        if isinstance(value, MappingNode) and not value.flow_style:
            yield from _entries(value, f"{name}.")


def _source(lines: list[str], node: Node) -> str:
    """The text of a value as it stands in the file, without comments inside it; items of a list with commas between them."""
    if isinstance(node, SequenceNode) and not node.flow_style:
        return ", ".join(_source(lines, item).strip() for item in node.value)
    start, end = node.start_mark, node.end_mark
    if start.line == end.line:
        return lines[start.line][start.column : end.column]
    inside = [lines[start.line][start.column :], *lines[start.line + 1 : end.line]]
    inside += [lines[end.line][: end.column]] if end.line < len(lines) else []
    return " ".join(re.sub(r"\s#\s.*$", "", line) for line in inside if not line.lstrip().startswith("#"))


def _escaped(text: str) -> str:
    """Text in which Markdown sees no markup but code between backticks."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([\\<>*_\[\]{}])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts).replace("|", r"\|")
