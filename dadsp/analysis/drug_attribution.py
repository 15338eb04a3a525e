"""Attributions to fingerprint bits laid on the atoms of the drug."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from rdkit import Chem

from dadsp.drugs.features import DrugFeatures
from dadsp.drugs.structures import parse
from dadsp.schema import FloatArray


@dataclass(frozen=True, eq=False)
class AtomAttributions:
    """What the substructures around each atom add to the predicted potency, −log10 IC50(µM).

    Attributes:
        molecule: The drug.
        values: float64, shape (n_atoms,), in the order of its atoms; they sum to the attributions of the bits.
        bits: One row per bit set: bit, attribution, environments (how many set it), atoms (of each environment).
    """

    molecule: Chem.Mol
    values: np.ndarray
    bits: pd.DataFrame

    @property
    def table(self) -> pd.DataFrame:
        """One row per atom: atom (its number in the SMILES), element, attribution."""
        elements = [atom.GetSymbol() for atom in self.molecule.GetAtoms()]
        return pd.DataFrame({"atom": range(len(elements)), "element": elements, "attribution": self.values})


def atom_attributions(features: DrugFeatures, smiles: str, name: str, of_bits: FloatArray) -> AtomAttributions:
    """Each bit's attribution shared equally among the environments that set it, each share equally among its atoms.

    A bit tells that a substructure is there, not where; environments that share a bit, by nature or by a collision of
    hashes, cannot be told apart, hence the equal shares.

    Args:
        features: A fingerprint, or whatever else tells which atoms its columns stand for.
        smiles: The drug's structure.
        name: Of the drug, for errors.
        of_bits: Attribution of each bit, shape (bits,).

    Raises:
        SchemaError: The SMILES is not valid.
    """
    (molecule,) = parse([smiles], [name])
    values, rows = np.zeros(molecule.GetNumAtoms()), []
    for bit, environments in sorted((features.environments(molecule) or {}).items()):
        for atoms in environments:
            values[list(atoms)] += float(of_bits[bit]) / len(environments) / len(atoms)
        places = "; ".join(" ".join(map(str, sorted(atoms))) for atoms in environments)
        rows.append((bit, float(of_bits[bit]), len(environments), places))
    return AtomAttributions(molecule, values, pd.DataFrame(rows, columns=["bit", "attribution", "environments", "atoms"]))
