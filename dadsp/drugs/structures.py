"""Parsing SMILES and naming the structure they stand for."""

from collections.abc import Sequence
from functools import lru_cache

from rdkit import Chem, rdBase

from dadsp.drugs.parents import parent_of
from dadsp.drugs.smiles_cells import read_cell
from dadsp.errors import SchemaError, examples
from dadsp.schema import Identity, is_whole_key


def parse(smiles: Sequence[str], names: Sequence[str]) -> list[Chem.Mol]:
    """One RDKit molecule per SMILES.

    Args:
        smiles: Structures, none missing.
        names: What to call each drug in an error; same length.

    Raises:
        SchemaError: Some hold no structure, or more than one; names them all at once.
    """
    cells = [read_cell(text) for text in smiles]
    triples = zip(names, smiles, cells, strict=True)
    bad = [(name, text, cell.fault or "") for name, text, cell in triples if cell.smiles is None]
    if bad:
        raise SchemaError(f"{not_valid(bad, len(smiles))} Correct them.")
    with rdBase.BlockLogs():
        return [Chem.MolFromSmiles(cell.smiles) for cell in cells]


def not_valid(bad: Sequence[tuple[str, str, str]], n: int) -> str:
    """A sentence on the SMILES that are not valid: name, text and fault of each, among ``n``."""
    shown = (f"{name}: {_short(text)!r}{f' ({fault})' if fault else ''}" for name, text, fault in bad)
    return f"{len(bad)} of {n} SMILES are not valid (e.g. {examples(shown)})."


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def structure_keys(
    smiles: Sequence[str | None], names: Sequence[str], identity: Identity = "exact"
) -> tuple[str | None, ...]:
    """The first InChIKey block of each structure: equal for the same skeleton whatever its stereochemistry.

    Where InChI has no name for a structure, its canonical SMILES stands in.

    Args:
        smiles: Structures; None where there is none.
        names: What to call each drug in an error; same length.
        identity: ``"parent"`` names the parent instead, so that a salt and its free form have one key.

    Returns:
        Keys in the order given, None where there is no structure.

    Raises:
        SchemaError: Some SMILES are not valid.
    """
    known = [row for row, text in enumerate(smiles) if text is not None]
    parse([smiles[row] or "" for row in known], [names[row] for row in known])
    plain = [None if text is None else read_cell(text).smiles for text in smiles]
    return tuple(None if text is None else skeleton_of(identity_key(text, identity)) for text in plain)


def identity_key(smiles: str, identity: Identity) -> str:
    """The whole key of a valid structure, or of its parent."""
    return whole_key((parent_of(smiles) if identity == "parent" else None) or smiles)


@lru_cache(maxsize=100_000)  # the sources of one study name the same drugs
def whole_key(smiles: str) -> str:
    """The whole InChIKey of a valid structure, stereochemistry included; its canonical SMILES where InChI has no name."""
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        return Chem.MolToInchiKey(molecule) or Chem.MolToSmiles(molecule)


def skeleton_of(key: str) -> str:
    """The first block of a whole InChIKey; another key as it is."""
    return key[:14] if is_whole_key(key) else key


def has_defined_stereo(smiles: str) -> bool:
    """Whether a valid structure leaves no stereocentre or double bond open."""
    with rdBase.BlockLogs():
        sites = Chem.FindPotentialStereo(Chem.MolFromSmiles(smiles))
    return all(site.specified != Chem.StereoSpecified.Unspecified for site in sites)
