"""Whether attributions find the genes that a simulated screen was made with."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import roc_auc_score

from dadsp.schema import FloatArray, Screen


def planted_genes(screen: Screen, drug_id: str) -> frozenset[str]:
    """The genes that drive the drug's potency in a simulated screen; empty for screens whose truth nobody knows."""
    return frozenset(screen.truth.get("causal_genes", {}).get(drug_id, ()))


def recovery_auroc(values: FloatArray, genes: Sequence[str], planted: frozenset[str]) -> FloatArray:
    """How well the size of attributions tells planted genes from others: AUROC of each line, 0.5 by chance.

    Args:
        values: Attributions, shape (n_lines, n_genes).
        genes: Of the columns; some of them planted, some not.
        planted: Names of the planted genes.
    """
    is_planted = np.array([gene in planted for gene in genes])
    return np.array([roc_auc_score(is_planted, np.abs(line)) for line in values], dtype=np.float32)
