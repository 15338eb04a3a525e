"""The genes that two screens share, and those that they would share but for the spelling of their names."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from dadsp.data.gene_spelling import better_name, counterparts, dates, like_mouse, numbers_or_truths
from dadsp.data.genes import KINDS, kind_of
from dadsp.errors import SchemaError, examples
from dadsp.schema import Note, Screen

_REPAIR = "data.repair_genes=true"


def on_shared_genes(source: Screen, target: Screen, min_genes: int, repair: bool = False) -> tuple[Screen, Screen]:
    """Both screens over the genes that they share, in the source's order, with notes on odd names and on what is left out.

    Args:
        source: A screen.
        target: Another.
        min_genes: Fewest shared genes to accept.
        repair: Takes a gene of one screen for that of the other where its name can mean no other: a date that a spreadsheet
            made of a symbol, a symbol that was given up for such dates, another case or punctuation, a counter behind.

    Raises:
        SchemaError: Too few genes are shared; says what may be the matter with their names.
    """
    twins = counterparts(source.genes, target.genes)
    sides = [(source, target, twins), (target, source, {theirs: ours for ours, theirs in twins.items()})]
    read = [_read(*side, repair=repair) for side in sides]
    if repair:
        twins = {}
    shared = set(read[0].genes).intersection(read[1].genes)
    if len(shared) < min_genes:
        raise SchemaError(_too_few(source, target, len(shared), min_genes, twins))
    kept = tuple(gene for gene in read[0].genes if gene in shared)
    return _restricted(read[0], target.name, kept, set(twins)), _restricted(read[1], source.name, kept, set(twins.values()))


def _read(screen: Screen, other: Screen, twins: Mapping[str, str], *, repair: bool) -> Screen:
    """The screen with notes on odd names, and with the better names of its genes where these may be repaired."""
    ours, theirs = screen.genes, other.name
    respelt = {name: twin for name, twin in twins.items() if better_name(name, twin) == twin != name}
    dated = dates(ours)
    spelling = [f"{name} = {twin}" for name, twin in respelt.items() if name not in dated]
    meant = [
        f"{name} = {respelt.get(name) or ' or '.join(symbols) or 'no known symbol'}"
        for name, symbols in dated.items()
        if not repair or name not in respelt
    ]
    numbers = numbers_or_truths(ours)
    mouse = list(ours) if like_mouse(ours) and not like_mouse(other.genes) else []
    remedy = "" if repair else f"; {_REPAIR} takes those that can mean one gene of {theirs} for it"
    if repair:
        ours = tuple(respelt.get(name, name) for name in ours)
    notes = (
        *_note(
            f"genes renamed to the symbols of {theirs}", [f"{n} → {twin}" for n, twin in respelt.items()] if repair else []
        ),
        *_note(f"suspicious gene names: dates, which a spreadsheet makes of symbols{remedy}", meant),
        *_note(f"suspicious gene names: spelt otherwise than in {theirs}{remedy}", [] if repair else spelling),
        *_note(
            "suspicious gene names: numbers or truth values, which a spreadsheet makes of ids such as 2310009E13", numbers
        ),
        *_note(f"suspicious gene names: written as those of mouse genes, unlike those of {theirs}", mouse),
    )
    return replace(screen, genes=ours, notes=(*screen.notes, *notes))


def _restricted(screen: Screen, other: str, kept: tuple[str, ...], twins: Collection[str]) -> Screen:
    """The screen over these genes, with notes on those left out."""
    gone = [gene for gene in screen.genes if gene not in set(kept)]
    notes = (
        *_note(f"genes that {other} spells otherwise left out", [gene for gene in gone if gene in twins]),
        *_note(f"genes absent from {other} left out", [gene for gene in gone if gene not in twins]),
    )
    return replace(screen.with_genes(kept) if screen.genes != kept else screen, notes=(*screen.notes, *notes))


def _too_few(source: Screen, target: Screen, shared: int, needed: int, twins: Mapping[str, str]) -> str:
    """What is wrong, and what may be the matter."""
    sides = [f"{screen.name} ({len(screen.genes)} genes, e.g. {examples(screen.genes)})" for screen in (source, target)]
    kinds = [kind_of(screen.genes) for screen in (source, target)]
    mouse = [screen.name for screen in (source, target) if like_mouse(screen.genes)]
    if twins:
        spelt = examples(f"{ours} = {theirs}" for ours, theirs in twins.items())
        advice = f"{len(twins)} differ in spelling only ({spelt}): set {_REPAIR}."
    elif kinds[0] != kinds[1]:
        named = " and ".join(
            f"{screen.name} names them by {KINDS[kind]}" for screen, kind in zip((source, target), kinds, strict=True)
        )
        advice = f"{named}: set expression.genes.ids of each, and expression.genes.table to HGNC's complete set."
    else:
        advice = "If the names follow different nomenclatures, rename one side to match."
    if len(mouse) == 1:
        advice += f" The names of {mouse[0]} are written as those of mouse genes: if they are, map them to human ones."
    return f"{sides[0]} and {sides[1]} share {shared} genes; {needed} are needed. {advice}"


def _note(what: str, concerned: Sequence[str]) -> tuple[Note, ...]:
    return (Note(what, len(concerned), examples(concerned)),) if concerned else ()
