"""A metric from outside, for as long as a test needs it."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from dadsp.evaluation.grouped_pairs import GroupedPairs, Values
from dadsp.evaluation.metric import Metric
from dadsp.evaluation.scores import register, unregister


def _bias(pairs: GroupedPairs) -> Values:
    return pairs.mean(pairs.error)


def _bias_of_capped(pairs: GroupedPairs) -> Values:
    return pairs.total(np.where(pairs.capped, pairs.error, 0.0)) / pairs.n_capped


BIAS = Metric("bias", "Bias", _bias, "none", "mean of predicted minus measured potency", "−log10 IC50 (µM)")
BIAS_OF_CAPPED = Metric(
    "bias_of_capped",
    "Bias at the cap",
    _bias_of_capped,
    "none",
    undefined="no label is capped",
    parts=("pooled", "drug_seen"),
)


@contextmanager
def registered(metric: Metric) -> Iterator[None]:
    """Registers a metric, and takes it away again at the end."""
    register(metric)
    try:
        yield
    finally:
        unregister(metric)
