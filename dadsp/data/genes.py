"""Gene names of any screen → present symbols, with a note on everything that was renamed, merged or left alone."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from dadsp.data.problems import Unreadable, refuse
from dadsp.data.tables import Matrix, read_table
from dadsp.errors import SchemaError, examples
from dadsp.schema import Note, duplicates

GeneIds = Literal["symbol", "symbol_entrez", "ensembl", "entrez"]

KINDS: dict[GeneIds, str] = {
    "ensembl": "Ensembl ids",
    "entrez": "Entrez ids",
    "symbol_entrez": "symbols with ids",
    "symbol": "symbols",
}
_ENSEMBL = r"ENS[A-Z]*G\d+(?:\.\d+)?(?:_PAR_Y)?"
_FORMS: dict[GeneIds, re.Pattern[str]] = {  # the only group that matches is the name
    "symbol": re.compile(r"(.+)"),
    "symbol_entrez": re.compile(
        rf"(.+?) *[(\[] *(?:\d+|nan|{_ENSEMBL})? *[)\]]"  # TP53 (7157)
        rf"|(.+?) *[|;] *(?:\d+|{_ENSEMBL})|(.+?)[ :/_-]+{_ENSEMBL}"  # TP53|7157, TP53_ENSG00000141510
        rf"|(?:\d+|{_ENSEMBL}) *[|;] *(.+)|{_ENSEMBL}[ :/_-]+(.+)"  # ENSG00000141510.11|TP53
        rf"|(.+?)\.\.(?:\d+|{_ENSEMBL})\."  # TP53..7157., as R writes TP53 (7157)
    ),
    "ensembl": re.compile(r"(ENS[A-Z]*G\d+)(?:\.\d+)?(?:_PAR_Y)?"),
    "entrez": re.compile(r"(\d+)(?:\.0)?(?:_at)?"),
}
_NAMELESS = {"", "?", "-", "--", "---", "nan", "NaN", "<NA>", "#N/A"}  # what tables write in place of a symbol


class GeneOptions(BaseModel):
    """How the genes of an expression file are named.

    Attributes:
        ids: What the names are. Versions of Ensembl ids, an id beside a symbol and the probe suffix ``_at`` go.
        table: Table in the layout of HGNC's complete set; maps outdated symbols, Ensembl and Entrez ids to symbols.
        duplicates: What to do with genes that stand more than once, or do so after renaming.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    ids: GeneIds = "symbol"
    table: str | None = None
    duplicates: Literal["error", "mean", "first"] = "error"


def harmonised(matrix: Matrix, options: GeneOptions, root: Path, where: str) -> tuple[Matrix, tuple[Note, ...]]:
    """The matrix with one column per gene under its present name, and notes on what was done.

    Args:
        matrix: Lines × genes; a gene without a name has the empty one.
        options: How the genes are named.
        root: Folder to which the table's path refers.
        where: What holds the genes, for an error.

    Raises:
        SchemaError: Names are not of the declared kind, or genes stand more than once and the policy is ``"error"``.
    """
    bare = [bare_name(name.strip(), options.ids) or name.strip() for name in matrix.columns]
    named = np.array([name not in _NAMELESS for name in bare], dtype=bool)
    notes = _noted("genes without a name left out", int((~named).sum()))
    written = [name for name, kept in zip(matrix.columns, named, strict=True) if kept]
    names = [name for name, kept in zip(bare, named, strict=True) if kept]
    notes += _refuse_other_form([name.strip() for name in written], options.ids, where)
    what = {"symbol": "trimmed", "symbol_entrez": "cut to the symbol"}.get(options.ids, "cut to the bare id")
    notes += _noted(f"gene names {what}", *_changes(written, names))
    if options.table is not None:
        names, more = renamed(names, options.ids, root / options.table)
        notes += more
    numbers = matrix.numbers if named.all() else matrix.numbers[:, named]
    columns, numbers, more = once(names, numbers, options.duplicates, where)
    return Matrix(matrix.rows, columns, np.ascontiguousarray(numbers)), (*notes, *more)


def bare_name(name: str, ids: GeneIds) -> str | None:
    """The name without what such names carry beside it; None if it is not of this form."""
    match = _FORMS[ids].fullmatch(name)
    return match and next((group for group in match.groups() if group), None)


def kind_of(names: Sequence[str]) -> GeneIds:
    """What most of the names are."""
    for kind in KINDS:
        if kind != "symbol" and 2 * sum(_FORMS[kind].fullmatch(name) is not None for name in names) > len(names):
            return kind
    return "symbol"


def _refuse_other_form(written: Sequence[str], ids: GeneIds, where: str) -> tuple[Note, ...]:
    """Passes if names have the declared form; a note where symbols with and without an id are mixed."""
    kind = kind_of(written)
    other = [name for name in written if _FORMS[ids].fullmatch(name) is None]
    wrong, advice = f"are not of the form {ids}", "Name all genes alike, or leave those out."
    if ids == "symbol_entrez" and len(other) < len(written):
        return _noted("gene names without an id taken as they are", len(other), examples(other))
    if ids == "symbol" and kind == "symbol":
        mixed = [name for name in written if _FORMS["symbol_entrez"].fullmatch(name)]
        what = (
            "suspicious gene names: symbols with ids among bare ones, left as they are; genes.ids: symbol_entrez cuts them"
        )
        return _noted(what, len(mixed), examples(mixed))
    if ids == "symbol" and kind in ("symbol_entrez", "entrez"):  # bare Ensembl ids match those of another screen as they are
        other, wrong = [name for name in written if _FORMS[kind].fullmatch(name)], "are no symbols"
    if ids == "entrez" and _row_numbers(written):
        other, wrong, advice = list(written), "are row numbers, no ids", "Give the table the names of its genes."
    elif kind != ids and (ids == "symbol" or len(other) == len(written)):
        advice = f"As they are {KINDS[kind]}, set expression.genes.ids: {kind}."
    if other:
        refuse(SchemaError(f"{where}: {len(other)} of {len(written)} gene names {wrong} (e.g. {examples(other)}). {advice}"))
        raise Unreadable(f"{where} names no genes.")  # while problems are collected: nothing that another screen could share
    return ()


def _row_numbers(names: Sequence[str]) -> bool:
    """Whether names are 0, 1, 2 … or 1, 2, 3 …: no Entrez id is 0, and no list of genes holds the first ids alone."""
    if len(names) < 3 or not all(name.isdecimal() for name in names):
        return False
    numbers = sorted(map(int, names))
    return numbers[0] == 0 or numbers == list(range(1, len(names) + 1))


def renamed(names: list[str], ids: GeneIds, path: Path) -> tuple[list[str], tuple[Note, ...]]:
    """Present symbols of bare names by a table in HGNC's layout, and notes; a name it does not know stays.

    Raises:
        ConfigError: There is no such file.
        SchemaError: It is no such table.
    """
    columns = {
        "symbol": "symbol",
        "alias": "alias_symbol",
        "previous": "prev_symbol",
        "entrez": "entrez_id",
        "ensembl": "ensembl_gene_id",
    }
    table = read_table(path, columns, optional=("alias", "previous", "entrez", "ensembl"))
    approved = set(table["symbol"])
    known: defaultdict[str, set[str]] = defaultdict(set)
    keys = [ids] if ids in ("ensembl", "entrez") else ["alias", "previous"]
    for column in keys:
        for symbol, cell in zip(table["symbol"], table[column].fillna(""), strict=True):
            for name in str(cell).split("|"):
                known[name.strip()].add(symbol)
    by_id = ids in ("ensembl", "entrez")
    outdated = [name for name in names if by_id or name not in approved]
    ambiguous = {name: sorted(known[name]) for name in outdated if len(known.get(name, ())) > 1}
    unknown = [name for name in outdated if name not in known]
    present = {name: next(iter(known[name])) for name in outdated if len(known.get(name, ())) == 1}
    now = [present.get(name, name) for name in names]
    what = "ids mapped to symbols" if by_id else "outdated symbols renamed"
    listed = [f"{name} ({' or '.join(choices)})" for name, choices in ambiguous.items()]
    return now, (
        *_noted(f"genes: {what} by {path.name}", *_changes(names, now)),
        *_noted("genes: ambiguous names left alone", len(listed), examples(listed)),
        *_noted(f"genes: names that {path.name} does not know, left alone", len(unknown), examples(unknown)),
    )


def once(
    names: list[str], numbers: np.ndarray, policy: Literal["error", "mean", "first"], where: str
) -> tuple[tuple[str, ...], np.ndarray, tuple[Note, ...]]:
    """Names and columns with each name once, by ``GeneOptions.duplicates``, and notes."""
    repeated = duplicates(names)
    if not repeated:
        return tuple(names), numbers, ()
    if policy == "error":
        refuse(
            SchemaError(
                f"{where}: {len(repeated)} genes stand more than once (e.g. {examples(repeated)}). Keep one of each, or set "
                "expression.genes.duplicates to mean or first."
            )
        )
    places: defaultdict[str, list[int]] = defaultdict(list)
    for column, name in enumerate(names):
        places[name].append(column)
    chosen = numbers[:, [columns[0] for columns in places.values()]]
    if policy == "mean":
        for column, name in enumerate(places):
            if len(places[name]) > 1:
                chosen[:, column] = numbers[:, places[name]].mean(axis=1, dtype=np.float64)
    done = "averaged" if policy == "mean" else "reduced to the first column"
    rows = sum(len(places[name]) for name in repeated)
    return tuple(places), chosen, _noted(f"genes: repeated names {done} ({rows} columns)", len(repeated), examples(repeated))


def _changes(before: Iterable[str], after: Iterable[str]) -> tuple[int, str]:
    changed = [f"{old} → {new}" for old, new in zip(before, after, strict=True) if old != new]
    return len(changed), examples(changed)


def _noted(what: str, count: int, shown: str = "") -> tuple[Note, ...]:
    return (Note(what, count, shown),) if count else ()
