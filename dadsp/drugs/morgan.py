"""Hashed Morgan fingerprints, the drug representation of DADSP's main tables."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from dadsp.drugs.features import DrugFeatures
from dadsp.drugs.structures import parse
from dadsp.options import STRICT
from dadsp.schema import FloatArray


@dataclass(frozen=True, config=STRICT)
class Morgan(DrugFeatures):
    """Hashed Morgan fingerprint.

    Attributes:
        bits: Length after hashing; the paper uses 256.
        radius: Neighbourhood in bonds. The paper gives none; 2 (ECFP4) is the customary one.
        values: ``"bit"`` for presence, ``"count"`` for occurrences.
    """

    kind: ClassVar[str] = "morgan"

    bits: int = Field(default=256, ge=8, le=65_536)
    radius: int = Field(default=2, ge=0)
    values: Literal["bit", "count"] = "bit"

    @property
    def width(self) -> int:
        """Features per drug."""
        return self.bits

    def __call__(self, smiles: Sequence[str], names: Sequence[str]) -> FloatArray:
        """Features of each drug, float32, shape (n_drugs, bits).

        Raises:
            SchemaError: Some SMILES are not valid.
        """
        generator = self._generator()
        make = generator.GetFingerprintAsNumPy if self.values == "bit" else generator.GetCountFingerprintAsNumPy
        rows = [make(molecule) for molecule in parse(smiles, names)]
        return np.array(rows, dtype=np.float32).reshape(len(rows), self.bits)

    def environments(self, molecule: Chem.Mol) -> dict[int, tuple[frozenset[int], ...]]:
        """The atoms of every environment that sets a bit, by bit: an environment is an atom and what is near it in bonds."""
        found = rdFingerprintGenerator.AdditionalOutput()
        found.AllocateBitInfoMap()
        self._generator().GetFingerprint(molecule, additionalOutput=found)
        return {
            int(bit): tuple(_atoms_around(molecule, centre, radius) for centre, radius in places)
            for bit, places in found.GetBitInfoMap().items()
        }

    def _generator(self) -> Any:
        return rdFingerprintGenerator.GetMorganGenerator(radius=self.radius, fpSize=self.bits)


def _atoms_around(molecule: Chem.Mol, centre: int, radius: int) -> frozenset[int]:
    bonds = Chem.FindAtomEnvironmentOfRadiusN(molecule, radius, centre) if radius else ()
    ends = ((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in map(molecule.GetBondWithIdx, bonds))
    return frozenset({centre}.union(*ends))
