"""Genes and lines that are named by what is no name."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dadsp.data.problems import remarks
from dadsp.data.sources.tidy_files import ExpressionFile
from dadsp.data.sources.tidy_parts import read_expression
from dadsp.data.tables import Matrix
from dadsp.errors import SchemaError
from dadsp.schema import Note

BY_LINE, BY_GENE = {"id_column": "line"}, {"id_column": "gene", "orientation": "genes_by_lines"}
ENTREZ = {"genes": {"ids": "entrez"}}


def read(folder: Path, content: str | dict[str, Any], **options: Any) -> tuple[Matrix, list[Note]]:
    name = "e.csv" if isinstance(content, str) else "e.parquet"
    if isinstance(content, str):
        (folder / name).write_text(content)
    else:
        pd.DataFrame(content).to_parquet(folder / name)
    with remarks() as notes:
        return read_expression(ExpressionFile(path=name, **options), folder)[0], notes


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("line,0,1,2\nA,1.5,2,3\n", BY_LINE, r"all 3 genes are named by numbers \(e\.g\. 0, 1, 2\), which no symbol is"),
        ("line,7157,1956\nA,1.5,2\n", BY_LINE, r"If they are Entrez ids, set expression\.genes\.ids: entrez"),
        ("line,1.0,2.0,3.0\nA,1.5,2,3\n", BY_LINE, r"all 3 genes are named by numbers"),
        ("gene,A,B\n0,1.5,2\n1,1,2\n", BY_GENE, r"all 2 genes are named by numbers \(e\.g\. 0, 1\)"),
        ({"gene": [2, 0, 1], "A": [1.5, 2, 3]}, BY_GENE, r"all 3 genes are named by numbers \(e\.g\. 2, 0, 1\)"),
        ({"gene": [2.0, 0, 1], "A": [1.5, 2, 3]}, BY_GENE, r"all 3 genes are named by numbers"),
        ({"gene": [0.5, 1.5], "A": [1.5, 2]}, BY_GENE, r"the column 'gene' holds fractions"),
        ({"gene": [True, False], "A": [1.5, 2]}, BY_GENE, r"the column 'gene' holds truth values"),
        ("line,0,1,2\nA,1.5,2,3\n", BY_LINE | ENTREZ, r"the 3 Entrez ids count from 0 to 2, so that they are row numbers"),
        ("line,2,1,4,3\nA,1.5,2,3,4\n", BY_LINE | ENTREZ, r"the 4 Entrez ids count from 1 to 4"),
        ("line,2.075,7.779,7.11\nA,1.5,2,3\n", BY_LINE, r"3 of 3 genes are named by fractions .* Give the file a header"),
        ("gene,2.075,7.779,7.11\nTP53,1.5,2,3\n", BY_GENE, r"3 of 3 cell lines are named by fractions"),
        ("line,TP53\n1.5,2\n1.25,3\n1.75,3\n", BY_LINE, r"3 of 3 cell lines are named by fractions \(e\.g\. 1\.5, 1\.25"),
        ("line,TP53\n2023-09-02,2\nB,3\n", BY_LINE, r"1 cell lines are named by dates \(e\.g\. 2023-09-02\)"),
        ({"gene": pd.to_datetime(["2023-09-02", "2023-03-01"]), "A": [1.5, 2]}, BY_GENE, r"2 genes are named by dates"),
        (
            "line,TP53\n9.06E+05,2\nB,3\n",
            BY_LINE,
            r"1 cell lines are named by numbers that have lost digits \(e\.g\. 9\.06E",
        ),
        ("line,TP53\n9.06E+05,2\n9.06E+05,3\n", BY_LINE, r"2 cell lines are named by numbers that have lost digits"),
        ("gene,9.06E+05,9.07E+05,1.24E+06\nTP53,1,2,3\n", BY_GENE, r"3 cell lines are named by numbers that have lost"),
        ("line,Unnamed: 0,TP53\nA,0,2.5\n", BY_LINE, r"1 columns are called as pandas calls an index .*Unnamed: 0"),
        ({"line": ["A"], "__index_level_0__": [3], "TP53": [1.5]}, BY_LINE, r"pandas calls an index .*__index_level_0__"),
    ],
)
def test_names_that_are_none_are_refused(
    tmp_path: Path, content: str | dict[str, Any], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(SchemaError, match=words) as told:
        read(tmp_path, content, **options)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("content", "what", "shown"),
    [
        ("line,TP53,7157\nA,1.5,2\n", "suspicious names of genes that are numbers", "7157"),
        ("line,TP53,EGFR\nA,1.5,2\nmean,1.5,2\n", "suspicious rows of expression named like totals", "mean"),
        ("line,TP53,EGFR\n#A,1.5,2\nB,1.5,2\n", "suspicious rows of expression named like totals or comments", "#A"),
        (
            "line,A1,B1,C1,D1\nid,7157,1956,3845,4609\nA,1.5,2.5,3.1,4.2\nB,1.1,2.2,3.3,4.4\nC,1.2,3.3,2.1,1.9\n",
            "suspicious first row: whole numbers alone",
            "id",
        ),
    ],
)
def test_names_that_may_be_none_are_suspicious(tmp_path: Path, content: str, what: str, shown: str) -> None:
    _, (note,) = read(tmp_path, content, **BY_LINE)
    assert note.what.startswith(what)
    assert (note.count, note.examples) == (1, shown)


def test_numbers_are_lines_and_declared_entrez_ids(tmp_path: Path) -> None:
    matrix, notes = read(tmp_path, {"line": [905906, 5], "7157": [1.5, 2], "1956": [1, 2], "9": [1, 2]}, **BY_LINE, **ENTREZ)
    assert (matrix.rows, matrix.columns, notes) == (("905906", "5"), ("7157", "1956", "9"), [])
    matrix, notes = read(tmp_path, "gene,905906,905907.0\nTP53,1.5,2\nEGFR,1,2\n", **BY_GENE)
    assert (matrix.rows, notes) == (("905906", "905907"), [])
