"""Options of single-drug networks that make no sense are refused."""

from typing import Any

import pytest

from dadsp.errors import ConfigError
from dadsp.options import validated
from dadsp.singledrug.settings import SingleDrugOptions


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("network", "fixed_widths", [0]),
        ("network", "fixed_widths", [3, -1]),
        ("network", "fixed_widths", [10**9]),
        ("network", "fixed_widths", []),
        ("protocol", "methods", []),
        ("protocol", "methods", ["mean", "mean"]),
        ("protocol", "gene_sets", []),
        ("protocol", "selection_scopes", []),
        ("selection", "step", 2.5),
        ("selection", "step", float("inf")),
        ("selection", "step", 0),
    ],
)
def test_an_option_without_sense_is_named(part: str, key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=key):
        validated(SingleDrugOptions, {part: {key: value}}, "")


@pytest.mark.parametrize("step", [0.05, 1, 2, 30])
def test_a_share_and_a_count_of_genes_are_both_taken(step: float) -> None:
    assert validated(SingleDrugOptions, {"selection": {"step": step}}, "").selection.step == step
