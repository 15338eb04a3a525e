"""Several screens become one by preference or by offsets, and every label says where it came from."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dadsp.data.cache import cached_study
from dadsp.data.combine import combined
from dadsp.data.describe import describe
from dadsp.data.sources.tidy import tidy_study
from dadsp.data.study import make_study
from dadsp.drugs.structures import structure_keys
from dadsp.errors import ConfigError, DadspError, SchemaError
from dadsp.schema import CellLines, Drugs, Note, Responses, Screen
from tests.support.raw_files import SMILES, edit, write_panel, write_source

L_ALANINE, D_ALANINE, ALANINE = "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC(N)C(=O)O"
ETHANOL, BENZENE, PYRIDINE = "CCO", "c1ccccc1", "c1ccncc1"
Labels = Sequence[tuple[str, str, float]]


def _screen(
    name: str,
    drugs: Mapping[str, str | None],
    labels: Labels,
    *,
    lines: Sequence[str] = "abcdefg",
    links: Sequence[str | None] | None = None,
    censored: Sequence[int] = (),
    **more: Any,
) -> Screen:
    """A screen whose line "a" has the expression (97, 98), "b" (98, 99) …; a link names the line that it is."""
    ids, links = tuple(drugs), tuple(links or lines)
    smiles = tuple(drugs.values())
    expression = [[ord((link or line)[0]) + gene for gene in (0, 1)] for line, link in zip(lines, links, strict=True)]
    unknown = (None,) * len(ids)
    return Screen(
        name=name,
        genes=("G1", "G2"),
        cells=CellLines(tuple(lines), links, (None,) * len(lines), np.array(expression, dtype=np.float32)),
        drugs=Drugs(ids, ids, smiles, structure_keys(smiles, ids), unknown),
        responses=Responses(
            np.array([list(lines).index(line) for line, _, _ in labels], dtype=np.int64),
            np.array([ids.index(drug) for _, drug, _ in labels], dtype=np.int64),
            np.array([label for _, _, label in labels], dtype=np.float32),
            np.isin(np.arange(len(labels)), censored),
        ),
        **more,
    )


def _labels(screen: Screen) -> dict[tuple[str, str], tuple[float, str]]:
    """(line, drug) → label and origin."""
    responses = screen.responses
    assert responses.origin is not None
    rows = zip(responses.cell_idx, responses.drug_idx, responses.potency.tolist(), responses.origin, strict=True)
    return {
        (screen.cells.ids[cell], screen.drugs.ids[drug]): (label, screen.origins[origin])
        for cell, drug, label, origin in rows
    }


def _note(screen: Screen, words: str) -> Note:
    (note,) = (note for note in screen.notes if words in note.what)
    return note


ONE = {"ethanol": ETHANOL, "benzene": BENZENE}
FIRST = _screen("A", ONE, [("a", "ethanol", 1), ("b", "ethanol", 2)])
SECOND = _screen("B", ONE, [("a", "ethanol", 5), ("c", "ethanol", 6), ("a", "benzene", 7), ("c", "benzene", 8)])


def test_a_drug_takes_all_its_labels_from_the_first_screen_that_measured_it() -> None:
    one = combined([FIRST, SECOND], "prefer")
    assert _labels(one) == {
        ("a", "ethanol"): (1, "A"),
        ("b", "ethanol"): (2, "A"),
        ("a", "benzene"): (7, "B"),
        ("c", "benzene"): (8, "B"),
    }
    assert (one.name, one.origins) == ("A+B", ("A", "B"))
    assert (_note(one, "labels of B left out").count, _note(one, "labels of B left out").examples) == (2, "ethanol")
    assert _note(one, "labels taken from B, for 1 drugs").count == 2


def test_the_order_of_the_screens_is_the_order_of_preference() -> None:
    assert {origin for _, origin in _labels(combined([SECOND, FIRST], "prefer")).values()} == {"B"}


def test_one_screen_alone_stays_as_it_is() -> None:
    assert combined([FIRST], "prefer") is FIRST


def test_an_offset_is_the_mean_difference_over_shared_lines_and_a_pair_in_both_is_the_mean() -> None:
    known = [(line, "ethanol", label) for line, label in zip("abcde", (1, 2, 3, 4, 5), strict=True)]
    other = [(line, "ethanol", label) for line, label in zip("abcdef", (0, 0, 2, 1, 2, 7), strict=True)]
    labels = _labels(combined([_screen("A", ONE, known), _screen("B", ONE, other)], "offset"))
    # A − B = 1, 2, 1, 3, 3 on a … e, so B's labels rise by 2 to 2, 2, 4, 3, 4, 9.
    expected = {"a": (1.5, "A+B"), "b": (2, "A+B"), "c": (3.5, "A+B"), "d": (3.5, "A+B"), "e": (4.5, "A+B"), "f": (9, "B")}
    assert {line: found for (line, _), found in labels.items()} == expected


def test_offsets_of_two_drugs_and_of_two_screens_are_their_own() -> None:
    lines = "abcde"
    known = [(line, drug, float(row)) for row, line in enumerate(lines) for drug in ONE]
    second = [
        (line, drug, row + shift) for row, line in enumerate(lines) for drug, shift in (("ethanol", 1), ("benzene", -2))
    ]
    second += [("f", "ethanol", 9), ("f", "benzene", 9)]
    third = [(line, "ethanol", row + 5.0) for row, line in enumerate(lines)] + [("g", "ethanol", 9)]
    screens = [_screen(name, ONE, labels) for name, labels in (("A", known), ("B", second), ("C", third))]
    one = combined(screens, "offset")
    expected = {
        ("f", "ethanol"): (8, "B"),  # A − B is −1
        ("f", "benzene"): (11, "B"),  # … and 2
        ("g", "ethanol"): (4, "C"),  # A − C is −5
        ("c", "ethanol"): (2, "A+B+C"),
        ("c", "benzene"): (2, "A+B"),
    }
    assert {pair: label for pair, label in _labels(one).items() if pair in expected} == expected
    assert one.origins == ("A", "B", "C", "A+B", "A+B+C")


@pytest.mark.parametrize("censored", [False, True])
def test_a_drug_with_too_few_shared_lines_gives_no_label_of_the_other_screen(censored: bool) -> None:
    n_shared = 5 if censored else 4
    known = [(line, "ethanol", 1.0) for line in "abcde"[:n_shared]]
    other = [*((line, "ethanol", 2.0) for line in "abcde"[:n_shared]), ("f", "ethanol", 3.0), ("f", "benzene", 4.0)]
    screens = [_screen("A", ONE, known), _screen("B", ONE, other, censored=[0] if censored else [])]
    one = combined(screens, "offset")
    assert _labels(one) == {**{(line, "ethanol"): (1, "A") for line in "abcde"[:n_shared]}, ("f", "benzene"): (4, "B")}
    note = _note(one, "fewer than 5 uncensored")
    assert (note.count, note.examples) == (n_shared + 1, "ethanol")


def test_a_merged_label_is_censored_only_if_all_are() -> None:
    lines = "abcdefg"
    labels = [(line, "ethanol", float(row)) for row, line in enumerate(lines)]
    one = combined([_screen("A", ONE, labels, censored=[0, 1]), _screen("B", ONE, labels, censored=[0])], "offset")
    assert [one.cells.ids[row] for row in one.responses.cell_idx[one.responses.censored]] == ["a"]


def test_lines_with_the_same_ids_are_one_and_the_others_are_added() -> None:
    one = combined([_screen("A", ONE, [], lines="abc"), _screen("B", ONE, [("d", "benzene", 1)], lines="bcd")], "prefer")
    assert one.cells.ids == ("a", "b", "c", "d")
    assert one.cells.expression[:, 0].tolist() == [97, 98, 99, 100]
    assert list(_labels(one)) == [("d", "benzene")]


def test_lines_with_other_ids_are_one_by_their_link() -> None:
    second = _screen("B", ONE, [("2", "benzene", 1), ("3", "benzene", 2)], lines=("1", "2", "3"), links=("x", "b", None))
    one = combined([_screen("A", ONE, [], lines="abc"), second], "prefer")
    assert one.cells.ids == ("a", "b", "c", "1", "3")
    assert one.cells.link_ids == ("a", "b", "c", "x", None)
    assert list(_labels(one)) == [("b", "benzene"), ("3", "benzene")]


def test_equal_ids_with_different_links_are_different_lines() -> None:
    first = _screen("A", ONE, [("1", "ethanol", 1)], lines=("1", "2"), links=("a", "b"))
    second = _screen("B", ONE, [("1", "benzene", 2)], lines=("1", "2"), links=("b", "c"))
    one = combined([first, second], "prefer")
    assert list(zip(one.cells.ids, one.cells.link_ids, strict=True)) == [("1", "a"), ("2", "b"), ("B:2", "c")]
    assert list(_labels(one)) == [("1", "ethanol"), ("2", "benzene")]
    assert _note(one, "line ids that mean another line").count == 2


def test_a_drug_under_two_names_in_one_screen_is_one_and_its_replicates_are_merged() -> None:
    twice = {"torin2": "OCCO", "Torin 2": "C(O)CO"}
    first = _screen("A", twice, [("a", "torin2", 1), ("a", "Torin 2", 4), ("b", "Torin 2", 2)])
    second = _screen("B", {"ethylene glycol": "OCCO", "benzene": BENZENE}, [("c", "ethylene glycol", 9)])
    one = combined([first, second], "prefer")
    assert one.drugs.ids == ("torin2", "benzene")
    assert _labels(one) == {("a", "torin2"): (2.5, "A"), ("b", "torin2"): (2, "A")}
    assert _note(one, "several names").examples == "torin2 = Torin 2 = ethylene glycol"
    assert _note(one, "A: repeated (line, drug) pairs").count == 1
    with pytest.raises(SchemaError, match=r"A: 1 of 2 \(line, drug\) pairs stand more than once"):
        combined([first, second], "prefer", ["error", "median"])


def test_a_structure_that_one_source_lacks_is_taken_from_the_other() -> None:
    one = combined(
        [_screen("A", {"ethanol": None}, [("a", "ethanol", 1)]), _screen("B", {"ethanol": ETHANOL}, [])], "prefer"
    )
    assert one.drugs.smiles == (ETHANOL,)
    assert one.drugs.structure_keys == structure_keys([ETHANOL], [""])


def test_a_name_and_a_structure_together_join_three_entries_to_one_drug() -> None:
    first = _screen("A", {"x": None, "y": ETHANOL}, [])
    second = _screen("B", {"x": ETHANOL}, [("a", "x", 1)])
    assert combined([first, second], "prefer").drugs.ids == ("x",)


def test_stereoisomers_stay_apart_and_no_key_pools_them() -> None:
    first = _screen("A", {"L": L_ALANINE, "ethanol": ETHANOL}, [(line, "L", 1) for line in "abc"])
    second = _screen("B", {"D": D_ALANINE}, [(line, "D", 5) for line in "abc"])
    target = _screen("T", {"R": D_ALANINE, "flat": ALANINE, "spirit": ETHANOL}, [("a", "R", 1), ("a", "flat", 2)])
    study = make_study(combined([first, second], "prefer"), target)
    keys = dict(zip(study.source.drugs.ids, study.source.drug_keys, strict=True))
    assert keys["L"] != keys["D"]
    assert keys["L"][:14] == keys["D"][:14]
    r_form, flat, ethanol = study.target.drug_keys
    assert r_form == keys["D"]
    assert flat not in keys.values()
    assert ethanol == keys["ethanol"] == structure_keys([ETHANOL], [""])[0]  # other drugs keep the skeleton
    assert _note(study.source, "stereoisomers by the whole InChIKey").examples == "L, D"
    assert _note(study.target, "open stereochemistry").examples == "flat"
    overlap = describe(study)["overlap"]
    assert (overlap["labelled_target_drugs"], overlap["pairs"]) == (1, 1)


@pytest.mark.parametrize("other", [ALANINE, L_ALANINE])
def test_one_form_beside_an_open_one_or_in_each_screen_is_one_skeleton(other: str) -> None:
    source = _screen("A", {"L": L_ALANINE, "x": other, "ethanol": ETHANOL}, [("a", "L", 1), ("b", "ethanol", 2)])
    target = _screen("T", {"D": D_ALANINE, "ethanol": ETHANOL}, [("a", "D", 1), ("b", "D", 2)])
    study = make_study(source, target)
    assert study.source.drug_keys[0] == study.source.drug_keys[1] == study.target.drug_keys[0]
    assert not study.source.notes


def test_only_whole_keys_change_the_hash() -> None:
    screen = _screen("A", {"L": L_ALANINE}, [("a", "L", 1)])
    other, none = (replace(screen, drugs=replace(screen.drugs, structure_keys=(key,))) for key in ("AAAAAAAAAAAAAA", None))
    assert screen.content_hash == other.content_hash == none.content_hash
    key = "QNAYBMKLOCPYGJ-REOHCLBHSA-N"
    assert replace(screen, drugs=replace(screen.drugs, structure_keys=(key,))).content_hash != screen.content_hash


def test_labels_and_origins_stay_together_where_drugs_are_dropped() -> None:
    drugs = {"unknown": None, "ethanol": ETHANOL, "benzene": BENZENE}
    first = _screen("A", drugs, [("a", "unknown", 0), ("a", "ethanol", 1), ("b", "ethanol", 1.5)])
    second = _screen("B", drugs, [("c", "benzene", 2), ("d", "benzene", 2.5)])
    target = _screen("T", ONE, [("a", "ethanol", 1), ("b", "ethanol", 2)])
    study = make_study(combined([first, second], "prefer"), target)
    assert [origin for _, origin in _labels(study.source).values()] == ["A", "A", "B", "B"]
    assert describe(study)["source"]["origins"] == {"A": 2, "B": 2}
    assert describe(study)["target"]["origins"] == {}
    some = study.source.responses.take(np.array([3, 0]))
    assert some.origin is not None
    assert some.origin.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("caps", "how", "expected"),
    [((-1.0, -1.0), "prefer", -1.0), ((-1.0, -0.5), "prefer", None), ((-1.0, -1.0), "offset", None)],
)
def test_a_cap_stays_where_all_labels_stand_at_it(caps: tuple[float, float], how: Any, expected: float | None) -> None:
    screens = [replace(screen, cap=cap) for screen, cap in zip((FIRST, SECOND), caps, strict=True)]
    one = combined(screens, how)
    assert one.cap == expected
    assert any("have no cap" in note.what for note in one.notes) == (expected is None)


def test_areas_below_and_above_the_curve_are_one_measure() -> None:
    auc, aac = replace(FIRST, measure="auc"), replace(SECOND, measure="aac")
    assert combined([auc, aac], "prefer").measure == "auc"
    assert not make_study(aac, auc).target.notes


REFUSED = {
    "other measure": ([FIRST, replace(SECOND, measure="auc")], SchemaError, "A has ic50, B has auc"),
    "one name": ([FIRST, FIRST], ConfigError, r"1 names stand for several sources \(A\)"),
    "no gene": ([FIRST, replace(SECOND, genes=("X", "Y"))], SchemaError, "share no gene .*one expression file"),
    "other expression": (
        [FIRST, replace(SECOND, cells=replace(SECOND.cells, expression=SECOND.cells.expression + np.float32(1)))],
        SchemaError,
        r"7 of 7 lines of B have other expression .*\(e\.g\. a, b, c, …\)\. Give all sources one expression file",
    ),
    "other structure": (
        [FIRST, _screen("B", {"ethanol": PYRIDINE}, [])],
        SchemaError,
        r"1 drugs stand in several sources under one id with different structures \(e\.g\. ethanol\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_screens_that_cannot_be_combined_are_refused(case: str) -> None:
    screens, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        combined(screens, "prefer")


def test_an_origin_that_is_none_of_the_screen_s_is_refused() -> None:
    with pytest.raises(SchemaError, match="origin"):
        replace(FIRST, responses=replace(FIRST.responses, origin=np.array([0, 1])), origins=("A",))


def _write(root: Path) -> dict[str, Any]:
    """Options of a study of two sources with the same labels; where the first has "secret", the second has pyridine."""
    options = write_panel(root)
    second = write_source(root / "second")
    second["name"] = "SRC2"
    edit(root / "second/drugs.csv", "14,secret,,", f"15,pyridine,{SMILES['pyridine']},")
    path = root / "second/responses.csv"
    path.write_text(path.read_text().replace(",14,", ",15,"))
    return {"root": options["root"], "target": options["target"], "sources": {"first": options["source"], "second": second}}


def test_a_study_of_several_sources_reads_and_its_cache_keeps_the_origins(tmp_path: Path) -> None:
    reader = functools.partial(tidy_study, **_write(tmp_path / "raw"))
    study = reader()
    assert study.source.name == "SRC+SRC2"
    assert describe(study)["source"]["origins"] == {"SRC": 15, "SRC2": 5}
    cached_study(tmp_path / "cache", reader)
    kept = cached_study(tmp_path / "cache", reader)
    assert kept.content_hash == study.content_hash
    assert kept.source.origins == study.source.origins
    assert kept.source.responses.origin is not None
    np.testing.assert_array_equal(kept.source.responses.origin, study.source.responses.origin)
    assert kept.target.responses.origin is None


def test_the_order_of_the_sources_key_is_the_preference(tmp_path: Path) -> None:
    options = _write(tmp_path)
    options["sources"] = dict(reversed(options["sources"].items()))
    assert describe(tidy_study(**options))["source"]["origins"] == {"SRC2": 20, "SRC": 0}


def test_labels_of_two_sources_can_be_pooled_by_offsets(tmp_path: Path) -> None:
    study = tidy_study(**_write(tmp_path), combine="offset")
    assert describe(study)["source"]["origins"] == {"SRC": 0, "SRC2": 5, "SRC+SRC2": 15}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "both": ({"source": {}}, "both source and sources"),
    "neither": ({"sources": {}}, "neither source nor sources"),
    "a list": ({"sources": [{}]}, "data.sources is no mapping"),
    "choice": ({"combine": "offsets"}, r"data\.combine='offsets' is not a valid choice\. Did you mean 'offset'"),
    "key": ({"sources": {"first": {"nam": 1}}}, r"data\.sources\.first\.name is required\. Set it\."),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_sources_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    change, message = WRONG[case]
    with pytest.raises(DadspError, match=message) as caught:
        tidy_study(**{**_write(tmp_path), **change})
    assert "\n" not in str(caught.value)
