"""The classical systems predict what scikit-learn predicts, learn from source labels alone and come back from arrays."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestRegressor
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, Ridge, SGDRegressor

from dadsp.drugs.similarity import SimilarityProfile
from dadsp.drugs.smiles_tokens import SmilesTokens
from dadsp.errors import ConfigError
from dadsp.models.base import FitContext, load_model, predict_split, save_model
from dadsp.models.systems.boosting import LightGbm
from dadsp.models.systems.classical import Classical, Linear, RandomForest, Svr
from dadsp.models.systems.pair_design import PairDesign
from dadsp.schema import Pairs, Split, Study
from dadsp.seeding import derive_seed
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study
from tests.support.systems import assert_reloads_bit_for_bit

ENCODER: dict[str, Any] = {
    "encoder_widths": (6, 4),
    "encoder_activation": "relu",
    "pretraining": {"layer_epochs": 1, "stack_epochs": 1, "batch_size": 8},
}
SYSTEMS: dict[str, tuple[type[Classical], dict[str, Any]]] = {
    "ridge": (Linear, {}),
    "logistic": (Linear, {"link": "logistic", "penalties": (0.5, 5.0)}),
    "svr": (Svr, {"components": 20, "gammas": (1.0, 0.3)}),
    "forest": (RandomForest, {"n_estimators": 5, "max_features": 0.5}),
    "lightgbm": (LightGbm, {"n_estimators": 8, "min_child_samples": 2, "num_leaves": 4}),
}
FEATURES = ("encoder", "pca", "raw")


def fitted(study: Study, split: Split, system: str, features: str = "raw", seed: int = 0, **options: Any) -> Classical:
    kind, own = SYSTEMS[system]
    settings = {"features": features, **ENCODER, **own, **options}
    return kind(training={"threads": 1}, **settings).fit(study, split, FitContext(seed=seed))


def source_pairs(study: Study, rows: np.ndarray[Any, Any]) -> Pairs:
    pairs = study.source.responses.take(rows)
    return Pairs(study.source, "source", pairs.cell_idx, pairs.drug_idx)


def training_matrix(
    model: Classical, study: Study, split: Split, rows: np.ndarray[Any, Any] | None = None
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """X row by row and y of ``rows`` (training by default), from expression and fingerprints without the code under test."""
    train = study.source.responses.take(split.train_idx)
    these = train if rows is None else study.source.responses.take(rows)
    lines = model.expression_input.scaler.transform(study.source.cells.expression, "source")
    drugs = model.drug_features(study.source.drugs.smiles, study.source.drugs.names)  # type: ignore[arg-type]
    blocks = []
    for table, fitted_on, wanted in ((lines, train.cell_idx, these.cell_idx), (drugs, train.drug_idx, these.drug_idx)):
        distinct = table[np.unique(fitted_on)].astype(np.float64)
        blocks.append(((table - distinct.mean(axis=0)) / np.sqrt(distinct.var(axis=0).mean()))[wanted])
    y = (these.potency - train.potency.min()) / (train.potency.max() - train.potency.min())
    return np.hstack(blocks), y.astype(np.float64)


def scaled(model: Classical, study: Study, split: Split) -> np.ndarray[Any, Any]:
    return model.labels.transform(model.predict(source_pairs(study, split.train_idx)))


@pytest.mark.parametrize("n_genes", [7, 40])  # fewer and more than lines
def test_ridge_predicts_what_scikit_learn_predicts(n_genes: int) -> None:
    study = small_study(n_genes=n_genes)
    split = cross_screen(study, seed=0)
    model = fitted(study, split, "ridge", penalties=(3.0,))
    x, y = training_matrix(model, study, split)
    expected = Ridge(alpha=3.0).fit(x, y).predict(x)
    assert scaled(model, study, split) == pytest.approx(np.clip(expected, 0, 1), abs=1e-5)


@pytest.mark.parametrize("n_genes", [7, 40])
def test_logistic_predicts_what_weighted_logistic_regression_predicts(n_genes: int) -> None:
    study = small_study(n_genes=n_genes)
    split = cross_screen(study, seed=0)
    model = fitted(study, split, "logistic", penalties=(0.5,))
    x, y = training_matrix(model, study, split)
    twice, ones_then_zeros = np.vstack([x, x]), np.repeat([1, 0], len(y))
    reference = LogisticRegression(C=2.0, tol=1e-10, max_iter=10000)
    reference.fit(twice, ones_then_zeros, sample_weight=np.concatenate([y, 1 - y]))
    assert scaled(model, study, split) == pytest.approx(reference.predict_proba(x)[:, 1], abs=1e-4)


def test_svr_predicts_what_nystroem_and_sgd_predict(study: Study, split: Split) -> None:
    n = len(split.train_idx)
    model = fitted(study, split, "svr", components=n, gammas=(2.0,), penalty=1e-4, max_epochs=1000)
    x, y = training_matrix(model, study, split)
    kernel = Nystroem(gamma=2.0 / x.shape[1], n_components=n, random_state=0).fit(x)
    seed = derive_seed(0, "sgd") % 2**32
    sgd = SGDRegressor(
        loss="epsilon_insensitive",
        epsilon=0.01,
        alpha=1e-4,
        learning_rate="adaptive",
        eta0=1.0,
        tol=1e-5,
        n_iter_no_change=2,
        max_iter=1000,
        random_state=seed,
    )
    expected = sgd.fit(kernel.transform(x), y).predict(kernel.transform(x))
    assert scaled(model, study, split) == pytest.approx(np.clip(expected, 0, 1), abs=0.01)
    assert "(Nyström," in model.name


def test_system_predicts_what_its_forest_predicts(study: Study, split: Split) -> None:
    model = fitted(study, split, "forest")
    x, y = training_matrix(model, study, split)
    reference = RandomForestRegressor(
        n_estimators=5, max_samples=0.3, max_features=0.5, min_samples_leaf=3, random_state=derive_seed(0, "forest") % 2**32
    )
    assert scaled(model, study, split) == pytest.approx(reference.fit(x, y).predict(x), abs=1e-5)


def test_system_predicts_what_lightgbm_s_own_regressor_predicts(study: Study, split: Split) -> None:
    model = fitted(study, split, "lightgbm", subsample=1.0, colsample_bytree=1.0, learning_rate=0.3)
    x, y = training_matrix(model, study, split)
    reference = lightgbm.LGBMRegressor(
        n_estimators=int(model.search[0]["trees"]),
        min_child_samples=2,
        num_leaves=4,
        learning_rate=0.3,
        verbosity=-1,
        n_jobs=1,
    ).fit(x.astype(np.float32), y)
    expected = reference.booster_.predict(x.astype(np.float32))
    assert np.ptp(expected) > 0.3
    assert scaled(model, study, split) == pytest.approx(np.clip(expected, 0, 1), abs=1e-4)


def test_boosting_stops_where_the_held_out_source_lines_are_predicted_best(study: Study, split: Split) -> None:
    options: dict[str, Any] = {"learning_rate": 0.5, "min_child_samples": 1, "subsample": 1.0, "colsample_bytree": 1.0}
    model = fitted(study, split, "lightgbm", n_estimators=200, early_stopping_round=20, **options)
    x, y = training_matrix(model, study, split)
    val_x, val_y = training_matrix(model, study, split, split.val_idx)
    booster = lightgbm.LGBMRegressor(
        n_estimators=200, learning_rate=0.5, min_child_samples=1, num_leaves=4, verbosity=-1, n_jobs=1
    ).fit(x.astype(np.float32), y)
    errors = [np.mean((booster.predict(val_x.astype(np.float32), num_iteration=n) - val_y) ** 2) for n in range(1, 201)]
    later = [n for n in range(1, 180) if min(errors[n : n + 20]) >= min(errors[:n])]  # none of the next 20 is better
    assert model.search[0]["trees"] == int(np.argmin(errors[: later[0]])) + 1 < 180
    assert len(model.regressor["roots"]) == model.search[0]["trees"]


def test_pca_features_are_those_of_scikit_learn(study: Study, split: Split) -> None:
    model = fitted(study, split, "ridge", "pca", pca_components=3)
    lines = model.expression_input.scaler.transform(study.source.cells.expression, "source")
    train = np.unique(study.source.responses.cell_idx[split.train_idx])
    expected = PCA(3, svd_solver="full").fit(lines[train]).transform(lines)
    layer = model.line_features[0]
    found = lines @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()  # type: ignore[operator]
    assert found == pytest.approx(expected, abs=1e-5)


def test_encoder_features_are_those_of_the_pretrained_autoencoder(study: Study, split: Split) -> None:
    model = fitted(study, split, "ridge", "encoder")
    lines = model.expression_input.scaler.transform(study.source.cells.expression, "source")
    hidden = lines
    for layer in model.line_features:
        linear = layer[0]  # type: ignore[index]
        hidden = np.maximum(hidden @ linear.weight.detach().numpy().T + linear.bias.detach().numpy(), 0)
    train = np.unique(study.source.responses.cell_idx[split.train_idx])
    assert hidden.shape == (12, 4)
    assert model.blocks["line_shift"] == pytest.approx(hidden[train].mean(axis=0), abs=1e-5)
    assert model.history()["stage"].unique().tolist() == ["sae_layer_1", "sae_layer_2", "sae_stack"]


def test_encoder_learned_in_the_row_space_encodes_genes() -> None:
    study = small_study(n_genes=40)
    model = fitted(study, cross_screen(study, seed=0), "ridge", "encoder")
    assert model.line_features[0][0].in_features == 40  # type: ignore[index]


def test_sums_over_lines_and_drugs_are_sums_over_pairs() -> None:
    random = np.random.default_rng(0)
    lines, drugs = random.normal(size=(5, 3)), random.normal(size=(4, 2))
    design = PairDesign(lines, drugs, random.integers(0, 5, 30), random.integers(0, 4, 30))
    x = np.array([[*lines[line], *drugs[drug]] for line, drug in zip(design.line, design.drug, strict=True)])
    w, v = random.normal(size=5), random.normal(size=30)
    assert design.rows() == pytest.approx(x, abs=1e-6)
    assert design.times(w) == pytest.approx(x @ w)
    assert design.transposed_times(v) == pytest.approx(x.T @ v)
    assert design.gram(v) == pytest.approx(x.T @ np.diag(v) @ x)


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("system", SYSTEMS)
def test_saved_system_predicts_bit_for_bit_the_same(
    study: Study, split: Split, system: str, features: str, tmp_path: Path
) -> None:
    model = fitted(study, split, system, features)
    assert_reloads_bit_for_bit(model, study, split, tmp_path)


@pytest.mark.parametrize("system", SYSTEMS)
def test_no_target_label_changes_anything(study: Study, split: Split, system: str) -> None:
    responses = study.target.responses
    poison = replace(responses, potency=responses.potency * -2 + 3, censored=~responses.censored)
    other = replace(study, target=replace(study.target, responses=poison))
    ours, theirs = (fitted(data, split, system, "encoder").state() for data in (study, other))
    assert ours[0] == theirs[0]
    assert ours[1].keys() == theirs[1].keys()
    assert all(np.array_equal(ours[1][name], theirs[1][name]) for name in ours[1])


@pytest.mark.parametrize("system", SYSTEMS)
def test_same_seed_same_predictions(study: Study, split: Split, system: str) -> None:
    first, again = (fitted(study, split, system, "encoder", seed=3) for _ in range(2))
    pairs = source_pairs(study, split.val_idx)
    assert np.array_equal(first.predict(pairs), again.predict(pairs))


@pytest.mark.parametrize("system", ["ridge", "svr"])
def test_best_candidate_on_source_validation_is_kept(study: Study, split: Split, system: str) -> None:
    model = fitted(study, split, system)
    val = predict_split(model, study, split, parts=("val",)).frame
    rmse = float(np.sqrt(((val["y_true"] - val["y_pred"]) ** 2).mean()))
    assert len(model.search) > 1
    assert rmse == pytest.approx(min(row["val/source/rmse"] for row in model.search), abs=1e-6)


@pytest.mark.parametrize(
    ("system", "options"),
    [
        ("svr", {"components": 32, "gammas": (20.0,), "penalty": 1e-7, "max_epochs": 2000}),
        ("forest", {"n_estimators": 100, "max_samples": 1.0, "min_samples_leaf": 1, "max_features": 1.0}),
        (
            "lightgbm",
            {
                "n_estimators": 60,
                "learning_rate": 0.3,
                "min_child_samples": 1,
                "num_leaves": 31,
                "subsample": 1.0,
                "early_stopping_round": 60,
            },
        ),
    ],
)
def test_overfits_32_pairs(study: Study, split: Split, system: str, options: dict[str, Any]) -> None:
    few = replace(split, train_idx=split.train_idx[:32], val_idx=split.train_idx[:32])  # so that nothing stops early
    model = fitted(study, few, system, **options)
    train = study.source.responses.take(few.train_idx)
    error = model.predict(source_pairs(study, few.train_idx)) - train.potency
    assert np.mean(error**2) < 0.1 * np.var(train.potency)


def test_predictions_keep_to_the_training_labels_range(study: Study, split: Split) -> None:
    model = fitted(study, split, "ridge", penalties=(1e-6,))
    cells = replace(study.target.cells, expression=study.target.cells.expression * 100)
    screen = replace(study.target, cells=cells)
    predicted = model.predict(Pairs(screen, "target", np.arange(9), np.zeros(9, dtype=np.int64)))
    assert predicted.min() == pytest.approx(model.labels.low)
    assert predicted.max() == pytest.approx(model.labels.high)


@pytest.mark.parametrize(
    ("system", "features", "name"),
    [
        ("forest", "encoder", "random forest"),
        ("forest", "raw", "random forest on raw expression"),
        ("svr", "pca", "SVR on PCA (Nyström, 20 components)"),
        ("lightgbm", "pca", "LightGBM on PCA"),
    ],
)
def test_name_tells_features_and_approximation(system: str, features: str, name: str) -> None:
    kind, own = SYSTEMS[system]
    assert kind(features=features, **own).name == name


def test_fewer_pairs_than_components_all_span_the_kernel(study: Study, split: Split) -> None:
    model = fitted(study, split, "svr", components=500)
    assert len(model.regressor["weights"]) == len(split.train_idx)


def test_drug_features_that_only_a_network_reads_are_refused(study: Study, split: Split) -> None:
    with pytest.raises(ConfigError, match="drug_features=cnn are codes"):
        Linear(SmilesTokens(), features="raw").fit(study, split)


def test_similarity_profile_is_fitted_on_training_drugs_and_saved(study: Study, split: Split, tmp_path: Path) -> None:
    model = Linear(SimilarityProfile(), features="raw").fit(study, split)
    save_model(model, tmp_path)
    assert len(model.regressor["drug_weights"]) == len(np.unique(study.source.responses.drug_idx[split.train_idx]))
    pairs = source_pairs(study, split.val_idx)
    assert np.array_equal(load_model(tmp_path).predict(pairs), model.predict(pairs))


@pytest.mark.parametrize("system", ["forest", "lightgbm"])
def test_table_too_large_for_memory_is_refused(
    study: Study, split: Split, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dadsp.models.systems.pair_design.MAX_TABLE_BYTES", 1000)
    with pytest.raises(ConfigError, match="features=encoder or pca"):
        fitted(study, split, system)
