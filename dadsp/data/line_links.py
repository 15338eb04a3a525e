"""Which lines of two screens are the same: by id first, then by name, each step counted, and what nearly agrees listed."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import numpy as np

from dadsp.data.line_names import (
    bare_keys,
    canonical_id,
    clone_keys,
    differing_ids,
    kind_of_id,
    name_keys,
    part_keys,
    short_keys,
    written,
)
from dadsp.errors import examples
from dadsp.schema import CellLines, IntArray, Note, Screen

FEW = 0.05  # of the lines; fewer links than that are suspicious where the names agree

FEWEST = 3  # lines that say whether two screens call lines the same

Keys = list[frozenset[str]]  # of each line


class _Step(NamedTuple):
    what: str
    source: Keys
    target: Keys


def all_linked(screens: Sequence[Screen]) -> list[Screen]:
    """The screens, in which each line that several of them hold bears one link id; see ``linked``."""
    joined = list(screens)
    for first, second in combinations(range(len(joined)), 2):
        joined[first], joined[second] = linked(joined[first], joined[second])
    return [replace(screen, cells=replace(screen.cells, other_ids=(), other_names=())) for screen in joined]


def linked(source: Screen, target: Screen) -> tuple[Screen, Screen]:
    """Both screens, in which a line that both hold bears one link id, and notes in the target on how it was found.

    Lines are the same if their link ids are equal. The others are sought step by step: by another id, or one written in
    another way; and, where one of the screens is linked by name and the other has names, by name, by a further name, without
    collection prefix or ending, without the letter of a clone. A step links lines only if what agrees stands for one line in
    either screen, and they have no differing ids of one kind.
    """
    ours, theirs = _with_names(source.cells, target.cells), _with_names(target.cells, source.cells)
    position = {link: row for row, link in enumerate(ours.link_ids) if link is not None}
    partner = np.array([-1 if link is None else position.get(link, -1) for link in theirs.link_ids], dtype=np.int64)
    equal = int((partner >= 0).sum())
    named = bool(ours.other_names and theirs.other_names)
    notes, nearly = [], dict[int, set[int]]()
    for step in _steps(ours, theirs, partner, named):
        found, doubtful = _step(step, partner, ours, theirs)
        for row, candidates in doubtful.items():
            nearly.setdefault(row, set()).update(candidates)
        shown = examples([f"{_called(theirs, row)} = {_called(ours, partner[row])}" for row in found])
        if found and step.what:
            notes.append(Note(f"cell lines linked to {source.name} by {step.what}", len(found), shown))
    if equal and (named or (ours.other_ids and theirs.other_ids)):
        notes.insert(0, Note(f"cell lines linked to {source.name} by equal ids", equal))
    apart = _near_misses(nearly, partner, ours, theirs)
    if apart:
        what = f"cell lines kept apart, whose id or name is nearly that of a line of {source.name} or fits several"
        notes.append(Note(what, len(apart), examples(apart, 6)))
    if named:
        torn = _torn(partner, ours, theirs)
        if torn:
            what = f"suspicious links: cell lines that are one of {source.name} by id and another by name (the id counts)"
            notes.append(Note(what, len(torn), examples(torn)))
    other = _torn_ids(partner, ours, theirs)
    if other:
        what = (
            f"suspicious links: cell lines that are one of {source.name} by link, another by their own id (the link counts)"
        )
        note = Note(what, len(other), examples(other))
        notes += [note] if note not in target.notes else []  # sources are joined before their study is
    source, target = _unified(source, target, partner)
    return source, replace(target, notes=(*target.notes, *notes))


def _with_names(cells: CellLines, other: CellLines) -> CellLines:
    """The lines, under their names alone where only the other screen asks to be linked by name."""
    if cells.other_names or not (other.other_names and cells.names):
        return cells
    return replace(cells, other_names=tuple((name,) if name else () for name in cells.names))


def few_links(source: Screen, target: Screen) -> tuple[Note, ...]:
    """A note if the screens share no line, or few while the names of others agree."""
    ours, theirs = source.cells, target.cells
    known = {link for link in ours.link_ids if link is not None}
    shared = sum(link in known for link in theirs.link_ids)
    if shared and shared >= FEW * min(len(ours), len(theirs)):
        return _named_alike(source, target)
    alike = _names_alike(ours, theirs)
    if shared and len(alike) <= shared:
        return ()
    said = "; ".join(f"{screen.name}: {_kinds(screen.cells)}" for screen in (source, target))
    hint = f", though the names of {len(alike)} agree (e.g. {examples(alike)})" if alike else ""
    remedy = (
        "If they hold the same lines, give both ids of one kind (cells.columns.link_id or cells.links), or names "
        "(cells.columns.name, cells.link_by: id_then_name); otherwise their lines count as unseen"
    )
    what = (
        f"suspicious links: {shared or 'none'} of {len(theirs)} cell lines linked to {source.name}{hint}; {said}. {remedy}; "
        "lines without a link"
    )
    return (Note(what, len(theirs) - shared),)


def _named_alike(source: Screen, target: Screen) -> tuple[Note, ...]:
    """A note on lines that no id links though both screens have their name."""
    ours, theirs = source.cells, target.cells
    if not (ours.names and theirs.names):
        return ()
    linked_ids = {*ours.link_ids} & {*theirs.link_ids} - {None}
    free = {
        key: name
        for name, link in zip(ours.names, ours.link_ids, strict=True)
        if name and link not in linked_ids
        for key in name_keys(name)
    }
    alike = [
        name
        for name, link in zip(theirs.names, theirs.link_ids, strict=True)
        if name and link not in linked_ids and free.keys() & name_keys(name)
    ]
    what = f"cell lines that no id links to {source.name}, though it has their names (cells.link_by: id_then_name)"
    return (Note(what, len(alike), examples(alike)),) if alike else ()


def _steps(ours: CellLines, theirs: CellLines, partner: IntArray, named: bool) -> Iterator[_Step]:
    """The steps in their order; ``partner`` holds what the steps before have found."""
    yield _Step("another id, or one written in another way", _ids(ours), _ids(theirs))
    rows = np.flatnonzero(partner >= 0).tolist()
    if len(rows) >= FEWEST and all(ours.ids[partner[row]] == theirs.ids[row] for row in rows):
        # A line without a link id, in screens that call every other line the same.
        yield _Step("their own id, which is the same for all lines linked before", *_own_ids(ours, theirs))
    if not named:
        return
    yield _Step("name", *_own_names(ours, theirs))
    yield _Step("a further name, letter for letter", _keys(ours, written), _keys(theirs, written))
    part, part_ours = _keys(theirs, part_keys), _keys(ours, part_keys)
    yield _Step("a further name", part_ours, part)
    short, short_ours = [short_keys(keys) for keys in part], [short_keys(keys) for keys in part_ours]
    yield _Step("name without collection prefix or ending, O read as 0", short_ours, short)
    yield _Step("name without the letter of a clone", short_ours, [clone_keys(keys) for keys in part])
    yield _Step("name without the letter of a clone", [clone_keys(keys) for keys in part_ours], short)
    yield _Step("", _keys(ours, bare_keys), _keys(theirs, bare_keys))  # links nothing, but is worth a look


def _own_ids(ours: CellLines, theirs: CellLines) -> tuple[Keys, Keys]:
    """The screens' own ids, of lines of which one side has no link id."""
    without = {name for cells in (ours, theirs) for name, link in zip(cells.ids, cells.link_ids, strict=True) if not link}
    source, target = ([frozenset({name} & without) for name in cells.ids] for cells in (ours, theirs))
    return source, target


def _own_names(ours: CellLines, theirs: CellLines) -> tuple[Keys, Keys]:
    return _keys(ours, name_keys, own=True), _keys(theirs, name_keys, own=True)


def _ids(cells: CellLines) -> Keys:
    return [frozenset(key for text in _known(cells, row) if (key := canonical_id(text))) for row in range(len(cells))]


def _known(cells: CellLines, row: int) -> tuple[str, ...]:
    """The ids of a line across screens."""
    link = cells.link_ids[row]
    return cells.other_ids[row] if cells.other_ids else (link,) if link else ()


def _keys(cells: CellLines, keys_of: Callable[[str], frozenset[str]], own: bool = False) -> Keys:
    return [
        frozenset[str]().union(*(keys_of(name) for name in (names[:1] if own else names))) for names in cells.other_names
    ]


def _step(step: _Step, partner: IntArray, ours: CellLines, theirs: CellLines) -> tuple[list[int], dict[int, set[int]]]:
    """Fills ``partner`` where a step finds a line; the rows it did so for, and the candidates of those in doubt."""
    source, target = _rows_of(step.source), _rows_of(step.target)
    taken = {int(row) for row in partner if row >= 0}
    found: list[int] = []
    doubtful: dict[int, set[int]] = {}
    for row in np.flatnonzero(partner < 0).tolist():
        shared = [key for key in step.target[row] if key in source]
        sure = {source[key][0] for key in shared if len(source[key]) == 1 == len(target[key])} - taken
        candidates = {other for key in shared for other in source[key]}
        if len(sure) == 1 and step.what and not differing_ids(_known(ours, min(sure)), _known(theirs, row)):
            partner[row] = min(sure)
            taken |= sure
            found.append(row)
        elif candidates:
            doubtful[row] = candidates
    return found, doubtful


def _rows_of(keys: Keys) -> dict[str, list[int]]:
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, own in enumerate(keys):
        for key in own:
            rows[key].append(row)
    return rows


def _near_misses(nearly: dict[int, set[int]], partner: IntArray, ours: CellLines, theirs: CellLines) -> list[str]:
    taken = {int(row) for row in partner if row >= 0}
    shown = []
    for row in sorted(row for row in nearly if partner[row] < 0):
        free = sorted(nearly[row] - taken)
        if free:
            shown.append(f"{_called(theirs, row)} / {' / '.join(_called(ours, other) for other in free[:3])}")
    return shown


def _torn(partner: IntArray, ours: CellLines, theirs: CellLines) -> list[str]:
    """Linked lines whose whole name is that of another line of the source."""
    source_names, names = _own_names(ours, theirs)
    source, target = _rows_of(source_names), _rows_of(names)
    shown = []
    for row in np.flatnonzero(partner >= 0).tolist():
        for key in names[row]:
            others = source.get(key, [])
            if len(others) == 1 == len(target[key]) and others[0] != partner[row]:
                shown.append(
                    f"{_called(theirs, row)} is {_called(ours, int(partner[row]))} by id, {_called(ours, others[0])} by name"
                )
    return shown


def _torn_ids(partner: IntArray, ours: CellLines, theirs: CellLines) -> list[str]:
    """Linked lines whose own id is that of another line of the source, where most of their kind agree."""
    position = {own: row for row, own in enumerate(ours.ids)}
    known = [(row, position[own]) for row, own in enumerate(theirs.ids) if partner[row] >= 0 and own in position]
    torn = [row for row, same in known if partner[row] != same]
    if 2 * len(torn) >= len(known):  # else the screens number their lines each for itself
        return []
    return [f"{_called(theirs, row)} is {_called(ours, int(partner[row]))} by link" for row in torn]


def _unified(source: Screen, target: Screen, partner: IntArray) -> tuple[Screen, Screen]:
    ours, theirs = list(source.cells.link_ids), list(target.cells.link_ids)
    for row in np.flatnonzero(partner >= 0).tolist():
        other = int(partner[row])
        ours[other] = ours[other] or theirs[row] or f"{source.name}:{source.cells.ids[other]}"
        theirs[row] = ours[other]
    return (
        replace(source, cells=replace(source.cells, link_ids=tuple(ours))),
        replace(target, cells=replace(target.cells, link_ids=tuple(theirs))),
    )


def _called(cells: CellLines, row: int) -> str:
    """A line's name and id, as far as they differ."""
    name = (cells.other_names[row][:1] if cells.other_names else ()) or (cells.names[row : row + 1] if cells.names else ())
    return f"{name[0]} ({cells.ids[row]})" if name and name[0] and name[0] != cells.ids[row] else cells.ids[row]


def _kinds(cells: CellLines) -> str:
    """What the link ids of a screen are, with examples."""
    links = [link for link in cells.link_ids if link is not None]
    if not links:
        return "no line has a link id"
    kinds = dict.fromkeys(map(kind_of_id, links))
    return f"{' and '.join(kinds)} such as {examples(links)}"


def _names_alike(ours: CellLines, theirs: CellLines) -> list[str]:
    """Lines whose name, id or link id is spelled as one of the other screen's."""
    known = {key for texts in _texts(ours) for key in texts}
    return [next(iter(texts[key] for key in texts if key in known)) for texts in _texts(theirs) if known & set(texts)]


def _texts(cells: CellLines) -> Iterable[dict[str, str]]:
    names: Collection[str | None] = cells.names or (None,) * len(cells)
    for texts in zip(cells.ids, cells.link_ids, names, strict=True):
        yield {key: text for text in texts if text for key in (*name_keys(text), canonical_id(text)) if key}
