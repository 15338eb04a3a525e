"""Whether the labels of pairs that two screens measured agree as two measurements of one thing do.

The limits were set on GDSC1, GDSC2, CCLE and CTRP: drugs correlate at −0.1 to 0.9 (median 0.5), IC50 differ by less than 0.7
in the median, those of one drug by at most 1.5 (−log10 µM), and spreads by a factor of at most 1.4 (areas: 2).
"""

from collections.abc import Iterator
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pandas as pd

from dadsp.data.cross_check import CrossCheck, Verdict
from dadsp.data.potency import same_measure
from dadsp.data.shared_pairs import pairs_of_both
from dadsp.errors import examples
from dadsp.schema import FloatArray, Screen

LIKELY, SURE = 2.33, 3.0  # standard deviations from what chance gives: p = 0.01, 0.0013
FEWEST_PAIRS = 20  # for a scale, an offset or a copy
FEWEST_OF_DRUG = 10
AGREE = 0.2  # r within drugs; below, lines or drugs look exchanged
VARIED = 0.7  # of the median drug's spread: the labels of a drug that does nothing are noise
SCALE = {"concentration": 1.8, "area": 3.0}  # ln for log10 makes 2.3; areas over other doses differ by up to 2
OFFSET, OFFSET_OF_DRUG = 1.5, 2.0  # −log10 µM: nM for µM makes 3
MOST_LOST = 0.6  # of the area, as a median: most drugs leave most lines alive


class _Shared(NamedTuple):
    """Pairs that both screens measured; those of them whose labels are no bounds."""

    source: Screen
    target: Screen
    pairs: pd.DataFrame
    free: pd.DataFrame

    def name(self, drug: object) -> str:
        return self.target.drugs.names[int(str(drug))]


def label_checks(source: Screen, target: Screen, raw: FloatArray) -> Iterator[CrossCheck]:
    """What the labels of two screens say about each other.

    Args:
        source: One screen.
        target: The other; its labels are read.
        raw: The source's labels before clipping, shape (n_source_pairs,).
    """
    pairs = pairs_of_both(source, target, raw)
    clipped = pairs["raw"] != pairs["source"]  # bounds of the study's making
    free = pairs[((pairs["source_censored"] == 0) | clipped) & ~pairs["target_censored"]]
    shared = _Shared(source, target, pairs, free)
    direction, drugs_agree = _direction(shared)
    yield direction
    if direction.verdict != "suspicious":  # else the rest would follow from it
        yield _lines_agree(shared, drugs_agree)
        yield _drugs_apart(shared)
        yield from _scale(shared)
    yield _copies(shared)


def _direction(shared: _Shared) -> tuple[CrossCheck, bool]:
    """Whether labels rise together, within drugs and between; and whether they do between drugs.

    Within drugs, what counts is how far from nothing the correlation would be if lines were paired at random, so that alike
    pairs of a line count once; between, the means of drugs count once each.
    """
    name, pairs = "direction of labels", shared.pairs
    r, error = within_drugs(pairs)
    means = pairs.groupby("structure")[["raw", "target"]].mean()
    s = _r(means["raw"], means["target"])
    between = _score(s, len(means) - 2)
    known = [score for score in (r / error if r is not None else None, between) if score is not None]
    if not known:
        what = f"{len(pairs)} pairs measured in both are too few, or all alike"
        return CrossCheck(name, "not made", what, len(pairs)), False
    found = (
        f"r {_shown(r)} over {len(pairs)} pairs measured in both, within drugs, and {_shown(s)} over the means of "
        f"{len(means)} drugs"
    )
    if sum(known) / np.sqrt(len(known)) > -LIKELY:
        return CrossCheck(name, "fits", found, len(pairs)), between is not None and between > LIKELY
    what = f"{found}: they anticorrelate. {_turned(shared)}"
    return CrossCheck(name, "suspicious", what, len(pairs), len(pairs)), False


def within_drugs(pairs: pd.DataFrame) -> tuple[float | None, float]:
    """Correlation of labels less the mean of their drug, and its standard deviation were lines paired at random.

    The latter is exact where each line has each drug. None and 0 where a side is all alike, or there is one line.
    """
    centred = _centred(pairs).assign(link=pairs["link"], drug=pairs["drug"])
    one, other = (
        centred.pivot(index="link", columns="drug", values=label).fillna(0.0).to_numpy() for label in ("raw", "target")
    )
    norm = float(np.sqrt((one**2).sum() * (other**2).sum()))
    if len(one) < 2 or norm < 1e-12:
        return None, 0.0
    variance = float(((one.T @ one) * (other.T @ other)).sum()) / (len(one) - 1)
    return float((one * other).sum()) / norm, float(np.sqrt(variance)) / norm


def _turned(shared: _Shared) -> str:
    """Which screen may have its direction wrong, and where that is set."""
    screens = (shared.source, shared.target)
    declared = ", ".join(f"{screen.name} is declared {screen.measure}" for screen in screens)
    if not all(screen.measure in ("auc", "aac") for screen in screens):
        return f"Check responses.measure and the sign in responses.unit (log10 or neg_log10) of both ({declared})"
    high = [screen for screen in screens if np.median(screen.responses.potency) > MOST_LOST]
    told = (
        f"Half of {high[0].name}'s labels say that more than {np.median(high[0].responses.potency):.2f} of the area is "
        "lost, which few drugs do, so turn that one"
        if len(high) == 1
        else "Turn one of them"
    )
    return f"{told} (responses.measure: auc is the area below the curve, aac that above; {declared})"


def _lines_agree(shared: _Shared, drugs_agree: bool) -> CrossCheck:
    """Whether labels agree within drugs: where only the means of drugs do, lines look exchanged."""
    name, pairs = "labels of each line", shared.pairs
    r, error = within_drugs(pairs)
    if r is None or len(pairs) < FEWEST_PAIRS:
        what = f"{len(pairs)} pairs measured in both; {FEWEST_PAIRS} that differ within drugs are needed"
        return CrossCheck(name, "not made", what, len(pairs))
    found = f"r {r:.2f} ± {error:.2f} within drugs"
    if r + LIKELY * error >= AGREE:
        return CrossCheck(name, "fits", found, len(pairs))
    if not drugs_agree:
        return CrossCheck(
            name, "look", f"{found}: what was measured of the same pairs does not agree", len(pairs), len(pairs)
        )
    what = f"{found}, though drugs agree: as if lines were exchanged. Check the ids of lines in the responses"
    return CrossCheck(name, "suspicious", what, len(pairs), len(pairs))


def _drugs_apart(shared: _Shared) -> CrossCheck:
    """Drugs whose labels run against each other, or have nothing in common, while those of most drugs agree.

    Against: r is below 0, three standard deviations. Nothing: r is not surely above 0 (p = 0.05), but below half the median
    r (p = 0.05 over all drugs), though labels vary as those of other drugs do in both screens.
    """
    name = "labels of each drug"
    drugs = pd.DataFrame(
        [
            (drug, len(own), r, own["raw"].std(), own["target"].std())
            for drug, own in shared.pairs.groupby("drug")
            if len(own) >= FEWEST_OF_DRUG and (r := _r(own["raw"], own["target"])) is not None
        ],
        columns=["drug", "n", "r", "source", "target"],
    )
    middle = float(drugs["r"].median()) if len(drugs) else None
    if len(drugs) < 3 or middle is None or middle < AGREE:
        what = f"{len(drugs)} drugs of {FEWEST_OF_DRUG} pairs, median r {_shown(middle)}; 3 and {AGREE:g} are needed"
        return CrossCheck(name, "not made", what, len(drugs))
    spreads = drugs[["source", "target"]]
    varied = (spreads >= VARIED * spreads.median()).all(axis=1)
    z, error = np.arctanh(drugs["r"].clip(-0.99999, 0.99999)), 1 / np.sqrt(drugs["n"] - 3)
    short = (z - np.arctanh(middle / 2)) / error < NormalDist().inv_cdf(0.05 / len(drugs))
    score = np.array([_score(r, n - 2) or 0.0 for r, n in zip(drugs["r"], drugs["n"], strict=True)])
    apart = drugs[(score < -SURE) | (varied & short & (score < NormalDist().inv_cdf(0.95)))]
    named = [
        f"{shared.name(drug)} r {r:.2f}{_fits_another(shared, drug)}"
        for drug, r in zip(apart["drug"], apart["r"], strict=True)
    ]
    what = f"median r {middle:.2f} of {len(drugs)} drugs of {FEWEST_OF_DRUG} pairs or more"
    if named:
        what = f"{what}; drugs whose labels run against each other or have nothing in common, as if they were another drug's"
    return CrossCheck(name, "suspicious" if named else "fits", what, len(drugs), len(named), examples(named))


def _fits_another(shared: _Shared, drug: object) -> str:
    """Which other drug of the source the target's labels of a drug are surely those of, if of any."""
    pairs = shared.pairs
    own = pairs.loc[pairs["drug"] == drug].set_index("link")["target"]
    fits = []
    for other, rows in pairs[pairs["drug"] != drug].groupby("drug"):
        both = rows.set_index("link")["raw"].reindex(own.index).dropna()
        r = _r(both, own[both.index])
        if r is not None and len(both) >= FEWEST_OF_DRUG and r > 0.5 and (_score(r, len(both) - 2) or 0.0) > 2 * SURE:
            fits.append((r, shared.name(other)))
    return f" (like {max(fits)[1]} in {shared.source.name}, r {max(fits)[0]:.2f})" if fits else ""


def _scale(shared: _Shared) -> Iterator[CrossCheck]:
    """Whether labels are stretched, shifted, or shifted for single drugs; what follows from the one before is left out."""
    name, source, target, free = "scale of labels", shared.source, shared.target, shared.free
    if not same_measure(source.measure, target.measure):
        what = f"{source.name} has {source.measure}, {target.name} {target.measure}"
        yield CrossCheck(name, "not made", what, len(free))
        return
    r = _r(free["raw"], free["target"])
    within, _ = within_drugs(free)
    if len(free) < FEWEST_PAIRS or max(r or 0.0, within or 0.0) < 0.5:
        what = f"{len(free)} uncensored pairs of r {_shown(r)}; {FEWEST_PAIRS} of r 0.5 are needed"
        yield CrossCheck(name, "not made", what, len(free))
        return
    ratio, own_ratio = (float(table["raw"].std() / table["target"].std()) for table in (free, _centred(free)))
    difference = free["raw"] - free["target"]
    middle = float(difference.median())
    spread = f"spread of {source.name} over {target.name} {ratio:.2f} ({own_ratio:.2f} within drugs)"
    found = f"{len(free)} uncensored pairs: {spread}, median difference {middle:.2f}"
    kind = "concentration" if source.measure in ("ic50", "ec50") else "area"
    by_drug, apart = _shifted_drugs(shared, difference - middle) if kind == "concentration" else (0, [])
    one_side = max((difference > 0).mean(), (difference < 0).mean())
    hint = ""
    if min(ratio, own_ratio) >= SCALE[kind] or max(ratio, own_ratio) <= 1 / SCALE[kind]:
        of = "ln for log10 makes 2.3 or 0.43: check responses.unit"
        hint = f": one is stretched ({of if kind == 'concentration' else 'check responses.full_area'})"
    elif kind == "concentration" and abs(middle) >= OFFSET and one_side >= 0.9:
        hint = ": one is shifted (nM for µM makes 3, M for µM 6: check responses.unit)"
    verdict: Verdict = "suspicious" if hint else "fits"
    yield CrossCheck(name, verdict, found + hint, len(free), len(free) if hint else 0)
    if by_drug and not hint:
        what = f"{by_drug} drugs of {FEWEST_OF_DRUG} uncensored pairs"
        if apart:
            what = f"{what}; drugs that differ by {OFFSET_OF_DRUG:g} or more beyond what all do, as if in another unit"
        yield CrossCheck("scale of each drug", "suspicious" if apart else "fits", what, by_drug, len(apart), examples(apart))


def _shifted_drugs(shared: _Shared, difference: "pd.Series[float]") -> tuple[int, list[str]]:
    """How many drugs can be judged, and those whose median difference is surely far from that of all."""
    each = difference.groupby(shared.free["drug"]).agg(["median", "std", "size"])
    each = each[each["size"] >= FEWEST_OF_DRUG]
    error = 1.25 * each["std"] / np.sqrt(each["size"])  # of the median of normal numbers
    far = each[(each["median"].abs() >= OFFSET_OF_DRUG) & (each["median"].abs() > SURE * error)]
    return len(each), [f"{shared.name(drug)} {value:+.1f}" for drug, value in far["median"].items()]


def _copies(shared: _Shared) -> CrossCheck:
    """Whether labels of one screen, or of one drug of it, are the other's: two measurements never agree so well."""
    name, free = "copied labels", shared.free
    if len(free) < FEWEST_PAIRS:
        return CrossCheck(name, "not made", f"{len(free)} uncensored pairs; {FEWEST_PAIRS} are needed", len(free))
    same = pd.Series(np.isclose(free["raw"], free["target"], rtol=1e-5, atol=1e-6), index=free.index)
    each = same.groupby(free["drug"]).agg(["mean", "size"])
    copied = each.index[(each["mean"] >= 0.9) & (each["size"] >= FEWEST_OF_DRUG)]
    equal, r = int(same.sum()), _r(*(values for _, values in _centred(free).items()))
    found = f"{equal} of {len(free)} uncensored pairs have equal labels; r within drugs {_shown(r, 4)}"
    if 2 * equal <= len(free) and not len(copied) and (r is None or r <= 0.9999):
        return CrossCheck(name, "fits", found, len(free), equal)
    what = f"{found}: the same data twice, so that the source holds the target's answers"
    return CrossCheck(name, "suspicious", what, len(free), equal, examples(map(shared.name, copied)))


def _centred(pairs: pd.DataFrame) -> pd.DataFrame:
    """Both labels without the mean of their drug."""
    values = pairs[["raw", "target"]]
    return values - values.groupby(pairs["drug"]).transform("mean")


def _r(one: "pd.Series[float]", other: "pd.Series[float]") -> float | None:
    """Pearson correlation; None for fewer than 3 values, or values all alike."""
    if len(one) < 3 or np.ptp(one) < 1e-9 or np.ptp(other) < 1e-9:
        return None
    return float(np.corrcoef(one, other)[0, 1])


def _score(r: float | None, freedom: int) -> float | None:
    """Standard deviations of a normal variable that is as rarely so low as a correlation of nothing is below ``r``."""
    from scipy.special import ndtri, stdtr  # slow to import, and training may need neither

    if r is None or freedom < 1:
        return None
    bounded = min(max(r, -1 + 1e-12), 1 - 1e-12)
    statistic = bounded * np.sqrt(freedom / (1 - bounded**2))
    return float(np.clip(-ndtri(stdtr(freedom, -statistic)), -38, 38))


def _shown(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
