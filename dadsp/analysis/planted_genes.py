"""Whether attributions find the genes that a simulated screen was made with."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student
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


def mean_interval(values: FloatArray, level: float = 0.95) -> tuple[float, float, float]:
    """Mean of independent values and Student's interval of it; the interval is the mean itself where there is one value."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, mean, mean
    reach = float(student.ppf((1 + level) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, mean - reach, mean + reach
