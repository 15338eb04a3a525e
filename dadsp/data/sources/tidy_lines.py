"""The lines of a screen from their annotation: what each is called here and elsewhere."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from dadsp.data.ids import line_keys, one_to_one
from dadsp.data.line_names import NO_ID
from dadsp.data.problems import Unreadable, refuse, stop_if_unsound
from dadsp.data.sources.tidy_files import CellFile, IdMapFile
from dadsp.data.tables import Matrix, read_table
from dadsp.errors import MissingIdsError, SchemaError, examples
from dadsp.schema import CellLines, Note, duplicates


def read_cells(file: CellFile | None, expression: Matrix, root: Path) -> tuple[CellLines, tuple[Note, ...]]:
    """Lines with their expression; identity and tissue where a file says them."""
    ids = expression.rows
    if file is None:
        return CellLines(ids, ids, (None,) * len(ids), expression.numbers), ()
    path = root / file.path
    table = file.table(root)
    refuse_repeated(table["cell_id"], "cell lines", path)
    stop_if_unsound()  # lines that a refused row names have no row
    notes = (*file.left_out(root), *_unannotated(file, ids, table["cell_id"], path))
    stop_if_unsound()  # lines that the annotation calls otherwise would have no link
    chosen = table.set_index("cell_id").reindex(list(ids))
    links, more = _links(file, chosen, root)
    stop_if_unsound()  # names or ids that fall together would stand twice among the links
    known = [link for link in links if link is not None]
    refuse_repeated(known, "link ids", path, "Keep one of each, and empty the cells that hold no id.")
    tissues = tuple(None if tissue in file.unknown_tissues else tissue for tissue in texts_of(chosen, "tissue"))
    if file.columns.tissue is not None and not any(tissues):
        what = f"suspicious tissues: column {file.columns.tissue!r} of {path.name} names none; cell lines without a tissue"
        more = (*more, Note(what, len(ids)))
    names = texts_of(chosen, "name") if "name" in chosen else ()
    cells = CellLines(ids, links, tissues, expression.numbers, names)
    ids_of_each = _each(chosen, "link_id")
    if any(len(several) > 1 for several in ids_of_each):
        cells = replace(cells, other_ids=ids_of_each)
    if file.link_by != "id":
        cells = replace(cells, other_names=_each(chosen, "name", "alias"))
    return cells, (*notes, *more)


def _unannotated(file: CellFile, ids: tuple[str, ...], annotated: "pd.Series[str]", path: Path) -> tuple[Note, ...]:
    """A note on the lines with expression that the annotation lacks, unless it may not lack any or lacks all."""
    known = set(annotated)
    missing = [name for name in ids if name not in known]
    if len(missing) == len(ids):
        refuse(
            MissingIdsError(
                f"{path}: none of the {len(ids)} cell lines with expression (e.g. {examples(ids)}) has a row among its "
                f"{len(annotated)} (e.g. {examples(annotated)}). Name the column of the expression file's ids as "
                "cells.columns.cell_id."
            )
        )
    elif missing and file.on_missing == "error":
        refuse(
            MissingIdsError(
                f"{path}: {len(missing)} of {len(ids)} cell lines with expression have no row (e.g. {examples(missing)}). "
                "Add them, or set cells.on_missing: blank."
            )
        )
    if not missing:
        return ()
    most = "suspicious annotation, which lacks most of the lines: " if 2 * len(missing) > len(ids) else ""
    return (Note(f"{most}cell lines without annotation kept, unlinked", len(missing), examples(missing)),)


def _links(file: CellFile, chosen: pd.DataFrame, root: Path) -> tuple[tuple[str | None, ...], tuple[Note, ...]]:
    """Identity across screens of each chosen line, and a note on those that the files leave without one."""
    path = root / file.path
    if file.links is not None:
        path = root / file.links.path
        pairs = read_table(file.links.at(root), file.links.columns.model_dump(), optional=("cell_id", "link_id"))
        own = pairs[pairs["cell_id"].isin(chosen.index)]
        if not len(own):
            refuse(
                MissingIdsError(
                    f"{path}: none of the {len(chosen)} cell lines (e.g. {examples(chosen.index)}) stands in "
                    f"{file.links.columns.cell_id!r} (e.g. {examples(pairs['cell_id'].dropna())}). Correct "
                    "cells.links.columns."
                )
            )
        own = own[~own["link_id"].str.casefold().isin(NO_ID)]
        identity = one_to_one(own[["cell_id", "link_id"]], str(path))
        links: tuple[str | None, ...] = tuple(identity.get(str(name)) for name in chosen.index)
    elif file.link_by == "name":
        links = line_keys(texts_of(chosen, "name"), str(path))
    elif "link_id" in chosen:
        links = tuple(next(iter(ids), None) for ids in _each(chosen, "link_id"))
    else:
        return tuple(chosen.index), ()
    lost = [name for name, link in zip(chosen.index, links, strict=True) if link is None]
    declared = file.links is None and file.link_by != "name"
    if not lost or (declared and 2 * len(lost) <= len(links)):  # an empty cell says "not known to stand elsewhere"
        return links, ()
    what = f"cell lines that {path.name} links to no other screen"
    if declared and file.link_by == "id":
        what = f"suspicious links: most cell lines have no link id in {path.name}"
    elif declared:
        what = f"cell lines without a link id in {path.name}, sought by name"
    return links, (Note(what, len(lost), examples(lost)),)


def _each(chosen: pd.DataFrame, *columns: str) -> tuple[tuple[str, ...], ...]:
    """What each line has in all columns of these names, numbered ones too; words for "no id" count as nothing.

    A cell may hold several ids, separated by semicolons or bars; names are divided where they are compared.
    """
    texts = [texts_of(chosen, name) for what in columns for name in map(str, chosen) if name.split()[0] == what]
    cells = ([text for text in row if text is not None] for row in zip(*texts, strict=True))
    if columns == ("link_id",):
        cells = ([part.strip() for text in row for part in re.split(r"[;|]", text)] for row in cells)
    return tuple(tuple(text for text in row if text.casefold() not in NO_ID) for row in cells)


def line_translation(file: IdMapFile, root: Path, named: Sequence[str]) -> dict[str, str]:
    """Response id → expression id, for the ids that have one.

    Raises:
        MissingIdsError: It has none of the ids that the responses name.
    """
    path = root / file.path
    columns = file.columns.model_dump()
    table = read_table(file.at(root), columns, optional=set(columns))
    table = table.dropna().drop_duplicates()
    refuse_repeated(table["response_id"], "response ids", path)
    if duplicates(
        table["response_id"]
    ):  # while problems are collected: the id that one of them should have would be lacking
        raise Unreadable(f"{path} names response ids twice.")
    given = set(table["response_id"])
    if named and not any(name in given for name in named):
        raise MissingIdsError(
            f"{path}: none of the {len(named)} line ids of the responses (e.g. {examples(named)}) stands in "
            f"{file.columns.response_id!r} (e.g. {examples(table['response_id'])}). Correct id_map.columns."
        )
    return dict(zip(table["response_id"], table["expression_id"], strict=True))


def texts_of(table: pd.DataFrame, name: str) -> tuple[str | None, ...]:
    """A column as Python strings, None where empty or where there is no such column."""
    if name not in table:
        return (None,) * len(table)
    return tuple(None if pd.isna(text) else str(text) for text in table[name])


def refuse_repeated(ids: Sequence[str] | pd.Series, what: str, path: Path, remedy: str = "Keep one of each.") -> None:
    """An error if an id stands more than once."""
    repeated = duplicates(ids)
    if repeated:
        refuse(SchemaError(f"{path}: {len(repeated)} {what} stand more than once (e.g. {examples(repeated)}). {remedy}"))
