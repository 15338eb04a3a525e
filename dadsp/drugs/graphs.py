"""Molecules as graphs of atoms, the input of a graph-convolutional network learned with the model."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass
from rdkit import Chem

from dadsp.drugs.features import DrugFeatures
from dadsp.drugs.structures import parse
from dadsp.errors import examples
from dadsp.options import STRICT
from dadsp.schema import FloatArray, Note

if TYPE_CHECKING:
    from dadsp.nets.graph_encoder import GraphEncoder

Positive = Annotated[int, Field(ge=1)]

# DeepChem's list, which GraphDRP takes over; the 44th feature stands for every other element.
_SYMBOLS = (
    "C N O S F Si P Cl Br Mg Na Ca Fe As Al I B V K Tl Yb Sb Sn Ag Pd Co Se Ti Zn H Li Ge Cu Au Ni Cd In Mn Zr Cr Pt Hg Pb"
)
ELEMENTS = tuple(_SYMBOLS.split())
N_ELEMENTS, N_COUNTS = len(ELEMENTS) + 1, 11


@dataclass(frozen=True, config=STRICT)
class MolecularGraph(DrugFeatures):
    """Heavy atoms and bonds, GraphDRP's graph: bonds in both directions and a loop at every atom.

    A row holds the features of ``max_atoms`` atoms, then their adjacency; both are zero beyond the drug's own atoms.

    Attributes:
        atom_features: ``"element"``: one of 44 (the authors' code); ``"graphdrp"``: 78, with degree, hydrogens and implicit
            valence (0 to 10 each) and aromaticity, divided by their sum.
        max_atoms: Atoms of a row; the rest of a larger drug is cut.
        widths: Of the graph convolutions; GraphDRP has one, two and four times the atom features, the authors'
            code one of 32.
        read_out: ``"max"``: the largest value over a drug's atoms (GraphDRP), whatever their order; ``"dense"``: a dense
            layer over the atoms in the order of the SMILES (the authors' code), so that another spelling is another drug.
        outputs: Width of that dense layer.
    """

    kind: ClassVar[str] = "gcn"

    atom_features: Literal["element", "graphdrp"] = "element"
    max_atoms: Positive = 96
    widths: tuple[Positive, ...] = Field(default=(44, 88, 176), min_length=1)
    read_out: Literal["max", "dense"] = "max"
    outputs: Positive = 256

    @property
    def n_atom_features(self) -> int:
        """Features of one atom."""
        return N_ELEMENTS if self.atom_features == "element" else N_ELEMENTS + 3 * N_COUNTS + 1

    @property
    def width(self) -> int:
        """``max_atoms`` × (features + ``max_atoms``)."""
        return self.max_atoms * (self.n_atom_features + self.max_atoms)

    def __call__(self, smiles: Sequence[str], names: Sequence[str]) -> FloatArray:
        """Packed graphs, float32, shape (n_drugs, width).

        Raises:
            SchemaError: Some SMILES are not valid.
        """
        rows = np.zeros((len(smiles), self.width), dtype=np.float32)
        split = self.max_atoms * self.n_atom_features
        for row, molecule in zip(rows, parse(smiles, names), strict=True):
            kept = min(molecule.GetNumAtoms(), self.max_atoms)
            atoms, bonds = row[:split].reshape(self.max_atoms, -1), row[split:].reshape(self.max_atoms, -1)
            atoms[:kept] = [self._describe(atom) for _, atom in zip(range(kept), molecule.GetAtoms(), strict=False)]
            bonds[:kept, :kept] = Chem.GetAdjacencyMatrix(molecule)[:kept, :kept] + np.eye(kept)
        return rows

    def encoder(self) -> "tuple[GraphEncoder, int]":
        """Graph convolutions, and what reads them out."""
        from dadsp.nets.graph_encoder import GraphEncoder  # torch-geometric, which nothing else needs

        outputs = self.outputs if self.read_out == "dense" else None
        return GraphEncoder(self.n_atom_features, self.max_atoms, self.widths, outputs), outputs or self.widths[-1]

    def without_effect(self) -> list[str]:
        """The width of a dense layer where there is none."""
        if self.read_out == "dense" or self.outputs == type(self).outputs:
            return []
        return [f"drug_features.outputs={self.outputs} has no effect: drug_features.read_out=max has no such layer"]

    def _describe(self, atom: Chem.Atom) -> FloatArray:
        symbol = atom.GetSymbol()
        features = _one_hot(ELEMENTS.index(symbol) if symbol in ELEMENTS else N_ELEMENTS - 1, N_ELEMENTS)
        if self.atom_features == "element":
            return features
        counts = (atom.GetDegree(), atom.GetTotalNumHs(), atom.GetValence(Chem.ValenceType.IMPLICIT))
        parts = [_one_hot(min(count, N_COUNTS - 1), N_COUNTS) for count in counts]
        joined = np.concatenate([features, *parts, np.array([atom.GetIsAromatic()], dtype=np.float32)])
        return np.asarray(joined / joined.sum(), dtype=np.float32)

    def notes(self, smiles: Sequence[str], names: Sequence[str]) -> tuple[Note, ...]:
        """Atoms of elements outside the list, and drugs of more than ``max_atoms`` atoms."""
        molecules = parse(smiles, names)
        symbols = Counter(atom.GetSymbol() for molecule in molecules for atom in molecule.GetAtoms())
        unknown = {symbol: count for symbol, count in symbols.items() if symbol not in ELEMENTS}
        larger = [name for name, mol in zip(names, molecules, strict=True) if mol.GetNumAtoms() > self.max_atoms]
        found = (
            Note("atoms of unlisted elements, taken as one unknown element", sum(unknown.values()), examples(unknown)),
            Note(f"drugs of more than {self.max_atoms} atoms, cut", len(larger), examples(larger)),
        )
        return tuple(note for note in found if note.count)


def _one_hot(position: int, length: int) -> FloatArray:
    row = np.zeros(length, dtype=np.float32)
    row[position] = 1
    return row
