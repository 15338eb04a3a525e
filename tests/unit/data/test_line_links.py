"""Which lines of two screens are the same, and what is said of those that may be."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dadsp.data.line_links import all_linked, few_links, linked
from dadsp.data.study import make_study
from dadsp.schema import Screen
from tests.support.studies import small_screen

Line = tuple[Sequence[str], Sequence[str]]  # ids and names


def screen(name: str, lines: Sequence[Line], ids: Sequence[str] = (), by_name: bool = True) -> Screen:
    """A screen of these lines; each is linked by its first id."""
    plain = small_screen(name, n_cells=len(lines), n_drugs=3, n_genes=4, seed=0)
    cells = replace(
        plain.cells,
        ids=tuple(ids) or plain.cells.ids,
        link_ids=tuple(next(iter(own), None) for own, _ in lines),
        names=tuple(next(iter(names), None) for _, names in lines),
        other_ids=tuple(tuple(own) for own, _ in lines),
        other_names=tuple(tuple(names) for _, names in lines) if by_name else (),
    )
    return replace(plain, cells=cells)


def joined(source: Sequence[Line], target: Sequence[Line]) -> tuple[list[int], dict[str, tuple[int, str]]]:
    """For each target line the row of the source's, and the notes: what → count and examples."""
    one, other = all_linked((screen("SRC", source), screen("TGT", target)))
    rows = [
        next((row for row, own in enumerate(one.cells.link_ids) if own and own == link), -1) for link in other.cells.link_ids
    ]
    return rows, {note.what: (note.count, note.examples) for note in other.notes}


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (["905906"], ["905906.0"]),
        (["905906"], ["COSMIC:905906"]),
        (["0905906"], ["905906"]),
        (["ACH-000001"], ["ach-000001 "]),
        (["SIDM00001", "905906"], ["ACH-000001", "905906.0"]),
        (["905906", "RRID:CVCL_0031"], ["CVCL_0031"]),
        (["A375"], ["a375"]),
    ],
)
def test_any_id_of_one_kind_links_a_line_however_it_is_written(source: list[str], target: list[str]) -> None:
    rows, notes = joined([(["1"], []), (source, [])], [(target, []), (["777777"], [])])
    assert rows == [1, -1]
    assert notes == {"cell lines linked to SRC by another id, or one written in another way": (1, "TGT-line0 = SRC-line1")}


def test_equal_ids_go_before_all_else_and_each_step_is_counted() -> None:
    source = [(["905901"], ["A375"]), (["905902"], ["HT-29"]), ([], ["OVCAR-3"]), ([], ["NCI-H510A"]), ([], ["SK-OV-3"])]
    target = [(["905901"], ["a 375"]), (["905902.0"], []), ([], ["NIH:OVCAR-3"]), ([], ["NCI-H510"]), ([], ["SKOV3"])]
    rows, notes = joined(source, target)
    assert rows == [0, 1, 2, 3, 4]
    assert {what.removeprefix("cell lines linked to SRC by "): count for what, (count, _) in notes.items()} == {
        "equal ids": 1,
        "another id, or one written in another way": 1,
        "name": 1,
        "name without collection prefix or ending, O read as 0": 1,
        "name without the letter of a clone": 1,
    }


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (["TT"], ["T-T"]),
        (["KM-H2"], ["KMH-2"]),
        (["MS-1"], ["MS1"]),
        (["T-T"], ["TT_OESOPHAGUS"]),
        (["MS-1"], ["MS1_LUNG", "MS1_SKIN"]),
        (["NCI-H23"], ["H23", "NIH:H23"]),  # two lines that one short name fits
        (["U-266"], ["U266A", "U266B"]),
    ],
)
def test_what_is_nearly_the_same_stays_apart_and_is_listed(source: list[str], target: list[str]) -> None:
    rows, notes = joined([([], [name]) for name in source], [([], [name]) for name in target])
    assert rows == [-1] * len(target)
    (count, listed) = notes["cell lines kept apart, whose id or name is nearly that of a line of SRC or fits several"]
    assert count == len(target)
    assert all(f"{name} (TGT-line{row}) / {source[0]} (SRC-line0)" in listed for row, name in enumerate(target))


def test_a_name_links_no_lines_with_differing_ids_of_one_kind() -> None:
    rows, notes = joined([(["ACH-000001"], ["SC-1"])], [(["ACH-000002"], ["SC1"])])
    assert rows == [-1]
    assert notes["cell lines kept apart, whose id or name is nearly that of a line of SRC or fits several"][0] == 1
    assert joined([(["ACH-000001"], ["SC-1"])], [(["905906"], ["SC1"])])[0] == [0]  # of different kinds: nothing against it


def test_an_id_counts_where_it_says_one_line_and_the_name_another() -> None:
    source = [(["905901"], ["A375"]), (["905902"], ["HT-29"])]
    rows, notes = joined(source, [(["905901"], ["HT29"]), (["905903"], ["other"])])
    assert rows == [0, -1]
    (count, shown) = notes["suspicious links: cell lines that are one of SRC by id and another by name (the id counts)"]
    assert (count, shown) == (1, "HT29 (TGT-line0) is A375 (SRC-line0) by id, HT-29 (SRC-line1) by name")


def test_an_own_name_goes_before_the_further_name_of_another_line() -> None:
    rows, _ = joined([([], ["SK-N-SH"])], [([], ["SH-SY5Y", "SK-N-SH"]), ([], ["SKNSH_AUTONOMIC_GANGLIA"])])
    assert rows == [-1, 0]


def test_ambiguous_ids_link_nothing() -> None:
    rows, _ = joined([(["905906"], [])], [(["905906.0"], []), (["COSMIC:905906"], [])])
    assert rows == [-1, -1]


def test_own_ids_link_a_line_without_link_id_where_they_agree_for_all_others() -> None:
    own = ["L1", "L2", "L3", "L4"]
    ids = [["905901"], ["905902"], ["905903"], ["905904"]]
    for missing, expected in ((own, 4), (["L1", "L2", "X3", "L4"], 3)):
        one = screen("SRC", [(each, []) for each in ids], own)
        other = screen("TGT", [*((each, []) for each in ids[:3]), ([], [])], missing)
        study = make_study(one, other)
        assert int((study.target_cell_in_source >= 0).sum()) == expected


def test_one_screen_that_asks_for_names_suffices_where_the_other_has_them() -> None:
    source = screen("SRC", [(["905901"], ["A375"])], by_name=False)
    target = screen("TGT", [(["ACH-000001"], ["A-375"])])
    one, other = all_linked((source, target))
    assert one.cells.link_ids == other.cells.link_ids == ("905901",)
    assert one.cells.other_ids == one.cells.other_names == ()  # all is said


def _ids_only(name: str, ids: Sequence[str], names: Sequence[str | None] = ()) -> Screen:
    plain = screen(name, [([text], []) for text in ids], by_name=False)
    return replace(plain, cells=replace(plain.cells, names=tuple(names) or (None,) * len(ids), other_ids=()))


def test_ids_of_different_kinds_are_a_warning_that_shows_both() -> None:
    source = _ids_only("SRC", ["905901", "905902"], ["A375", "HT-29"])
    target = _ids_only("TGT", ["ACH-000001", "ACH-000002"], ["A-375", "x"])
    (note,) = few_links(source, target)
    assert note.what.startswith(
        "suspicious links: none of 2 cell lines linked to SRC, though the names of 1 agree (e.g. A-375); "
    )
    assert "SRC: COSMIC ids such as 905901, 905902; TGT: DepMap ids such as ACH-000001, ACH-000002" in note.what
    assert "cells.link_by: id_then_name" in note.what
    assert note.count == 2


def test_hardly_any_link_is_a_warning_only_where_names_agree() -> None:
    ids, others = [f"9059{n:02}" for n in range(40)], [f"ACH-0000{n:02}" for n in range(39)]
    source = _ids_only("SRC", ids, [f"N{n}x" for n in range(40)])
    for names, warned in (([f"N{n}x" for n in range(40)], True), ([f"M{n}y" for n in range(40)], False)):
        found = few_links(source, _ids_only("TGT", [ids[0], *others], names))
        assert [note.what.startswith("suspicious links: 1 of 40") for note in found] == [True] * warned


def test_lines_that_a_name_would_link_are_counted() -> None:
    source = _ids_only("SRC", ["905901", "905902"], ["A375", "HT-29"])
    (note,) = few_links(source, _ids_only("TGT", ["905901", "ACH-000002"], ["A-375", "HT29"]))
    assert (note.count, note.examples) == (1, "HT29")
    assert note.what == "cell lines that no id links to SRC, though it has their names (cells.link_by: id_then_name)"


def test_the_study_holds_the_links_and_says_how_it_found_them() -> None:
    study = make_study(screen("SRC", [(["905901"], []), (["905902"], [])]), screen("TGT", [(["905902.0"], []), (["5"], [])]))
    assert study.target_cell_in_source.tolist() == [1, -1]
    assert "another id" in study.target.notes[0].what


def test_links_that_the_lines_own_ids_contradict_are_a_warning_where_most_agree() -> None:
    source = [(str(row), f"L{row}") for row in range(6)]
    swapped = {"L0": "1", "L1": "0"}

    def screen_of(name: str, links: Sequence[str]) -> Screen:
        plain = _ids_only(name, links)
        return replace(plain, cells=replace(plain.cells, ids=tuple(own for _, own in source)))

    one = screen_of("SRC", [link for link, _ in source])
    two = screen_of("TGT", [swapped.get(own, link) for link, own in source])
    _, joined_twice = linked(*linked(one, two))
    (note,) = joined_twice.notes
    assert note.what.startswith("suspicious links: cell lines that are one of SRC by link, another by their own id")
    assert (note.count, note.examples) == (2, "L0 is L1 by link, L1 is L0 by link")
    numbered_anew = screen_of("TGT", ["3", "4", "5", "0", "1", "2"])
    assert linked(one, numbered_anew)[1].notes == ()
