"""How well predictions tell the lines of one drug apart."""

import numpy as np

from dadsp.schema import FloatArray, IntArray


def unexplained(truth: FloatArray, predicted: FloatArray, drug: IntArray) -> float:
    """Share of the labels' variance about their drugs' means that the predictions, less theirs, do not explain.

    Σ (ỹ − p̃)² / Σ ỹ² over pairs, where ~ takes the mean over the drug's pairs away: 1 for a drug's mean, 0 for the labels
    themselves; 1 where no drug's labels differ.

    Args:
        truth: Labels, shape (n_pairs,).
        predicted: Likewise.
        drug: Which drug each pair is of.
    """
    _, drug = np.unique(drug, return_inverse=True)
    count = np.bincount(drug)

    def centred(values: FloatArray) -> FloatArray:
        values = values.astype(np.float64)
        return np.asarray(values - (np.bincount(drug, values) / count)[drug], dtype=np.float64)

    within = centred(truth)
    total = float((within**2).sum())
    return float(((within - centred(predicted)) ** 2).sum()) / total if total > 0 else 1.0
