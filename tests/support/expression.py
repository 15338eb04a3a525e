"""Expression of lines that could be among those a model was fitted on."""

import numpy as np
import pandas as pd

from dadsp.models.base import Predictor
from dadsp.schema import Domain


def lines_like(model: Predictor, n_lines: int, domain: Domain = "target", seed: int = 0) -> pd.DataFrame:
    """Lines × genes, each gene drawn about its mean in the fitted lines; a column per gene and no ids."""
    reference = model.reference(domain)
    assert reference is not None
    drawn = np.random.default_rng(seed).normal(reference.mean, 0.7 * reference.sd, size=(n_lines, len(reference.mean)))
    return pd.DataFrame(drawn, columns=list(model.genes))
