"""Valid files, damaged one way each: a clear error or a stated, counted repair; never a traceback or a wrong number."""

import gzip
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dadsp.data.potency import suspicions, to_potency
from dadsp.data.problems import collecting
from dadsp.data.sources.tidy import tidy_screen, tidy_study
from dadsp.data.sources.tidy_files import ExpressionFile
from dadsp.data.sources.tidy_parts import read_expression
from dadsp.errors import DadspError
from dadsp.schema import Study
from tests.support.published_files import write_xlsx
from tests.support.raw_files import write_panel, write_rows

Damage = Callable[[bytes], bytes]

SOURCE_EXPRESSION, SOURCE_RESPONSES, SOURCE_DRUGS, SOURCE_CELLS = (
    f"source/{name}.csv" for name in ("expression", "responses", "drugs", "cells")
)
TARGET_RESPONSES, TARGET_CELLS = "target/responses.csv", "target/cells.csv"


def swap(old: str, new: str, times: int = 1) -> Damage:
    def change(content: bytes) -> bytes:
        assert old.encode() in content, f"{old!r} is not in the file"
        return content.replace(old.encode(), new.encode(), times)

    return change


def again(line: int) -> Damage:
    return lambda content: content + content.splitlines(keepends=True)[line]


def column(number: int, write: Callable[[str], str | None]) -> Damage:
    """Rewrites one column; None drops it."""

    def change(content: bytes) -> bytes:
        rows = [line.split(",") for line in content.decode().splitlines()]
        cells = [[(write(cell) if n == number else cell) for n, cell in enumerate(row)] for row in rows]
        return ("\n".join(",".join(cell for cell in row if cell is not None) for row in cells) + "\n").encode()

    return change


def drop(number: int) -> Damage:
    return column(number, lambda _: None)


def scaled(factor: float) -> Damage:
    return column(2, lambda cell: cell if cell == "ic50_um" else repr(float(cell) * factor))


ERRORS: list[tuple[str, Damage, str]] = [
    (SOURCE_EXPRESSION, drop(0), "has no column 'line'"),
    (SOURCE_RESPONSES, drop(0), "has no column 'line'"),
    (SOURCE_RESPONSES, drop(1), "has no column 'drug'"),
    (SOURCE_RESPONSES, drop(2), "has no column 'ln_ic50'"),
    (SOURCE_DRUGS, drop(0), "has no column 'drug'"),
    (SOURCE_DRUGS, drop(2), "has no column 'smiles'"),
    (SOURCE_CELLS, drop(1), "has no column 'link'"),
    (TARGET_CELLS, drop(1), "has no column 'name'"),
    (SOURCE_RESPONSES, swap("line,drug,ln_ic50", "line,line,ln_ic50"), "has no column 'drug'"),
    (SOURCE_RESPONSES, swap("line,drug,ln_ic50", "drug,line,ln_ic50"), "name cell lines without expression"),
    (SOURCE_EXPRESSION, swap("EGFR", "TP53"), r"1 columns stand more than once \(e\.g\. TP53\)"),
    (SOURCE_EXPRESSION, swap("EGFR", " TP53"), r"1 genes stand more than once \(e\.g\. TP53\)"),
    (SOURCE_EXPRESSION, swap("EGFR", ""), "1 of 4 columns have no name"),
    (SOURCE_EXPRESSION, swap("1002,1.5", "1002,NaN"), r"1 of 20 values are missing or infinite.*1002/TP53"),
    (SOURCE_EXPRESSION, swap("1002,1.5", "1002,inf"), "1 of 20 values are missing or infinite|1 of 5 values"),
    (SOURCE_EXPRESSION, swap("1002,1.5", "1002,-inf"), "missing or infinite|not finite"),
    (SOURCE_EXPRESSION, swap("1002,1.5", "1002,high"), r"1 of 5 values of 'TP53' are not finite numbers.*line 3: 'high'"),
    (SOURCE_EXPRESSION, swap("1002,1.5", "1002,1e300"), "missing or infinite"),
    (SOURCE_EXPRESSION, swap("1002,1.5", '1002,"1,5"'), "not finite numbers.*'1,5'"),
    (SOURCE_EXPRESSION, swap("1002,", ","), "1 of 5 rows have no 'line'"),
    (SOURCE_EXPRESSION, again(1), r"1 cell lines stand more than once \(e\.g\. 1001\)"),
    (SOURCE_RESPONSES, swap("1001,11,4.0", "1001,11,"), "1 of 20 responses have no value, e.g. line 2"),
    (SOURCE_RESPONSES, swap("1001,11,4.0", "1001,11,inf"), r"1 of 20 responses have no value \(1 'inf'\), e\.g\. line 2"),
    (SOURCE_RESPONSES, swap("1001,11,4.0", "1001,11,4-5"), "not finite numbers.*'4-5'"),
    (SOURCE_RESPONSES, swap("1001,11,4.0", "1001,11,4.0e6"), "1 of 20 values read as ln_um"),
    (SOURCE_RESPONSES, swap("1001,11,4.0", "1001,,4.0"), "1 of 20 rows have no 'drug'.*line 2"),
    (SOURCE_RESPONSES, swap("1001,11,4.0", "9999,11,4.0"), "1 of 20 responses name cell lines without expression.*9999"),
    (SOURCE_RESPONSES, swap("1001,11,4.0", "1001,99,4.0"), "1 of 20 responses name drugs.*99"),
    (SOURCE_RESPONSES, swap("1001,11,4.0", "1001,11,4.0,5"), "not a well-formed table.*Give every row the columns"),
    (SOURCE_RESPONSES, swap("1001,11,4.0", "1001,11"), "not a well-formed table"),
    (
        SOURCE_RESPONSES,
        swap("ln_ic50", '"ln_ic50'),
        r"its header has a quote that the line does not close \(e\.g\. .*ln_ic50",
    ),
    (SOURCE_RESPONSES, swap(",", ";", 1000), "seems to be separated by semicolons"),
    (SOURCE_RESPONSES, swap(",", "\t", 1000), "seems to be separated by tabs"),
    (SOURCE_RESPONSES, lambda content: b"", "is empty"),
    (SOURCE_RESPONSES, lambda content: b"\n" + content, "first line is blank. Line 2 is not: set skip_lines: 1"),
    (SOURCE_RESPONSES, lambda content: content.splitlines(keepends=True)[0], "a header but no rows"),
    (
        SOURCE_RESPONSES,
        lambda content: content.decode().encode("utf-16"),
        r"is UTF-16 text, no UTF-8 text\. Save it as UTF-8",
    ),
    (SOURCE_DRUGS, lambda content: content.replace(b"acetic", "acétic".encode("latin-1")), "Save it as UTF-8"),
    (SOURCE_DRUGS, swap("c1ccccc1", "c1ccccc"), "1 of 3 SMILES are not valid"),
    (SOURCE_DRUGS, again(1), r"1 drugs stand more than once \(e\.g\. 11\)"),
    (SOURCE_CELLS, again(1), "1 cell lines stand more than once"),
    (SOURCE_CELLS, swap("1002,L2", "1002,L1"), r"1 link ids stand more than once \(e\.g\. L1\)"),
    (SOURCE_CELLS, swap("1005,L5,skin\n", ""), "1 of 5 cell lines with expression have no row.*1005"),
    (TARGET_RESPONSES, swap("ALPHA,ethanol,0.125", "ALPHA,ethanol,-0.125"), "1 of 12 values are zero or negative"),
    (TARGET_RESPONSES, swap("ALPHA,ethanol,0.125", "ALPHA,ethanol,0"), "1 of 12 values are zero or negative"),
    (TARGET_RESPONSES, scaled(1e9), "values read as um .* Set responses.unit"),
    (TARGET_CELLS, swap("A-2,BETA", "A-2,ALPHA"), r"1 response ids stand more than once \(e\.g\. ALPHA\)"),
]
REPAIRS: list[tuple[str, Damage, str | None]] = [  # a note says what was done; None: nothing had to be
    (SOURCE_RESPONSES, lambda content: b"\xef\xbb\xbf" + content, None),
    (SOURCE_EXPRESSION, lambda content: b"\xef\xbb\xbf" + content, None),
    (SOURCE_RESPONSES, swap("\n", "\r\n", 1000), None),
    (SOURCE_CELLS, swap("\n", "\r\n", 1000), None),
    (SOURCE_RESPONSES, swap("1001,11", "1001.0,11.0"), None),
    (SOURCE_RESPONSES, swap("1001,11", " 1001 ,11"), None),
    (SOURCE_EXPRESSION, swap("TP53", " TP53 "), None),
    (SOURCE_DRUGS, swap("acetic acid", '"acetic acid, glacial"'), None),
    (SOURCE_RESPONSES, again(1), r"repeated \(line, drug\) pairs merged by their median; 2 rows, spread median 0"),
    (SOURCE_RESPONSES, lambda content: content.rstrip(b"\n"), None),
]


def _damaged(tmp_path: Path, name: str, damage: Damage) -> dict[str, Any]:
    options = write_panel(tmp_path)
    path = tmp_path / name
    path.write_bytes(damage(path.read_bytes()))
    return options


@pytest.mark.parametrize(("name", "damage", "message"), ERRORS, ids=[f"{n}-{case[0]}" for n, case in enumerate(ERRORS)])
def test_damage_is_one_clear_error(tmp_path: Path, name: str, damage: Damage, message: str) -> None:
    options = _damaged(tmp_path, name, damage)
    with pytest.raises(DadspError, match=message) as caught:
        tidy_study(**options)
    assert Path(name).name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "damage", "message"), ERRORS[::4], ids=[case[2][:30] for case in ERRORS[::4]])
def test_collecting_finds_the_same_problem(tmp_path: Path, name: str, damage: Damage, message: str) -> None:
    options = _damaged(tmp_path, name, damage)
    with pytest.raises(DadspError) as caught:
        tidy_study(**options)
    with collecting() as problems:
        tidy_study(**options)
    assert str(caught.value) in [problem.message for problem in problems]


@pytest.mark.parametrize(("name", "damage", "note"), REPAIRS, ids=[f"{n}-{case[0]}" for n, case in enumerate(REPAIRS)])
def test_harmless_differences_read_to_the_same_study(tmp_path: Path, name: str, damage: Damage, note: str | None) -> None:
    clean = tidy_study(**write_panel(tmp_path / "clean"))
    study = tidy_study(**_damaged(tmp_path / "damaged", name, damage))
    assert study.content_hash == clean.content_hash
    new = [given.what for given in study.source.notes if given not in clean.source.notes]
    assert (new == []) if note is None else (len(new) == 1 and re.search(note, new[0]))


def test_a_truncated_gz_is_refused(tmp_path: Path) -> None:
    options = write_panel(tmp_path)
    path = tmp_path / SOURCE_RESPONSES
    whole = gzip.compress(path.read_bytes())
    options["source"]["responses"]["path"] += ".gz"
    for damaged in (whole[:-12], whole[:20], b"no gz", whole[:40] + bytes(10) + whole[50:]):
        path.with_name("responses.csv.gz").write_bytes(damaged)
        with pytest.raises(DadspError, match=r"responses\.csv\.gz"):
            tidy_study(**options)


def test_excel_files_that_hold_no_table_are_refused(tmp_path: Path) -> None:
    options = write_panel(tmp_path)
    options["source"]["drugs"]["path"] = "source/drugs.xlsx"
    path = write_xlsx(tmp_path / "source/drugs.xlsx", [])
    with pytest.raises(DadspError, match="first sheet is empty"):
        tidy_study(**options)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DadspError, match="cannot be read"):
        tidy_study(**options)


@pytest.mark.parametrize(("unit", "factor"), [("um", 1e3), ("um", 1e6), ("nm", 1e-3), ("um", 1e-6)])
def test_a_whole_screen_in_another_unit_is_suspicious(unit: Any, factor: float) -> None:
    potencies, pairs = _screen(-0.5 if factor > 1 else 0.5)
    values = 10**-potencies if unit == "um" else 10 ** (3 - potencies)
    assert suspicions(to_potency(values, unit), pairs, unit) == ()
    (note,) = suspicions(to_potency(values * factor, unit, (-12, 12)), pairs, unit)
    assert note.count == len(pairs)
    assert f"10^{round(abs(np.log10(factor)))}" in note.what


@pytest.mark.parametrize("by", ["row", "cell_id"])
@pytest.mark.parametrize("share", [0.03, 0.1, 0.5])
@pytest.mark.parametrize("factor", [1e3, 1e-3, 1e6])
def test_rows_or_lines_in_another_unit_are_suspicious(factor: float, share: float, by: str) -> None:
    potencies, pairs = _screen(0)
    groups = pairs.assign(row=np.arange(len(pairs)))[by].to_numpy()
    names = np.unique(groups)
    other = np.isin(groups, np.random.default_rng(1).permutation(names)[: int(share * len(names))])
    mixed = to_potency(10**-potencies * np.where(other, factor, 1), "um", (-12, 12))
    (note,) = suspicions(mixed, pairs, "um")
    assert "suspicious unit um" in note.what
    if share < 0.5:  # with half, medians lie between both
        assert f"10^{round(abs(np.log10(factor)))} off" in note.what
        assert note.examples.split(", ")[0] in {f"{cell}/{drug}" for cell, drug in pairs[other].to_numpy()}


def _screen(mean: float) -> tuple[np.ndarray, pd.DataFrame]:
    """Potencies of 100 lines and 20 drugs that differ, with the spread of real screens."""
    rng = np.random.default_rng(0)
    lines, drugs = np.repeat(np.arange(100), 20), np.tile(np.arange(20), 100)
    potency = mean + rng.normal(0, 1, 20)[drugs] + rng.normal(0, 0.4, 100)[lines] + rng.normal(0, 0.5, 2000)
    return potency, pd.DataFrame({"cell_id": lines.astype(str), "drug_id": drugs.astype(str)})


def test_a_cap_does_not_hide_a_wrong_unit(tmp_path: Path) -> None:
    options = write_panel(tmp_path)["source"]
    path = tmp_path / SOURCE_RESPONSES
    path.write_bytes(
        column(2, lambda cell: cell if cell == "ln_ic50" else repr(float(cell) + math.log(1e3)))(path.read_bytes())
    )
    options["responses"]["cap"] = math.log(8)
    screen = tidy_screen(options, tmp_path)
    assert screen.responses.censored.all()
    (note,) = [note for note in screen.notes if "suspicious" in note.what]
    assert "10^3" in note.what


@pytest.mark.parametrize(("transform", "scale", "words"), [("none", 100, "not been taken"), ("log2p1", 1, "taken already")])
def test_expression_that_seems_logged_twice_or_never_is_suspicious(
    tmp_path: Path, transform: str, scale: float, words: str
) -> None:
    numbers = scale * np.random.default_rng(0).uniform(0, 15, (3, 120))
    write_rows(tmp_path / "e.csv", ["line", *(f"G{n}" for n in range(120))], [[n, *row] for n, row in enumerate(numbers)])
    given = {"path": "e.csv", "id_column": "line"}
    (note,) = read_expression(ExpressionFile(**given, transform=transform), tmp_path)[1]  # type: ignore[arg-type]
    assert f"suspicious transform {transform}" in note.what
    assert words in note.what
    other = "log2p1" if transform == "none" else "none"
    assert read_expression(ExpressionFile(**given, transform=other), tmp_path)[1] == ()  # type: ignore[arg-type]


def test_all_problems_of_several_files_are_collected_with_their_places(tmp_path: Path) -> None:
    options = write_panel(tmp_path)
    for name, damage in (
        (SOURCE_RESPONSES, swap("1001,11,4.0", "1001,11,high")),
        (SOURCE_RESPONSES, swap("1002,11,", "9999,11,")),
        (SOURCE_RESPONSES, swap("1003,12,", "1003,99,")),
        (SOURCE_DRUGS, swap("c1ccccc1", "c1ccccc")),
        (SOURCE_CELLS, swap("1002,L2", "1002,L1")),
        (TARGET_RESPONSES, swap("ALPHA,ethanol,0.125", "ALPHA,ethanol,-1")),
        ("target/expression.csv", swap("A-1,5", "A-1,five")),
    ):
        path = tmp_path / name
        path.write_bytes(damage(path.read_bytes()))
    with collecting() as problems:
        tidy_study(**options)
    assert {problem.where for problem in problems} == {
        "SRC responses", "SRC drugs", "SRC cells", "TGT responses", "TGT expression",
    }  # fmt: skip
    assert len(problems) == 7
    assert any("line 2: 'high'" in problem.message for problem in problems)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    root = tmp_path_factory.mktemp("clean")
    return root, write_panel(root)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from([SOURCE_EXPRESSION, SOURCE_RESPONSES, SOURCE_DRUGS, SOURCE_CELLS, TARGET_RESPONSES, TARGET_CELLS]),
    place=st.floats(0, 1),
    length=st.integers(0, 6),
    inserted=st.binary(max_size=6) | st.sampled_from([b",", b"\n", b'"', b"\r", b"\x00", b"nan", b"-1e999", b"\xff"]),
)
def test_any_damage_ends_in_a_study_or_in_one_of_our_errors(
    clean: tuple[Path, dict[str, Any]], name: str, place: float, length: int, inserted: bytes
) -> None:
    root, options = clean
    path, kept = root / name, root / f"{name}.kept"
    shutil.copy(path, kept)
    try:
        content = path.read_bytes()
        start = int(place * len(content))
        path.write_bytes(content[:start] + inserted + content[start + length :])
        try:
            study: Study | None = tidy_study(**options)
        except DadspError:
            study = None
        if study is not None:
            assert np.isfinite(study.source.responses.potency).all()
            assert np.isfinite(study.target.cells.expression).all()
    finally:
        shutil.move(kept, path)
