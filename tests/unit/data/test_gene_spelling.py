"""Symbols that became dates, lost their case or carry ids: named, and matched only where one gene can be meant."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dadsp.data.gene_spelling import better_name, counterparts, like_mouse, numbers_or_truths, symbols_of_date
from dadsp.data.genes import GeneOptions, harmonised
from dadsp.data.new_platform.gene_names import gene_names
from dadsp.data.problems import Unreadable, collecting
from dadsp.data.study import make_study
from dadsp.data.tables import Matrix
from dadsp.errors import SchemaError
from dadsp.schema import Note, Study
from tests.support.studies import small_screen

SEPTIN2 = [
    "2-Sep", "02-Sep", "Sep-02", "2-sept", "2. Sep", "2 sep", "02-Sep-2023", "Sep 2, 2023", "September 2", "2-Septembre",
    "2023-09-02", "2023-09-02 00:00:00", "2023-09-02T00:00:00.000", "2023/09/02", "9/2/2023", "02/09/2023", "2.9.23",
    "45171", "45171.0", "2-Sep.1",
]  # fmt: skip


@pytest.mark.parametrize("written", SEPTIN2)
def test_every_spelling_of_the_second_of_september_is_septin2(written: str) -> None:
    assert symbols_of_date(written) == ("SEPTIN2",)


@pytest.mark.parametrize(
    ("written", "symbols"),
    [
        ("1-Mar", ("MARCHF1", "MTARC1")),
        ("1. Mrz", ("MARCHF1", "MTARC1")),
        ("1-mars", ("MARCHF1", "MTARC1")),
        ("Mar-03", ("MARCHF3",)),
        ("1-Dec", ("DELEC1",)),
        ("1-déc", ("DELEC1",)),
        ("01. Dez", ("DELEC1",)),
        ("4-Oct", ("POU5F1",)),
        ("1-Okt", ("POU2F1",)),
        ("APR-1", ("MAGEH1",)),
        ("1-Nov", ("CCN3",)),
        ("15-Sep", ("SELENOF",)),
        ("2-ago", ("AGO2",)),
        ("3/9/2023", ("MARCHF9", "SEPTIN3")),  # month first or day first
        ("7-Feb", ()),
    ],
)
def test_dates_are_read_by_the_rules_of_hgnc(written: str, symbols: tuple[str, ...]) -> None:
    assert symbols_of_date(written) == symbols


@pytest.mark.parametrize(
    "name",
    [
        "TP53",
        "HLA-A",
        "NKX2-5",
        "SEPT2",
        "SEPTIN2",
        "7SK",
        "RP11-34P13.7",
        "AC004556.1",
        "5-HT1A",
        "MIR-17",
        "12345",
        "1956",
    ],
)
def test_other_names_are_no_dates(name: str) -> None:
    assert symbols_of_date(name) is None


MONTHS = {9: ["Sep", "sept", "September", "SEP"], 3: ["Mar", "mars", "Mrz", "März"]}


@settings(max_examples=60, deadline=None)
@given(
    month=st.sampled_from([9, 3]),
    number=st.integers(3, 11),
    form=st.integers(0, 4),
    zero=st.booleans(),
    name=st.integers(0, 3),
)
def test_a_date_in_any_form_gives_its_gene_back(month: int, number: int, form: int, zero: bool, name: int) -> None:
    day = f"{number:02d}" if zero else f"{number}"
    written = [
        f"{day}-{MONTHS[month][name]}",
        f"{MONTHS[month][name]}-{day}",
        f"{day}. {MONTHS[month][name]}",
        f"2021-{month:02d}-{number:02d}",
        f"{day}-{MONTHS[month][name]}-2021",
    ][form]
    assert symbols_of_date(written) == (f"{'SEPTIN' if month == 9 else 'MARCHF'}{number}",)


def test_counterparts_are_found_one_to_one() -> None:
    names = ["2-Sep", "1-Mar", "tp53", "EGFR", "HLA.A", "SEPT7", "C1ORF112", "ESR1.1", "BR CA1", "2-Mar", "myc", "Myc"]
    others = [
        "SEPTIN2",
        "MARCHF1",
        "TP53",
        "EGFR",
        "HLA-A",
        "SEPTIN7",
        "C1orf112",
        "ESR1",
        "BRCA1",
        "MARCHF2",
        "MTARC2",
        "MYC",
    ]
    found = counterparts(names, others)
    assert found == {
        "2-Sep": "SEPTIN2", "1-Mar": "MARCHF1", "tp53": "TP53", "HLA.A": "HLA-A", "SEPT7": "SEPTIN7",
        "C1ORF112": "C1orf112", "ESR1.1": "ESR1", "BR CA1": "BRCA1",
    }  # fmt: skip
    assert counterparts(others, names) == {theirs: ours for ours, theirs in found.items()}


def test_a_date_is_resolved_by_what_the_other_table_holds() -> None:
    assert counterparts(["1-Mar"], ["MTARC1"]) == {"1-Mar": "MTARC1"}
    assert counterparts(["1-Mar"], ["MARC1"]) == {"1-Mar": "MARC1"}
    assert counterparts(["1-Mar", "MARCHF1"], ["MTARC1", "MARCHF1"]) == {"1-Mar": "MTARC1"}
    assert counterparts(["1-Mar"], ["MTARC1", "MARCHF1"]) == {}
    assert counterparts(["1-Mar", "1-Mar.1"], ["MTARC1"]) == {}
    assert counterparts(["2-Sep"], ["2023-09-02"]) == {"2-Sep": "2023-09-02"}


def test_the_better_of_two_names_is_the_symbol() -> None:
    pairs = [("2-Sep", "SEPTIN2"), ("SEPT2", "SEPTIN2"), ("tp53", "TP53"), ("HLA.A", "HLA-A")]
    assert [better_name(*pair) for pair in pairs] == ["SEPTIN2", "SEPTIN2", "TP53", "HLA-A"]
    assert [better_name(*pair[::-1]) for pair in pairs] == ["SEPTIN2", "SEPTIN2", "TP53", "HLA-A"]


def test_numbers_truth_values_and_mouse_symbols_are_known() -> None:
    assert numbers_or_truths(["2.31E+13", "1E+05", "TRUE", "2310009E13", "TP53", "1.5"]) == [
        "2.31E+13",
        "1E+05",
        "TRUE",
        "1.5",
    ]
    assert like_mouse(["Trp53", "Egfr", "Kras", "Myc"])
    assert not like_mouse(["TP53", "C1orf112", "Egfr"])


GOOD = ("SEPTIN2", "MARCHF1", "TP53", "EGFR", "DELEC1", "PTEN")


def study(ours: tuple[str, ...], theirs: tuple[str, ...] = GOOD, **options: object) -> Study:
    source, target = (
        replace(small_screen(name, n_cells=6, n_drugs=3, n_genes=len(genes), seed=seed), genes=genes)
        for name, genes, seed in (("SRC", ours, 0), ("TGT", theirs, 1))
    )
    return make_study(source, target, **options)  # type: ignore[arg-type]


def told(notes: tuple[Note, ...]) -> dict[str, tuple[int, str]]:
    return {note.what: (note.count, note.examples) for note in notes if "gene" in note.what}


def test_dates_are_named_and_left_out_unless_repair_is_asked_for() -> None:
    made = study(("2-Sep", "1-Mar", "TP53", "EGFR", "1-Dec", "PTEN"))
    assert made.genes == ("TP53", "EGFR", "PTEN")
    named = "2-Sep = SEPTIN2, 1-Mar = MARCHF1, 1-Dec = DELEC1"
    assert told(made.source.notes) == {
        "suspicious gene names: dates, which a spreadsheet makes of symbols; data.repair_genes=true takes those that can "
        "mean one gene of TGT for it": (3, named),
        "genes that TGT spells otherwise left out": (3, "2-Sep, 1-Mar, 1-Dec"),
    }
    assert told(made.target.notes) == {"genes that SRC spells otherwise left out": (3, "SEPTIN2, MARCHF1, DELEC1")}


def test_repaired_genes_are_those_of_the_undamaged_table() -> None:
    damaged = study(("2-Sep", "1-Mar", "tp53", "EGFR", "1-Dec", "PTEN"), repair_genes=True)
    clean = study(GOOD)
    assert damaged.genes == GOOD
    np.testing.assert_array_equal(damaged.source.cells.expression, clean.source.cells.expression)
    assert damaged.content_hash == clean.content_hash
    assert told(damaged.source.notes) == {
        "genes renamed to the symbols of TGT": (4, "2-Sep → SEPTIN2, 1-Mar → MARCHF1, tp53 → TP53, …")
    }
    assert told(damaged.target.notes) == {}


def test_the_damaged_screen_may_be_the_target() -> None:
    made = study(GOOD, ("2-Sep", "MARCHF1", "Tp53", "EGFR", "Sep-02.1", "PTEN"), repair_genes=True)
    assert made.genes == ("MARCHF1", "TP53", "EGFR", "PTEN")  # two names for one gene: neither is taken
    assert told(made.target.notes)["genes renamed to the symbols of SRC"] == (1, "Tp53 → TP53")
    (dates,) = [note for note in made.target.notes if "dates" in note.what]
    assert (dates.count, dates.examples) == (2, "2-Sep = SEPTIN2, Sep-02.1 = SEPTIN2")


def test_what_stays_unclear_is_left_and_said() -> None:
    made = study(("1-Mar", "TP53", "EGFR", "7-Feb"), ("MARCHF1", "MTARC1", "TP53", "EGFR"), repair_genes=True)
    assert made.genes == ("TP53", "EGFR")
    (dates,) = [note for note in made.source.notes if "dates" in note.what]
    assert (dates.count, dates.examples) == (2, "1-Mar = MARCHF1 or MTARC1, 7-Feb = no known symbol")


@pytest.mark.parametrize(
    ("ours", "named"),
    [
        (("Tp53", "EGFR", "PTEN"), "Tp53 = TP53"),
        (("TP53.1", "EGFR", "PTEN"), "TP53.1 = TP53"),
        (("TP 53", "EGFR", "PTEN"), "TP 53 = TP53"),
        (("SEPT2", "EGFR", "PTEN"), "SEPT2 = SEPTIN2"),
        (("MARCH1", "EGFR", "PTEN"), "MARCH1 = MARCHF1"),
        (("septin2", "EGFR", "PTEN"), "septin2 = SEPTIN2"),
    ],
)
def test_other_spellings_are_named_and_repaired(ours: tuple[str, ...], named: str) -> None:
    made = study(ours)
    assert len(made.genes) == 2
    (note,) = [note for note in made.source.notes if "spelt otherwise than in TGT; data.repair_genes=true" in note.what]
    assert (note.count, note.examples) == (1, named)
    assert len(study(ours, repair_genes=True).genes) == 3


@pytest.mark.parametrize("name", ["2.31E+13", "1E+05", "TRUE", "False"])
def test_names_that_became_numbers_are_named(name: str) -> None:
    (note,) = [note for note in study((name, "TP53", "EGFR")).source.notes if "numbers or truth values" in note.what]
    assert (note.count, note.examples) == (1, name)


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        (
            ("tp53", "egfr", "pten"),
            r"share 0 genes; 2 are needed\. 3 differ in spelling only \(tp53 = TP53, .*repair_genes=true",
        ),
        (("Tp53", "Egfr", "Pten"), r"3 differ in spelling only .* names of SRC are written as those of mouse genes"),
        (("Trp53", "Brca1", "Myc"), r"names of SRC are written as those of mouse genes: if they are, map them"),
        (("2-Sep", "1-Mar", "1-Dec"), r"3 differ in spelling only \(2-Sep = SEPTIN2, .*repair_genes=true"),
        (("7157", "1956", "5728"), r"SRC names them by Entrez ids and TGT names them by symbols: set .*genes\.table"),
        (("ENSG00000141510", "ENSG00000146648", "ENSG00000171862"), r"SRC names them by Ensembl ids and TGT"),
    ],
)
def test_screens_that_share_too_few_genes_are_told_why(ours: tuple[str, ...], message: str) -> None:
    with pytest.raises(SchemaError, match=message) as caught:
        study(ours)
    assert "\n" not in str(caught.value)


ENSEMBL = {"TP53": "ENSG00000141510", "EGFR": "ENSG00000146648", "HLA-A": "ENSG00000206503"}
ENTREZ = {"TP53": "7157", "EGFR": "1956", "HLA-A": "3105"}
FORMS = [
    "{symbol} ({entrez})", "{symbol}|{entrez}", "{ensembl}|{symbol}", "{symbol}_{ensembl}", "{symbol} ({ensembl}.11)",
    "{ensembl}_{symbol}", "{symbol}..{entrez}.", "{ensembl}.5 {symbol}", "{entrez}|{symbol}", "{symbol} [{ensembl}]",
    "{symbol};{ensembl}", "{symbol}:{ensembl}", "{symbol}-{ensembl}", "{ensembl}.2_PAR_Y|{symbol}",
]  # fmt: skip


def written(form: str) -> list[str]:
    return [form.format(symbol=symbol, ensembl=ENSEMBL[symbol], entrez=ENTREZ[symbol]) for symbol in ENSEMBL]


def read(names: list[str], ids: str) -> tuple[Matrix, tuple[Note, ...]]:
    matrix = Matrix(("L",), tuple(names), np.zeros((1, len(names)), np.float32))
    return harmonised(matrix, GeneOptions(ids=ids), Path(), "file")  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMS)
def test_an_id_beside_the_symbol_goes_in_every_form(form: str) -> None:
    matrix, (note,) = read(written(form), "symbol_entrez")
    assert matrix.columns == tuple(ENSEMBL)
    assert note.count == 3


@pytest.mark.parametrize("form", FORMS)
def test_ids_beside_symbols_declared_as_symbols_are_refused_with_the_form_that_fits(form: str) -> None:
    with pytest.raises(
        SchemaError, match=r"3 of 3 gene names are no symbols .* set expression\.genes\.ids: symbol_entrez\."
    ):
        read(written(form), "symbol")


@pytest.mark.parametrize(
    ("ids", "columns"), [("symbol_entrez", ("TP53", "EGFR", "KRAS")), ("symbol", ("TP53|7157", "EGFR", "KRAS"))]
)
def test_a_few_ids_beside_symbols_are_cut_or_told(ids: str, columns: tuple[str, ...]) -> None:
    matrix, notes = read(["TP53|7157", "EGFR", "KRAS"], ids)
    assert matrix.columns == columns
    said = ("gene names without an id taken as they are", 2) if ids == "symbol_entrez" else (
        "suspicious gene names: symbols with ids among bare ones, left as they are; genes.ids: symbol_entrez cuts them", 1
    )  # fmt: skip
    assert (notes[0].what, notes[0].count) == said


def test_forms_may_be_mixed_and_some_names_bare() -> None:
    names = [written(form)[place] for place, form in enumerate(("{symbol} ({entrez})", "{ensembl}|{symbol}"))]
    matrix, notes = read([*names, "HLA-A"], "symbol_entrez")
    assert matrix.columns == tuple(ENSEMBL)
    assert notes[0] == Note("gene names without an id taken as they are", 1, "HLA-A")


@pytest.mark.parametrize(
    ("names", "ids", "message"),
    [
        (["TP53", "EGFR", "KRAS"], "ensembl", r"3 of 3 .* not of the form ensembl .*set expression\.genes\.ids: symbol\."),
        (["TP53", "EGFR", "KRAS"], "symbol_entrez", r"not of the form symbol_entrez .*genes\.ids: symbol\."),
        (
            ["7157", "1956", "3845"],
            "symbol",
            r"3 of 3 gene names are no symbols .*Entrez ids, set expression\.genes\.ids: entrez",
        ),
        (["2", "3", "0"], "symbol", r"are no symbols \(e\.g\. 2, 3, 0\)"),
        (["2", "3", "0"], "entrez", r"3 of 3 gene names are row numbers, no ids .* names of its genes"),
        (["1", "2", "3"], "entrez", r"are row numbers, no ids"),
        (["ENSG00000141510", "ENSG00000146648", "TP53"], "ensembl", r"1 of 3 .*\(e\.g\. TP53\)\. Name all genes alike"),
    ],
)
def test_names_of_another_form_are_refused_once_and_end_the_reading(names: list[str], ids: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        read(names, ids)
    with collecting() as problems, pytest.raises(Unreadable):
        read(names, ids)
    assert len(problems) == 1


def test_genes_of_no_symbol_are_left_out() -> None:
    matrix, notes = read(["?|100130426", "TP53|7157", "?|10357", "---|1"], "symbol_entrez")
    assert matrix.columns == ("TP53",)
    assert notes[0] == Note("genes without a name left out", 3)


@pytest.mark.parametrize(
    ("names", "own"),
    [
        (["tp53", "egfr"], ["TP53", "EGFR"]),
        (["2-Sep", "EGFR"], ["SEPTIN2", "EGFR"]),
        (["SEPT2", "Egfr"], ["SEPTIN2", "EGFR"]),
    ],
)
def test_new_expression_is_read_by_the_same_rules(names: list[str], own: list[str]) -> None:
    found = gene_names(names, own, None)
    assert (found.names, found.matched) == (own, 2)
    assert found.notes[0].what == "gene names spelt otherwise, taken for the model's"
