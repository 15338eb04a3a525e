"""What a system predicts of the run's own lines, drug by drug: beside it a single new line is strong or weak."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self, get_args

import numpy as np

from dadsp.errors import DadspError
from dadsp.models.base import Arrays, Predictor
from dadsp.schema import Domain, FloatArray, IntArray, Pairs, Responses, Screen, Study

POINTS = 101  # percentiles kept, 0 to 100


@dataclass(frozen=True, eq=False)
class OwnLines:
    """Percentiles of predicted potency over all lines of a screen, for every drug of both screens.

    Attributes:
        drug_keys: Identity of the drugs.
        percentiles: By whose lines they are, float32, shape (n_drugs, ``POINTS``).
        n_lines: By the same, how many lines.
    """

    drug_keys: tuple[str, ...]
    percentiles: dict[Domain, FloatArray]
    n_lines: dict[Domain, int]

    @classmethod
    def of(cls, model: Predictor, study: Study) -> Self:
        """Of both screens of a study; drugs without a structure that the system needs are left out."""
        drugs: dict[str, tuple[Screen, int]] = {}
        for screen in (study.source, study.target):
            for row, key in enumerate(screen.drug_keys):
                if screen.drugs.smiles[row] is not None:
                    drugs.setdefault(key, (screen, row))
        percentiles: dict[Domain, FloatArray] = {}
        n_lines: dict[Domain, int] = {}
        for domain in get_args(Domain):
            lines = study.source if domain == "source" else study.target
            found = np.full((len(drugs), POINTS), np.nan, dtype=np.float32)
            for whose in (study.source, study.target):
                own = [place for place, (screen, _) in enumerate(drugs.values()) if screen is whose]
                rows = np.array([row for screen, row in drugs.values() if screen is whose], dtype=np.int64)
                if len(own) and len(lines.cells):
                    found[own] = _percentiles(model, lines, whose, rows, domain)
            percentiles[domain], n_lines[domain] = found, len(lines.cells)
        return cls(tuple(drugs), percentiles, n_lines)

    def percentile(self, domain: Domain, key: str, potency: FloatArray) -> FloatArray:
        """Share of the screen's lines, in %, that are less sensitive to the drug than each potency; NaN for other drugs.

        Lines that are predicted alike count half.
        """
        row = self._row.get(key)
        known = self.percentiles.get(domain)
        if row is None or known is None or np.isnan(known[row, 0]):
            return np.full(len(potency), np.nan, dtype=np.float32)
        below, to = (np.searchsorted(known[row], potency, side=side) for side in ("left", "right"))
        between: FloatArray = np.clip((below + to - 1) / 2, 0, POINTS - 1).astype(np.float32)
        return between

    @cached_property
    def _row(self) -> dict[str, int]:
        return {key: row for row, key in enumerate(self.drug_keys)}

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """What ``from_state`` reads."""
        arrays: Arrays = {str(domain): rows for domain, rows in self.percentiles.items()}
        return {"drug_keys": list(self.drug_keys), "n_lines": self.n_lines}, arrays

    @classmethod
    def from_state(cls, facts: dict[str, Any], arrays: Arrays) -> Self:
        """What ``state`` described."""
        percentiles: dict[Domain, FloatArray] = {domain: arrays[domain] for domain in get_args(Domain)}
        return cls(tuple(facts["drug_keys"]), percentiles, dict(facts["n_lines"]))


def _percentiles(model: Predictor, lines: Screen, drugs: Screen, rows: IntArray, domain: Domain) -> FloatArray:
    joined = replace(lines, drugs=drugs.drugs, responses=Responses.none())
    cell, drug = (part.ravel() for part in np.meshgrid(np.arange(len(lines.cells)), rows, indexing="ij"))
    try:
        potency = model.predict(Pairs(joined, domain, cell, drug)).reshape(len(lines.cells), len(rows))
    except DadspError:  # a line or drug that the system cannot read, which predicting would refuse too
        return np.full((len(rows), POINTS), np.nan, dtype=np.float32)
    shown: FloatArray = np.percentile(potency, np.linspace(0, 100, POINTS), axis=0).T.astype(np.float32)
    return shown
