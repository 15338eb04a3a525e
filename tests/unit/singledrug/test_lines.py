"""Which lines of a panel a drug's model learns from, and panels that cannot be learned."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dadsp.errors import ConfigError, SchemaError
from dadsp.schema import ResponsePanel
from dadsp.singledrug.lines import chosen_drugs, drug_lines
from dadsp.singledrug.selection import SelectionOptions
from dadsp.singledrug.settings import SingleDrugOptions
from tests.support.panels import small_panel

OPTIONS = SingleDrugOptions(selection=SelectionOptions(n_genes=10))


def with_values(panel: ResponsePanel, drug: int, values: Any) -> ResponsePanel:
    altered = panel.values.copy()
    altered[:, drug] = values
    return replace(panel, values=altered)


def test_only_measured_lines_are_taken_with_their_own_expression() -> None:
    panel = small_panel()
    lines = drug_lines(panel, 1)
    assert lines.cell_ids == panel.cells.ids[1:]
    assert np.array_equal(lines.expression, panel.cells.expression[1:])
    assert np.array_equal(lines.response, panel.values[1:, 1])
    assert lines.causal_genes == ("G2", "G3")


@pytest.mark.parametrize(
    ("drug", "rows"), [("all", [0, 1]), ("drug/1", [1]), (["drug/1", "drug/0"], [1, 0]), (["drug/1", "drug/1"], [1])]
)
def test_drugs_are_named_one_by_one_or_all(drug: object, rows: list[int]) -> None:
    assert chosen_drugs(small_panel(), drug, OPTIONS) == rows


@pytest.mark.parametrize(
    ("drug", "message"),
    [
        ("drug/7", r"1 of 1 names are no drugs of SMALL \(drug/7\).*drug/0"),
        ([], "no drug is named"),
        (5, "no drugs of SMALL"),
    ],
)
def test_unknown_drugs_are_refused_with_the_known_ones(drug: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen_drugs(small_panel(), drug, OPTIONS)


def test_more_genes_than_the_panel_has_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"selection\.n_genes=1000, but SMALL has 30 genes\. Set it to fewer, or to null"):
        chosen_drugs(small_panel(), "all", SingleDrugOptions(selection=SelectionOptions(n_genes=1000)))


def test_by_default_half_of_the_genes_are_selected_and_the_papers_thousand_at_most() -> None:
    assert chosen_drugs(small_panel(), "all", SingleDrugOptions()) == [0, 1]
    assert [SelectionOptions().kept(n) for n in (1, 30, 2000, 56_318)] == [1, 15, 1000, 1000]


def test_drug_with_few_lines_is_refused_by_name() -> None:
    panel = small_panel()
    few = with_values(panel, 0, np.where(np.arange(60) < 10, panel.values[:, 0], np.nan))
    with pytest.raises(SchemaError, match=r"1 of 2 drugs have fewer than 30 measured lines.*drug/0"):
        chosen_drugs(few, "all", OPTIONS)
    assert chosen_drugs(few, "drug/1", OPTIONS) == [1]


def test_drug_with_one_response_for_all_lines_is_refused_by_name() -> None:
    with pytest.raises(SchemaError, match=r"1 of 2 drugs have one ActArea for all lines \(e\.g\. drug/1\)"):
        chosen_drugs(with_values(small_panel(), 1, 2.0), "all", OPTIONS)
