"""Whether what two screens have in common says that one of them is misread.

The checks on labels look at target labels, which describes the data and nothing else: no model may be given what they find.
Training makes the others alone.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dadsp.data.ids import drug_key
from dadsp.data.potency import same_measure
from dadsp.data.shared_pairs import measured_in_both
from dadsp.errors import examples
from dadsp.schema import Screen, Study

Verdict = Literal["fits", "look", "suspicious", "not made"]
Values = NDArray[np.float64]

SURE = 3.0  # standard deviations (p = 0.0013) beyond which labels run against each other
FEWEST_PAIRS = 20  # for a scale, an offset or a copy
FEWEST_OF_DRUG = 10
SCALE = {"concentration": 1.8, "area": 3.0}  # ln for log10 makes 2.3; areas over other doses differ by up to 1.5
OFFSET = 1.5  # −log10 µM: nM for µM makes 3; GDSC and CCLE differ by 0.3
MOST_LOST = 0.6  # of the area, as a median: most drugs leave most lines alive
FEWEST_LINES, FEWEST_GENES = 10, 20
MARGIN = 0.2  # of correlation, by which another line is clearly more alike
MOST_GENES = 2000  # as many tell lines apart, in a fraction of the time


@dataclass(frozen=True)
class CrossCheck:
    """One comparison of two screens.

    Attributes:
        name: What is checked.
        verdict: ``"suspicious"`` alarms; ``"look"`` may be right as it is; ``"not made"`` says why in ``what``.
        what: What was found, in words with its numbers.
        of: How many pairs, lines or drugs it rests on.
        count: How many of them it concerns.
        examples: The first few.
    """

    name: str
    verdict: Verdict
    what: str
    of: int
    count: int = 0
    examples: str = ""

    def __str__(self) -> str:
        shown = f": {self.count:,} ({self.examples})" if self.examples else ""
        return f"{self.verdict}: {self.name}: {self.what}{shown}"


def cross_checks(study: Study, *, labels: bool) -> list[CrossCheck]:
    """What the lines, drugs and pairs that both screens of a study hold say about each other.

    Args:
        study: Across two screens; there is nothing to check inside one.
        labels: Whether to look at labels too, those of the target among them: to describe the data, never to train.
    """
    if study.scope != "across":
        return []
    found = [_partners(study), *_identical_lines(study), *_structures(study)]
    return [*found, *_labels(study)] if labels else found


def _labels(study: Study) -> Iterator[CrossCheck]:
    pairs = measured_in_both(study)
    free = pairs[(pairs["source_censored"] == 0) & ~pairs["target_censored"]]
    yield _direction(study, pairs)
    yield _scale(study, free)
    yield _copies(free)
    yield _drugs_apart(study, pairs)


def _direction(study: Study, pairs: pd.DataFrame) -> CrossCheck:
    """Whether labels rise together, within drugs (one degree of freedom a line, as its pairs are alike) and between."""
    name = "direction of labels"
    within = _centred(pairs)
    between = pairs.groupby("structure")[["raw", "target"]].mean()
    r, s = (_r(table["raw"], table["target"]) for table in (within, between))
    scores = [_score(r, pairs["link"].nunique() - 2), _score(s, len(between) - 2)]
    known = [score for score in scores if score is not None]
    if not known:
        return CrossCheck(name, "not made", f"{len(pairs)} pairs measured in both are too few, or all alike", len(pairs))
    found = (
        f"r {_shown(r)} over {len(pairs)} pairs measured in both, within drugs, and {_shown(s)} over the means of "
        f"{len(between)} drugs"
    )
    if sum(known) / np.sqrt(len(known)) > -SURE:
        return CrossCheck(name, "fits", found, len(pairs))
    return CrossCheck(name, "suspicious", f"{found}: they anticorrelate. {_turned(study)}", len(pairs), len(pairs))


def _turned(study: Study) -> str:
    """Which screen may have its direction wrong, and where that is set."""
    screens = (study.source, study.target)
    if all(screen.measure in ("auc", "aac") for screen in screens):
        high = [screen for screen in screens if np.median(screen.responses.potency) > MOST_LOST]
        told = (
            f"Half of {high[0].name}'s labels say that more than {np.median(high[0].responses.potency):.2f} of the area is "
            "lost, which few drugs do, so turn that one"
            if len(high) == 1
            else "Turn one of them"
        )
        declared = ", ".join(f"{screen.name} is declared {screen.measure}" for screen in screens)
        return f"{told} (responses.measure: auc is the area below the curve, aac that above; {declared})"
    declared = ", ".join(f"{screen.name} is declared {screen.measure}" for screen in screens)
    return f"Check responses.measure and the sign in responses.unit (log10 or neg_log10) of both ({declared})"


def _scale(study: Study, free: pd.DataFrame) -> CrossCheck:
    name = "scale of labels"
    source, target = study.source, study.target
    if not same_measure(source.measure, target.measure):
        return CrossCheck(name, "not made", f"{source.name} has {source.measure}, {target.name} {target.measure}", len(free))
    r = _r(free["raw"], free["target"])
    if len(free) < FEWEST_PAIRS or r is None or r < 0.5:
        what = f"{len(free)} uncensored pairs of r {_shown(r)}; {FEWEST_PAIRS} of r 0.5 are needed"
        return CrossCheck(name, "not made", what, len(free))
    ratio = float(free["raw"].std() / free["target"].std())
    difference = free["raw"] - free["target"]
    middle = float(difference.median())
    spread = f"spread of {source.name} over {target.name} {ratio:.2f}"
    found = f"{len(free)} uncensored pairs: {spread}, median difference {middle:.2f}"
    kind = "concentration" if source.measure in ("ic50", "ec50") else "area"
    if not 1 / SCALE[kind] < ratio < SCALE[kind]:
        hint = (
            "ln for log10 makes 2.3 or 0.43: check responses.unit"
            if kind == "concentration"
            else "check responses.full_area"
        )
        return CrossCheck(name, "suspicious", f"{found}: one is stretched ({hint})", len(free), len(free))
    one_side = max((difference > 0).mean(), (difference < 0).mean())
    if kind == "concentration" and abs(middle) >= OFFSET and one_side >= 0.9:
        hint = "nM for µM makes 3, M for µM 6: check responses.unit"
        return CrossCheck(name, "suspicious", f"{found}: one is shifted ({hint})", len(free), len(free))
    return CrossCheck(name, "fits", found, len(free))


def _copies(free: pd.DataFrame) -> CrossCheck:
    """Whether one screen's labels are the other's: two measurements never agree so well."""
    name = "copied labels"
    if len(free) < FEWEST_PAIRS:
        return CrossCheck(name, "not made", f"{len(free)} uncensored pairs; {FEWEST_PAIRS} are needed", len(free))
    equal = int(np.isclose(free["raw"], free["target"], rtol=1e-5, atol=1e-6).sum())
    r = _r(_centred(free)["raw"], _centred(free)["target"])
    found = f"{equal} of {len(free)} uncensored pairs have equal labels; r within drugs {_shown(r, 4)}"
    if 2 * equal > len(free) or (r is not None and r > 0.9999):
        what = f"{found}: the same data twice, so that the source holds the target's answers"
        return CrossCheck(name, "suspicious", what, len(free), equal)
    return CrossCheck(name, "fits", found, len(free), equal)


def _drugs_apart(study: Study, pairs: pd.DataFrame) -> CrossCheck:
    """Drugs of which labels run against each other while those of most drugs agree: shuffled, or another drug."""
    name = "labels of each drug"
    found = {}
    for drug, own in pairs.groupby("drug"):
        r = _r(own["raw"], own["target"])
        if len(own) >= FEWEST_OF_DRUG and r is not None:
            found[drug] = (r, _score(r, len(own) - 2) or 0.0)
    middle = float(np.median([r for r, _ in found.values()])) if found else None
    if len(found) < 3 or middle is None or middle < 0.2:
        what = f"{len(found)} drugs of {FEWEST_OF_DRUG} pairs, median r {_shown(middle)}; 3 and 0.2 are needed"
        return CrossCheck(name, "not made", what, len(found))
    apart = [f"{study.target.drugs.names[int(str(drug))]} r {r:.2f}" for drug, (r, score) in found.items() if score < -SURE]
    what = f"median r {middle:.2f} of {len(found)} drugs of {FEWEST_OF_DRUG} pairs or more"
    if apart:
        what = f"{what}; drugs whose labels run against each other, as if they were another drug's"
    return CrossCheck(name, "suspicious" if apart else "fits", what, len(found), len(apart), examples(apart))


def _partners(study: Study) -> CrossCheck:
    """Whether the expression of a line is most like that of the same line in the other screen."""
    name = "expression of shared lines"
    rows = np.flatnonzero(study.target_cell_in_source >= 0)
    partner = study.target_cell_in_source[rows]
    n_genes = len(study.genes)
    if len(rows) < FEWEST_LINES or n_genes < FEWEST_GENES:
        needed = f"{FEWEST_LINES} and {FEWEST_GENES} are needed"
        return CrossCheck(name, "not made", f"{len(rows)} shared lines of {n_genes} genes; {needed}", len(rows))
    step = -(-n_genes // MOST_GENES)
    ours, theirs = (
        _profiles(screen.cells.expression[lines, ::step])
        for screen, lines in ((study.source, partner), (study.target, rows))
    )
    r = theirs @ ours.T
    own, best = np.diag(r), r.argmax(axis=1)
    place = (r > own[:, None]).mean(axis=1)
    first = int((best == np.arange(len(rows))).sum())
    found = f"of {len(rows)} shared lines {first} are most like their partner among them"
    if (0.5 - place.mean()) * np.sqrt(12 * len(rows)) < SURE:  # a partner by chance stands anywhere
        what = f"{found}: no better than chance. Check which column links the lines, and the names of the genes"
        return CrossCheck(name, "suspicious", what, len(rows), len(rows) - first)
    other = np.flatnonzero(r.max(axis=1) - own > MARGIN)
    cells = study.target.cells
    named = [f"{cells.ids[rows[line]]} like {study.source.cells.ids[partner[best[line]]]}" for line in other]
    swapped = [line for line in other if best[best[line]] == line and best[line] != line]
    what = f"{found}; lines that are clearly more like another, as if mislabelled" if len(other) else found
    if swapped or len(other) > 0.05 * len(rows):
        swaps = f" ({len(swapped)} of them in swapped pairs)" if swapped else ""
        return CrossCheck(name, "suspicious", f"{what}{swaps}", len(rows), len(other), examples(named))
    return CrossCheck(name, "look" if len(other) else "fits", what, len(rows), len(other), examples(named))


def _profiles(expression: NDArray[np.float32]) -> Values:
    """Each line's deviations from the mean line, in units of each gene's spread, centred and of length 1."""
    values = expression.astype(np.float64)
    spread = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    values -= values.mean(axis=1, keepdims=True)
    length = np.sqrt((values**2).sum(axis=1, keepdims=True))
    profiles: Values = values / np.where(length > 0, length, 1.0)
    return profiles


def _identical_lines(study: Study) -> Iterator[CrossCheck]:
    """Different lines with the same expression, to the last digit."""
    if len(study.genes) < FEWEST_GENES:
        return
    for screen in (study.source, study.target):
        name = f"expression within {screen.name}"
        rows: defaultdict[bytes, list[str]] = defaultdict(list)
        for line, values in zip(screen.cells.ids, screen.cells.expression, strict=True):
            rows[values.tobytes()].append(line)
        twins = [" = ".join(lines) for lines in rows.values() if len(lines) > 1]
        what = "lines with the same numbers" if twins else f"no two of {len(screen.cells)} lines have the same numbers"
        verdict: Verdict = "suspicious" if twins else "fits"
        yield CrossCheck(name, verdict, what, len(screen.cells), len(twins), examples(twins))
    rows_in_both = np.flatnonzero(study.target_cell_in_source >= 0)
    same = sum(
        np.array_equal(study.target.cells.expression[row], study.source.cells.expression[study.target_cell_in_source[row]])
        for row in rows_in_both
    )
    if same:
        what = f"{same} of {len(rows_in_both)} shared lines have the same numbers in both screens: one expression file?"
        yield CrossCheck("expression in both screens", "look", what, len(rows_in_both), same)


def _structures(study: Study) -> Iterator[CrossCheck]:
    """Whether names, ids and structures of the drugs tell the same drugs apart."""
    ours, theirs = (_by(screen, lambda _, name: drug_key(name)) for screen in (study.source, study.target))
    shared = [name for name in theirs if name and name in ours]
    other = [
        f"{theirs[name][1]}{' (a salt or mixture)' if '.' in theirs[name][2] + ours[name][2] else ''}"
        for name in shared
        if theirs[name][0] != ours[name][0]
    ]
    what = (
        "drugs of one name with another structure, so that they count as different"
        if other
        else "no name has two structures"
    )
    verdict: Verdict = "suspicious" if other else "fits"
    name = "structures of a name"
    yield (
        CrossCheck(name, verdict, f"{len(shared)} names in both; {what}", len(shared), len(other), examples(other))
        if shared
        else CrossCheck(name, "not made", "no name stands in both screens", 0)
    )
    yield from _ids(study)
    names: defaultdict[str, set[str]] = defaultdict(set)
    for key, written, _ in ours.values():
        names[key].add(written)
    synonyms = [
        f"{written} = {' / '.join(sorted(names[key]))}"
        for key, written, _ in theirs.values()
        if key in names and drug_key(written) not in {drug_key(each) for each in names[key]}
    ]
    if synonyms:
        what = "drugs that are the same by structure under another name"
        yield CrossCheck("names of a structure", "look", what, len(theirs), len(synonyms), examples(synonyms))


def _ids(study: Study) -> Iterator[CrossCheck]:
    """Ids that mean another structure in the other screen, where most shared ids mean the same one."""
    ours, theirs = (_by(screen, lambda own, _: own) for screen in (study.source, study.target))
    shared = [own for own in theirs if own in ours]
    other = [f"{own}: {ours[own][1]} / {theirs[own][1]}" for own in shared if theirs[own][0] != ours[own][0]]
    if other and 2 * len(other) < len(shared):  # else the screens number their drugs each for itself
        what = f"{len(shared)} ids in both; drugs of one id with another structure"
        yield CrossCheck("structures of an id", "suspicious", what, len(shared), len(other), examples(other))


def _by(screen: Screen, key_of: Callable[[str, str], str]) -> dict[str, tuple[str, str, str]]:
    """Key of each drug → first InChIKey block, name and SMILES."""
    drugs = screen.drugs
    every: Iterable[tuple[str, str, str | None, str | None]] = zip(
        drugs.ids, drugs.names, drugs.structure_keys, drugs.smiles, strict=True
    )
    return {key_of(own, name): (key.partition("-")[0], name, smiles or "") for own, name, key, smiles in every if key}


def _centred(pairs: pd.DataFrame) -> pd.DataFrame:
    """Both labels without the mean of their drug."""
    values = pairs[["raw", "target"]]
    return values - values.groupby(pairs["structure"]).transform("mean")


def _r(one: "pd.Series[float]", other: "pd.Series[float]") -> float | None:
    """Pearson correlation; None for fewer than 3 values, or values all alike."""
    if len(one) < 3 or np.ptp(one) < 1e-9 or np.ptp(other) < 1e-9:
        return None
    return float(np.corrcoef(one, other)[0, 1])


def _score(r: float | None, freedom: int) -> float | None:
    """Standard deviations of a normal variable that is as rarely so low as a correlation of nothing is below ``r``."""
    from scipy.stats import norm, t  # slow to import, and training may need neither

    if r is None or freedom < 1:
        return None
    bounded = min(max(r, -1 + 1e-12), 1 - 1e-12)
    statistic = bounded * np.sqrt(freedom / (1 - bounded**2))
    return float(np.clip(norm.isf(t.sf(statistic, freedom)), -38, 38))


def _shown(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
