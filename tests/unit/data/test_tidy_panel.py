"""Response panels from files: kinds, signs, and rows that cannot be used."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dadsp.data.sources.tidy_panel import tidy_panel
from dadsp.errors import ConfigError, MissingIdsError, SchemaError, UnitsError
from tests.support.raw_files import edit, write_rows

LINES = {"A-1": "ALPHA", "A-2": "BETA", "A-3": "GAMMA"}


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """Three lines (other names in the responses) × two genes; two drugs, a pair of an unknown line, an EC50 missing."""
    write_rows(
        tmp_path / "expression.csv", ["id", "TP53", "EGFR"], [[line, row, 2.5 - row] for row, line in enumerate(LINES)]
    )
    rows = [
        ["ALPHA", "beta-drug", 1.5, 10, 0.1, -90],
        ["BETA", "beta-drug", 0.5, 8, "", -20],
        ["ALPHA", "alpha-drug", 2.5, 0.01, 1, -50.5],
        ["GAMMA", "alpha-drug", 0.25, 1, 10, 3],
        ["OMEGA", "alpha-drug", 9, 9, 9, 9],
    ]
    write_rows(tmp_path / "responses.csv", ["line", "drug", "AA", "IC50 (uM)", "EC50", "Amax"], rows)
    write_rows(tmp_path / "lines.csv", ["name", "id"], [[name, line] for line, name in LINES.items()])
    return {
        "root": tmp_path,
        "name": "CCLE",
        "response": "ActArea",
        "expression": {"path": "expression.csv", "id_column": "id"},
        "responses": {
            "path": "responses.csv",
            "columns": {"cell_id": "line", "drug_id": "drug"},
            "kinds": {
                "ActArea": {"column": "AA"},
                "IC50": {"column": "IC50 (uM)", "scale": "neg_log10"},
                "EC50": {"column": "EC50", "scale": "neg_log10"},
                "Amax": {"column": "Amax", "scale": "negated"},
            },
            "on_missing_expression": "drop",
            "on_missing_value": "drop",
        },
        "id_map": {"path": "lines.csv", "columns": {"response_id": "name", "expression_id": "id"}},
    }


GAP = np.nan


@pytest.mark.parametrize(
    ("response", "written", "values"),
    [
        ("ActArea", "ActArea", [[2.5, 1.5], [GAP, 0.5], [0.25, GAP]]),
        ("IC50", "−log10 IC50", [[2, -1], [GAP, -np.log10(8)], [0, GAP]]),
        ("EC50", "−log10 EC50", [[0, 1], [GAP, GAP], [-1, GAP]]),
        ("Amax", "−Amax", [[50.5, 90], [GAP, 20], [-3, GAP]]),
    ],
)
def test_every_kind_is_turned_so_that_higher_is_more_sensitive(
    options: dict[str, Any], response: str, written: str, values: list[list[float]]
) -> None:
    panel = tidy_panel(**{**options, "response": response})
    assert panel.response == written
    assert panel.drugs.ids == ("alpha-drug", "beta-drug")
    assert panel.cells.ids == tuple(LINES)
    assert np.allclose(panel.values, np.array(values, dtype=np.float32), equal_nan=True)
    assert np.array_equal(panel.cells.expression, np.array([[0, 2.5], [1, 1.5], [2, 0.5]], dtype=np.float32))


def test_rows_left_out_are_counted(options: dict[str, Any]) -> None:
    notes = {note.what: (note.count, note.examples) for note in tidy_panel(**{**options, "response": "EC50"}).notes}
    assert notes["responses of 5 that have no value left out"] == (1, "line 3")
    assert notes["responses of 4 that name cell lines without expression (1 different ones) left out"] == (1, "OMEGA")


@pytest.mark.parametrize(
    ("option", "response", "error"),
    [("on_missing_expression", "ActArea", MissingIdsError), ("on_missing_value", "EC50", SchemaError)],
)
def test_rows_are_refused_where_options_say_so(options: dict[str, Any], option: str, response: str, error: type) -> None:
    options["responses"][option] = "error"
    with pytest.raises(error, match=rf"responses\.{option}: drop"):
        tidy_panel(**{**options, "response": response})


def test_unknown_kind_of_response_is_refused_with_the_known_ones(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"panel\.response='ActAera' is not a valid choice\. Did you mean 'ActArea'"):
        tidy_panel(**{**options, "response": "ActAera"})


def test_unknown_key_is_refused(options: dict[str, Any]) -> None:
    options["responses"]["colums"] = {}
    with pytest.raises(ConfigError, match=r"panel\.responses\.colums is not a known key"):
        tidy_panel(**options)


def test_concentration_that_is_not_positive_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UnitsError, match=r"3 of 4 values of 'Amax' are zero or negative.*scale: plain or negated"):
        tidy_panel(**{**options, "responses": with_scale(options["responses"], "Amax", "neg_log10"), "response": "Amax"})


def with_scale(responses: dict[str, Any], kind: str, scale: str) -> dict[str, Any]:
    return {**responses, "kinds": {**responses["kinds"], kind: {**responses["kinds"][kind], "scale": scale}}}


def test_repeated_pair_is_refused_by_name(options: dict[str, Any]) -> None:
    edit(options["root"] / "responses.csv", "BETA,beta-drug", "ALPHA,beta-drug")
    with pytest.raises(SchemaError, match=r"1 of 4 rows repeat a \(line, drug\) pair \(e\.g\. ALPHA/beta-drug\)"):
        tidy_panel(**options)


def test_panel_whose_id_map_translates_nothing_is_refused_with_both_sides(options: dict[str, Any]) -> None:
    for name in LINES.values():
        path = options["root"] / "lines.csv"
        edit(path, name, f"no {name}")
    with pytest.raises(
        MissingIdsError, match=r"lines\.csv: none of the 4 line ids .*ALPHA.* stands in 'name' \(e\.g\. no ALPHA"
    ):
        tidy_panel(**options)


def test_root_that_is_not_set_names_the_panel(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"panel\.root is not set"):
        tidy_panel(**{**options, "root": None})


def test_content_hash_follows_values_and_response(options: dict[str, Any]) -> None:
    hashes = {tidy_panel(**{**options, "response": kind}).content_hash for kind in options["responses"]["kinds"]}
    assert len(hashes) == 4
    before = tidy_panel(**options).content_hash
    edit(options["root"] / "responses.csv", "alpha-drug,2.5", "alpha-drug,2.25")
    assert tidy_panel(**options).content_hash != before
