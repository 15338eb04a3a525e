"""Drugs as tables hold them: which cells are structures, by what a drug is told, and what looks wrong among them."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from dadsp.data.ids import drug_key
from dadsp.data.problems import refuse
from dadsp.drugs.parents import is_mixture, parent_of
from dadsp.drugs.smiles_cells import Cell, read_cell
from dadsp.drugs.structures import not_valid, skeleton_of, whole_key
from dadsp.errors import ConfigError, SchemaError, examples
from dadsp.schema import Drugs, Identity, Note, Screen

OnInvalid = Literal["error", "drop"]
Texts = tuple[str | None, ...]
_PARENTS = "drugs told by their parent: without salt, solvent and charge, metal complexes in neutral parts"


def read_structures(
    cells: Sequence[str | None], names: Sequence[str], where: str, on_invalid: OnInvalid
) -> tuple[Texts, tuple[Note, ...]]:
    """The structure that each cell holds, None where it holds none, and notes on what was not read as it stands.

    Args:
        cells: Of a column of SMILES; None where empty.
        names: What to call each drug; same length.
        where: What holds them, for an error.
        on_invalid: ``"error"`` refuses what is no structure, ``"drop"`` takes it as none.

    Raises:
        SchemaError: Some cells hold something else, and may not.
    """
    read = [None if text is None else read_cell(text) for text in cells]
    given = [(name, text or "", cell) for name, text, cell in zip(names, cells, read, strict=True) if cell is not None]
    silent = [text for _, text, cell in given if cell.smiles is None and cell.fault is None]
    bad = [(name, text, cell.fault or "") for name, text, cell in given if cell.fault is not None]
    if bad and on_invalid == "error":
        refuse(
            SchemaError(
                f"{where}: {not_valid(bad, len(given) - len(silent))} Correct them, leave them empty, or set "
                "drugs.on_invalid_structure: drop."
            )
        )
    notes = []
    if bad:
        shown = examples(f"{name}: {text[:40]}" for name, text, _ in bad)
        notes.append(Note("drugs whose SMILES are not valid taken as without a structure", len(bad), shown))
    if silent:
        notes.append(Note("SMILES that say there is none taken as empty", len(silent), counted(silent)))
    return tuple(None if cell is None else cell.smiles for cell in read), (
        *notes,
        *repairs({name: cell for name, _, cell in given}),
    )


def repairs(cells: Mapping[str, Cell]) -> tuple[Note, ...]:
    """Notes on drugs whose SMILES were not read as they stand."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, cell in cells.items():
        if cell.repaired:
            found[cell.repaired].append(name)
    return tuple(Note(f"SMILES read without {what}", len(names), examples(names)) for what, names in found.items())


def counted(texts: Sequence[str]) -> str:
    """The most frequent texts with their numbers."""
    return examples(f"{text}: {count}" for text, count in Counter(texts).most_common())


def told_drugs(ids: Sequence[str], names: Sequence[str], smiles: Texts, targets: Texts, identity: Identity) -> Drugs:
    """A table of drugs of valid structures, told by ``identity``."""
    parents = None if identity == "exact" else tuple(None if text is None else parent_of(text) for text in smiles)
    drugs = Drugs(tuple(ids), tuple(names), smiles, (None,) * len(smiles), targets, parents)
    keys = tuple(None if text is None else skeleton_of(whole_key(text)) for text in drugs.told_by)
    return Drugs(drugs.ids, drugs.names, smiles, keys, targets, parents)


def refuse_different_rules(screens: Sequence[Screen]) -> None:
    """Passes if all screens tell drugs by one rule.

    Raises:
        ConfigError: They do not.
    """
    rules = {screen.name: screen.drugs.identity for screen in screens}
    if len(set(rules.values())) > 1:
        said = ", ".join(f"{name} by {rule}" for name, rule in rules.items())
        raise ConfigError(
            f"The screens tell drugs by different rules ({said}), so that one drug would be two. Set drugs.identity alike "
            "in all of them: parent or exact."
        )


def cross_checks(drugs: Drugs, cids: Mapping[str, Collection[str]]) -> tuple[Note, ...]:
    """Notes on what looks wrong among the drugs of one screen, or is one drug twice.

    Args:
        drugs: Of the screen.
        cids: PubChem CIDs of drugs, by drug id, where a file says them.
    """
    parents = tuple(None if text is None else parent_of(text) for text in drugs.smiles)
    salts = [name for name, parent in zip(drugs.names, parents, strict=True) if parent is not None]
    mixed = [name for name, text in zip(drugs.names, drugs.smiles, strict=True) if text is not None and is_mixture(text)]
    found = [
        (_PARENTS, salts if drugs.identity == "parent" else []),
        ("suspicious structures: several parts of like size, told by all of them together; drugs", mixed),
        *_one_drug_twice(drugs, parents),
        *_several_structures(drugs, cids),
    ]
    return tuple(Note(what, len(names), examples(names)) for what, names in found if names)


def _one_drug_twice(drugs: Drugs, parents: Texts) -> list[tuple[str, list[str]]]:
    """Drugs of one skeleton once salts are left out, by what they differ in."""
    written = [None if text is None else whole_key(text) for text in drugs.smiles]
    bare = [key if parent is None else whole_key(parent) for key, parent in zip(written, parents, strict=True)]
    names, ids, salts, forms = list[str](), list[str](), list[str](), list[str]()
    for rows in _grouped({row: key and skeleton_of(key) for row, key in enumerate(bare)}).values():
        called = {drug_key(drugs.names[row]): drugs.names[row] for row in rows}
        shown = " = ".join(called.values() if len(called) == len(rows) else (_named(drugs, row) for row in rows))
        if len({bare[row] for row in rows}) > 1:
            forms.append(shown)
        elif len({written[row] for row in rows}) > 1:
            salts.append(shown)
        else:
            (names if len(called) > 1 else ids).append(shown)
    told = "one drug" if drugs.identity == "parent" else "different drugs, since drugs.identity is exact"
    return [
        ("structures under several names", names),
        ("structures under several ids of one name", ids),
        (f"salts or solvates beside their parent, told as {told}", salts),
        ("drugs whose structures differ in stereochemistry, isotopes or charge only", forms),
    ]


def _named(drugs: Drugs, row: int) -> str:
    name, drug_id = drugs.names[row], drugs.ids[row]
    return name if name == drug_id else f"{name} ({drug_id})"


def _several_structures(drugs: Drugs, cids: Mapping[str, Collection[str]]) -> list[tuple[str, list[str]]]:
    """Names and CIDs that stand for several structures, and CIDs that stand for drugs of different names."""
    keys = drugs.structure_keys
    by_name = _grouped({row: drug_key(name) for row, name in enumerate(drugs.names) if keys[row] is not None})
    of_cid: defaultdict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(drugs.ids):
        for cid in cids.get(name, ()):
            of_cid[cid].append(row)

    def named(rows: list[int]) -> str:
        return " / ".join(_named(drugs, row) for row in rows)

    names = [named(rows) for rows in by_name.values() if len({keys[row] for row in rows}) > 1]
    structures, others = list[str](), list[str]()
    for cid, rows in of_cid.items():
        if len({keys[row] for row in rows} - {None}) > 1:
            structures.append(f"{cid}: {named(rows)}")
        elif len({drug_key(drugs.names[row]) for row in rows}) > 1:
            others.append(f"{cid}: {named(rows)}")
    return [
        ("suspicious names: one for several structures", names),
        ("suspicious CIDs: one for several structures", structures),
        ("suspicious CIDs: one for drugs of different names", others),
    ]


def _grouped(marks: Mapping[int, str | None]) -> dict[str, list[int]]:
    """The rows of each mark that several bear."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for row, mark in marks.items():
        if mark:
            groups[mark].append(row)
    return {mark: rows for mark, rows in groups.items() if len(rows) > 1}
