"""Parsing SMILES and naming the structure they stand for."""

from collections.abc import Sequence
from functools import lru_cache

from rdkit import Chem, rdBase

from dadsp.errors import SchemaError, examples
from dadsp.schema import is_whole_key

MAX_SMILES = 2_500  # characters; insulin has some 1,100, and RDKit takes up to 1.4 s for so many, growing with the square


def parse(smiles: Sequence[str], names: Sequence[str]) -> list[Chem.Mol]:
    """One RDKit molecule per SMILES.

    Args:
        smiles: Structures, none missing.
        names: What to call each drug in an error; same length.

    Raises:
        SchemaError: Some SMILES are not valid, or longer than ``MAX_SMILES``; names them all at once.
    """
    long = [f"{name}: {len(text):,}" for name, text in zip(names, smiles, strict=True) if text and len(text) > MAX_SMILES]
    if long:
        raise SchemaError(
            f"{len(long)} of {len(smiles)} SMILES are longer than {MAX_SMILES:,} characters (e.g. {examples(long)}): no "
            "drug is. Correct them, or leave them empty and set on_missing_structure=drop."
        )
    broken = [f"{name}: {text!r}" for name, text in zip(names, smiles, strict=True) if text and not text.isprintable()]
    if broken:  # RDKit would read up to there and take that for the drug
        raise SchemaError(
            f"{len(broken)} of {len(smiles)} SMILES hold line breaks or other control characters (e.g. {examples(broken)}). "
            "Correct them: a quote that is never closed swallows lines."
        )
    with rdBase.BlockLogs():  # RDKit writes its own multi-line complaint for each failure
        molecules = [Chem.MolFromSmiles(text) if text else None for text in smiles]
    bad = [f"{name}: {text!r}" for name, text, mol in zip(names, smiles, molecules, strict=True) if mol is None]
    if bad:
        raise SchemaError(
            f"{len(bad)} of {len(smiles)} SMILES are not valid (e.g. {examples(bad)}). "
            "Correct them, or leave them empty and set on_missing_structure=drop."
        )
    return [mol for mol in molecules if mol is not None]


def structure_keys(smiles: Sequence[str | None], names: Sequence[str]) -> tuple[str | None, ...]:
    """The first InChIKey block of each structure: equal for the same skeleton whatever its stereochemistry.

    A salt and its free form have different keys. Where InChI has no name for a structure, its canonical SMILES stands in.

    Args:
        smiles: Structures; None where there is none.
        names: What to call each drug in an error; same length.

    Returns:
        Keys in the order given, None where there is no structure.

    Raises:
        SchemaError: Some SMILES are not valid.
    """
    known = [row for row, text in enumerate(smiles) if text is not None]
    parse([smiles[row] or "" for row in known], [names[row] for row in known])
    return tuple(None if text is None else skeleton_of(whole_key(text)) for text in smiles)


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
