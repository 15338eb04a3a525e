"""Structures of drugs from a table of their own: by id, by name however it is spelled, by PubChem CID."""

import re
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dadsp.data.cell_values import compatible
from dadsp.data.drug_tables import OnInvalid, Texts, counted, read_structures
from dadsp.data.ids import MatchBy, drug_key, refuse_shared
from dadsp.drugs.structures import identity_key, skeleton_of
from dadsp.errors import SchemaError, examples
from dadsp.schema import Identity, Note

_CID = re.compile(r"(?i)\b(pubchem\s*)?cid[\s:#=]*(?=\d)")
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+")  # one number or several: nobody can tell
_SEPARATORS = (r"[;|\n]", r",\s+", ",")  # of synonyms; chemical names hold commas too, so the finer ones come last

Mark = tuple[str, str]  # by what a row of the table is found: a kind of spelling, and the text so spelled


def cids_of(text: object) -> tuple[str, ...]:
    """The PubChem CIDs of a cell: one, as text or as a number, or a list of them; none where it says none."""
    plain = _CID.sub(" ", compatible(text)).strip() if isinstance(text, str) else ""
    if _THOUSANDS.fullmatch(plain):
        return ()
    parts = [part.split() for part in re.split(r"[,;|/&+]|\band\b|\bor\b", plain)]
    found = [[re.fullmatch(r"0*([1-9]\d*)(\.0*)?", word) for word in part] for part in parts]
    return tuple(dict.fromkeys(match[1] for part in found if all(part) for match in part if match))  # SID 12 is no CID


def structures_of(
    drugs: pd.DataFrame,
    table: pd.DataFrame,
    by: MatchBy,
    where: str,
    identity: Identity = "exact",
    on_invalid: OnInvalid = "error",
) -> tuple[Texts, tuple[Note, ...]]:
    """SMILES of each drug from a table of structures, and notes on those that it lacks.

    By name, the same spelling goes before a forgiven one, and a drug's own name before its synonyms. By CID, the first of a
    list that the table holds is taken. Rows that no drug asks for are not looked at.

    Args:
        drugs: Columns ``drug_id`` and, as ``by`` needs, ``name``, ``synonyms`` (separated by commas, semicolons or bars),
            ``cid``.
        table: Columns ``key`` and ``smiles``, some of them empty.
        by: What ``key`` holds.
        where: What holds the table, for an error.
        identity: What tells two structures apart.
        on_invalid: What becomes of a SMILES that a drug asks for and that is none.

    Raises:
        SchemaError: A key has several structures, a drug's synonyms lead to several, no drug is found, or a SMILES is none;
            the message lists them.
    """
    usable = table.dropna()
    asked = [_asked(row, by) for row in drugs.to_dict("records")]
    wanted = {mark for texts in asked for text in texts for piece in _pieces(text) for mark in _marks(piece, by)}
    pairs = zip(usable["key"], usable["smiles"], strict=True)
    rows = [(key, text, wanted.intersection(_marks(key, by))) for key, text in pairs]
    rows = [row for row in rows if row[2]]
    smiles, notes = read_structures([row[1] for row in rows], [row[0] for row in rows], where, on_invalid)
    choices: defaultdict[Mark, dict[str, str]] = defaultdict(dict)  # whole key → a SMILES of it
    for (_, _, marks), structure in zip(rows, smiles, strict=True):
        for mark in marks if structure is not None else ():
            choices[mark].setdefault(identity_key(structure or "", identity), structure or "")
    reached = [_reached(texts, by, choices) for texts in asked]
    names = [str(row.get("name") or row["drug_id"]) for row in drugs.to_dict("records")]
    found = tuple(next(iter(choices[marks[0]].values()), None) if marks else None for marks in reached)
    missing = [name for name, structure in zip(names, found, strict=True) if structure is None]
    if asked and len(missing) == len(asked) and all(smiles):
        raise SchemaError(
            f"{where}: none of {len(asked)} drugs has a structure here by {by} (the drugs say e.g. "
            f"{examples(drugs[{'id': 'drug_id'}.get(by, by)].dropna())}; here are e.g. {examples(usable['key'])}). Check "
            "structures.by and the columns of both files."
        )
    notes = (*notes, *_contradictions(list(zip(names, reached, strict=True)), choices, by, where))
    if by == "cid":
        silent = [text for text in drugs["cid"].dropna() if not cids_of(text)]
        if silent:
            notes = (*notes, Note("cells that hold no PubChem CID taken as empty", len(silent), counted(silent)))
    if missing:
        notes = (*notes, Note(f"drugs without a structure in {Path(where).name}", len(missing), examples(missing)))
    return found, notes


def _asked(drug: dict[Hashable, Any], by: MatchBy) -> list[str]:
    """What a drug asks for, the best first."""
    if by == "cid":
        return list(cids_of(drug["cid"]))
    texts = [drug["drug_id"]] if by == "id" else [drug["name"], drug.get("synonyms")]
    return [str(text) for text in texts if isinstance(text, str)]


def _marks(text: str, by: MatchBy) -> tuple[Mark, ...]:
    """By what a text is looked up, the best first."""
    if by == "name":
        marks = ("as written", " ".join(text.casefold().split())), ("as spelled", drug_key(text))
        return tuple(mark for mark in marks if mark[1])
    return tuple((by, each) for each in (cids_of(text) if by == "cid" else (text,)))


def _pieces(text: str) -> list[str]:
    """A text and all that its separators divide it into."""
    parts = (part.strip() for separator in _SEPARATORS for part in re.split(separator, text))
    return list(dict.fromkeys([text, *(part for part in parts if len(part) > 1)]))


def _reached(texts: list[str], by: MatchBy, choices: Mapping[Mark, object]) -> list[Mark]:
    """The marks of the table to which a drug's texts lead; by name its synonyms count where its own name leads nowhere."""

    def led(text: str, separators: Sequence[str] = ()) -> list[Mark]:
        found = [mark for mark in _marks(text, by) if mark in choices][:1]
        if found or not separators:
            return found
        parts = [part.strip() for part in re.split(separators[0], text)]
        return [mark for part in parts if len(part) > 1 for mark in led(part, separators[1:])]

    if by != "name":
        return [mark for text in texts for mark in led(text)]
    return led(texts[0]) or [mark for text in texts[1:] for mark in led(text, _SEPARATORS)]


def _contradictions(
    reached: Sequence[tuple[str, list[Mark]]], choices: Mapping[Mark, Mapping[str, str]], by: MatchBy, where: str
) -> list[Note]:
    """Notes on drugs that lead to several structures, where one of them may be taken; refuses the others."""
    used = {mark: choices[mark] for _, marks in reached for mark in marks}
    rows = {mark[1]: structures.values() for mark, structures in used.items() if len(set(map(skeleton_of, structures))) > 1}
    lists: dict[str, list[str]] = {}
    stereo: list[str] = []
    for name, marks in reached:
        skeletons = {skeleton_of(key) for mark in marks for key in choices[mark]}
        if len(skeletons) > 1 and len(marks) > 1:
            lists[name] = [mark[1] for mark in marks]
        elif len(skeletons) == 1 and len({key for mark in marks for key in choices[mark]}) > 1:
            stereo.append(name)
    for groups, what in ((rows, "structures"), ({} if by == "cid" else lists, "structures by synonym")):
        refuse_shared(groups, what, where)
    notes = []
    if by == "cid" and lists:
        shown = examples(f"{name}: {', '.join(cids)}" for name, cids in lists.items())
        notes.append(Note("suspicious CIDs: a list of several structures, of which the first is taken", len(lists), shown))
    if stereo:
        what = "drugs whose name or id leads to several stereoisomers, isotopes or salts, of which the first is taken"
        notes.append(Note(what, len(stereo), examples(stereo)))
    return notes
