"""What a prediction table says beside labels and predictions: the source's own view of a pair, intervals, what was seen."""

from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest

from dadsp.errors import SchemaError
from dadsp.models.base import Arrays, FitContext, Predictor, predict_split
from dadsp.models.source_labels import with_source_labels
from dadsp.models.systems.naive import Naive
from dadsp.schema import OPTIONAL_COLUMNS, PREDICTION_COLUMNS, FloatArray, Pairs, PredictionTable, Split, Study
from dadsp.splits.cross_screen import cross_screen
from dadsp.splits.within import within
from tests.support.studies import small_study


class Constant(Predictor):
    """Predicts one number; with ``earlier`` it says that it learned from validation pairs too."""

    name = "constant"

    def __init__(self, value: float, earlier: "Constant | None" = None, learns: bool = False) -> None:
        self.value, self.earlier, self.learns_from_validation = value, earlier, learns

    def _fit(self, study: Study, split: Split, context: FitContext) -> None:
        pass

    def predict(self, pairs: Pairs) -> FloatArray:
        return np.full(len(pairs), self.value, dtype=np.float32)

    def interval(self, pairs: Pairs, level: float = 0.9) -> tuple[FloatArray, FloatArray]:
        half = np.full(len(pairs), level, dtype=np.float32)
        return self.value - half, self.value + half

    def without_validation_labels(self) -> Predictor:
        return self.earlier or self

    def state(self) -> tuple[dict[str, Any], Arrays]:
        return {}, {}

    @classmethod
    def from_state(cls, facts: dict[str, Any], arrays: Arrays) -> Self:
        return cls(0)


@pytest.fixture
def study() -> Study:
    return small_study()


@pytest.fixture
def split(study: Study) -> Split:
    return cross_screen(study, seed=0)


def test_columns_that_an_old_table_lacks_are_filled_in(study: Study, split: Split) -> None:
    frame = predict_split(Naive("mean").fit(study, split), study, split).frame
    old = PredictionTable(frame[list(PREDICTION_COLUMNS)]).frame
    assert list(old.columns) == [*PREDICTION_COLUMNS, *OPTIONAL_COLUMNS]
    assert old["cell_profiled"].tolist() == old["cell_seen"].tolist()
    assert old[["y_source", "y_low", "y_high"]].isna().all(axis=None)
    both = PredictionTable(pd.concat([frame, frame[list(PREDICTION_COLUMNS)]])).frame
    assert both["cell_profiled"].tolist() == [*frame["cell_profiled"], *frame["cell_seen"]]


@pytest.mark.parametrize("ends", [(1.0, 0.0), (0.0, np.nan)])
def test_half_or_crossed_intervals_are_refused(study: Study, split: Split, ends: tuple[float, float]) -> None:
    frame = predict_split(Naive("mean").fit(study, split), study, split).frame
    with pytest.raises(SchemaError, match="intervals lack an end"):
        PredictionTable(frame.assign(y_low=ends[0], y_high=ends[1]))


def test_y_source_is_the_mean_of_the_sources_labels_even_of_rows_that_the_split_left_out(study: Study) -> None:
    drugs = study.source.drugs
    twice = replace(drugs, structure_keys=(drugs.structure_keys[1], *drugs.structure_keys[1:]))  # drug 0 re-screens drug 1
    study = replace(study, source=replace(study.source, drugs=twice))
    split = cross_screen(study, seed=0, overlap="drop_lines")
    frame = predict_split(Constant(0), study, split).frame
    label = {
        (row.cell_idx, row.drug_idx): row.potency
        for row in pd.DataFrame(vars(study.source.responses)).astype({"potency": float}).itertuples()
    }
    expected = []
    for cell_id, drug_id in frame.loc[frame["split"] == "test", ["cell_id", "drug_id"]].itertuples(index=False):
        cell, drug = int(cell_id.removeprefix("TGT-line")), int(drug_id.removeprefix("TGT-drug"))
        if cell >= 4 or drug == 0:
            expected.append(np.nan)
        else:
            expected.append(float(np.mean([label[cell, each] for each in ((0, 1) if drug == 1 else (drug,))])))
    test = frame[frame["split"] == "test"]
    np.testing.assert_allclose(test["y_source"], expected, rtol=1e-12)
    assert not test["cell_seen"].any()
    assert test["cell_profiled"].tolist() == [int(name.removeprefix("TGT-line")) < 4 for name in test["cell_id"]]
    assert frame.loc[frame["split"] == "val", "y_source"].isna().all()
    assert frame.loc[frame["split"] == "val", "cell_profiled"].all()


def test_no_target_label_reaches_y_source_or_what_is_seen(study: Study, split: Split) -> None:
    responses = study.target.responses
    poisoned = replace(study.target, responses=replace(responses, potency=responses.potency * -3 + 100))
    first, second = (predict_split(Constant(0), each, split).frame for each in (study, replace(study, target=poisoned)))
    pd.testing.assert_frame_equal(first.drop(columns="y_true"), second.drop(columns="y_true"))


def test_inside_one_screen_there_is_no_label_of_another(study: Study) -> None:
    one = study.within("source")
    split = within(one, seed=0, kind="pair", scope="source")
    assert predict_split(Constant(0), one, split).frame["y_source"].isna().all()


def test_what_validation_taught_counts_as_seen_in_the_test_and_not_in_validation(study: Study, split: Split) -> None:
    naive = predict_split(Constant(0), study, split).frame
    after = Constant(2, earlier=Constant(1), learns=True)
    frame = predict_split(after, study, split).frame
    val = frame["split"] == "val"
    assert set(frame.loc[val, "y_pred"]) == {1}
    assert set(frame.loc[~val, "y_pred"]) == {2}
    assert frame.loc[val, "cell_seen"].tolist() == naive.loc[val, "cell_seen"].tolist()
    responses, links = study.source.responses, study.source.cells.link_ids
    learned = {links[row] for row in responses.cell_idx[[*split.train_idx, *split.val_idx]]} - {None}
    names = frame.loc[~val, "cell_id"].str.removeprefix("TGT-line")
    assert frame.loc[~val, "cell_seen"].tolist() == [f"L{name}" in learned for name in names]
    assert frame.loc[val, "y_low"].to_numpy() == pytest.approx(0.1)
    assert frame.loc[~val, "y_high"].to_numpy() == pytest.approx(2.9)
    kept = predict_split(Constant(2, learns=True), study, split).frame  # no earlier self: its validation pairs are seen
    assert kept.loc[val, ["cell_seen", "pair_seen"]].all(axis=None)


def test_the_columns_join_into_a_table_made_without_them(study: Study, split: Split) -> None:
    table = predict_split(Constant(0), study, split)
    old = PredictionTable(table.frame[list(PREDICTION_COLUMNS)].sample(frac=1, random_state=0))
    joined = with_source_labels(old, study).frame.sort_values(["split", "cell_id", "drug_id"], ignore_index=True)
    expected = table.frame.sort_values(["split", "cell_id", "drug_id"], ignore_index=True)
    pd.testing.assert_frame_equal(joined.drop(columns=["y_low", "y_high"]), expected.drop(columns=["y_low", "y_high"]))
    with pytest.raises(SchemaError, match=r"name lines or drugs that SRC lacks \(e.g. nobody"):
        with_source_labels(PredictionTable(old.frame.assign(cell_id="nobody")), study)
