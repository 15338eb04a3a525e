"""Lines of a delimited file and rows of its table agree, or the file is refused; headers are found, not guessed."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dadsp.data.problems import remarks
from dadsp.data.table_files import TableFile
from dadsp.data.tables import read_table
from dadsp.errors import SchemaError
from dadsp.schema import Note

COLUMNS = {"id": "drug", "name": "name", "smiles": "smiles"}
CSV = "drug,name,smiles\nd1,a,CC\nd2,b,C\nd3,c,CCC\nd4,d,O\n"
TSV = CSV.replace(",", "\t")


def read(path: Path, content: str | bytes, columns: dict[str, Any] = COLUMNS, **layout: Any) -> tuple[Any, list[Note]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with remarks() as notes:
        return read_table(TableFile(path, **layout), columns, optional=("name",)), notes


@pytest.mark.parametrize(
    ("first", "third", "lines"),
    [('"5-prime x', '"3-prime y', [2, 4]), ('"5-prime x', 'y"', [2]), ('"5" x', "y", [2]), ('"', '"', [2, 4])],
)
def test_stray_quotes_of_unquoted_tab_separated_text_are_read_as_they_stand(
    tmp_path: Path, first: str, third: str, lines: list[int]
) -> None:
    table, (note,) = read(tmp_path / "t.tsv", TSV.replace("\ta\t", f"\t{first}\t").replace("\tc\t", f"\t{third}\t"))
    assert table["name"].tolist() == [first, "b", third, "d"]
    assert table["smiles"].tolist() == ["CC", "C", "CCC", "O"]
    assert note.what.startswith("t.tsv: quotes read as they stand")
    assert note.count == len(lines)
    assert all(f"line {line}: " in note.examples for line in lines)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", CSV.replace(",a,", ',"5-prime x,'), r"1 cell begins with a quote .*line 2: '\"5-prime x'.* twice"),
        (
            "t.csv",
            CSV.replace(",a,", ',"5-prime x,').replace(",c,", ',"3-prime y,'),
            r"2 cells begin with a quote .*line 2: '\"5-prime x', line 4: '\"3-prime y'.* newlines_in_values: true",
        ),
        ("t.csv", CSV.replace(",a,", ',"5-prime x,').replace(",c,", ',c",'), r"1 cell begins with a quote .*line 2"),
        ("t.csv", CSV.replace(",a,", ',"two\nlines",'), r"line 2: '\"two'.* set newlines_in_values: true"),
        ("t.csv", CSV.replace(",a,", ',"a\\"b",'), r"1 cell begins .*line 2"),
        ("t.csv", CSV.replace(",b,", ',"5" x,'), r"1 cell begins .*line 3: '\"5\" x'"),
        ("t.tsv", TSV.replace("\ta\t", '\t"a"\t').replace("\tc\t", '\t"3-prime\t'), r"1 cell .*line 4: '\"3-prime'"),
        ("t.tsv", TSV.replace("\ta\t", '\t"two\nlines"\t'), r"line 2: '\"two'.* set newlines_in_values: true"),
        ("t.tsv", TSV.replace("name", '"name"').replace("\ta\t", '\t"a\t'), r"1 cell .*line 2"),
        ("t.csv", CSV.replace("name", '"na\nme"'), r"its header has a quote that the line does not close"),
        ("t.csv", CSV.replace(",a,", ', "a,b",'), r"1 values have white space before their quote \(e\.g\. line 2: ' \"a'\)"),
        ("t.csv", CSV.replace(",b", ', "b"').replace(",c", ',  "c"'), r"2 values .*line 3: ' \"b\"', line 4: '  \"c\"'"),
        ("t.csv", CSV.replace(",name", ', "name"'), r"1 values have white space .*line 1: ' \"name\"'\)\. Take that"),
        ("t.csv", CSV.replace("b,C", "b\rb,C"), r"line 3 holds a carriage return inside it"),
        ("t.csv", CSV.replace("b,C", "b\x00,C"), r"line 3 holds a NUL byte"),
        ("t.csv", CSV + "\x1a", r"line 6 holds the mark of an end of file \(Ctrl-Z\)"),
        ("t.csv", CSV + "\ufeff" + CSV, r"line 6 holds a byte order mark\. Files were joined"),
        ("t.csv", CSV + CSV, r"1 rows repeat the header \(e\.g\. line 6\), as where files were joined"),
        ("t.csv", CSV[:-3], r"1 of 4 rows have other than the 3 columns .*line 5: 2 cells"),
        ("t.csv", CSV.replace("d3", "# more\nd3"), r"1 of 5 rows .*line 4: 1 cells"),
        ("t.csv", CSV.replace("d3", "\n\nd3").replace("d3,c,CCC", "d3,c"), r"1 of 4 rows .*line 6: 2 cells"),
        ("t.csv", CSV + "(4 rows affected)\n", r"1 of 5 rows .*line 6: 1 cells"),
        ("t.csv", CSV.replace("\nd", "\n1,d"), r"4 of 4 rows .*line 2: 4 cells.*R writes row names so"),
        ("t.csv", CSV.replace("b", "µ").encode("latin-1"), r"not UTF-8 text: line 3 holds the byte 0xb5\. Save it as UTF-8"),
        ("t.csv", CSV.replace("name", "Name"), r"no column 'name' for name\. It has 'Name', which differs in upper"),
        ("t.csv", CSV.replace("name", "na\u00a0me"), r"It has 'na\\xa0me', which differs in white space"),
        ("t.csv", "Table S1\n\n" + CSV, r"no column 'drug'.*Line 3 names them: set skip_lines: 2"),
        ("t.csv", "\n \n" + CSV, r"its first line is blank\. Line 3 is not: set skip_lines: 2 for this file"),
        ("t.csv", "sep=,\n" + CSV, r"Line 2 names them: set skip_lines: 1"),
        ("t.csv", CSV.partition("\n")[2], r"If its first line holds no names, set header_lines: 0"),
        ("t.csv", CSV.replace(",", "|"), r"has no comma in its header \('drug\|name\|smiles'\)"),
    ],
)  # fmt: skip
def test_text_whose_lines_are_not_its_rows_is_refused(tmp_path: Path, name: str, content: str | bytes, words: str) -> None:
    with pytest.raises(SchemaError, match=words) as told:
        read(tmp_path / name, content)
    assert "\n" not in str(told.value)
    assert str(tmp_path / name) in str(told.value)


@pytest.mark.parametrize(
    "content",
    [
        CSV.replace("d3", "\n\nd3") + "\n\n",
        CSV.rstrip("\n"),
        CSV.replace("\n", "\r\n"),
        CSV.replace("\n", "\r"),
        CSV.replace("\n", "\r\r\n"),
        "\n".join(f"{line}," for line in CSV.splitlines()),
        CSV.replace(",a,", ',"a",'),
        CSV.replace("\n", ',"x, ""y"", "","\n'),
        "\ufeff" + CSV,
    ],
)
def test_line_ends_blank_lines_and_quotes_are_no_difference(tmp_path: Path, content: str) -> None:
    table, notes = read(tmp_path / "t.csv", content)
    assert table["name"].tolist() == ["a", "b", "c", "d"]
    assert notes == []


def test_empty_lines_inside_values_and_between_rows(tmp_path: Path) -> None:
    content = CSV.replace(",a,", ',"two\n\nlines",').replace("d3", "\nd3") + "\n"
    assert read(tmp_path / "t.csv", content, newlines_in_values=True)[0]["name"].tolist() == ["two\n\nlines", "b", "c", "d"]


def test_a_value_goes_on_in_the_next_line_where_asked_for(tmp_path: Path) -> None:
    content = CSV.replace("name", '"na\nme"').replace(",a,", ',"two\nlines",')
    columns = {**COLUMNS, "name": "na\nme"}
    table, _ = read(tmp_path / "t.csv", content, columns, newlines_in_values=True)
    assert table["name"].tolist() == ["two\nlines", "b", "c", "d"]
    with pytest.raises(SchemaError, match=r"1 of 4 rows have no 'smiles' \(e\.g\. line 5\)"):
        read(tmp_path / "t.csv", content.replace("d2,b,C\n", "d2,b,\n"), columns, newlines_in_values=True)


@pytest.mark.parametrize("closing", ['y"', "y"])
def test_a_quote_that_encloses_whole_rows_is_refused_even_then(tmp_path: Path, closing: str) -> None:
    content = CSV.replace(",a,", ',"5-prime x,').replace(",c,", f",{closing},")
    with pytest.raises(SchemaError, match=r"a quote in line 2 is not closed .* or encloses whole rows"):
        read(tmp_path / "t.csv", content, newlines_in_values=True)


def test_headers_of_no_line_of_two_and_below_a_title(tmp_path: Path) -> None:
    numbered = {"id": "1", "name": "2", "smiles": "3"}
    assert read(tmp_path / "t.csv", "\ufeffd1,a,CC\nd2,b,C\n", numbered, header_lines=0)[0]["id"].tolist() == ["d1", "d2"]
    grouped = {"id": "drug", "name": "what x", "smiles": "what smiles"}
    table, _ = read(tmp_path / "t.csv", ",what,\ndrug,x,smiles\nd1,a,CC\n", grouped, header_lines=2)
    assert table.to_dict("list") == {"id": ["d1"], "name": ["a"], "smiles": ["CC"]}
    with pytest.raises(SchemaError, match=r"1 of 4 rows have no 'smiles' \(e\.g\. line 6\)"):
        read(tmp_path / "t.csv", "Table S1\n\n" + CSV.replace("CCC", ""), skip_lines=2, header_lines=1)


@pytest.mark.parametrize("written", ["smiles ", "\u00a0smiles", "smiles\u200b", "\tsmiles"])
def test_white_space_around_a_column_name_is_passed_over_and_noted(tmp_path: Path, written: str) -> None:
    table, (note,) = read(tmp_path / "t.csv", CSV.replace("smiles", written))
    assert table["smiles"].tolist() == ["CC", "C", "CCC", "O"]
    assert note == Note("t.csv: white space around column names passed over; columns", 1, ascii(written))


def test_rows_that_read_like_totals_or_comments_are_suspicious(tmp_path: Path) -> None:
    _, (note,) = read(tmp_path / "t.csv", CSV + "Total,,C\n#d5,e,C\n")
    assert (note.count, note.examples) == (2, "Total, #d5")
    assert note.what.startswith("suspicious rows whose 'drug'")


CELL = st.text(st.sampled_from('ab"\n, \t'), max_size=6)


@example(names=["\ta\na\t"], tab=True, newlines=False)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(CELL, min_size=1, max_size=4), tab=st.booleans(), newlines=st.booleans())
def test_what_a_writer_of_tables_wrote_is_read_back_or_refused(
    tmp_path: Path, names: list[str], tab: bool, newlines: bool
) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t" if tab else ",", lineterminator="\n")
    writer.writerows([["drug", "name", "smiles"], *([f"d{n}", name, "C"] for n, name in enumerate(names))])
    path = tmp_path / ("t.tsv" if tab else "t.csv")
    try:
        table, notes = read(path, buffer.getvalue(), newlines_in_values=newlines)
    except SchemaError:
        assert any("\n" in name for name in names)
        return
    if any("quotes read as they stand" in note.what for note in notes):  # each line is a row as well
        assert all(line.count("\t") == 2 for line in buffer.getvalue().splitlines())
        assert any("\n" in name for name in names)
        assert tab
        return
    assert table["name"].fillna("").tolist() == [name.strip() for name in names]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(17, len(CSV)), mark=st.sampled_from(['"', '""', '"\n', "\r", "\n"]), tab=st.booleans())
def test_a_stray_mark_swallows_no_row_and_makes_none(tmp_path: Path, place: int, mark: str, tab: bool) -> None:
    text = TSV if tab else CSV
    content = text[:place] + mark + text[place:]
    try:
        table, _ = read(tmp_path / ("t.tsv" if tab else "t.csv"), content)
    except SchemaError:
        return
    assert len(table) == sum(1 for line in content.splitlines()[1:] if line)
    assert [name.replace('"', "") for name in table["id"]] == ["d1", "d2", "d3", "d4"]
