"""The names of a table's genes in the words of a model, whatever kind of id they are."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dadsp.data.gene_spelling import counterparts
from dadsp.data.genes import KINDS, GeneIds, bare_name, kind_of, renamed
from dadsp.errors import SchemaError, examples
from dadsp.schema import Note


class GeneNames(NamedTuple):
    """Names of one axis of a table.

    Attributes:
        names: In the model's words where it knows them.
        matched: How many of the model's genes are among them.
        notes: What was renamed.
    """

    names: list[str]
    matched: int
    notes: tuple[Note, ...] = ()


def gene_names(written: Sequence[str], wanted: Sequence[str], table: Path | None) -> GeneNames:
    """Names of genes as the model has them, by the reading that knows most of its genes; as they are where that is all.

    Names that differ from the model's as spreadsheets and spelling make them (2-Sep, tp53) are taken for its own.

    Args:
        written: The names as they stand.
        wanted: Genes of the model.
        table: HGNC's complete set; None: nothing is translated, only versions and ids behind symbols are cut off.

    Raises:
        SchemaError: The table is none.
    """
    return _respelt(_read(written, wanted, table), wanted)


def _read(written: Sequence[str], wanted: Sequence[str], table: Path | None) -> GeneNames:
    genes, plain = set(wanted), [name.strip() for name in written]
    best = GeneNames(plain, len(genes & set(plain)))
    for kind, what in KINDS.items():
        cut = _cut(plain, kind)
        matched = len(genes & set(cut))
        if matched > best.matched:
            changed = [f"{old} → {new}" for old, new in zip(plain, cut, strict=True) if old != new]
            best = GeneNames(cut, matched, (Note(f"gene names are {what}: cut to those of the model", *_few(changed)),))
    if table is None or best.matched == len(genes):
        return best
    kind = kind_of(plain)
    # The model's own symbols may be outdated, too.
    now = dict(zip(renamed(list(wanted), "symbol", table)[0], wanted, strict=True))
    present, notes = renamed(_cut(plain, kind), "symbol" if kind == "symbol_entrez" else kind, table)
    names = [name if name in genes else now.get(name, name) for name in present]
    matched = len(genes & set(names))
    return GeneNames(names, matched, notes) if matched > best.matched else best


def _respelt(read: GeneNames, wanted: Sequence[str]) -> GeneNames:
    """The names with those that only spelling keeps from the model's in its spelling."""
    of = counterparts(read.names, wanted) if read.matched < len(wanted) else {}
    if not of:
        return read
    said = Note("gene names spelt otherwise, taken for the model's", *_few([f"{own} → {name}" for own, name in of.items()]))
    return GeneNames([of.get(name, name) for name in read.names], read.matched + len(of), (*read.notes, said))


def refuse_unknown(names: Sequence[str], wanted: Sequence[str], table: Path | None, where: str) -> None:
    """Says why none of the names is a gene of the model.

    Raises:
        SchemaError: Always.
    """
    kind, own = kind_of(names), kind_of(wanted)
    if kind != own and {kind, own} & {"ensembl", "entrez"}:
        theirs, ours = KINDS[kind], KINDS[own]
        remedy = f"Check that {table} lists them" if table else "Set new_platform.gene_table to HGNC's complete set"
        raise SchemaError(
            f"{where}: its {len(names):,} genes are named by {theirs} (e.g. {examples(names)}), those of the model by "
            f"{ours} (e.g. {examples(wanted)}), and nothing at hand translates them. {remedy}, or rename them."
        )
    raise SchemaError(
        f"{where}: no column and no row of it is one of the model's {len(wanted):,} genes (e.g. {examples(wanted)}; "
        f"it has {examples(names)}). Name its genes as the model does."
    )


def _cut(names: Sequence[str], kind: GeneIds) -> list[str]:
    return [bare_name(name, kind) or name for name in names]


def _few(changed: Sequence[str]) -> tuple[int, str]:
    return len(changed), examples(changed)
