"""What two screens say about each other: alarms where one is misread, none where both are noise or right."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from dadsp.data.cross_checks import CrossCheck, cross_checks
from dadsp.drugs.structures import structure_keys
from dadsp.errors import LeakageError
from dadsp.schema import Screen, Study
from tests.support.studies import small_screen

Labels = Callable[[np.ndarray], np.ndarray]


def pair_of_screens(
    *,
    lines: int = 12,
    drugs: int = 6,
    noise: float = 0.3,
    seed: int = 0,
    labels: Labels = lambda y: y,
    measure: str = "ic50",
) -> Study:
    """Two screens that measured the same pairs with noise; what ``labels`` makes of the target's is written."""
    random = np.random.default_rng(seed)
    source = small_screen("SRC", n_cells=lines, n_drugs=drugs, n_genes=40, seed=seed, links=lines)
    responses = source.responses
    truth = random.normal(size=drugs)[responses.drug_idx] + 0.5 * random.normal(size=len(responses))
    one, other = (truth + noise * random.normal(size=len(truth)) for _ in range(2))
    cells = replace(
        source.cells,
        ids=tuple(f"T{row}" for row in range(lines)),
        expression=(source.cells.expression + 0.3 * random.normal(size=(lines, 40))).astype(np.float32),
    )
    source = replace(source, measure=measure, responses=replace(responses, potency=one.astype(np.float32)))
    target = replace(source, name="TGT", cells=cells, responses=replace(responses, potency=labels(other).astype(np.float32)))
    return Study(source, target, "none", source.responses.potency)


def checked(study: Study, name: str, labels: bool = True) -> CrossCheck:
    (found,) = [check for check in cross_checks(study, labels=labels) if check.name == name]
    return found


def alarms(study: Study) -> list[str]:
    return [check.name for check in cross_checks(study, labels=True) if check.verdict == "suspicious"]


@pytest.mark.parametrize("seed", range(5))
def test_screens_that_agree_alarm_nothing(seed: int) -> None:
    assert alarms(pair_of_screens(seed=seed)) == []


def test_noise_and_small_screens_hardly_ever_alarm() -> None:
    for lines, drugs in ((8, 3), (20, 8), (12, 1)):
        found = [alarms(pair_of_screens(lines=lines, drugs=drugs, noise=50, seed=seed)) for seed in range(20)]
        assert sum(map(len, found)) <= 1


@pytest.mark.parametrize(
    ("lines", "drugs", "measure", "words"),
    [
        (8, 3, "auc", "auc is the area below the curve, aac that above; SRC is declared auc, TGT is declared auc"),
        (12, 6, "aac", "(responses.measure: auc is the area below"),
        (30, 1, "auc", "over the means of 1 drugs: they anticorrelate"),
        (2, 8, "auc", "over 16 pairs measured in both"),
        (
            12,
            6,
            "ic50",
            "the sign in responses.unit (log10 or neg_log10) of both (SRC is declared ic50, TGT is declared ic50)",
        ),
        (12, 6, "amax", "Check responses.measure"),
    ],
)
def test_labels_that_are_turned_alarm(lines: int, drugs: int, measure: str, words: str) -> None:
    study = pair_of_screens(lines=lines, drugs=drugs, noise=0.1, labels=lambda y: 1 - y, measure=measure)
    check = checked(study, "direction of labels")
    assert check.verdict == "suspicious"
    assert words in check.what
    assert check.count == check.of == lines * drugs


def test_the_screen_of_too_many_sensitive_pairs_is_named() -> None:
    study = pair_of_screens(noise=0.1, labels=lambda y: 0.9 - y / 10, measure="auc")
    low = replace(study.source, responses=replace(study.source.responses, potency=study.source.responses.potency / 10))
    what = checked(replace(study, source=low), "direction of labels").what
    assert "Half of TGT's labels say that more than 0." in what


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (lambda y: y / np.log(10), "one is stretched (ln for log10 makes 2.3 or 0.43"),
        (lambda y: y * np.log(10), "one is stretched (ln for log10"),
        (lambda y: y + 3, "one is shifted (nM for µM makes 3, M for µM 6: check responses.unit)"),
        (lambda y: y - 6, "median difference 6.0"),
    ],
)
def test_labels_in_another_unit_alarm(labels: Labels, words: str) -> None:
    check = checked(pair_of_screens(labels=labels), "scale of labels")
    assert check.verdict == "suspicious"
    assert words in check.what


def test_areas_ten_times_larger_alarm() -> None:
    check = checked(pair_of_screens(labels=lambda y: 10 * y, measure="aac"), "scale of labels")
    assert (check.verdict, "check responses.full_area" in check.what) == ("suspicious", True)


@pytest.mark.parametrize("change", [lambda y: y, lambda y: 2 * y + 1])
def test_the_same_labels_twice_alarm_as_a_leak(change: Labels) -> None:
    study = pair_of_screens()
    copied = replace(study.target.responses, potency=change(study.source.responses.potency))
    check = checked(replace(study, target=replace(study.target, responses=copied)), "copied labels")
    assert check.verdict == "suspicious"
    assert "the source holds the target's answers" in check.what


def test_a_drug_that_runs_against_the_others_is_named() -> None:
    study = pair_of_screens(lines=40, drugs=6, noise=0.1)
    potency = study.target.responses.potency.copy()
    own = study.target.responses.drug_idx == 2
    potency[own] = -potency[own]
    check = checked(
        replace(study, target=replace(study.target, responses=replace(study.target.responses, potency=potency))),
        "labels of each drug",
    )
    assert (check.verdict, check.of, check.count) == ("suspicious", 6, 1)
    assert check.examples.startswith("drug2 r -0.")


def _with_expression(study: Study, rows: list[int]) -> Study:
    cells = replace(study.target.cells, expression=study.target.cells.expression[rows])
    return replace(study, target=replace(study.target, cells=cells))


def test_swapped_lines_alarm_by_name() -> None:
    study = _with_expression(pair_of_screens(lines=20), [1, 0, *range(2, 20)])
    check = checked(study, "expression of shared lines", labels=False)
    assert check.verdict == "suspicious"
    assert "of 20 shared lines 18 are most like their partner" in check.what
    assert "(2 of them in swapped pairs)" in check.what
    assert check.examples == "T0 like SRC-line1, T1 like SRC-line0"


def test_links_that_mean_nothing_alarm() -> None:
    study = _with_expression(pair_of_screens(lines=20), [*range(1, 20), 0])
    check = checked(study, "expression of shared lines", labels=False)
    assert check.verdict == "suspicious"
    assert "no better than chance. Check which column links the lines" in check.what


def test_one_line_twice_alarms_and_one_file_twice_does_not() -> None:
    study = pair_of_screens(lines=12)
    twin = checked(_with_expression(study, [0, 0, *range(2, 12)]), "expression within TGT")
    assert (twin.verdict, twin.count, twin.examples) == ("suspicious", 1, "T0 = T1")
    same = replace(study.target, cells=replace(study.target.cells, expression=study.source.cells.expression))
    check = checked(replace(study, target=same), "expression in both screens")
    assert (check.verdict, check.count) == ("look", 12)


def _with_drugs(study: Study, **columns: tuple[str, ...]) -> Study:
    drugs: Screen = study.target
    smiles = columns.get("smiles", drugs.drugs.smiles)
    keys = structure_keys(smiles, smiles)  # type: ignore[arg-type]
    return replace(study, target=replace(drugs, drugs=replace(drugs.drugs, **columns, structure_keys=keys)))


def test_one_name_with_two_structures_alarms_and_two_names_of_one_are_listed() -> None:
    study = pair_of_screens(drugs=3)  # CCO, CC(=O)O, c1ccccc1
    check = checked(_with_drugs(study, smiles=("CCO", "CC(=O)[O-].[K+]", "CCN")), "structures of a name")
    assert (check.verdict, check.of, check.count) == ("suspicious", 3, 2)
    assert check.examples == "drug1 (a salt or mixture), drug2"
    check = checked(_with_drugs(study, names=("ethanol", "Drug-1", "drug2")), "names of a structure")
    assert (check.verdict, check.count, check.examples) == ("look", 1, "ethanol = drug0")


def test_an_id_that_means_another_structure_alarms_where_most_mean_the_same() -> None:
    study = pair_of_screens(drugs=5)
    smiles = list(map(str, study.target.drugs.smiles))
    one = _with_drugs(study, smiles=("CCCCO", *smiles[1:]), names=("a", "b", "c", "d", "e"))
    check = checked(one, "structures of an id")
    assert (check.verdict, check.count, check.examples) == ("suspicious", 1, "SRC-drug0: drug0 / a")
    turned = _with_drugs(study, smiles=tuple(reversed(smiles)), names=("a", "b", "c", "d", "e"))
    assert not [check for check in cross_checks(turned, labels=False) if check.name == "structures of an id"]


@pytest.mark.parametrize("name", ["direction of labels", "scale of labels", "copied labels", "labels of each drug"])
def test_a_check_that_cannot_be_made_says_why(name: str) -> None:
    check = checked(pair_of_screens(lines=2, drugs=2), name)
    assert check.verdict == "not made" or name == "direction of labels"
    study = pair_of_screens()
    alone = replace(study.target.cells, link_ids=tuple(f"X{row}" for row in range(12)))
    check = checked(replace(study, target=replace(study.target, cells=alone)), name)
    assert (check.verdict, check.of) == ("not made", 0)
    assert check.what.startswith("0 ")


def test_before_training_no_target_label_is_read() -> None:
    study = pair_of_screens().without_target_labels()
    assert "expression of shared lines" in [check.name for check in cross_checks(study, labels=False)]
    with pytest.raises(LeakageError):
        cross_checks(study, labels=True)


def test_inside_one_screen_there_is_nothing_to_check() -> None:
    assert cross_checks(pair_of_screens().within("source"), labels=False) == []
