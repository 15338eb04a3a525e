"""Agreement of two screens is what scipy and a loop over pairs say it is."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import pearsonr, spearmanr

from dadsp.analysis.concordance import QUANTILES, concordance, pearson, verdict
from dadsp.analysis.concordance_figure import concordance_figure
from dadsp.data.sources.simulated import simulated_study
from dadsp.data.study import make_study
from dadsp.errors import MissingIdsError
from dadsp.schema import Study
from tests.support.studies import small_screen


@pytest.fixture
def study() -> Study:
    """18 shared lines of which some pairs lack; two source drugs are one structure; target labels are noisy and capped."""
    random = np.random.default_rng(0)
    source = small_screen("SRC", n_cells=25, n_drugs=6, n_genes=5, seed=0, links=18)
    keys, smiles = source.drugs.structure_keys, source.drugs.smiles
    twice = replace(source.drugs, structure_keys=(keys[0], keys[0], *keys[2:]), smiles=(smiles[0], smiles[0], *smiles[2:]))
    source = replace(source, drugs=twice)
    source = replace(source, responses=source.responses.take(random.random(150) < 0.9))
    target = small_screen("TGT", n_cells=22, n_drugs=5, n_genes=5, seed=1, links=18)
    expression = target.cells.expression
    expression[:18] = 0.5 * expression[:18] + source.cells.expression[:18]
    expression[:, 4] = 2.0  # one gene is constant in the target
    responses = target.responses.take(random.random(110) < 0.9)
    noisy = (source.cells.expression[responses.cell_idx, 0] + random.normal(size=len(responses))).astype(np.float32)
    noisy[responses.drug_idx == 3] = -0.9
    noisy = np.maximum(noisy, -0.9)
    responses = replace(responses, potency=noisy, censored=noisy == np.float32(-0.9))
    target = replace(target, cells=replace(target.cells, expression=expression), responses=responses, cap=-0.9)
    return make_study(source, target, label_cap="target")


def pairs_of(study: Study, drug: int) -> list[tuple[float, float, float, bool]]:
    """(target label, source label, raw source label, target censored) of one target drug, by a loop."""
    source, target = study.source, study.target
    found = []
    for place in np.flatnonzero(target.responses.drug_idx == drug):
        link = target.cells.link_ids[target.responses.cell_idx[place]]
        same = [
            row
            for row, (cell, other) in enumerate(zip(source.responses.cell_idx, source.responses.drug_idx, strict=True))
            if link is not None
            and source.cells.link_ids[cell] == link
            and source.drugs.structure_keys[other] == target.drugs.structure_keys[drug]
        ]
        if same:
            clipped = float(np.mean(source.responses.potency[same].astype(float)))
            raw = float(np.mean(study.raw_source_potency[same].astype(float)))
            label = float(target.responses.potency[place])
            found.append((label, clipped, raw, bool(target.responses.censored[place])))
    return found


def test_drugs_agree_as_scipy_says_of_the_pairs_a_loop_finds(study: Study) -> None:
    drugs = concordance(study).drugs.set_index("drug_id")
    assert sorted(drugs.index) == ["TGT-drug0", "TGT-drug2", "TGT-drug3", "TGT-drug4"]  # drug1's key is not in the source
    assert drugs.loc["TGT-drug0", "source_drugs"] == "drug0; drug1"
    for drug in (0, 2, 4):
        row, pairs = drugs.loc[f"TGT-drug{drug}"], pairs_of(study, drug)
        truth, clipped, raw, censored = (np.array(column) for column in zip(*pairs, strict=True))
        assert row["n"] == len(pairs) >= 10
        assert row["r"] == pytest.approx(pearsonr(truth, clipped).statistic)
        assert row["r_raw"] == pytest.approx(pearsonr(truth, raw).statistic)
        assert row["spearman"] == pytest.approx(spearmanr(truth, clipped).statistic)
        assert row["rmse"] == pytest.approx(np.sqrt(np.mean((truth - clipped) ** 2)))
        assert row["bias"] == pytest.approx(np.mean(clipped) - np.mean(truth))
        assert row["censored_target"] == pytest.approx(censored.mean())
        assert 0 < row["censored_target"] < 1
    assert any(drugs["r"] != drugs["r_raw"])


def test_drug_whose_labels_are_all_alike_has_no_r_and_does_not_enter_the_medians(study: Study) -> None:
    found = concordance(study)
    row = found.drugs.set_index("drug_id").loc["TGT-drug3"]
    assert row["verdict"] == "all labels alike"
    assert np.isnan(row["r"])
    judged = found.drugs[found.drugs["drug_id"] != "TGT-drug3"]
    assert found.facts["drugs"]["judged"] == 3
    assert found.facts["drugs"]["median"]["r"] == pytest.approx(np.median(judged["r"]))
    assert found.facts["drugs"]["median"]["rmse"] == pytest.approx(np.median(judged["rmse"]))
    assert found.facts["target_drugs_not_in_source"] == ["drug1"]


def test_genes_agree_as_scipy_says_over_shared_lines(study: Study) -> None:
    found = concordance(study)
    ours, theirs = study.source.cells.expression[:18], study.target.cells.expression[:18]
    genes = found.genes.set_index("gene")
    for column in range(4):
        row = genes.loc[f"G{column}"]
        assert row["r"] == pytest.approx(pearsonr(ours[:, column], theirs[:, column]).statistic, abs=1e-6)
        assert row["spearman"] == pytest.approx(spearmanr(ours[:, column], theirs[:, column]).statistic, abs=1e-6)
    assert genes["r"].isna()["G4"]
    assert found.facts["genes"]["undefined"] == 1
    assert found.facts["genes"]["r"]["p25"] == pytest.approx(np.nanquantile(genes["r"], QUANTILES["p25"]))
    assert list(found.facts["genes"]["worst"]) == [str(gene) for gene in genes["r"].dropna().sort_values().index]


def test_rows_stand_in_order_of_r_and_too_few_pairs_come_last(study: Study) -> None:
    target = study.target
    keep = (target.responses.drug_idx != 0) | (target.responses.cell_idx < 5)
    fewer = replace(study, target=replace(target, responses=target.responses.take(keep)))
    drugs = concordance(fewer).drugs
    assert drugs["drug_id"].iloc[-1] == "TGT-drug0"
    assert drugs["verdict"].iloc[-1] == "too few pairs"
    assert 0 < drugs["n"].iloc[-1] < 10
    assert drugs["r"].iloc[0] >= drugs["r"].iloc[1]
    genes = concordance(study).genes["r"].dropna()
    assert genes.is_monotonic_decreasing


def test_shared_lines_without_a_shared_drug_still_compare_expression(study: Study) -> None:
    keys = tuple(f"OTHER{row}" for row in range(len(study.target.drugs)))
    target = replace(study.target, drugs=replace(study.target.drugs, structure_keys=keys))
    found = concordance(replace(study, target=target))
    assert len(found.drugs) == found.facts["shared_pairs"] == 0
    assert found.facts["drugs"]["median"]["r"] is None
    assert found.facts["genes"]["r"]["median"] > 0.5
    json.dumps(found.facts, allow_nan=False)


def test_screens_without_a_shared_line_are_an_error_that_shows_both_kinds_of_id(study: Study) -> None:
    cells = replace(study.target.cells, link_ids=tuple(f"M{row}" for row in range(len(study.target.cells))))
    with pytest.raises(MissingIdsError, match=r"share no cell line.*18 of 25 lines of SRC.*L0.*22 of 22 lines of TGT.*M0"):
        concordance(replace(study, target=replace(study.target, cells=cells)))


def test_few_shared_lines_leave_genes_out() -> None:
    source, target = (small_screen(name, n_cells=12, n_drugs=3, n_genes=4, seed=0, links=5) for name in ("A", "B"))
    found = concordance(make_study(source, target))
    assert found.genes.empty
    assert found.facts["genes"]["r"]["median"] is None
    assert set(found.drugs["verdict"]) == {"too few pairs"}


def test_different_measures_have_no_rmse(study: Study) -> None:
    found = concordance(replace(study, target=replace(study.target, measure="act_area")))
    assert found.drugs["rmse"].isna().all()
    assert found.drugs["bias"].isna().all()
    assert found.drugs["r"].notna().any()


def test_simulated_screens_agree_where_both_measured() -> None:
    cells: dict[str, Any] = {"n_source_cells": 60, "n_target_cells": 50, "n_shared_cells": 40}
    sizes = {**cells, "n_source_drugs": 12, "n_target_drugs": 6, "n_shared_drugs": 4, "n_genes": 60}
    found = concordance(simulated_study(label_cap="target", **sizes, seed=0))
    assert found.facts["shared_lines"] == 40
    assert found.facts["drugs"]["median"]["r"] > 0.3
    assert found.facts["genes"]["r"]["median"] > 0.3


@pytest.mark.parametrize(
    ("n", "r", "word"),
    [
        (9, 0.99, "too few pairs"),
        (10, 0.6, "agrees"),
        (10, 0.59, "agrees partly"),
        (10, 0.3, "agrees partly"),
        (10, 0.29, "does not agree"),
        (10, -0.9, "does not agree"),
        (10, np.nan, "all labels alike"),
    ],
)
def test_verdict_follows_the_stated_thresholds(n: int, r: float, word: str) -> None:
    assert verdict(n, r) == word


def test_correlation_of_two_points_is_undefined() -> None:
    assert np.isnan(pearson(np.array([1.0, 2.0]), np.array([1.0, 3.0])))
    assert pearson(np.array([1.0, 2.0, 4.0]), np.array([-1.0, -2.0, -4.0])) == pytest.approx(-1)


def test_figure_names_each_drug_with_its_lines(study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(FigureCanvasAgg, "print_png", lambda canvas, *args, **kwargs: figures.append(canvas.figure))
    found = concordance(study)
    concordance_figure(found, tmp_path / "concordance.png")
    panel, histogram = figures[0].axes
    with_r = found.drugs[found.drugs["r"].notna()]
    assert [label.get_text() for label in panel.get_yticklabels()] == with_r["drug"].tolist()
    assert [text.get_text() for text in panel.texts][: len(with_r)] == [str(n) for n in with_r["n"]]
    assert "1 of them without an r" in panel.get_title(loc="left")
    assert sum(bar.get_height() for bar in histogram.patches) == 4  # type: ignore[attr-defined]
