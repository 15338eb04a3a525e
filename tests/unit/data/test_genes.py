"""Gene names: what is renamed, merged and left alone, and that each is counted."""

from pathlib import Path

import numpy as np
import pytest

from dadsp.data.genes import GeneOptions, harmonised
from dadsp.data.tables import Matrix
from dadsp.errors import SchemaError
from dadsp.schema import Note
from tests.support.published_files import write_hgnc


def _harmonised(names: list[str], folder: Path, **options: str) -> tuple[Matrix, dict[str, Note]]:
    """One line whose expression of column n is n."""
    numbers = np.arange(len(names), dtype=np.float32)[None]
    matrix, notes = harmonised(Matrix(("L",), tuple(names), numbers), GeneOptions(**options), folder, "file")  # type: ignore[arg-type]
    return matrix, {note.what: note for note in notes}


@pytest.mark.parametrize(
    ("ids", "written", "expected"),
    [
        ("symbol", [" TP53", "EGFR "], ("TP53", "EGFR")),
        ("symbol_entrez", ["TP53 (7157)", "EGFR (nan)"], ("TP53", "EGFR")),
        ("ensembl", ["ENSG00000141510.11", "ENSG00000146648"], ("ENSG00000141510", "ENSG00000146648")),
        ("entrez", ["7157", "1956_at"], ("7157", "1956")),
    ],
)
def test_names_are_cut_to_symbol_or_id(tmp_path: Path, ids: str, written: list[str], expected: tuple[str, ...]) -> None:
    assert _harmonised(written, tmp_path, ids=ids)[0].columns == expected


def test_names_of_another_kind_are_refused_with_the_kind_that_fits(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"2 of 2 gene names are not of the form ensembl .*genes\.ids: symbol_entrez"):
        _harmonised(["TP53 (7157)", "EGFR (1956)"], tmp_path, ids="ensembl")


@pytest.mark.parametrize(("ids", "written"), [("entrez", "7157"), ("ensembl", "ENSG00000141510.3"), ("symbol", "P53")])
def test_a_table_gives_the_present_symbol(tmp_path: Path, ids: str, written: str) -> None:
    write_hgnc(tmp_path / "hgnc.txt")
    matrix, _ = _harmonised([written], tmp_path, ids=ids, table="hgnc.txt")
    assert matrix.columns == ("TP53",)


def test_outdated_ambiguous_and_unknown_symbols_are_counted(tmp_path: Path) -> None:
    write_hgnc(tmp_path / "hgnc.txt")
    matrix, notes = _harmonised(["EGFR", "P53", "CD97", "AGS", "NOVEL"], tmp_path, table="hgnc.txt")
    assert matrix.columns == ("EGFR", "TP53", "ADGRE5", "AGS", "NOVEL")
    assert notes["genes: outdated symbols renamed by hgnc.txt"] == Note(
        "genes: outdated symbols renamed by hgnc.txt", 2, "P53 → TP53, CD97 → ADGRE5"
    )
    assert notes["genes: ambiguous names left alone"].examples == "AGS (ADGRE5 or TREX1)"
    assert notes["genes: names that hgnc.txt does not know, left alone"].examples == "NOVEL"


def test_genes_that_fall_together_follow_the_policy(tmp_path: Path) -> None:
    write_hgnc(tmp_path / "hgnc.txt")
    names = ["P53", "EGFR", "TP53"]  # values 0, 1, 2
    with pytest.raises(SchemaError, match=r"1 genes stand more than once \(e\.g\. TP53\).*genes\.duplicates"):
        _harmonised(names, tmp_path, table="hgnc.txt")
    mean, notes = _harmonised(names, tmp_path, table="hgnc.txt", duplicates="mean")
    assert (mean.columns, mean.numbers.tolist()) == (("TP53", "EGFR"), [[1, 1]])
    assert notes["genes: repeated names averaged (2 columns)"].count == 1
    first, _ = _harmonised(names, tmp_path, table="hgnc.txt", duplicates="first")
    assert first.numbers.tolist() == [[0, 1]]


def test_names_that_are_right_already_leave_no_note(tmp_path: Path) -> None:
    write_hgnc(tmp_path / "hgnc.txt")
    assert _harmonised(["TP53", "EGFR"], tmp_path, table="hgnc.txt")[1] == {}
