"""How ids and names of cell lines are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dadsp.data.line_names import (
    canonical_id,
    clone_keys,
    differing_ids,
    kind_of_id,
    name_keys,
    part_keys,
    short_keys,
)


@pytest.mark.parametrize(
    ("written", "others"),
    [
        (
            "905906",
            ("905906.0", "COSMIC:905906", "cosmic 905906", "COSMIC_ID: 905906", "0905906", " 905906 ", "905906.", "905906"),
        ),
        ("ach-000001", ("ACH-000001", "ACH-000001 ", "ACH_000001", "ach 000001", "DepMap: ACH-000001", "ach-000001\xa0")),
        ("cvcl_0031", ("CVCL_0031", "RRID:CVCL_0031", "RRID: cvcl_0031")),
        ("sidm00123", ("SIDM00123", "Sanger:SIDM00123")),
    ],
)
def test_an_id_is_the_same_however_it_is_written(written: str, others: tuple[str, ...]) -> None:
    assert {canonical_id(other) for other in others} == {written}


@pytest.mark.parametrize("word", ["", " ", "none", "NA", "N/A", "#N/A", "-", "?", "Unknown", "not available", "<NA>", "nan"])
def test_a_word_that_stands_for_no_id_is_none(word: str) -> None:
    assert canonical_id(word) is None


@given(st.integers(0, 10**7))
def test_numbers_keep_apart_what_differs(number: int) -> None:
    assert canonical_id(f"{number}.0") == str(number) != canonical_id(str(number + 1))


def test_the_kind_of_an_id_is_told_by_its_form() -> None:
    written = ("905906.0", "12", "ACH-000001", "SIDM00123", "RRID:CVCL_0031", "A375")
    assert [kind_of_id(text) for text in written] == [
        "COSMIC ids", "numbers", "DepMap ids", "Sanger ids", "RRIDs", "names",
    ]  # fmt: skip


def test_ids_differ_only_where_both_have_one_of_a_kind() -> None:
    assert differing_ids(["905906", "ACH-000001"], ["ach-000002"])
    assert not differing_ids(["905906", "ACH-000001"], ["ach-000001", "905906.0"])
    assert not differing_ids(["905906"], ["ACH-000002"])
    assert not differing_ids(["A375"], ["HT29"])  # names are no ids


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("NIHOVCAR3_OVARY", "NIHOVCAR3"),
        ("T173_BONE", "T173"),
        ("AML193_HAEMATOPOIETIC_AND_LYMPHOID_TISSUE", "AML193"),
        ("[MERGED_TO_ACH-000109]H3255_LUNG", "H3255"),
        ("PC-3 [JPC-3]", "PC3JPC3"),
        ("DMS_53", "DMS53"),
        ("HCC38_MATCHED_NORMAL_TISSUE", "HCC38MATCHEDNORMALTISSUE"),  # blood of the same patient
    ],
)
def test_ccle_writes_the_tissue_after_a_name(name: str, key: str) -> None:
    assert name_keys(name) == {key}


def test_a_name_without_punctuation_leaves_open_which_line_it_is() -> None:
    assert name_keys("TT_OESOPHAGUS") == name_keys("KMH2_THYROID") == name_keys("MS1_LUNG") == frozenset()
    assert name_keys("TT") != name_keys("T-T") == name_keys("T.T")
    assert name_keys("MS-1") != name_keys("MS1")


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("PA-1 [PA1]", {"PA1", "PA1PA1"}),
        ("NIH:OVCAR-3; OVCAR3", {"NIHOVCAR3OVCAR3", "NIHOVCAR3", "OVCAR3"}),
        ("MV4;11", {"MV411", "MV4"}),  # 11 alone names nothing
        ("OEL(E)", {"OELE", "OEL"}),
    ],
)
def test_names_that_stand_beside_each_other_are_each_a_name(name: str, keys: set[str]) -> None:
    assert part_keys(name) == keys


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("NIH:OVCAR-3", "OVCAR-3"),
        ("NCI-SNU-16", "SNU-16"),
        ("NCIH2373_PLEURA", "H2373"),
        ("ATCC: HT-29", "HT29"),
        ("UPCI:SCC152", "SCC-152"),
        ("EoL-1-cell", "EOL-1"),
        ("U-251 MG", "U251"),
        ("786-O", "786-0"),
    ],
)
def test_short_names_agree_without_prefix_or_ending(one: str, other: str) -> None:
    assert short_keys(name_keys(one)) == short_keys(name_keys(other))


@pytest.mark.parametrize(("one", "other"), [("U031", "UO-31"), ("HCC38", "HCC-380"), ("NCI-H1", "H-10"), ("TT", "T-T")])
def test_short_names_of_different_lines_stay_apart(one: str, other: str) -> None:
    assert not short_keys(name_keys(one)) & short_keys(name_keys(other))


def test_the_letter_of_a_clone_follows_a_long_number() -> None:
    assert "H510" in clone_keys(name_keys("NCI-H510A"))
    assert "U266" in clone_keys(name_keys("U266B1"))
    assert "LU99" not in clone_keys(name_keys("LU-99A"))
    assert "A2780" not in clone_keys(name_keys("A2780R"))  # resistant
