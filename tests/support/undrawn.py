"""Runs without figures, which are other tests' claim and most of a naive run's time."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dadsp.evaluation import figures


@contextmanager
def undrawn() -> Iterator[None]:
    """Nothing is drawn into run folders while this is open."""
    with pytest.MonkeyPatch.context() as patch:
        for figure in ("predicted_vs_measured", "per_drug_bars", "loss_curves"):
            patch.setattr(figures, figure, lambda *given, **named: None)
        yield
