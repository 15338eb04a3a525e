"""Half widths of intervals: those of a run's own calibration, by pair; without one, one for all from the held-out lines."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from dadsp.analysis.back_test import Scored
from dadsp.analysis.conformal import Values, half_width
from dadsp.models.base import Predictor
from dadsp.models.trust.nearness import Nearness
from dadsp.models.trust.trust import Judged, Trust
from dadsp.schema import Pairs, Split, Study


@dataclass(frozen=True, eq=False)
class Widths:
    """Intervals of one run.

    Attributes:
        model: The system.
        earlier: The same before it learned from held-out lines.
        trust: The run's calibration; None where it has none.
        then: The same, with what had trained before the held-out lines did.
        scored: Held-out source pairs, and the target's labelled pairs.
        judged: What ``trust`` says of both; empty without it.
        constant: Half width for all pairs without it.
    """

    model: Predictor
    earlier: Predictor
    trust: Trust | None
    then: Trust | None
    scored: tuple[Scored, Scored]
    judged: tuple[Judged, ...]
    constant: float

    @classmethod
    def of(
        cls, model: Predictor, study: Study, split: Split, trust: Trust | None, scored: tuple[Scored, Scored], alpha: float
    ) -> Self:
        """Of a run, without calibration from held-out lines at this ``alpha``.

        Raises:
            ConfigError: There are too few held-out lines.
        """
        earlier, held_out = model.without_validation_labels(), scored[0]
        if trust is None:
            return cls(model, earlier, None, None, scored, (), half_width(held_out.error, held_out.line, alpha))
        then = replace(trust, near=Nearness.of(earlier, study, split))
        judged = (
            then.judge(earlier, Pairs(study.source, "source", held_out.cell_idx, held_out.drug_idx)),
            trust.judge(model, Pairs(study.target, "target", scored[1].cell_idx, scored[1].drug_idx)),
        )
        if not any(np.isfinite(_half(trust, each, 1 - alpha)).any() for each in judged):
            half_width(held_out.error, held_out.line, alpha)  # refuses, and says which alpha works
        return cls(model, earlier, trust, then, scored, judged, np.nan)

    def predicted(self, pairs: Pairs, level: float) -> tuple[Values, Values]:
        """Potency of pairs and half the width of their intervals, shape (n_pairs,) each; NaN where none is claimed."""
        if self.trust is None:
            return self.model.predict(pairs).astype(np.float64), np.full(len(pairs), self.constant)
        judged = self.trust.judge(self.model, pairs)
        return judged.potency.astype(np.float64), _half(self.trust, judged, level)

    def of_scored(self, level: float) -> tuple[Values, Values]:
        """Of held-out source pairs, and of the target's labelled pairs."""
        if self.trust is None:
            held_out, tested = (np.full(len(each.table), self.constant) for each in self.scored)
        else:
            held_out, tested = (_half(self.trust, judged, level) for judged in self.judged)
        return held_out, tested


def _half(trust: Trust, judged: Judged, level: float) -> Values:
    return trust.calibration.half_width(judged.stratum, judged.scale, level)
