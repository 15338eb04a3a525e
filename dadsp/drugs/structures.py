"""Parsing SMILES and naming the structure they stand for."""

from collections.abc import Sequence

from rdkit import Chem, rdBase

from dadsp.errors import SchemaError, examples


def parse(smiles: Sequence[str], names: Sequence[str]) -> list[Chem.Mol]:
    """One RDKit molecule per SMILES.

    Args:
        smiles: Structures, none missing.
        names: What to call each drug in an error; same length.

    Raises:
        SchemaError: Some SMILES are not valid; names them all at once.
    """
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
    molecules = parse([smiles[row] or "" for row in known], [names[row] for row in known])
    keys: list[str | None] = [None] * len(smiles)
    with rdBase.BlockLogs():
        for row, molecule in zip(known, molecules, strict=True):
            keys[row] = Chem.MolToInchiKey(molecule)[:14] or Chem.MolToSmiles(molecule)
    return tuple(keys)
