"""Which line and which drug a user means: by id, by name however it is spelled, by structure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np

from dadsp.data.drug_tables import told_drugs
from dadsp.data.ids import drug_key, line_key
from dadsp.drugs.smiles_cells import read_cell
from dadsp.drugs.structures import parse, structure_keys
from dadsp.errors import SchemaError, examples
from dadsp.schema import CellLines, Drugs, Identity, IntArray, Note, Screen

FEWEST_ATOMS = 5  # heavy atoms of a structure in place of a name; shorter ones are more likely a name


Step = tuple[str, Sequence[tuple[str, ...]], Callable[[str], str]]  # by what, names of each row, how they are written


class Matched(NamedTuple):
    """What texts were found to mean.

    Attributes:
        rows: Row of each text, −1 where it is not known.
        notes: How many were found otherwise than by their id.
        doubtful: One clause for each text that may mean several.
    """

    rows: IntArray
    notes: tuple[Note, ...]
    doubtful: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Pool:
    """Drugs that may be asked for.

    Attributes:
        drugs: Of all screens; an id that another screen before holds too is written ``screen:id``.
        asked: What each is called in its own screen.
        screens: Whose each is; empty where there is one table.
        own: Rows of those that no screen before holds.
    """

    drugs: Drugs
    asked: tuple[str, ...]
    screens: tuple[str, ...]
    own: IntArray

    @classmethod
    def of(cls, known: Sequence[Screen]) -> Self:
        """The drugs of these screens, the first to be preferred."""
        ids: list[str] = []
        asked: list[str] = []
        screens: list[str] = []
        own: list[int] = []
        before: set[str] = set()
        for screen in known:
            taken, held = set(ids), {_identity(screen.drugs, row) for row in range(len(screen.drugs))}
            for row, name in enumerate(screen.drugs.ids):
                if _identity(screen.drugs, row) not in before:
                    own.append(len(ids))
                ids.append(f"{screen.name}:{name}" if name in taken else name)
                asked.append(name)
                screens.append(screen.name)
            before |= held
        drugs = replace(Drugs.joined(*(screen.drugs for screen in known)), ids=tuple(ids))
        return cls(drugs, tuple(asked), tuple(screens), np.array(own, dtype=np.int64))

    @classmethod
    def of_table(cls, drugs: Drugs) -> Self:
        """The drugs of one table."""
        return cls(drugs, drugs.ids, (), np.arange(len(drugs)))

    def all(self) -> list[str]:
        """Every drug that has a structure, of each screen those that none before holds; ids that mean several in full."""
        meant: dict[str, set[str]] = {}
        for row, name in enumerate(self.asked):
            meant.setdefault(name, set()).add(_identity(self.drugs, row))
        return [
            f"{self.screens[row]}:{self.asked[row]}" if len(meant[self.asked[row]]) > 1 else self.asked[row]
            for row in self.own
            if self.drugs.smiles[row] is not None
        ]

    def match(self, texts: Sequence[str]) -> Matched:
        """The drug that each text means: its id, else ``screen:id``, else its name, else its structure."""
        identity = [_identity(self.drugs, row) for row in range(len(self.drugs))]

        def shown(row: int) -> str:
            name, smiles = self.drugs.names[row], self.drugs.smiles[row]
            whole = f"{self.screens[row]}:{self.asked[row]}" if self.screens else self.drugs.ids[row]
            return f"{whole} ({name}, {_short(smiles or 'no structure')})"

        ids = [(self.asked[row], f"{screen}:{self.asked[row]}") for row, screen in enumerate(self.screens)]
        ids = ids or [(name, name) for name in self.asked]
        names = [(drug_key(self.asked[row]), drug_key(name or "")) for row, name in enumerate(self.drugs.names)]
        steps: list[Step] = [("id", ids, str), ("name, however it is spelled", names, drug_key)]
        found = _matched(texts, steps, identity, shown, "drugs")
        unknown = np.flatnonzero(found.rows < 0)
        if not len(unknown):
            return found
        keys = {key: row for row, key in reversed(list(enumerate(self.drugs.structure_keys))) if key is not None}
        rows = found.rows.copy()
        for place in unknown.tolist():
            key = _key_of(texts[place], self.drugs.identity)
            rows[place] = keys.get(key, -1) if key is not None else -1
        by_structure = [texts[place] for place in unknown.tolist() if rows[place] >= 0]
        notes = (Note("drugs found by their structure", len(by_structure), _examples(by_structure)),) if by_structure else ()
        return Matched(rows, (*found.notes, *notes), found.doubtful)

    def with_structures(self, texts: Sequence[str]) -> "tuple[Pool, Note | None]":
        """The same with the drugs that some texts, which nothing else explains, are the SMILES of."""
        new = [text for text in dict.fromkeys(texts) if _key_of(text, self.drugs.identity) is not None]
        if not new:
            return self, None
        smiles = tuple(read_cell(text).smiles for text in new)
        joined = Drugs.joined(self.drugs, told_drugs(new, new, smiles, (None,) * len(new), self.drugs.identity))
        screens = (*self.screens, *("new" for _ in new)) if self.screens else ()
        note = Note("drugs that no screen holds, given by their structure", len(new), _examples(new))
        return Pool(joined, (*self.asked, *new), screens, self.own), note


def match_lines(texts: Sequence[str], cells: CellLines) -> Matched:
    """The line that each text means: its id, else its name, id or identity across screens however it is spelled."""
    names = cells.names or (None,) * len(cells)
    identity = [str(row) for row in range(len(cells))]

    def shown(row: int) -> str:
        return f"{cells.ids[row]} ({names[row]})" if names[row] else cells.ids[row]

    ids = [(name,) for name in cells.ids]
    every = zip(cells.ids, cells.link_ids, names, strict=True)
    spelled = [tuple(line_key(text) for text in texts if text) for texts in every]
    return _matched(
        texts, [("id", ids, str), ("name, however it is spelled", spelled, line_key)], identity, shown, "cell lines"
    )


def _matched(
    texts: Sequence[str],
    steps: Sequence[Step],
    identity: Sequence[str],
    shown: Callable[[int], str],
    what: str,
) -> Matched:
    """Looks each text up step by step; a later step serves those that the earlier did not find.

    Args:
        texts: To look up.
        steps: What the step goes by; what each row is called in it; how a text is written in it.
        identity: Of each row; rows of one identity may stand for each other.
        shown: How an error writes a row.
        what: The texts name.
    """
    rows = np.full(len(texts), -1, dtype=np.int64)
    notes: list[Note] = []
    doubtful: list[str] = []
    for step, called, written in steps:
        left = np.flatnonzero(rows < 0).tolist()
        if not left:
            break
        known: dict[str, list[int]] = {}
        for row, names in enumerate(called):
            for name in dict.fromkeys(names):
                if name:
                    known.setdefault(name, []).append(row)
        found = []
        for place in left:
            candidates = known.get(written(texts[place]), [])
            kinds = {identity[row]: row for row in reversed(candidates)}
            if len(kinds) > 1:
                doubtful.append(f"{texts[place]!r} may be {' or '.join(shown(row) for row in sorted(kinds.values()))}")
            if candidates:
                rows[place] = candidates[0]
                found.append(texts[place])
        if step != "id" and found:
            notes.append(Note(f"{what} found by their {step}", len(found), _examples(found)))
    return Matched(rows, tuple(notes), tuple(doubtful))


def refuse_doubtful(where: object, *found: Matched) -> None:
    """Passes if every text means one line or drug.

    Raises:
        SchemaError: Some may mean several.
    """
    doubtful = [clause for each in found for clause in each.doubtful]
    if doubtful:
        raise SchemaError(
            f"{where}: {len(doubtful)} names may mean several lines or drugs: {'; '.join(doubtful[:4])}. "
            "Write those in full, as they stand here before the brackets."
        )


def _identity(drugs: Drugs, row: int) -> str:
    return drugs.structure_keys[row] or f"name:{drug_key(drugs.names[row])}"


def _key_of(text: str, identity: Identity) -> str | None:
    """The structure key of a text that is a SMILES of ``FEWEST_ATOMS`` or more, else None."""
    smiles = read_cell(text).smiles
    if smiles is None or parse([smiles], [text])[0].GetNumHeavyAtoms() < FEWEST_ATOMS:
        return None
    return structure_keys([smiles], [text], identity)[0]


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}…"


def _examples(texts: Sequence[str]) -> str:
    return examples(_short(text) for text in texts)
