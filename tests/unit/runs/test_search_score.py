"""A search goes by the score that it was told, in that score's direction."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dadsp.errors import ConfigError, DadspError
from dadsp.evaluation.metrics import evaluate
from dadsp.models.base import predict_split
from dadsp.models.systems.naive import Naive
from dadsp.runs.tuning import Choices, Tuned, tune
from dadsp.splits.cross_screen import cross_screen
from tests.support.metrics import BIAS, registered
from tests.support.studies import small_study

EFFECTS = ["mean", "drug_mean", "cell_mean", "drug_cell"]
STUDY = small_study(n_source=30)
SPLIT = cross_screen(STUDY, seed=0, val_fraction=0.4)


def naive(values: Mapping[str, Any]) -> Naive:
    return Naive(values["effects"])


def searched(folder: Path | None = None, effects: list[str] = EFFECTS, **options: Any) -> Tuned:
    space = {"effects": Choices(effects)}
    return tune(STUDY, SPLIT, naive, space, folder=folder, **{"trials": 8, "random_trials": 8, **options})


def scores(name: str) -> dict[str, float]:
    """Each system's score of the validation pairs."""
    fitted = {effects: Naive(effects).fit(STUDY, SPLIT) for effects in EFFECTS}  # type: ignore[arg-type]
    found = {name: evaluate(predict_split(each, STUDY, SPLIT, ("val",))) for name, each in fitted.items()}
    return {effects: each.value("pooled", name) for effects, each in found.items()}


@pytest.mark.parametrize(("score", "best"), [("rmse", min), ("mae", min), ("r2", max), ("spearman", max)])
def test_best_trial_has_the_least_error_or_the_highest_agreement(score: str, best: Any) -> None:
    found, values = searched(score=score), scores(score)
    tried = {effects.strip('"') for effects in found.trials["effects"]}
    assert len(tried) > 1
    assert found.score == pytest.approx(best(values[effects] for effects in tried if np.isfinite(values[effects])))
    assert found.best is not None
    assert values[found.best["effects"]] == found.score
    assert found.ranked()[found.column].iloc[0] == found.score


def test_undefined_score_fails_the_trial_and_no_other() -> None:
    found = searched(score="pearson")
    constant = found.trials["effects"] == '"mean"'
    assert constant.any()
    assert found.trials.loc[constant, "state"].tolist() == ["fail"] * constant.sum()
    assert set(found.trials.loc[~constant, "state"]) == {"complete"}
    with pytest.raises(DadspError, match="None of the 8 trials came to an end"):
        searched(score="pearson", effects=["mean"])


def test_record_of_one_score_takes_no_trial_of_another(tmp_path: Path) -> None:
    searched(tmp_path, trials=2)
    assert len(searched(tmp_path, trials=3).trials) == 3
    with pytest.raises(ConfigError, match=r"was searched by rmse\. Search by r2 in a new folder"):
        searched(tmp_path, score="r2")


def test_metric_from_outside_can_be_searched_by_if_one_value_is_better() -> None:
    with registered(BIAS), pytest.raises(ConfigError, match="score=bias is nothing to search by"):
        searched(score="bias")
    with pytest.raises(ConfigError, match="Did you mean 'median_drug_pearson'"):
        searched(score="median_drug_person")
