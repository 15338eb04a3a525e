"""A graph-convolutional network over molecules. Importing it imports torch-geometric, which takes seconds."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.nn import DenseGCNConv

TOGETHER = 16  # molecules in a batched product


class GraphEncoder(nn.Module):
    """Graph convolutions over atoms, then the largest value over each drug's atoms; the atoms' order means nothing.

    With ``n_outputs`` a dense layer over the atoms in their order instead (the authors' code).

    Molecules are small (32 atoms on average, 96 at most), so their adjacency is dense: one batched product a layer, without
    gathering and scattering edges. Those of like size go together, each batch as large as its largest.

    Args:
        n_atom_features: Features of one atom.
        max_atoms: Atoms in a row.
        widths: Of the graph convolutions; the last is the width of the output without a dense layer.
        n_outputs: Width of the dense layer; None for the maximum.

    Reference: Kipf and Welling, ICLR 2017, eq. 2; GraphDRP's drug branch up to its dense layers.
    """

    def __init__(self, n_atom_features: int, max_atoms: int, widths: Sequence[int], n_outputs: int | None = None) -> None:
        super().__init__()
        self.n_atom_features, self.max_atoms = n_atom_features, max_atoms
        self.layers = nn.ModuleList(
            DenseGCNConv(before, after) for before, after in zip([n_atom_features, *widths[:-1]], widths, strict=True)
        )
        self.dense = None if n_outputs is None else nn.Linear(max_atoms * widths[-1], n_outputs)

    def forward(self, rows: Tensor) -> Tensor:
        """Codes of drugs, shape (n, widths[-1]) or (n, n_outputs).

        Args:
            rows: Packed graphs, shape (n, max_atoms × (n_atom_features + max_atoms)): atom features, then adjacency with
                loops.
        """
        atoms = rows[:, : self.max_atoms * self.n_atom_features].view(len(rows), self.max_atoms, -1)
        bonds = rows[:, self.max_atoms * self.n_atom_features :].view(len(rows), self.max_atoms, -1)
        sizes, order = torch.diagonal(bonds, dim1=1, dim2=2).sum(1).long().sort()
        codes = []
        for some, size in zip(order.split(TOGETHER), sizes.split(TOGETHER), strict=True):
            largest = max(1, int(size[-1]))
            codes.append(self._codes(atoms[some, :largest], bonds[some, :largest, :largest]))
        return torch.cat(codes)[order.argsort()]

    def _codes(self, atoms: Tensor, bonds: Tensor) -> Tensor:
        """Of drugs with no more atoms than are given."""
        present = torch.diagonal(bonds, dim1=1, dim2=2)
        for layer in self.layers:
            atoms = torch.relu(layer(atoms, bonds, present, add_loop=False))
        if self.dense is None:
            return atoms.amax(1)  # absent atoms are 0, which no present one is below
        return torch.relu(self.dense(nn.functional.pad(atoms, (0, 0, 0, self.max_atoms - atoms.shape[1])).flatten(1)))
