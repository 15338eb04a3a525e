"""Expression and drugs that a user hands in to be predicted, and models that cannot predict."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dadsp.data.new_pairs import refuse_impossible
from dadsp.data.table_files import Frame
from dadsp.errors import LoadError, SchemaError
from dadsp.models.base import load_model, save_model
from dadsp.models.prediction import Predicted, predict_new
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_screen, small_study

TINY = {
    "encoder_widths": (6, 4),
    "drug_widths": (4,),
    "regressor_widths": (4,),
    "pretraining": None,
}


@pytest.fixture(scope="module")
def model() -> DadspA:
    study = small_study()
    split = cross_screen(study, seed=0, val_fraction=0.2)
    return DadspA(training={"max_epochs": 1}, **TINY).fit(study, split)


def predict(model: DadspA, changed: dict[tuple[int, str], float]) -> Predicted:
    screen = small_study().target
    lines = pd.DataFrame(screen.cells.expression.astype(np.float64), columns=screen.genes)
    for (row, gene), value in changed.items():
        lines.loc[row, gene] = value
    lines.insert(0, "cell_id", list(screen.cells.ids))
    drugs = pd.DataFrame({"drug_id": screen.drugs.ids, "smiles": screen.drugs.smiles})
    pairs = pd.DataFrame({"cell_id": screen.cells.ids, "drug_id": screen.drugs.ids[0]})
    expression, structures = Frame("lines.csv", lines), Frame("drugs.csv", drugs)
    given: dict[str, Any] = {"expression": expression, "drugs": structures, "known": lambda: (screen, screen)}
    return predict_new(model, Frame("pairs.csv", pairs), **given, domain="target", on_unknown="error")


@pytest.mark.parametrize("value", [-99999.0, 1e38, 25431.0, float("inf"), float("nan")])
def test_a_value_that_no_line_can_have_is_refused_with_count_and_place(model: DadspA, value: float) -> None:
    with pytest.raises(SchemaError, match=r"lines.csv.*\b2 of 63.*TGT-line3/G2"):
        predict(model, {(3, "G2"): value, (5, "G6"): value})


def test_values_within_five_widths_of_the_training_range_are_predicted(model: DadspA) -> None:
    low, high = model.seen_range("target") or (0.0, 0.0)
    edge = np.float32(high + 5 * (high - low)) * np.float32(0.999)
    assert np.isfinite(predict(model, {(0, "G0"): float(edge)}).frame["ic50_um"]).all()
    with pytest.raises(SchemaError, match="impossible"):
        predict(model, {(0, "G0"): float(edge) * 1.01})


def test_the_range_is_that_of_the_lines_that_fitted_and_travels_with_the_model(model: DadspA, tmp_path: Path) -> None:
    study = small_study()
    split = cross_screen(study, seed=0, val_fraction=0.2)
    train = np.unique(study.source.responses.cell_idx[split.train_idx])
    expected = {
        "source": study.source.cells.expression[train],
        "target": study.target.cells.expression[split.adapt_cell_idx],
    }
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    for domain, values in expected.items():
        assert again.seen_range(domain) == (values.min(), values.max())  # type: ignore[arg-type]


def test_genes_that_the_model_does_not_read_are_not_judged() -> None:
    screen = small_screen("NEW", n_cells=3, n_drugs=2, n_genes=4, seed=0)
    screen.cells.expression[:, 3] = 1e6
    refuse_impossible(screen, ("G0", "G1", "not there"), (-3.0, 3.0), "lines.csv")
    with pytest.raises(SchemaError, match="3 of 3 values"):
        refuse_impossible(screen, ("G3",), (-3.0, 3.0), "lines.csv")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_saved_model_with_a_weight_that_is_no_number_is_refused(model: DadspA, tmp_path: Path, value: float) -> None:
    facts, arrays = model.state()
    name = next(name for name in arrays if name.startswith("network."))
    broken = arrays | {name: np.full_like(arrays[name], value)}
    damaged = replace_state(model, facts, broken)
    save_model(damaged, tmp_path)
    with pytest.raises(LoadError, match=rf"{arrays[name].size} of .* NaN or infinite.*{name}"):
        load_model(tmp_path)


def test_predictions_that_are_no_numbers_are_refused(model: DadspA) -> None:
    facts, arrays = model.state()
    damaged = replace_state(model, facts, arrays)
    damaged.labels = replace(model.labels, high=float("nan"))
    with pytest.raises(LoadError, match=r"9 of 9 predictions are NaN or infinite.*TGT-line0/TGT-drug0"):
        predict(damaged, {})
    damaged.labels = replace(model.labels, low=-1e30, high=-1e20)  # finite, but the IC50 is not
    with pytest.raises(LoadError, match="9 of 9"):
        predict(damaged, {})


def replace_state(model: DadspA, facts: dict[str, object], arrays: dict[str, np.ndarray]) -> DadspA:
    return DadspA.from_state(facts, {name: array.copy() for name, array in arrays.items()})
