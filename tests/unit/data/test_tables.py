import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.csv
import pytest

from dadsp.data.table_files import Frame, TableFile
from dadsp.data.tables import read_matrix, read_table
from dadsp.errors import ConfigError, DadspError, SchemaError

COLUMNS = {"cell_id": "COSMIC_ID", "value": "LN_IC50"}
TEXT = "COSMIC_ID,LN_IC50,comment\n683665,1.5,x\n907295,-2,\n"


def _write(path: Path, text: str) -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def _read(path: Path | TableFile, **options: object) -> pd.DataFrame:
    return read_table(path, COLUMNS, numbers=("value",), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "mark"),
    [("t.csv", ","), ("t.tsv", "\t"), ("t.txt", "\t"), ("t.csv.gz", ","), ("t.tsv.gz", "\t"), ("t.txt.gz", "\t")],
)
def test_text_files_are_read_by_their_extension(tmp_path: Path, name: str, mark: str) -> None:
    table = _read(_write(tmp_path / name, TEXT.replace(",", mark)))
    assert table["cell_id"].tolist() == ["683665", "907295"]
    assert table["value"].tolist() == [1.5, -2.0]
    assert list(table.columns) == ["cell_id", "value"]


def test_a_stated_delimiter_overrules_the_extension(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", TEXT.replace(",", ";"))
    assert _read(TableFile(path, delimiter="semicolon"))["value"].tolist() == [1.5, -2.0]


@pytest.mark.parametrize("ids", [[683665, 907295], [683665.0, 907295.0], ["683665", "907295.0"]])
def test_parquet_ids_of_any_type_become_plain_text(tmp_path: Path, ids: list[object]) -> None:
    pd.DataFrame({"COSMIC_ID": ids, "LN_IC50": [1, 2]}).to_parquet(tmp_path / "t.parquet")
    table = _read(tmp_path / "t.parquet")
    assert table["cell_id"].tolist() == ["683665", "907295"]
    assert table["value"].dtype == np.float64


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["683665.0", "907295"], ["683665", "907295"]),
        (["683665.0", "ACH-1"], ["683665", "ACH-1"]),  # a word beside numbers
        (["1.25", "2.0"], ["1.25", "2.0"]),
        ([" a ", "007"], ["a", "007"]),
    ],
)
def test_ids_lose_blanks_and_the_zeros_of_whole_numbers_only(
    tmp_path: Path, written: list[str], expected: list[str]
) -> None:
    path = _write(tmp_path / "t.csv", "id\n" + "\n".join(written) + "\n")
    assert read_table(path, {"cell_id": "id"})["cell_id"].tolist() == expected


def test_a_byte_order_mark_quotes_and_line_breaks_are_understood(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", '\ufeffid,note\r\n"a,1","two\r\nlines"\r\n')
    table = read_table(TableFile(path, newlines_in_values=True), {"cell_id": "id", "note": "note"})
    assert table.to_dict("list") == {"cell_id": ["a,1"], "note": ["two\r\nlines"]}


def test_one_column_may_serve_two_names_and_none_leaves_one_out(tmp_path: Path) -> None:
    table = read_table(_write(tmp_path / "t.csv", "id\na\n"), {"cell_id": "id", "link_id": "id", "tissue": None})
    assert table.to_dict("list") == {"cell_id": ["a"], "link_id": ["a"]}


def test_empty_cells_of_optional_columns_are_missing(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", "COSMIC_ID,LN_IC50\n1,NA\n2,\n3,4\nNaN,1\n")
    table = _read(path, optional=("value", "cell_id"))
    assert table["value"].isna().tolist() == [True, True, False, False]
    assert table["cell_id"].isna().tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("COSMIC_ID,LN_IC5O\n1,2\n", r"no column 'LN_IC50' for value\. Did you mean 'LN_IC5O'\?"),
        ("a,b\n1,2\n", r"no column 'COSMIC_ID' for cell_id \(and 1 more: LN_IC50\).*Valid: a, b"),
        ("COSMIC_ID\tLN_IC50\n1\t2\n", r"separated by tabs, but was read as separated by commas\. Set delimiter: tab"),
        ("COSMIC_ID;LN_IC50\n1;2\n", r"separated by semicolons, but .* commas\. Set delimiter: semicolon"),
        ("", r"is empty"),
        ("\n", r"is empty"),
        ("COSMIC_ID,LN_IC50\n", r"header but no rows"),
        (
            "COSMIC_ID,LN_IC50\n1,2\n2,>8\n3,x\n",
            r"2 of 3 values of 'LN_IC50' .* \(e.g. line 3: '>8', line 4: 'x'\)\. Correct",
        ),
        ("COSMIC_ID,LN_IC50\n1,inf\n", r"1 of 1 values of 'LN_IC50' are not finite"),
        ("COSMIC_ID,LN_IC50\n1,2\n2,\n", r"1 of 2 rows have no 'LN_IC50' \(e.g. line 3\)\. Fill"),
        ("COSMIC_ID,LN_IC50\n,2\n2,1\n", r"1 of 2 rows have no 'COSMIC_ID' \(e.g. line 2\)"),
        ("COSMIC_ID,LN_IC50,LN_IC50\n1,2,3\n", r"1 columns stand more than once \(LN_IC50\)"),
        (
            "COSMIC_ID,LN_IC50\n1,2\n1,2,3\n",
            r"not a well-formed table: 1 of 2 rows have other than the 2 columns .*line 3: 3 cells.* Give every row",
        ),
    ],
)
def test_a_malformed_table_is_refused_with_its_remedy(tmp_path: Path, text: str, message: str) -> None:
    path = _write(tmp_path / "t.csv", text)
    with pytest.raises(SchemaError, match=message) as caught:
        _read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_its_nearest_neighbour(tmp_path: Path) -> None:
    _write(tmp_path / "responses.csv", TEXT)
    with pytest.raises(ConfigError, match=r"no file .*response\.csv\. Did you mean 'responses\.csv'\?"):
        _read(tmp_path / "response.csv")
    with pytest.raises(ConfigError, match=r"Nor is there a folder .*data\.root"):
        _read(tmp_path / "nowhere" / "response.csv")


def test_an_unknown_extension_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'\.ods'.*\.parquet"):
        _read(_write(tmp_path / "t.ods", TEXT))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("t.csv.gz", lambda path: path.write_bytes(gzip.compress(TEXT.encode() * 5000)[:200])),
        ("t.csv.gz", lambda path: path.write_text(TEXT)),
        ("t.parquet", lambda path: path.write_text(TEXT)),
        ("t.csv", lambda path: path.write_bytes("COSMIC_ID,LN_IC50\nµ,1\n".encode("latin-1"))),
    ],
)
def test_a_damaged_file_is_refused_and_named(tmp_path: Path, name: str, damage: Callable[[Path], object]) -> None:
    damage(tmp_path / name)
    with pytest.raises(SchemaError, match=name) as caught:
        _read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_matrix_keeps_names_order_and_numbers(tmp_path: Path) -> None:
    matrix = read_matrix(
        _write(tmp_path / "t.csv", "id,B,tissue,A\n7.0,1,lung,2.5\n5.0,0,skin,-3\n"), "id", ignore=["tissue"]
    )
    assert (matrix.rows, matrix.columns) == (("7", "5"), ("B", "A"))
    assert matrix.numbers.dtype == np.float32
    np.testing.assert_array_equal(matrix.numbers, [[1, 2.5], [0, -3]])


@pytest.mark.parametrize("text", ["id,A,B,,\nx,1,2,,\n", ",id,A,,B\n0,x,1,,2\n"])
def test_columns_without_a_name_are_ignored_together(tmp_path: Path, text: str) -> None:
    matrix = read_matrix(_write(tmp_path / "t.csv", text), "id", ignore=[""])
    assert (matrix.rows, matrix.columns, matrix.numbers.tolist()) == (("x",), ("A", "B"), [[1, 2]])


@pytest.mark.parametrize("ids", [["a ", "b"], [907295.0, 5.0], [7, 8], ["1.0", None]])
def test_a_frame_is_read_as_a_file_of_it_would_be(tmp_path: Path, ids: list[object]) -> None:
    frame = pd.DataFrame({"id": ids, "value": [1.5, np.nan], "unused": [object(), object()]})
    frame[["id", "value"]].to_csv(tmp_path / "table.csv", index=False)
    columns = {"name": "id", "number": "value"}
    in_memory, in_file = (
        read_table(source, columns, numbers=["number"], optional=["name", "number"])
        for source in (Frame("frame", frame), tmp_path / "table.csv")
    )
    pd.testing.assert_frame_equal(in_memory, in_file)


def test_a_matrix_in_memory_is_read_and_its_gaps_are_placed() -> None:
    frame = pd.DataFrame({"id": ["L1", "L2"], "G1": [1, 2], 7: [0.5, 1.5]})  # a column named by a number
    matrix = read_matrix(Frame("lines", frame), "id")
    assert (matrix.rows, matrix.columns) == (("L1", "L2"), ("G1", "7"))
    assert matrix.numbers.tolist() == [[1.0, 0.5], [2.0, 1.5]]
    with pytest.raises(SchemaError, match=r"lines: 1 of 4 values are missing or infinite.*L2/G1"):
        read_matrix(Frame("lines", frame.assign(G1=[1.0, np.inf])), "id")
    with pytest.raises(SchemaError, match=r"lines: 1 of 2 rows have no 'id' \(e\.g\. row 2\)"):
        read_matrix(Frame("lines", frame.assign(id=pd.Series(["L1", None]))), "id")


def test_a_parquet_matrix_of_whole_numbers_is_read(tmp_path: Path) -> None:
    pd.DataFrame({"id": [7, 5], "A": [1, 2], "B": [0.5, 1.5]}).to_parquet(tmp_path / "t.parquet")
    matrix = read_matrix(tmp_path / "t.parquet", "id")
    assert matrix.rows == ("7", "5")
    np.testing.assert_array_equal(matrix.numbers, [[1, 0.5], [2, 1.5]])


def test_an_unnamed_id_column_can_be_named(tmp_path: Path) -> None:
    assert read_matrix(_write(tmp_path / "t.csv", ",A,B\nx,1,2\n"), "").rows == ("x",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,A,B\nx,1,\ny,NaN,2\nz,1,2\n",
            r"2 of 6 values are missing .* in 2 rows and 2 columns \(e.g. x/B, y/A\)\. Impute",
        ),
        ("id,A,B\nx,1,oops\n", r"1 of 1 values of 'B' are not finite numbers \(e.g. line 2: 'oops'\)"),
        ("id,A,A\nx,1,2\n", r"1 columns stand more than once \(e.g. A\)\. Keep"),
        ("name,A\nx,1\n", r"no column 'id' for the row ids"),
        ("id\tA\nx\t1\n", r"separated by tabs"),
        ("id,A\n", r"header but no rows"),
        ("id\nx\n", r"no column beside 'id'"),
        ("id,A,\nx,1,2\n", r"1 of 2 columns have no name\..* ignore"),
        ("id,A,,\nx,1,,\n", r"2 of 3 columns have no name\..* ignore \(\"\" for all without a name\)"),
        (",A,B\nx,1,2\n", r"no column 'id' for the row ids\..* A column without a name is called \"\"\."),
        ("id,A\n,1\n", r"1 of 1 rows have no 'id' \(e.g. line 2\)"),
    ],
)
def test_a_malformed_matrix_is_refused_with_its_remedy(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DadspError, match=message) as caught:
        read_matrix(_write(tmp_path / "t.csv", text), "id")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_paper_sized_expression_is_read_in_bounded_time_and_memory(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(6, 2, (1000, 16_017)).round(3).astype(np.float32)
    names = [f"G{n}" for n in range(numbers.shape[1])]
    columns = {"line": [f"L{n}" for n in range(1000)], **{name: numbers[:, n] for n, name in enumerate(names)}}
    pyarrow.csv.write_csv(pyarrow.table(columns), tmp_path / "expression.csv")
    code = (
        "import resource, sys, time; from pathlib import Path; from dadsp.data.tables import read_matrix\n"
        "start = time.process_time(); matrix = read_matrix(Path(sys.argv[1]), 'line')\n"
        "print(matrix.numbers.shape, time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "expression.csv")]
    shape, seconds, kib = subprocess.run(command, check=True, capture_output=True, text=True).stdout.rsplit(maxsplit=2)
    assert shape == "(1000, 16017)"
    assert float(seconds) < 15
    assert int(kib) < 2 * 2**20
