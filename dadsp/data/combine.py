"""Several screens as one source: an order of preference for each drug, or all labels with an offset per screen and drug."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dadsp.data.drug_tables import refuse_different_rules
from dadsp.data.potency import Replicates, replicates, same_measure
from dadsp.drugs.structures import whole_key
from dadsp.errors import ConfigError, SchemaError, examples
from dadsp.schema import BoolArray, CellLines, Drugs, FloatArray, IntArray, Note, Responses, Screen, duplicates

Combine = Literal["prefer", "offset"]

MIN_SHARED_LINES = 5  # fewer say little about a mean difference


def combined(screens: Sequence[Screen], how: Combine, policies: Sequence[Replicates] | None = None) -> Screen:
    """One screen of several, over the genes they share: all their lines, all their drugs, and each pair once.

    ``"prefer"``: a drug takes all its labels from the first screen that measured it.

    ``"offset"``: a drug keeps the labels of the first screen that measured it, its reference; a label of another screen s
    enters as y + mean(reference − s), the mean over the lines that both measured and neither censored. A pair measured by
    several is the mean of these labels. A drug that shares fewer than ``MIN_SHARED_LINES`` such lines with its reference
    gives none of that screen's labels, with a note.

    Lines are the same if their ids are, where the screens use the same ids, and else if their link ids are. Drugs are the
    same if their ids or their whole structures are; so one screen may hold a drug under two names, which are then merged as
    ``policies`` says. Stereoisomers stay apart. Where the caps differ, or labels are moved, the result has no cap; each
    label keeps its censoring, and a merged one is censored if all are.

    Args:
        screens: In order of preference, each under a name of its own.
        how: What becomes of a drug that several screens measured.
        policies: How each screen merges rows of one drug under two names; None takes the median.

    Raises:
        ConfigError: Two screens bear one name.
        SchemaError: Measures, or the expression of a line, differ; no gene is shared; one drug id stands for two structures.
    """
    if len(screens) == 1:
        return screens[0]
    _comparable(screens)
    refuse_different_rules(screens)
    genes, gene_notes = _shared_genes(screens)
    screens = [screen.with_genes(genes) if screen.genes != genes else screen for screen in screens]
    cells, cell_rows, cell_notes = _lines(screens)
    drugs, drug_rows, drug_notes = _drugs(screens)
    parts, notes = [], [*gene_notes, *cell_notes, *drug_notes]
    median: Replicates = "median"
    for screen, lines, own, policy in zip(screens, cell_rows, drug_rows, policies or [median] * len(screens), strict=True):
        measured = screen.responses
        measured = Responses(lines[measured.cell_idx], own[measured.drug_idx], measured.potency, measured.censored)
        once, more = replicates(measured, policy, cells.ids, drugs.ids, screen.name)
        parts.append(once)
        notes += [Note(f"{screen.name}: {note.what}", note.count, note.examples) for note in (*screen.notes, *more)]
    pool = _Pool([screen.name for screen in screens], parts, drugs)
    joined = _preferred(pool) if how == "prefer" else _offset(pool)
    cap, cap_notes = _cap(screens, moved=how == "offset")
    return Screen(
        name="+".join(pool.names),
        genes=genes,
        cells=cells,
        drugs=drugs,
        responses=joined.responses,
        cap=cap,
        notes=(*notes, *cap_notes, *joined.notes),
        measure=screens[0].measure,
        origins=joined.origins,
    )


@dataclass(frozen=True, eq=False)
class _Pool:
    """Measured pairs of each screen, in rows of the combined lines and drugs."""

    names: list[str]
    parts: list[Responses]
    drugs: Drugs

    @property
    def reference(self) -> IntArray:
        """For each drug the first screen that measured it, −1 where none did."""
        first = np.full(len(self.drugs), -1, dtype=np.int64)
        for which, part in reversed(list(enumerate(self.parts))):
            first[part.drug_idx] = which
        return first

    def pair(self, part: Responses) -> IntArray:
        """One number for each (line, drug)."""
        return part.cell_idx * len(self.drugs) + part.drug_idx

    def drug_names(self, rows: IntArray) -> str:
        return examples([self.drugs.names[row] for row in np.unique(rows)])


@dataclass(frozen=True, eq=False)
class _Joined:
    responses: Responses
    origins: tuple[str, ...]
    notes: tuple[Note, ...]


def _preferred(pool: _Pool) -> _Joined:
    reference, kept, notes = pool.reference, [], []
    for which, (name, part) in enumerate(zip(pool.names, pool.parts, strict=True)):
        own = reference[part.drug_idx] == which
        kept.append(replace(part.take(own), origin=np.full(int(own.sum()), which, dtype=np.int64)))
        notes.append(Note(f"labels taken from {name}, for {int((reference == which).sum())} drugs", int(own.sum())))
        if not own.all():
            gone = part.drug_idx[~own]
            what = f"labels of {name} left out, of {len(np.unique(gone))} drugs that a screen preferred to it measured"
            notes.append(Note(what, len(gone), pool.drug_names(gone)))
    return _Joined(_stacked(kept), tuple(pool.names), tuple(notes))


def _offset(pool: _Pool) -> _Joined:
    reference, notes = pool.reference, []
    own = [part.take(reference[part.drug_idx] == which) for which, part in enumerate(pool.parts)]
    known = _stacked(own)
    known = known.take(np.argsort(pool.pair(known)))
    moved = []
    for which, (name, part) in enumerate(zip(pool.names, pool.parts, strict=True)):
        other = part.take(reference[part.drug_idx] != which)
        labels, usable, used = _moved(other, known, pool)
        if len(used):
            spread = f"median {np.median(used):.3g}, from {used.min():.3g} to {used.max():.3g}"
            notes.append(
                Note(f"labels of {name} moved by an offset for each of {len(used)} drugs ({spread})", int(usable.sum()))
            )
        if not usable.all():
            gone = other.drug_idx[~usable]
            what = (
                f"labels of {name} left out, of {len(np.unique(gone))} drugs with fewer than {MIN_SHARED_LINES} uncensored "
                "lines in common with the screen preferred to it"
            )
            notes.append(Note(what, len(gone), pool.drug_names(gone)))
        moved.append(replace(other, potency=labels).take(usable))
    joined = _pair_means(pool, [*own, *moved], [*range(len(own)), *range(len(moved))])
    return replace(joined, notes=(*notes, *joined.notes))


def _moved(other: Responses, known: Responses, pool: _Pool) -> tuple[FloatArray, BoolArray, NDArray[np.float64]]:
    """Labels after their drug's offset, which of them have one, and the offsets. ``known`` is sorted by pair."""
    if not len(other) or not len(known):
        return other.potency, np.zeros(len(other), dtype=bool), np.zeros(0)
    pairs, wanted = pool.pair(known), pool.pair(other)
    place = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
    shared = (pairs[place] == wanted) & ~known.censored[place] & ~other.censored
    difference = known.potency[place].astype(np.float64) - other.potency
    rows = other.drug_idx[shared]
    count = np.bincount(rows, minlength=len(pool.drugs))
    offset = np.bincount(rows, weights=difference[shared], minlength=len(pool.drugs)) / np.maximum(count, 1)
    enough = count >= MIN_SHARED_LINES
    labels = (other.potency + offset[other.drug_idx]).astype(np.float32)
    return labels, enough[other.drug_idx], offset[np.unique(other.drug_idx)][enough[np.unique(other.drug_idx)]]


def _pair_means(pool: _Pool, parts: list[Responses], sources: list[int]) -> _Joined:
    """Each pair once, by its mean label, in order of first appearance, with the sources of that mean."""
    every = _stacked(parts)
    source = np.repeat(np.array(sources, dtype=np.int64), [len(part) for part in parts])
    _, first, group, count = np.unique(pool.pair(every), return_index=True, return_inverse=True, return_counts=True)
    mean = np.bincount(group, weights=every.potency.astype(np.float64)) / count
    censored = np.bincount(group, weights=every.censored) == count
    members = np.bincount(group, weights=2.0**source).astype(np.int64)  # a screen gives a pair at most one label
    singles = [2**which for which in range(len(pool.names))]
    sets = [*singles, *sorted(set(members.tolist()) - set(singles))]
    origins = tuple("+".join(name for which, name in enumerate(pool.names) if mask >> which & 1) for mask in sets)
    position = {mask: row for row, mask in enumerate(sets)}
    origin = np.array([position[mask] for mask in members.tolist()], dtype=np.int64)
    once = replace(every.take(first), potency=mean.astype(np.float32), censored=censored, origin=origin)
    counts = np.bincount(origin, minlength=len(origins)).tolist()
    notes = [Note(f"labels taken from {name}", count) for name, count in zip(origins, counts, strict=True) if count]
    return _Joined(once.take(np.argsort(first)), origins, tuple(notes))


def _stacked(parts: Sequence[Responses]) -> Responses:
    origins = [part.origin for part in parts if part.origin is not None]
    return Responses(
        cell_idx=np.concatenate([part.cell_idx for part in parts]),
        drug_idx=np.concatenate([part.drug_idx for part in parts]),
        potency=np.concatenate([part.potency for part in parts]),
        censored=np.concatenate([part.censored for part in parts]),
        origin=np.concatenate(origins) if len(origins) == len(parts) else None,
    )


def _comparable(screens: Sequence[Screen]) -> None:
    """Passes if the screens bear different names and measure one thing."""
    repeated = duplicates(screen.name for screen in screens)
    if repeated:
        raise ConfigError(
            f"{len(repeated)} names stand for several sources ({examples(repeated)}). Give each a name of its own."
        )
    for first, second in pairwise(screens):
        if not same_measure(first.measure, second.measure):
            raise SchemaError(
                f"The sources measure different things: {first.name} has {first.measure}, {second.name} has "
                f"{second.measure}. Choose one measure for all (responses.measure; full_area makes ActArea an aac)."
            )


def _cap(screens: Sequence[Screen], moved: bool) -> tuple[float | None, tuple[Note, ...]]:
    """The cap at which the labels of all screens stand, and a note if there is no common one."""
    caps = [screen.cap for screen in screens]
    if len(set(caps)) == 1 and not (moved and caps[0] is not None):
        return caps[0], ()
    shown = examples(f"{screen.name} {'none' if screen.cap is None else f'{screen.cap:.4g}'}" for screen in screens)
    why = "labels are moved by offsets" if moved else "the caps differ"
    return None, (
        Note(f"{why}, so the sources together have no cap; labels stay censored as they were; caps", len(caps), shown),
    )


def _shared_genes(screens: Sequence[Screen]) -> tuple[tuple[str, ...], list[Note]]:
    """Genes that all screens have, in the first one's order."""
    known = set(screens[0].genes).intersection(*(screen.genes for screen in screens))
    genes = tuple(gene for gene in screens[0].genes if gene in known)
    if not genes:
        named = [f"{screen.name} has {len(screen.genes)}, e.g. {examples(screen.genes)}" for screen in screens]
        raise SchemaError(f"The sources share no gene ({'; '.join(named)}). Give all of them one expression file.")
    lost = {screen.name: [gene for gene in screen.genes if gene not in known] for screen in screens}
    return genes, [
        Note(f"{name}: genes that the other sources lack left out", len(gone), examples(gone))
        for name, gone in lost.items()
        if gone
    ]


def _lines(screens: Sequence[Screen]) -> tuple[CellLines, list[IntArray], list[Note]]:
    """All lines, the first screen's first; where each screen's own lines stand among them."""
    ids: list[str] = []
    links: list[str | None] = []
    tissues: list[str | None] = []
    names: list[str | None] = []
    expression: list[FloatArray] = []
    by_id: dict[str, int] = {}
    by_link: dict[str, int] = {}
    places, notes = [], []
    for screen in screens:
        cells = screen.cells
        named = [(by_id[name], row) for row, name in enumerate(cells.ids) if name in by_id]
        other = [cells.ids[row] for known, row in named if len({links[known], cells.link_ids[row]} - {None}) > 1]
        if other:
            what = f"{screen.name}: line ids that mean another line in the sources before it; lines are matched by link id"
            notes.append(Note(what, len(other), examples(other)))
        place, differing = np.zeros(len(cells), dtype=np.int64), []
        for row, (name, link) in enumerate(zip(cells.ids, cells.link_ids, strict=True)):
            known = None if other else by_id.get(name)
            known = by_link.get(link) if known is None and link is not None else known
            if known is None:
                known = len(ids)
                ids.append(name if name not in by_id else f"{screen.name}:{name}")
                links.append(link)
                tissues.append(cells.tissues[row])
                names.append(None)
                expression.append(cells.expression[row])
                by_id[ids[-1]] = known
            elif not np.array_equal(expression[known], cells.expression[row]):
                differing.append(name)
            if link is not None and link not in by_link:
                links[known] = links[known] or link
                by_link[link] = known
            tissues[known] = tissues[known] or cells.tissues[row]
            names[known] = names[known] or (cells.names[row] if cells.names else None)
            place[row] = known
        if differing:
            raise SchemaError(
                f"{len(differing)} of {len(cells)} lines of {screen.name} have other expression than in the sources before "
                f"it (e.g. {examples(differing)}). Give all sources one expression file."
            )
        places.append(place)
    told = tuple(names) if any(names) else ()
    return CellLines(tuple(ids), tuple(links), tuple(tissues), np.stack(expression), told), places, notes


def _drugs(screens: Sequence[Screen]) -> tuple[Drugs, list[IntArray], list[Note]]:
    """All drugs, in order of first appearance; where each screen's own drugs stand among them."""
    every = [(screen.drugs, row) for screen in screens for row in range(len(screen.drugs))]
    group = _same_drug([drugs.ids[row] for drugs, row in every], [drugs.told_by[row] for drugs, row in every])
    members: defaultdict[int, list[tuple[Drugs, int]]] = defaultdict(list)
    for number, member in zip(group.tolist(), every, strict=True):
        members[number].append(member)
    mixed, stereo, renamed, chosen = [], [], [], []
    for found in members.values():
        drugs, row = next(((drugs, row) for drugs, row in found if drugs.smiles[row] is not None), found[0])
        first, first_row = found[0]
        target = next((drugs.targets[row] for drugs, row in found if drugs.targets[row] is not None), None)
        parent = None if drugs.parents is None else drugs.parents[row]
        facts = first.ids[first_row], first.names[first_row], drugs.smiles[row], drugs.structure_keys[row], target, parent
        chosen.append(facts)
        names = list(dict.fromkeys(drugs.names[row] for drugs, row in found))
        texts = {smiles for drugs, row in found if (smiles := drugs.told_by[row]) is not None}
        if len({drugs.structure_keys[row] for drugs, row in found} - {None}) > 1:
            mixed.append(names[0])
        elif len({whole_key(text) for text in texts}) > 1:
            stereo.append(names[0])
        if len(names) > 1:
            renamed.append(" = ".join(names))
    if mixed:
        raise SchemaError(
            f"{len(mixed)} drugs stand in several sources under one id with different structures (e.g. {examples(mixed)}). "
            "Give all sources one drug file, or give different drugs ids of their own."
        )
    said = (
        ("drugs under several names taken as one", renamed),
        ("drugs whose sources give different stereochemistry under one id; the first one's is taken", stereo),
    )
    notes = [Note(what, len(names), examples(names)) for what, names in said if names]
    ends = np.cumsum([len(screen.drugs) for screen in screens])[:-1]
    drugs = Drugs(*map(tuple, zip(*chosen, strict=True)))
    if screens[0].drugs.identity == "exact":
        drugs = replace(drugs, parents=None)
    return drugs, np.split(group, ends), notes


def _same_drug(ids: Sequence[str], smiles: Sequence[str | None]) -> IntArray:
    """A number for each drug, in order of first appearance; equal if linked by equal ids or equal whole structures."""
    from scipy.sparse import coo_array  # a third of a second that a single source screen does without
    from scipy.sparse.csgraph import connected_components

    nodes: dict[tuple[str, str], int] = {}
    edges = []
    for row, (name, text) in enumerate(zip(ids, smiles, strict=True)):
        marks = [("id", name)] + ([("structure", whole_key(text))] if text is not None else [])
        edges += [(row, nodes.setdefault(mark, len(ids) + len(nodes))) for mark in marks]
    starts, ends = np.array(edges, dtype=np.int64).T
    size = len(ids) + len(nodes)
    _, label = connected_components(coo_array((np.ones(len(edges)), (starts, ends)), shape=(size, size)), directed=False)
    _, first, group = np.unique(label[: len(ids)], return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return rank[group].astype(np.int64)
