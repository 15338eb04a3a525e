"""Figures of run folders: most of a small run's time, and the claim of few tests."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dadsp.evaluation import figures

REAL = {name: getattr(figures, name) for name in ("predicted_vs_measured", "per_drug_bars", "loss_curves")}


@contextmanager
def undrawn() -> Iterator[None]:
    """Nothing is drawn into run folders while this is open."""
    with pytest.MonkeyPatch.context() as patch:
        for name in REAL:
            patch.setattr(figures, name, lambda *given, **named: None)
        yield


@contextmanager
def drawn() -> Iterator[None]:
    """Figures are drawn while this is open, within ``undrawn`` too."""
    with pytest.MonkeyPatch.context() as patch:
        for name, figure in REAL.items():
            patch.setattr(figures, name, figure)
        yield
