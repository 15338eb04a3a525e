"""The networks that read drug features which are codes, learned with the model at the start of its drug branch."""

from torch import nn

from dadsp.drugs.features import DrugFeatures, fitted
from dadsp.drugs.graphs import MolecularGraph
from dadsp.drugs.smiles_tokens import SmilesTokens
from dadsp.nets.smiles_cnn import SmilesCnn


def drug_encoder(features: DrugFeatures) -> tuple[nn.Module, int]:
    """A network with fresh weights that turns rows of fitted ``features`` into codes, and the width of these.

    Features that are computed, not learned, need none: their rows are the codes.
    """
    if isinstance(features, SmilesTokens):
        sizes = (features.filters, features.kernels, features.outputs)
        return SmilesCnn(len(fitted(features.tokens)), features.width, *sizes), features.outputs
    if isinstance(features, MolecularGraph):
        from dadsp.nets.graph_encoder import GraphEncoder  # torch-geometric, which nothing else needs

        return GraphEncoder(features.n_atom_features, features.max_atoms, features.widths), features.widths[-1]
    return nn.Identity(), features.width
