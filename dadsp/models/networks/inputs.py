"""What the stages of a network train on, and its predictions of many pairs."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from dadsp.models.training.batches import LabelledPairs
from dadsp.nets.autoencoder import StackedAutoencoder
from dadsp.nets.pair_network import PairNetwork
from dadsp.schema import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the stages of a network train on, as tensors and row numbers.

    Attributes:
        expression: Scaled source lines, then scaled target lines (or their coordinates), shape (n_lines, n_inputs).
        drug_features: Shape (n_drugs, d).
        train: Labelled training pairs, rows of the two tables above; scaled labels.
        validation: Metric that chooses the epoch, and the pairs that it is of; labels in −log10 µM.
        source_lines: Rows of the source lines that train, distinct.
        target_lines: Rows of the target lines that lend their expression.
        autoencoder: What pre-training left, for systems that go on with it; None without pre-training.
    """

    expression: Tensor
    drug_features: Tensor
    train: LabelledPairs
    validation: tuple[str, LabelledPairs]
    source_lines: IntArray
    target_lines: IntArray
    autoencoder: StackedAutoencoder | None


def predict_pairs(
    network: PairNetwork, encoder: nn.Module, expression: Tensor, drug_features: Tensor, line: IntArray, drug: IntArray
) -> FloatArray:
    """Scaled potency of many pairs, float32, shape (n_pairs,); each distinct line and drug is encoded once.

    Args:
        network: Drug branch and regressor, in evaluation mode, gradients off.
        encoder: Gene encoder of these lines.
        expression: Scaled, shape (n_lines, n_genes).
        drug_features: Shape (n_drugs, d).
        line: Rows of ``expression``, shape (n_pairs,).
        drug: Rows of ``drug_features``, shape (n_pairs,).
    """
    lines, line_of_pair = (torch.from_numpy(part).to(expression.device) for part in np.unique(line, return_inverse=True))
    drugs, drug_of_pair = (torch.from_numpy(part).to(expression.device) for part in np.unique(drug, return_inverse=True))
    cell_codes = torch.cat([encoder(expression.index_select(0, rows)) for rows in lines.split(1024)])
    drug_codes = torch.cat([network.drug_branch(drug_features.index_select(0, rows)) for rows in drugs.split(256)])
    parts = [
        network.regress(cell_codes, cells, drug_codes, compounds)
        for cells, compounds in zip(line_of_pair.split(16384), drug_of_pair.split(16384), strict=True)
    ]
    scaled: FloatArray = torch.cat(parts).float().cpu().numpy()
    return scaled
