"""The metric of docs/extend.md."""

import numpy as np

from dadsp.evaluation.grouped_pairs import GroupedPairs
from dadsp.evaluation.metric import Metric


def _share_within_one(pairs: GroupedPairs) -> np.ndarray:
    return pairs.mean((np.abs(pairs.error) < 1).astype(float))


WITHIN_TENFOLD = Metric(
    name="within_tenfold",
    label="Within tenfold",
    by_group=_share_within_one,
    direction="higher",
    about="share of pairs whose IC50 is predicted within a factor of ten",
)
