"""Whether what two screens have in common says that one of them is misread.

The checks on labels look at target labels, which describes the data and nothing else: no model may be given what they find.
Training makes the others alone.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from dadsp.data.cross_check import CrossCheck, Verdict
from dadsp.data.ids import drug_key
from dadsp.data.label_checks import label_checks
from dadsp.errors import examples
from dadsp.schema import Note, Screen, Study

Values = NDArray[np.float64]

SURE = 3.0  # standard deviations (p = 0.0013) from chance
FEWEST_LINES, FEWEST_GENES = 6, 20
MARGIN = 0.2  # of correlation, by which another line is clearly more alike
MOST_GENES = 2000  # as many tell lines apart, in a fraction of the time
SCALES = 10.0  # ratio of the spreads of the median gene: that of GDSC's z-scores and CCLE's log2(TPM + 1) is 2


def cross_checks(study: Study, *, labels: bool) -> list[CrossCheck]:
    """What the lines, drugs and pairs that both screens of a study hold say about each other.

    Args:
        study: Across two screens; there is nothing to check inside one.
        labels: Whether to look at labels too, those of the target among them: to describe the data, never to train.
    """
    if study.scope != "across":
        return []
    source, target = study.source, study.target
    if source.name == target.name and source.cells.ids == target.cells.ids:
        return [CrossCheck("cross-checks", "not made", f"source and target are one screen, {source.name}", 0)]
    found = [_partners(study), *_identical_lines(study), *_gene_scale(study), *_structures(study)]
    return [*found, *label_checks(source, target, study.raw_source_potency)] if labels else found


def alarms_among(sources: Sequence[Screen]) -> tuple[Note, ...]:
    """What looks misread in several source screens, all of whose labels train."""
    notes: list[Note] = []
    for one, other in combinations(sources, 2):
        genes = [gene for gene in one.genes if gene in set(other.genes)]
        study = Study(one.with_genes(genes), other.with_genes(genes), "none", one.responses.potency)
        notes += [
            replace(check, name=f"{check.name} of {one.name} and {other.name}").note
            for check in cross_checks(study, labels=True)
            if check.verdict == "suspicious"
        ]
    return tuple(notes)


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


def _gene_scale(study: Study) -> Iterator[CrossCheck]:
    """Whether the expression of one screen is on another scale, as TPM beside its logarithms."""
    screens = (study.source, study.target)
    spreads = [float(np.median(screen.cells.expression.std(axis=0))) for screen in screens]
    if len(study.genes) < FEWEST_GENES or min(map(len, (study.source.cells, study.target.cells))) < 2 or min(spreads) <= 0:
        return
    ratio = spreads[0] / spreads[1]
    found = f"median gene: spread of {study.source.name} over {study.target.name} {ratio:.2g}"
    if 1 / SCALES < ratio < SCALES:
        yield CrossCheck("scale of expression", "fits", found, len(study.genes))
        return
    told = [
        f"{screen.name} {screen.cells.expression.min():.3g} to {screen.cells.expression.max():.3g}" for screen in screens
    ]
    what = f"{found} ({', '.join(told)}), as if the logarithms of one were not taken: check expression.transform"
    yield CrossCheck("scale of expression", "suspicious", what, len(study.genes), len(study.genes))


def _structures(study: Study) -> Iterator[CrossCheck]:
    """Whether names, ids and structures of the drugs tell the same drugs apart."""
    ours, theirs = (_by(screen, lambda _, name: drug_key(name)) for screen in (study.source, study.target))
    shared = [name for name in theirs if name and name in ours]
    other = [
        f"{theirs[name][1]}{' (a salt or mixture)' if '.' in theirs[name][2] + ours[name][2] else ''}"
        for name in shared
        if theirs[name][0] != ours[name][0]
    ]
    told_as_written = study.source.drugs.identity == "exact" and any("salt" in each for each in other)
    what = (
        "drugs of one name with another structure, so that they count as different"
        + (" (drugs.identity: parent takes salts for their parents)" if told_as_written else "")
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
    other = [
        f"{own}: {ours[own][1]} / {theirs[own][1]}"
        for own in shared
        if theirs[own][0] != ours[own][0] and drug_key(ours[own][1]) != drug_key(theirs[own][1])  # else told by name
    ]
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
