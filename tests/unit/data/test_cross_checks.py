"""What two screens say about each other: alarms where one is misread, none where both are noise or right."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from dadsp.data.cross_check import CrossCheck
from dadsp.data.cross_checks import alarms_among, cross_checks
from dadsp.data.sources.tidy import tidy_study
from dadsp.drugs.structures import structure_keys
from dadsp.errors import LeakageError
from dadsp.schema import Measure, Note, Screen, Study
from tests.support.raw_files import write_panel
from tests.support.studies import small_screen

Labels = Callable[[np.ndarray], np.ndarray]


def pair_of_screens(
    *,
    lines: int = 12,
    drugs: int = 6,
    noise: float = 0.3,
    seed: int = 0,
    labels: Labels = lambda y: y,
    measure: Measure = "ic50",
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
def test_labels_that_are_turned_alarm(lines: int, drugs: int, measure: Measure, words: str) -> None:
    study = pair_of_screens(lines=lines, drugs=drugs, noise=0.1, labels=lambda y: 1 - y, measure=measure)
    check = checked(study, "direction of labels")
    assert check.verdict == "suspicious"
    assert words in check.what
    assert check.count == check.of == lines * drugs


def test_the_screen_of_too_many_sensitive_pairs_is_named() -> None:
    study = pair_of_screens(noise=0.1, labels=lambda y: 0.9 - y / 10, measure="auc")
    tenth = (study.source.responses.potency / 10).astype(np.float32)
    low = replace(study.source, responses=replace(study.source.responses, potency=tenth))
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


def _as_lines_by_drugs(study: Study, change: Callable[[np.ndarray], np.ndarray]) -> Study:
    """The study with the target's labels changed as a table of lines × drugs."""
    target = study.target
    labels = change(target.responses.potency.reshape(len(target.cells), len(target.drugs)).copy())
    return replace(study, target=replace(target, responses=replace(target.responses, potency=labels.ravel())))


def _set_to(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.broadcast_to(values, labels.shape)


def _columns(order: Sequence[int]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda labels: labels[:, order]


def _column(number: int, change: Labels) -> Callable[[np.ndarray], np.ndarray]:
    def changed(labels: np.ndarray) -> np.ndarray:
        labels[:, number] = change(labels[:, number])
        return labels

    return changed


@pytest.mark.parametrize("seed", range(4))
def test_three_drugs_on_eight_lines_are_enough_to_see_labels_turned_and_nothing_else_is_blamed(seed: int) -> None:
    study = pair_of_screens(lines=8, drugs=3, seed=seed, labels=lambda y: 1 - y, measure="auc")
    assert alarms(study) == ["direction of labels"]
    assert "labels of each line" not in [check.name for check in cross_checks(study, labels=True)]


def test_alike_pairs_of_a_line_do_not_add_up_to_an_alarm() -> None:
    random = np.random.default_rng(3)
    alarmed = 0
    for seed in range(20):
        study = pair_of_screens(lines=6, drugs=6, seed=seed, noise=0.01)
        for _ in range(2):  # all drugs of a line agree, with another line of the source
            per_line = random.normal(size=(6, 1)).astype(np.float32)
            alarmed += bool(alarms(_as_lines_by_drugs(study, partial(_set_to, per_line))))
    assert alarmed <= 2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_column(1, lambda y: np.roll(y, 7)), "drug1 r "),
        (_columns([0, 2, 1, 3, 4, 5]), " (like drug2 in SRC, r 0."),
        (_column(1, lambda y: 3 - y), "drug1 r -0."),
    ],
)
def test_a_drug_with_labels_of_others_or_of_no_order_is_named(
    change: Callable[[np.ndarray], np.ndarray], named: str
) -> None:
    study = pair_of_screens(lines=60, noise=0.1)
    check = checked(_as_lines_by_drugs(study, change), "labels of each drug")
    assert check.verdict == "suspicious"
    assert named in check.examples
    assert "against each other or have nothing in common" in check.what


def test_a_drug_that_does_nothing_may_be_noise_in_both() -> None:
    noise = np.random.default_rng(5).normal(size=60).astype(np.float32)
    study = _as_lines_by_drugs(pair_of_screens(lines=60, noise=0.1), _column(1, lambda y: y.mean() + 0.1 * noise))
    assert alarms(study) == []


def test_lines_exchanged_in_the_responses_alarm_and_noise_is_shown() -> None:
    study = pair_of_screens(lines=100, noise=0.1)
    check = checked(_as_lines_by_drugs(study, lambda y: np.roll(y, 31, axis=0)), "labels of each line")
    assert (check.verdict, check.count) == ("suspicious", 600)
    assert "though drugs agree: as if lines were exchanged. Check the ids of lines" in check.what
    random = np.random.default_rng(0)
    noise = _as_lines_by_drugs(study, lambda y: random.normal(size=y.shape).astype(np.float32))
    assert checked(noise, "labels of each line").verdict == "look"


@pytest.mark.parametrize(("by", "shown"), [(3, "drug1 -2.8"), (-3, "drug1 +"), (6, "drug1 -")])
def test_one_drug_in_another_unit_is_named_and_not_all_of_them(by: float, shown: str) -> None:
    study = _as_lines_by_drugs(pair_of_screens(), _column(1, lambda y: y + by))
    check = checked(study, "scale of each drug")
    assert (check.verdict, check.of, check.count) == ("suspicious", 6, 1)
    assert check.examples.startswith(shown)
    assert alarms(study) == ["scale of each drug"]


def test_a_stretch_is_told_once() -> None:
    assert alarms(pair_of_screens(lines=40, labels=lambda y: y * np.log(10))) == ["scale of labels"]


def test_a_copied_drug_among_others_alarms_by_name() -> None:
    study = pair_of_screens()
    own = study.source.responses.potency.reshape(12, 6)[:, 4]
    check = checked(_as_lines_by_drugs(study, _column(4, lambda _: own)), "copied labels")
    assert (check.verdict, check.count, check.examples) == ("suspicious", 12, "drug4")


def test_labels_that_the_study_clipped_are_compared_before() -> None:
    study = pair_of_screens(labels=lambda y: y + 3)
    clipped = np.full(72, True)
    responses = replace(study.source.responses, potency=np.full(72, 9, np.float32), censored=clipped)
    study = replace(study, source=replace(study.source, responses=responses))
    assert "one is shifted" in checked(study, "scale of labels").what


def test_values_beside_logarithms_alarm() -> None:
    study = pair_of_screens(lines=20)
    raw = (2 ** (study.target.cells.expression + 6)).astype(np.float32)
    study = replace(study, target=replace(study.target, cells=replace(study.target.cells, expression=raw)))
    check = checked(study, "scale of expression", labels=False)
    assert check.verdict == "suspicious"
    assert "as if the logarithms of one were not taken: check expression.transform" in check.what


def test_lines_swapped_among_eight_are_seen() -> None:
    check = checked(_with_expression(pair_of_screens(lines=8), [1, 0, *range(2, 8)]), "expression of shared lines")
    assert (check.verdict, check.examples) == ("suspicious", "T0 like SRC-line1, T1 like SRC-line0")


def test_a_structure_that_name_and_id_contradict_is_told_once_with_what_helps() -> None:
    study = pair_of_screens(drugs=5)
    smiles = list(map(str, study.target.drugs.smiles))
    found = [
        check
        for check in cross_checks(_with_drugs(study, smiles=(smiles[0] + ".Cl", *smiles[1:])), labels=False)
        if check.verdict == "suspicious"
    ]
    assert [(check.name, check.examples) for check in found] == [("structures of a name", "drug0 (a salt or mixture)")]
    assert "(drugs.identity: parent takes salts for their parents)" in found[0].what


def test_one_screen_as_source_and_target_is_no_leak() -> None:
    study = pair_of_screens()
    (check,) = cross_checks(replace(study, target=study.source), labels=True)
    assert (check.verdict, check.what) == ("not made", "source and target are one screen, SRC")


def test_source_screens_are_checked_against_each_other() -> None:
    study = pair_of_screens(labels=lambda y: 1 - y, measure="auc")
    (note,) = alarms_among([study.source, study.target])
    assert note.what.startswith("suspicious direction of labels of SRC and TGT: r -0.")
    assert alarms_among([study.source]) == alarms_among([pair_of_screens().source, pair_of_screens().target]) == ()


def test_a_source_of_several_screens_bears_what_they_say_about_each_other(tmp_path: Path) -> None:
    panel = write_panel(tmp_path)
    one = panel.pop("source")
    two = {**one, "name": "TWO", "responses": {**one["responses"], "unit": "neg_log10_um"}}
    notes: tuple[Note, ...] = tidy_study(**panel, sources={"one": one, "two": two}).source.notes
    (note,) = [note for note in notes if "direction of labels of SRC and TWO" in note.what]
    assert note.count == 15  # five lines of three drugs with a structure
