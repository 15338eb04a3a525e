"""One partition of one drug: what is compared, scored, kept and read back."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_squared_error, r2_score

from dadsp.models.base import FitContext
from dadsp.seeding import derive_seed
from dadsp.singledrug import protocol
from dadsp.singledrug.compression import CompressionOptions
from dadsp.singledrug.folds import Folds, Genes
from dadsp.singledrug.growth import GrowthOptions
from dadsp.singledrug.lines import DrugLines, drug_lines
from dadsp.singledrug.model import load_single_drug
from dadsp.singledrug.network import NetworkOptions
from dadsp.singledrug.protocol import MODEL, PREDICTIONS, RESULT, comparisons, run_repeat
from dadsp.singledrug.selection import SelectionOptions
from dadsp.singledrug.settings import ProtocolOptions, SingleDrugOptions
from tests.support.panels import noise_lines, small_panel

TINY = SingleDrugOptions(
    protocol=ProtocolOptions(methods=("network", "svr", "mean"), selection_scopes=("train", "all_oracle")),
    selection=SelectionOptions(n_genes=6),
    network=NetworkOptions(architecture="growth", growth=GrowthOptions(max_fits=1), max_epochs=2),
    compression=CompressionOptions(rounds=1, max_epochs=1),
)


@pytest.fixture(scope="module")
def lines() -> DrugLines:
    return drug_lines(small_panel(), 0)


@pytest.fixture(scope="module")
def finished(lines: DrugLines, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("repeat")
    return folder, run_repeat(lines, "ActArea", 0, TINY, folder, FitContext(seed=0))


def test_methods_that_select_run_in_every_scope_and_others_once() -> None:
    options = ProtocolOptions(
        methods=("network", "svr", "ann", "mean"), gene_sets=("selected", "all"), selection_scopes=("train", "all_oracle")
    )
    assert list(comparisons(options)) == [
        ("network", Genes("selected", "train")),
        ("network", Genes("selected", "all_oracle")),
        ("svr", Genes("selected", "train")),
        ("svr", Genes("selected", "all_oracle")),
        ("svr", Genes("all", "train")),
        ("ann", Genes("random", "train")),
        ("mean", Genes("all", "train")),
    ]


def test_scores_are_those_of_the_kept_predictions(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, result = finished
    predictions = pd.read_parquet(folder / PREDICTIONS)
    assert len(result["rows"]) == 6
    for row in result["rows"]:
        own = (predictions[list(key)] == [row[name] for name in key]).all(axis=1)
        kept = predictions[own]
        assert len(kept) == result["n_test"]
        assert row["mse"] == pytest.approx(mean_squared_error(kept["y_true"], kept["y_pred"]))
        assert row["r2"] == pytest.approx(r2_score(kept["y_true"], kept["y_pred"]))
        assert np.sum(row["confusion"]) == result["n_test"]


key = ("method", "gene_set", "selection_scope")


def test_every_method_is_scored_on_the_same_lines(finished: tuple[Path, dict[str, Any]]) -> None:
    predictions = pd.read_parquet(finished[0] / PREDICTIONS)
    assert predictions.groupby(list(key))["cell_id"].agg(tuple).nunique() == 1


def test_mean_predicts_the_mean_of_the_training_lines(lines: DrugLines, finished: tuple[Path, dict[str, Any]]) -> None:
    predictions = pd.read_parquet(finished[0] / PREDICTIONS)
    mean = predictions[predictions["method"] == "mean"]
    trained = ~np.isin(lines.cell_ids, mean["cell_id"])
    assert np.allclose(mean["y_pred"], lines.response[trained].mean(), atol=1e-5)


def test_classes_are_cut_at_quartiles_of_training_labels_unless_oracle(
    lines: DrugLines, finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    test_cells = pd.read_parquet(finished[0] / PREDICTIONS)["cell_id"]
    trained = ~np.isin(lines.cell_ids, test_cells)
    assert finished[1]["cuts"] == pytest.approx(np.percentile(lines.response[trained], [25, 75]))
    oracle = replace(TINY, protocol=ProtocolOptions(methods=("mean",), threshold_scope="all_oracle"))
    leaking = run_repeat(lines, "ActArea", 0, oracle, tmp_path, FitContext(seed=0))
    assert leaking["cuts"] == pytest.approx(np.percentile(lines.response, [25, 75]))
    assert leaking["threshold_scope"] == "all_oracle"


def test_saved_network_is_the_honest_one_and_predicts_what_was_scored(
    lines: DrugLines, finished: tuple[Path, dict[str, Any]]
) -> None:
    folder, _ = finished
    predictions = pd.read_parquet(folder / PREDICTIONS)
    for form, method in (("network", "network"), ("compressed", "network_compressed")):
        own = predictions[(predictions["method"] == method) & (predictions["selection_scope"] == "train")]
        rows = [lines.cell_ids.index(cell) for cell in own["cell_id"]]
        model = load_single_drug(folder / MODEL, form)  # type: ignore[arg-type]
        assert np.array_equal(model.predict(lines.expression[rows], lines.genes), own["y_pred"].astype(np.float32))


def test_planted_genes_are_counted_against_chance(lines: DrugLines, finished: tuple[Path, dict[str, Any]]) -> None:
    folder, result = finished
    row = next(row for row in result["rows"] if row["method"] == "network")
    found = set(load_single_drug(folder / MODEL).genes) & {"G0", "G1"}
    assert row["causal_recall"] == len(found) / 2
    assert row["causal_recall_by_chance"] == pytest.approx(6 / 30)


def test_finished_repeat_is_read_back_and_not_run_again(
    lines: DrugLines, finished: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, result = finished
    monkeypatch.setattr(protocol, "fit_network", None)
    assert run_repeat(lines, "ActArea", 0, TINY, folder, FitContext(seed=0)) == json.loads(json.dumps(result))


def test_repeat_killed_before_its_result_ends_the_same(
    lines: DrugLines, finished: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(protocol, "_fit_baseline", killed)
        with pytest.raises(KeyboardInterrupt):
            run_repeat(lines, "ActArea", 0, TINY, tmp_path, FitContext(seed=0))
    assert not (tmp_path / RESULT).exists()
    resumed = run_repeat(lines, "ActArea", 0, TINY, tmp_path, FitContext(seed=0))
    assert [row["mse"] for row in resumed["rows"]] == [row["mse"] for row in finished[1]["rows"]]
    assert {path.name for path in tmp_path.iterdir()} == {RESULT, PREDICTIONS, MODEL}


def test_altered_test_labels_change_no_honest_prediction(
    lines: DrugLines, finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    test_idx = Folds(lines, TINY.protocol, TINY.selection, derive_seed(0, lines.drug_id, 0)).rows["test"][1]
    response = lines.response.copy()
    response[test_idx] = response[test_idx][::-1] + 5
    altered = run_repeat(replace(lines, response=response), "ActArea", 0, TINY, tmp_path, FitContext(seed=0))
    clean, poisoned = (pd.read_parquet(folder / PREDICTIONS) for folder in (finished[0], tmp_path))
    honest = clean["selection_scope"] == "train"
    assert np.array_equal(clean["y_pred"][honest], poisoned["y_pred"][honest])
    assert altered["cuts"] == finished[1]["cuts"]


@pytest.mark.slow
def test_selection_on_all_lines_finds_a_response_in_pure_noise_and_honest_selection_none(tmp_path: Path) -> None:
    options = SingleDrugOptions(
        protocol=ProtocolOptions(methods=("svr",), selection_scopes=("train", "all_oracle")),
        selection=SelectionOptions(n_genes=1000),
    )
    result = run_repeat(noise_lines(400, 20_000), "nothing", 0, options, tmp_path, FitContext(seed=0))
    honest, oracle = result["rows"]
    assert (honest["selection_scope"], oracle["selection_scope"]) == ("train", "all_oracle")
    assert honest["r2"] < 0.05
    assert oracle["r2"] > 0.5
    assert oracle["accuracy"] > honest["accuracy"] + 0.1
