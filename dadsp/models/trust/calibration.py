"""Intervals and verdicts from held-out errors.

    ŷ ± q_s(level) · sd(pair) · r(drug)

sd is the system's own predictive standard deviation (1 where it has none); r how much larger a drug's errors on new lines
are than that says (1 for a drug that never trained); q_s the group quantile of what is left, one curve for each stratum s:
lines are the groups where the line may be new, drugs where the drug is, and the larger of both counts where both are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from dadsp.models.base import Arrays
from dadsp.models.trust.group_quantile import group_mean, group_quantiles
from dadsp.models.trust.held_out import STRATA, HeldOut
from dadsp.schema import FloatArray, IntArray

Values = NDArray[np.float64]
Verdict = Literal["inside", "edge", "outside"]
VERDICTS: tuple[Verdict, ...] = ("inside", "edge", "outside")
LEVELS = np.round(np.linspace(0.01, 0.99, 99), 2)
CLAIMED = 0.9  # level whose coverage the verdicts are about
TOLERANCE = 0.02  # below it that coverage may lie inside
PRIOR_PAIRS = 10.0  # that speak for r = 1, beside a drug's own
LINE_NEW, DRUG_NEW, BOTH_NEW = 1, 2, 3


@dataclass(frozen=True, eq=False)
class Limits:
    """Where verdicts change; NaN where nothing is compared.

    Attributes:
        line_inside: Largest distance of a line up to which the intervals hold what they say.
        line_tested: Largest distance that a held-out line had.
        drug_inside: Least similarity of a drug down to which they do.
        drug_tested: Least similarity that a held-out drug had.
    """

    line_inside: float
    line_tested: float
    drug_inside: float
    drug_tested: float


@dataclass(frozen=True, eq=False)
class Calibration:
    """What held-out errors say.

    Attributes:
        reach: q at each of ``LEVELS`` for each of ``STRATA``, shape (4, 99); infinite where none can be claimed.
        factor: r by number of the drug, as the held-out pairs count drugs.
        limits: Of the verdicts.
    """

    reach: Values
    factor: Values
    limits: Limits

    @classmethod
    def of(cls, held_out: HeldOut) -> Self:
        """From pairs that were held out; strata without a pair claim nothing, but for pairs of lines and drugs both seen.

        These may take the errors on new lines, which are no smaller.
        """
        factor = drug_factors(held_out)
        error = held_out.error / (held_out.sd * _factor_of(held_out, factor))
        reach = np.full((len(STRATA), len(LEVELS)), np.inf)
        for stratum in range(len(STRATA)):
            rows = held_out.stratum == stratum
            groups = [held_out.line] if stratum < DRUG_NEW else [held_out.drug]
            groups += [held_out.line] if stratum == BOTH_NEW else []
            if rows.any():
                reach[stratum] = np.max([group_quantiles(error[rows], group[rows], LEVELS) for group in groups], axis=0)
        if not (held_out.stratum == 0).any():
            reach[0] = reach[LINE_NEW]
        claimed = int(np.argmin(np.abs(LEVELS - CLAIMED)))
        covered = error <= reach[held_out.stratum, claimed]
        lines, drugs = held_out.stratum == LINE_NEW, held_out.stratum >= DRUG_NEW
        inside, tested = limits(covered[lines], held_out.line[lines], held_out.distance[lines])
        near, met = limits(covered[drugs], held_out.drug[drugs], -held_out.similarity[drugs])
        return cls(reach, factor, Limits(inside, tested, -near, -met))

    def half_width(self, stratum: IntArray, scale: FloatArray | Values, level: float) -> Values:
        """Half the width of each pair's interval, NaN where none is claimed.

        Args:
            stratum: Of each pair, shape (n,).
            scale: sd · r of each pair.
            level: Share of labels that the intervals should hold, from 0.01 to 0.99.
        """
        with np.errstate(invalid="ignore"):  # between a number and infinity lies no number
            at = np.array([np.interp(level, LEVELS, row) for row in self.reach])
            at[~np.isfinite(at)] = np.nan
            reach: Values = at[stratum] * scale
        return reach

    def verdicts(self, stratum: IntArray, distance: FloatArray, similarity: FloatArray) -> IntArray:
        """Place in ``VERDICTS`` of each pair, shape (n,): the worse of line and drug."""
        limits = self.limits
        of_line = _worse(distance, limits.line_inside, limits.line_tested)
        of_drug = _worse(-similarity, -limits.drug_inside, -limits.drug_tested)
        of_drug = np.where(stratum >= DRUG_NEW, of_drug, 0)
        claims = np.isfinite(self.half_width(np.arange(len(STRATA)), np.ones(len(STRATA)), CLAIMED))
        verdict: IntArray = np.where(claims[stratum], np.maximum(of_line, of_drug), len(VERDICTS) - 1)
        return verdict

    def coverage(self, tested: HeldOut) -> list[dict[str, Any]]:
        """How often intervals for 50 and 90 % hold the labels of these pairs, a row for each stratum and verdict.

        Means over the stratum's groups (lines, or drugs where the drug is new) of the mean over each group's pairs.
        """
        scale = tested.sd * _factor_of(tested, self.factor)
        verdict = self.verdicts(tested.stratum, tested.distance, tested.similarity)
        half = {level: self.half_width(tested.stratum, scale, level) for level in (0.5, CLAIMED)}
        rows: list[dict[str, Any]] = []
        for stratum, name in enumerate(STRATA):
            group = tested.line if stratum < DRUG_NEW else tested.drug
            for within in ("all", *VERDICTS):
                mask = tested.stratum == stratum
                if within != "all":
                    mask &= verdict == VERDICTS.index(within)
                if not mask.any():
                    continue
                row: dict[str, Any] = {"stratum": name, "verdict": within, "pairs": int(mask.sum())}
                row["groups"] = len(np.unique(group[mask]))
                for level, reach in half.items():
                    none = np.isnan(reach[mask]).any()
                    covered = tested.error[mask] <= reach[mask]
                    row[f"coverage_{level * 100:.0f}"] = None if none else group_mean(covered, group[mask])
                    row[f"width_{level * 100:.0f}"] = None if none else float(2 * reach[mask].mean())
                rows.append(row)
        return rows

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """What ``from_state`` reads."""
        return {"limits": {name: _plain(value) for name, value in vars(self.limits).items()}}, {
            "reach": np.where(np.isfinite(self.reach), self.reach, -1.0),
            "factor": self.factor,
        }

    @classmethod
    def from_state(cls, facts: Mapping[str, Any], arrays: Arrays) -> Self:
        """What ``state`` described."""
        reach = np.where(arrays["reach"] < 0, np.inf, arrays["reach"])
        limits = {name: np.nan if value is None else float(value) for name, value in facts["limits"].items()}
        return cls(reach, arrays["factor"], Limits(**limits))


def nested_coverage(held_out: HeldOut) -> list[dict[str, Any]]:
    """Coverage of each fold's pairs by what the other folds calibrate, as ``Calibration.coverage``: means over folds.

    ``coverage_90_low`` and ``coverage_90_high`` are the least and the largest of a fold.
    """
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for fold in np.unique(held_out.fold):
        own = held_out.fold == fold
        for row in Calibration.of(held_out.where(~own)).coverage(held_out.where(own)):
            found.setdefault((row["stratum"], row["verdict"]), []).append(row)
    rows = []
    for (stratum, verdict), parts in found.items():
        told: dict[str, Any] = {"stratum": stratum, "verdict": verdict}
        told |= {name: sum(part[name] for part in parts) for name in ("pairs", "groups")}
        rows_of = held_out.stratum == STRATA.index(stratum)  # a line may stand in several folds
        told["groups"] = min(told["groups"], len(np.unique((held_out.line, held_out.drug)[stratum in STRATA[2:]][rows_of])))
        for name in ("coverage_50", "width_50", "coverage_90", "width_90"):
            values = [part[name] for part in parts if part[name] is not None]
            weights = [part["groups"] for part in parts if part[name] is not None]
            told[name] = float(np.average(values, weights=weights)) if values else None
            if name == "coverage_90" and values:
                told |= {"coverage_90_low": min(values), "coverage_90_high": max(values)}
        rows.append(told)
    return rows


def drug_factors(held_out: HeldOut) -> Values:
    """R of each drug: root of its mean squared error in standard deviations on new lines, over that of all drugs.

    ``PRIOR_PAIRS`` pairs of the usual size count beside a drug's own; 1 for drugs without such a pair.
    """
    rows = held_out.stratum == LINE_NEW
    n_drugs = int(held_out.drug.max()) + 1 if len(held_out) else 0
    squares = (held_out.error[rows] / held_out.sd[rows]) ** 2
    usual = float(squares.mean()) if rows.any() else 0.0
    if usual == 0:
        return np.ones(n_drugs)
    n = np.bincount(held_out.drug[rows], minlength=n_drugs)
    total = np.bincount(held_out.drug[rows], weights=squares, minlength=n_drugs)
    return np.asarray(np.sqrt((total / usual + PRIOR_PAIRS) / (n + PRIOR_PAIRS)), dtype=np.float64)


def limits(covered: NDArray[np.bool_], group: IntArray, distance: FloatArray) -> tuple[float, float]:
    """Up to which distance intervals hold what they claim, and up to which they were tested; NaN where nothing is.

    Coverage of each group is fitted by a function that only falls with distance; inside is where it lies no further than
    ``TOLERANCE`` below ``CLAIMED``.

    Args:
        covered: Whether each pair's label lies in its interval, shape (n,).
        group: Of the pair.
        distance: Of the group to what trained.
    """
    known = np.isfinite(distance)
    if not known.any():
        return np.nan, np.nan
    _, which, n = np.unique(group[known], return_inverse=True, return_counts=True)
    of_group = np.bincount(which, weights=distance[known]) / n
    share = np.bincount(which, weights=covered[known]) / n
    order = np.argsort(of_group, kind="stable")
    holds = falling(share[order]) >= CLAIMED - TOLERANCE
    tested = float(np.max(distance[known]))
    if holds.all():
        return tested, tested
    inside = of_group[order][holds]
    return (float(inside[-1]) if len(inside) else -np.inf), tested


def falling(values: Values) -> Values:
    """The nearest sequence in squared distance that never rises (pool adjacent violators)."""
    blocks: list[tuple[float, int]] = []
    for value in values.tolist():
        mean, size = value, 1
        while blocks and blocks[-1][0] < mean:
            before, count = blocks.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        blocks.append((mean, size))
    return np.repeat([mean for mean, _ in blocks], [size for _, size in blocks])


def _factor_of(held_out: HeldOut, factor: Values) -> Values:
    return np.where(held_out.stratum < DRUG_NEW, factors_of(factor, held_out.drug), 1.0)


def factors_of(factor: Values, drug: IntArray) -> Values:
    """R of drugs by their number; 1 for those beyond, whose labels were never held out."""
    return np.append(factor, 1.0)[np.minimum(drug, len(factor))]


def _worse(distance: FloatArray, inside: float, tested: float) -> IntArray:
    """0 inside, 1 at the edge, 2 outside; what cannot be compared is at the edge where others can."""
    if np.isnan(tested):
        return np.zeros(len(distance), dtype=np.int64)
    return np.where(distance <= inside, 0, np.where(distance > tested, 2, 1)).astype(np.int64)


def _plain(value: float) -> float | None:
    return None if not np.isfinite(value) else float(value)
