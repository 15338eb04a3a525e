"""Screens from tidy files: expression, responses and drugs, each under column names of the user's choice."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from dadsp.data.combine import Combine, combined
from dadsp.data.cross_checks import alarms_among
from dadsp.data.curves.shared import with_shared_ranges
from dadsp.data.line_links import all_linked
from dadsp.data.problems import Unreadable, attempt, remarks, stop_if_unsound
from dadsp.data.sources.file_options import Options
from dadsp.data.sources.tidy_files import ScreenOptions
from dadsp.data.sources.tidy_lines import read_cells
from dadsp.data.sources.tidy_parts import read_drugs, read_expression, read_responses
from dadsp.data.study import LabelCap, OnDifferentMeasures, make_study
from dadsp.errors import ConfigError
from dadsp.options import check_choice, validated
from dadsp.schema import Screen, Study


def tidy_study(
    root: str | Path | None,
    source: Mapping[str, Any] | ScreenOptions | None = None,
    target: Mapping[str, Any] | ScreenOptions | None = None,
    *,
    sources: Mapping[str, Mapping[str, Any] | ScreenOptions] | None = None,
    combine: Combine = "prefer",
    folder: str | None = None,
    label_cap: LabelCap = "none",
    on_missing_structure: Literal["drop", "error"] = "drop",
    on_different_measures: OnDifferentMeasures = "error",
    min_genes: int = 2,
    repair_genes: bool = False,
) -> Study:
    """A study from the files of two screens, or of several source screens and a target.

    Args:
        root: Folder to which relative paths refer.
        source: Options of the screen whose labels train.
        target: Options of the screen whose labels are held out.
        sources: In place of ``source``, options of several screens under keys of the user's choice, the preferred one first.
        combine: What becomes of a drug that several sources measured; see ``combined``.
        folder: If ``root`` holds a folder of this name, paths refer to that one.
        label_cap: See ``make_study``.
        on_missing_structure: See ``make_study``.
        on_different_measures: See ``make_study``.
        min_genes: See ``make_study``.
        repair_genes: See ``make_study``.

    Raises:
        ConfigError: ``root`` is not set or no folder, or an option is unknown, missing or impossible.
        DadspError: A file is wrong; the message says which, where and what to do.
    """
    given = {
        "label_cap": label_cap,
        "on_missing_structure": on_missing_structure,
        "on_different_measures": on_different_measures,
        "min_genes": min_genes,
        "repair_genes": repair_genes,
    }
    joining = validated(_StudyOptions, given, "data")
    check_choice("data.combine", combine, Combine)
    base = base_folder(root, folder, "data")
    nodes = {**_source_nodes(source, sources), "target": target}
    sides = [validated(ScreenOptions, node, f"data.{key}") for key, node in nodes.items()]
    sides = with_shared_ranges(sides, base)
    screens = [attempt(side.name, partial(tidy_screen, side, base)) for side in sides]
    read = [screen for screen in screens if screen is not None]
    if len(read) < len(sides):
        raise Unreadable("The study cannot be joined.")
    stop_if_unsound()  # what rows that are refused leave behind is not what the files hold
    read = all_linked(read)
    policies = [side.responses.replicates for side in sides[:-1]]
    one = attempt("sources", lambda: combined(read[:-1], combine, policies))
    if one is None:
        raise Unreadable("The sources cannot be combined.")
    one = replace(one, notes=(*one.notes, *alarms_among(read[:-1])))
    return make_study(one, read[-1], **joining.model_dump())


def _source_nodes(source: Any, sources: Any) -> dict[str, Any]:
    """The options of each source by its key below ``data``, the preferred one first."""
    if (source is None) == (not sources):
        raise ConfigError(
            f"data has {'neither source nor sources' if source is None else 'both source and sources'}. Give one screen as "
            "data.source, or several as data.sources: {KEY: screen, …}, the preferred one first."
        )
    if source is not None:
        return {"source": source}
    if not isinstance(sources, Mapping):
        raise ConfigError(
            "data.sources is no mapping. Give each screen under a key: {KEY: screen, …}, the preferred one first."
        )
    return {f"sources.{key}": node for key, node in sources.items()}


def tidy_screen(options: Mapping[str, Any] | ScreenOptions, root: str | Path = ".") -> Screen:
    """One screen from its files.

    Lines with expression but no responses stay, and so do drugs of the drug file without responses.

    Args:
        options: The files and what their columns are called.
        root: Folder to which relative paths refer.

    Raises:
        ConfigError: An option is unknown, missing or impossible, or a file is absent.
        DadspError: A file is wrong; the message says which, where and what to do.
    """
    options = validated(ScreenOptions, options, "screen")
    root = Path(root)
    name = options.name
    with remarks() as remarked:
        expression = attempt(f"{name} expression", lambda: read_expression(options.expression, root))
        cells = expression and attempt(f"{name} cells", lambda: read_cells(options.cells, expression[0], root))
        drugs = attempt(f"{name} drugs", lambda: read_drugs(options.drugs, root))
        labels = attempt(
            f"{name} responses",
            lambda: read_responses(options, expression and expression[0].rows, drugs and drugs[0].ids, root),
        )
    if expression is None or cells is None or drugs is None or labels is None:
        raise Unreadable(f"{name} cannot be read.")
    return Screen(
        name=name,
        genes=expression[0].columns,
        cells=cells[0],
        drugs=drugs[0],
        responses=labels.responses,
        cap=labels.cap,
        notes=(*expression[1], *cells[1], *drugs[1], *labels.notes, *remarked),
        measure=options.responses.label_measure,
    )


class _StudyOptions(Options):
    label_cap: LabelCap
    on_missing_structure: Literal["drop", "error"]
    on_different_measures: OnDifferentMeasures
    min_genes: int = Field(ge=1)
    repair_genes: bool


def base_folder(root: str | Path | None, folder: str | None, where: str) -> Path:
    """The folder to which a configuration's paths refer.

    Args:
        root: What the user set.
        folder: If ``root`` holds a folder of this name, it is that one.
        where: Path of these options in the configuration, for errors.

    Raises:
        ConfigError: ``root`` is not set or no folder.
    """
    if not root:
        holding = f"that holds {folder}" if folder else "to which the paths refer"
        raise ConfigError(
            f"{where}.root is not set. Give the folder {holding} as {where}.root=FOLDER, or in the environment variable "
            f"that the {where} config names beside root (DADSP_REAL_DATA for the real panel)."
        )
    base = Path(root)
    if not base.is_dir():
        raise ConfigError(f"{where}.root={root} is not a folder. Give the one that holds the raw files.")
    return base / folder if folder and (base / folder).is_dir() else base
