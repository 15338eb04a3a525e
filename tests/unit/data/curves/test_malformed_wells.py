"""Tables of wells that are not what they were declared to be: one clear line each, or a note."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dadsp.cli.main import main
from dadsp.data.curves.table import fitted_table
from dadsp.data.problems import attempt, collecting
from dadsp.data.sources.response_file import ResponseFile
from dadsp.errors import ConfigError, DadspError, SchemaError, UnitsError
from dadsp.options import validated
from tests.support.wells import COLUMNS, FIT, file_of, planted, some_lines

Change = Callable[[pd.DataFrame], pd.DataFrame]
Options = dict[str, Any]


def put(column: str, rows: Any, value: Any) -> Change:
    """A change that writes a value, or a function of what stands there, into some cells."""

    def change(wells: pd.DataFrame) -> pd.DataFrame:
        wells = wells.astype({column: object})
        cells = wells.loc[rows, column]
        wells.loc[rows, column] = cells.map(value) if callable(value) else value
        return wells

    return change


def all_of(column: str, value: Callable[[Any], Any]) -> Change:
    return lambda wells: wells.assign(**{column: value(wells[column])})


REFUSED: list[tuple[str, Change, Options, type[DadspError], str]] = [
    (
        "a negative dose",
        put("dose", [3], -1.0),
        {},
        UnitsError,
        r"1 of 84 doses are negative, which none in um can be \(e\.g\. line 5: -1\)\. Logarithms\? Set fit\.dose_unit",
    ),
    ("logarithms as doses", all_of("dose", np.log10), {}, UnitsError, r"4\d of \d+ doses are negative.*log10_um or ln_um"),
    (
        "doses as logarithms",
        all_of("dose", lambda dose: dose * 10),
        {"fit": {"dose_unit": "log10_um"}},
        UnitsError,
        r"\d+ of 84 doses read as log10_um lie beyond 0\.1 fM to 10 M \(e\.g\. line \d+: ",
    ),
    (
        "doses as ln",
        all_of("dose", lambda dose: dose * 10),
        {"fit": {"dose_unit": "ln_um"}},
        UnitsError,
        "read as ln_um lie",
    ),
    (
        "percent",
        all_of("viability", lambda y: 100 * y),
        {},
        UnitsError,
        r"the median of 84 responses is 51\.5\d+, which no viability can be .*Set fit\.response: viability_percent\.",
    ),
    (
        "fractions as percent",
        lambda wells: wells,
        {"fit": {"response": "viability_percent"}},
        UnitsError,
        r"too close to 0 for viability_percent\. Fractions\? Set fit\.response: viability\.",
    ),
    (
        "fractions as inhibition in percent",
        all_of("viability", lambda y: 1 - y),
        {"fit": {"response": "inhibition_percent"}},
        UnitsError,
        r"Set fit\.response: inhibition\.",
    ),
    (
        "signals",
        all_of("viability", lambda y: 12000 * y),
        {},
        UnitsError,
        r"the median of 84 responses is 6184\.9\d*.*Signals must first be divided by those of untreated wells",
    ),
    (
        "one dose",
        lambda wells: wells[wells["dose"] == 1],
        {},
        SchemaError,
        r"12 of 12 curves have fewer than 4 different doses \(e\.g\. L0/A, L1/A, L2/A, …\)\. Set fit\.drop: \[few_doses\]",
    ),
    ("two doses", lambda wells: wells[wells["dose"] > 2], {}, SchemaError, "12 of 12 curves have fewer than 4"),
    ("a single short curve", lambda wells: wells.drop(index=range(5)), {}, SchemaError, r"1 of 12 curves .*\(e\.g\. L0/A\)"),
    (
        "one dose written in two ways",
        lambda wells: pd.concat([wells[wells["dose"] >= 1], put("dose", range(84), 1.00000001)(wells)[:7]]),
        {},
        SchemaError,
        "12 of 12 curves have fewer than 4",
    ),
    (
        "an empty response",
        put("viability", [2], None),
        {},
        SchemaError,
        r"1 of 84 wells have no dose or no response \(e\.g\. line 4\)\..*on_missing_value: drop",
    ),
    ("an empty dose", put("dose", [2, 3], None), {}, SchemaError, r"2 of 84 wells have no dose .*line 4, line 5"),
    (
        "all replicates missing",
        put("viability", range(7), None),
        {},
        SchemaError,
        r"7 of 84 wells have no dose or no response",
    ),
    (
        "no response at all",
        put("viability", range(84), None),
        {"on_missing_value": "drop"},
        SchemaError,
        "no well has both a dose and a response",
    ),
    ("infinite", put("viability", [2], "Inf"), {}, SchemaError, r"1 of 84 values of 'viability' .*line 4: 'Inf'"),
    ("a bound", put("viability", [2], ">1"), {}, SchemaError, r"1 of 84 values of 'viability' .*line 4: '>1'"),
    ("decimal commas", put("viability", [2], "0,5"), {}, SchemaError, r"line 4: '0,5'"),
    ("a combination", put("dose", [2], "1+10"), {}, SchemaError, r"1 of 84 values of 'dose' .*line 4: '1\+10'"),
    ("a dose with its unit", put("dose", [2], "1 uM"), {}, SchemaError, r"line 4: '1 uM'"),
    ("a ladder of doses in a cell", put("dose", [2], ".0025;.008"), {}, SchemaError, r"line 4: '\.0025;\.008'"),
    (
        "another unit by row",
        lambda wells: wells.assign(u=["uM"] * 80 + ["nM"] * 4),
        {"columns": {"unit": "u"}},
        UnitsError,
        r"4 of 84 rows are not in the declared um \(4 in nM\)\. .*correct responses\.fit\.dose_unit",
    ),
    (
        "a replicate twice",
        lambda wells: pd.concat([wells, wells[:3]]).assign(plate=1),
        {"columns": {"replicate": "plate"}},
        SchemaError,
        r"3 of 87 wells repeat a replicate of the same line, drug and dose \(e\.g\. line 86, line 87, line 88\)",
    ),
    ("no rows", lambda wells: wells[:0], {}, SchemaError, "has a header but no rows"),
    ("no column of doses", lambda wells: wells.drop(columns="dose"), {}, SchemaError, "has no column 'dose' for dose"),
    ("only controls", lambda wells: wells.assign(dose=0), {}, SchemaError, "all of 84 wells have the dose 0"),
    ("a well without a line", put("line", [5], None), {}, SchemaError, r"1 of 84 rows have no 'line' \(e\.g\. line 7\)"),
    (
        "no dose in the range",
        lambda wells: wells,
        {"fit": {"range": [100, 1000]}},
        UnitsError,
        r"12 of 12 curves have no dose inside fit\.range",
    ),
    (
        "a range of a drug that is not there",
        lambda wells: wells,
        {"fit": {"range": {"C": [0.1, 1]}}},
        ConfigError,
        r"fit\.range names 1 drugs that .* lacks \(e\.g\. C\)\. Valid: A, B",
    ),
    (
        "shared with nobody",
        lambda wells: wells,
        {"fit": {"range": "shared"}},
        ConfigError,
        "needs the two screens of a study",
    ),
    (
        "nothing left",
        lambda wells: wells,
        {"fit": {"drop": ["few_doses"], "min_doses": 9}},
        SchemaError,
        "none of 12 curves is left",
    ),
]


@pytest.mark.parametrize(("change", "options", "kind", "message"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED])
def test_a_wrong_table_is_refused_in_one_line(
    tmp_path: Path, change: Change, options: Options, kind: type[DadspError], message: str
) -> None:
    file = file_of(tmp_path, change(planted(some_lines())), **options)
    with pytest.raises(kind, match=message) as caught:
        fitted_table(file, Path())
    assert "\n" not in str(caught.value)
    assert "wells.csv" in str(caught.value) or kind is ConfigError
    with collecting() as problems:  # the same, and nothing that only follows from it
        attempt("S responses", lambda: fitted_table(file, Path()))
    assert [problem.message for problem in problems] == [str(caught.value)]


NOTED: list[tuple[str, Change, Options, str, int]] = [
    (
        "controls",
        lambda w: pd.concat([w, w[:6].assign(dose=0, viability=1.0)]),
        {},
        "wells of 90 at dose 0 taken for untreated",
        6,
    ),
    (
        "nM as µM",
        all_of("dose", lambda dose: 1000 * dose),
        {},
        "suspicious dose unit um: the median highest dose is 1e+04 µM",
        12,
    ),
    (
        "µM as nM",
        lambda w: w,
        {"fit": {"dose_unit": "nm"}},
        "suspicious dose unit nm: the median highest dose is 0.01 µM",
        12,
    ),
    ("µM as M", lambda w: w, {"fit": {"dose_unit": "m"}}, "suspicious dose unit m: ", 12),
    (
        "positive logarithms",
        all_of("dose", lambda dose: np.log10(1000 * dose)),
        {},
        "suspicious dose unit um: doses rise by equal steps, as if they were logarithms",
        1,
    ),
    (
        "a line in nM",
        lambda w: w.assign(dose=w["dose"] * np.where(w["line"] == "L1", 1000, 1)),
        {},
        "suspicious doses: drugs whose highest dose differs 100-fold or more between lines",
        2,
    ),
    (
        "part of a curve in nM",
        put("dose", [3, 4, 5], lambda dose: 1000 * dose),
        {},
        "suspicious doses: curves with neighbouring doses 100-fold or more apart",
        1,
    ),
    (
        "a line tested lower",
        lambda w: w[(w["line"] != "L1") | (w["dose"] < 2)],
        {},
        "drugs whose highest dose differs between lines",
        2,
    ),
    (
        "inhibition",
        all_of("viability", lambda y: 1 - y),
        {},
        "suspicious responses: 0 curves fall with the dose and more rise",
        12,
    ),
    ("viability as inhibition", lambda w: w, {"fit": {"response": "inhibition"}}, "as if inhibition were viability", 12),
    ("negative", put("viability", [3], -0.9), {}, "suspicious responses: wells of 84 with a viability outside -0.5 to 2", 1),
    ("far above", put("viability", [3, 9], 5.0), {}, "suspicious responses: wells of 84 with a viability outside", 2),
    (
        "exact repeats",
        lambda w: pd.concat([w, w[:3]]),
        {},
        "wells of 87 that repeat another in line, drug, dose and response",
        3,
    ),
    ("swapped wells", put("viability", [1, 5], lambda y: 0.61 if y < 0.2 else 0.02), {}, "flagged not_monotone, kept", 1),
    (
        "missing, dropped",
        put("viability", [2], None),
        {"on_missing_value": "drop"},
        "wells of 84 without a dose or a response",
        1,
    ),
    ("short, dropped", lambda w: w.drop(index=range(5)), {"fit": {"drop": ["few_doses"]}}, "flagged few_doses, left out", 1),
    (
        "doses and responses exchanged",
        lambda w: w.rename(columns={"dose": "viability", "viability": "dose"}),
        {},
        "suspicious responses: wells of 84",
        24,
    ),
]


@pytest.mark.parametrize(("change", "options", "what", "count"), [row[1:] for row in NOTED], ids=[row[0] for row in NOTED])
def test_what_may_be_meant_is_noted(tmp_path: Path, change: Change, options: Options, what: str, count: int) -> None:
    notes = fitted_table(file_of(tmp_path, change(planted(some_lines())), **options), Path()).notes
    assert [note.count for note in notes if what in note.what] == [count]


def test_a_sound_table_has_no_note(tmp_path: Path) -> None:
    assert fitted_table(file_of(tmp_path, planted(some_lines())), Path()).notes == ()


def test_all_faults_of_the_wells_are_named_at_once(tmp_path: Path) -> None:
    wells = put("dose", [3], -1.0)(put("viability", [9], None)(planted(some_lines())))
    with collecting() as problems:
        attempt("S responses", lambda: fitted_table(file_of(tmp_path, wells), Path()))
    assert [problem.message.split(": ")[1].split(" (")[0] for problem in problems] == [
        "1 of 84 wells have no dose or no response",
        "1 of 83 doses are negative, which none in um can be",
    ]


@pytest.mark.parametrize(
    ("column", "written"), [("dose", "{} uM"), ("dose", "1,5"), ("viability", "x"), ("line", ""), ("drug", "")]
)
def test_a_column_that_cannot_be_read_is_one_problem(tmp_path: Path, column: str, written: str) -> None:
    wells = all_of(column, lambda cells: [written.format(cell) for cell in cells])(planted(some_lines()))
    with collecting() as problems:
        attempt("S responses", lambda: fitted_table(file_of(tmp_path, wells), Path()))
    (problem,) = problems
    assert f"84 of 84 {'values of' if written else 'rows have no'} {column!r}" in problem.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fit": {"dose_unit": "µM"}}, r"fit\.dose_unit='µM' is not a valid choice\. .*um"),
        ({"fit": {"response": "viabilty"}}, r"Did you mean 'viability'\?"),
        ({"fit": {"range": [1, 0.1]}}, r"range=\[1, 0\.1\] is no range of doses"),
        ({"fit": {"bottom": [1, 0]}}, r"bottom=\[1, 0\] begins above its end"),
        ({"fit": {"slope": [-4, -0.1]}}, "slope is positive"),
        ({"fit": {"bottom": [0, 2]}}, "bottom lies above top"),
        ({"fit": {"min_doses": 2}}, "min_doses is 3 or more"),
        ({"fit": {"drop": ["flta"]}}, "flat"),
        ({"fit": None, "unit": "um"}, r"columns\.dose and columns\.replicate are of wells\. Set fit"),
        ({"columns": {"dose": None}}, r"fit needs columns\.dose"),
        ({"columns": {"relation": "r"}}, r"fit finds what was not reached"),
        ({"measure": "amax"}, "a fitted curve has no measure 'amax'"),
        ({"unit": "nm"}, r"labels of fit are in µM\. Leave unit=nm out; the doses' unit is fit\.dose_unit"),
        ({"measure": "auc", "full_area": 100}, "fit finds what was not reached"),
    ],
)
def test_impossible_options_are_refused(options: Options, message: str) -> None:
    fit = {**FIT, **(options.get("fit") or {})} if options.get("fit", {}) is not None else None
    node = {"path": "wells.csv", **options, "columns": {**COLUMNS, **options.get("columns", {})}, "fit": fit}
    with pytest.raises(ConfigError, match=message):
        validated(ResponseFile, node, "data.source.responses")


def test_the_command_writes_the_table_and_the_sheets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted(some_lines()).to_csv(tmp_path / "wells.csv", index=False)
    columns = [f"columns.{ours}={theirs}" for ours, theirs in COLUMNS.items()]
    given = [f"table={tmp_path}/wells.csv", f"out={tmp_path}/fits", *columns, "fit.dose_unit=um", "fit.response=viability"]
    assert main(["data", "fit", *given, "draw=5"]) == 0
    assert "12 curves of 6 lines, 2 drugs and 84 wells" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "fits").iterdir()}
    assert names == {"curves.csv", "curves.parquet", "curves.pdf", "curves.png", "curves.json"}
    written = pd.read_csv(tmp_path / "fits" / "curves.csv")
    assert written["ic50_um"].to_list() == pytest.approx(list(some_lines().values()), rel=1e-4)
    assert main(["data", "fit", *given, "draw=0"]) == 0  # no picture of earlier curves stays beside new ones
    assert {path.name for path in (tmp_path / "fits").iterdir()} == {"curves.csv", "curves.parquet", "curves.json"}
    capsys.readouterr()
    assert main(["data", "fit", *given[:-1], "fit.response=percent", "draw=0"]) == 2
    assert "error: fit.response='percent' is not a valid choice" in capsys.readouterr().err
    assert main(["data", "fit", *given, f"out={tmp_path}/wells.csv"]) == 2
    assert "wells.csv/curves.json: Not a directory. Choose a writable folder" in capsys.readouterr().err
    planted(some_lines()).assign(dose=np.nan).to_csv(tmp_path / "responses.fit.csv", index=False)
    assert main(["data", "fit", *given, f"table={tmp_path}/responses.fit.csv"]) == 2
    assert "responses.fit.csv: no well has both a dose and a response" in capsys.readouterr().err
    assert main(["data", "fit", *given, "draw=few"]) == 2
    assert "Give a number of curves, or all" in capsys.readouterr().err
    assert main(["data", "fit", *given[1:]]) == 2
    assert "table is required" in capsys.readouterr().err
