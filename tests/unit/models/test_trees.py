"""Trees kept as arrays predict what the libraries that grew them predict."""

from typing import Any

import lightgbm
import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from dadsp.models.systems.pair_design import PairDesign
from dadsp.models.systems.trees import booster_arrays, forest_arrays, leaf_values, mean_of_trees, sum_of_trees


def boosted(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], n: int, **parameters: Any) -> lightgbm.Booster:
    quiet = {"verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True, "use_missing": False}
    return lightgbm.train(quiet | parameters, lightgbm.Dataset(x, y), n)


def arrays_of(booster: lightgbm.Booster, n: int | None = None) -> dict[str, Any]:
    return booster_arrays(booster.dump_model(num_iteration=n)["tree_info"])


def test_forest_of_arrays_predicts_what_scikit_learn_predicts() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 6)).astype(np.float32)
    x[:, 5] = 1.0  # constant, hence never split on
    forest = RandomForestRegressor(n_estimators=7, random_state=0, min_samples_leaf=2).fit(x, x[:, 0] * x[:, 1] + x[:, 2])
    new = random.normal(size=(300, 6)).astype(np.float32)
    found = leaf_values(forest_arrays(forest), new).mean(axis=1)
    assert found == pytest.approx(forest.predict(new), rel=1e-12, abs=1e-12)


def test_forest_of_a_constant_label_is_all_roots() -> None:
    x = np.zeros((5, 2), dtype=np.float32)
    forest = RandomForestRegressor(n_estimators=3, random_state=0).fit(x, np.full(5, 0.25))
    assert leaf_values(forest_arrays(forest), x).tolist() == [[0.25] * 3] * 5


def test_booster_of_arrays_predicts_what_lightgbm_predicts() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(600, 6)).astype(np.float32)
    x[:, 3] = random.integers(0, 4, 600)  # few values
    x[:, 4] = np.where(random.random(600) < 0.8, 0, x[:, 4])  # mostly zero, which LightGBM keeps sparse
    booster = boosted(x, x[:, 0] * x[:, 1] + x[:, 3] + x[:, 4], 30, subsample=0.5, subsample_freq=1)
    new = np.concatenate([random.normal(size=(300, 6)), np.zeros((1, 6)), np.full((1, 6), 1e30)]).astype(np.float32)
    assert leaf_values(arrays_of(booster), new).sum(axis=1) == pytest.approx(booster.predict(new), rel=1e-12, abs=1e-12)
    first = leaf_values(arrays_of(booster, 11), new).sum(axis=1)
    assert first == pytest.approx(booster.predict(new, num_iteration=11), rel=1e-12, abs=1e-12)


def test_value_at_the_threshold_goes_left_as_in_lightgbm() -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(200, 1))
    booster = boosted(x, (x[:, 0] > 0).astype(float), 3)
    arrays = arrays_of(booster)
    at = np.unique(arrays["threshold"][arrays["feature"] >= 0])
    near = np.concatenate([at, np.nextafter(at, np.inf), np.nextafter(at, -np.inf)])[:, None]  # float64, exactly there
    found = leaf_values(arrays, near).sum(axis=1)
    assert found == pytest.approx(booster.predict(near), rel=1e-12, abs=1e-12)
    assert not np.array_equal(found[: len(at)], found[len(at) : 2 * len(at)])


def test_booster_of_a_constant_label_is_one_leaf() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    booster = boosted(x, np.full(50, 0.25), 4)
    assert leaf_values(arrays_of(booster), x).sum(axis=1) == pytest.approx(booster.predict(x))


@pytest.mark.parametrize("at_once", [1, 20, 10**6])
def test_pairs_in_chunks_are_predicted_like_rows(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    lines, drugs = (random.normal(size=(n, 2)).astype(np.float32) for n in (6, 4))
    design = PairDesign(lines, drugs, random.integers(0, 6, 40), random.integers(0, 4, 40))
    x = np.array([[*lines[line], *drugs[drug]] for line, drug in zip(design.line, design.drug, strict=True)])
    y = x[:, 0] * x[:, 3]
    booster, forest = boosted(x, y, 7, min_child_samples=2), RandomForestRegressor(n_estimators=4, random_state=0).fit(x, y)
    monkeypatch.setattr("dadsp.models.systems.trees.LEAVES_AT_ONCE", at_once)
    assert sum_of_trees(arrays_of(booster), design) == pytest.approx(booster.predict(x))
    assert mean_of_trees(forest_arrays(forest), design) == pytest.approx(forest.predict(x))
