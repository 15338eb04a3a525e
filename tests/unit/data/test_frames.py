"""A screen from tables in memory is the one that files would give, and is refused in the same words."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import dadsp
from dadsp.errors import ConfigError, DadspError, SchemaError
from dadsp.schema import Screen
from tests.support.studies import SMILES


@pytest.fixture
def frames() -> dict[str, pd.DataFrame]:
    """Three lines, two drugs, six pairs, one of them censored."""
    random = np.random.default_rng(0)
    lines = ["L1", "L2", "L3"]
    return {
        "expression": pd.DataFrame(random.normal(size=(3, 4)), columns=list("ABCD")).assign(cell_id=lines),
        "responses": pd.DataFrame(
            {
                "cell_id": lines * 2,
                "drug_id": ["D1"] * 3 + ["D2"] * 3,
                "value": [0.1, 1.0, 10.0, 0.5, 5.0, 8.0],
                "relation": ["="] * 5 + [">"],
            }
        ),
        "drugs": pd.DataFrame({"drug_id": ["D1", "D2"], "smiles": SMILES[:2], "name": ["ethanol", "acid"]}),
        "cells": pd.DataFrame({"cell_id": lines, "link_id": ["X1", None, "X3"], "tissue": ["lung", "skin", None]}),
    }


def test_labels_are_minus_log10_of_micromolar_and_censored_where_the_table_says_so(frames: dict[str, Any]) -> None:
    screen: Screen = dadsp.screen("mine", **frames)
    assert screen.responses.potency == pytest.approx([1.0, 0.0, -1.0, -np.log10(0.5), -np.log10(5), -np.log10(8)])
    assert screen.responses.censored.tolist() == [False] * 5 + [True]
    assert screen.cells.link_ids == ("X1", None, "X3")
    assert screen.drugs.names == ("ethanol", "acid")
    assert repr(screen) == "<mine: 3 lines × 4 genes, 2 drugs, 6 pairs>"


def test_numbers_may_be_ids_and_another_measure_needs_no_unit(frames: dict[str, Any]) -> None:
    for table in ("expression", "responses", "cells"):
        frames[table]["cell_id"] = frames[table]["cell_id"].str[1:].astype(int)
    frames["responses"]["value"] /= 10
    screen = dadsp.screen("mine", **frames, measure="aac")
    assert screen.cells.ids == ("1", "2", "3")
    assert screen.measure == "aac"


@pytest.mark.parametrize(
    ("table", "change", "kind", "message"),
    [
        ("responses", lambda frame: frame.drop(columns="value"), SchemaError, "^responses has no column 'value'"),
        ("responses", lambda frame: frame.assign(value="high"), SchemaError, "^responses: 6 of 6"),
        ("responses", lambda frame: frame.assign(cell_id="L9"), DadspError, "without expression|not in"),
        ("expression", lambda frame: frame.assign(A=np.nan), SchemaError, "^expression: 3 of 12 values"),
        ("expression", lambda frame: frame.to_numpy(), SchemaError, "expression is a ndarray, not a data frame"),
        ("drugs", lambda frame: frame.drop(columns="smiles"), SchemaError, "^drugs has no column 'smiles'"),
        (
            "drugs",
            lambda frame: frame.assign(drug_id=[1.5, 2.0]),
            SchemaError,
            "^drugs: the column 'drug_id' holds fractions",
        ),
        ("drugs", lambda frame: frame.assign(drug_id=[True, False]), SchemaError, "^drugs: .*'drug_id' holds truth values"),
        ("drugs", lambda frame: frame.assign(smiles=["CCO", 5]), SchemaError, "^drugs: 1 of 2 SMILES are not valid"),
        (
            "cells",
            lambda frame: frame.assign(cell_id=pd.to_datetime(["2023-09-02"] * 3)),
            SchemaError,
            "^cells: .* holds dates",
        ),
        ("responses", lambda frame: frame.assign(value=True), SchemaError, "^responses: 6 of 6 values of 'value'"),
        ("responses", lambda frame: frame.assign(value="1_000"), SchemaError, "^responses: 6 of 6 .*underscores"),
        ("expression", lambda frame: frame.set_index("cell_id"), SchemaError, r"^expression has .* an index of this name"),
        (
            "expression",
            lambda frame: frame.set_axis([0, 1, 2, 3, "cell_id"], axis=1),
            SchemaError,
            "all 4 genes are named by numb",
        ),
        (
            "expression",
            lambda frame: pd.concat([frame, frame[["A"]]], axis=1),
            SchemaError,
            "1 columns stand more than once",
        ),
    ],
)
def test_what_is_wrong_is_told_by_the_name_of_the_table(
    table: str, change: Any, kind: type[DadspError], message: str, frames: dict[str, Any]
) -> None:
    frames[table] = change(frames[table])
    with pytest.raises(kind, match=message) as told:
        dadsp.screen("mine", **frames)
    assert "/tmp" not in str(told.value)


def test_unknown_option_is_named_with_the_nearest(frames: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"replicate is not a known key.*replicates"):
        dadsp.screen("mine", **frames, replicate="median")
