from collections.abc import Iterator
from dataclasses import MISSING, fields
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem.rdMolDescriptors import CalcMolFormula
from scipy.stats import norm, spearmanr
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler

from dadsp.data.sources.simulated import simulated_panel, simulated_study
from dadsp.data.sources.simulation import Simulation, compounds
from dadsp.drugs.morgan import Morgan
from dadsp.errors import ConfigError
from dadsp.schema import Screen
from tests.support.simulations import config, grid, overlap, plain, screens, simulation

TINY = config("simulated_tiny")

# ---------------------------------------------------------------------------------------------------------- compounds


@pytest.fixture(scope="module")
def molecules() -> Iterator[dict[str, Chem.Mol]]:
    with rdBase.BlockLogs():
        yield {row["name"]: Chem.MolFromSmiles(row["smiles"]) for row in compounds()}


def test_every_compound_has_a_valid_structure_of_the_formula_written_beside_it(molecules: dict[str, Chem.Mol]) -> None:
    written = {row["name"]: row["formula"] for row in compounds()}
    assert {name: CalcMolFormula(molecule) for name, molecule in molecules.items()} == written


def test_compounds_are_distinct_and_enough_for_the_papers_screens(molecules: dict[str, Chem.Mol]) -> None:
    blocks = {Chem.MolToInchiKey(molecule)[:14] for molecule in molecules.values()}
    assert len(blocks) == len(molecules) == len(compounds())
    assert len(blocks) >= simulation("simulated_paper").n_drugs


# ------------------------------------------------------------------------------------------------------- configuration


@pytest.mark.parametrize("name", ["simulated", "simulated_tiny", "simulated_paper"])
def test_data_config_lists_every_parameter(name: str) -> None:
    assert set(config(name)) == {field.name for field in fields(Simulation)} | {"label_cap"}


def test_default_config_repeats_the_defaults_of_the_code() -> None:
    listed = config("simulated")
    for field in fields(Simulation):
        if field.default is not MISSING:
            assert listed[field.name] == field.default, field.name


def test_smaller_and_larger_configs_change_sizes_only() -> None:
    for name in ("simulated_tiny", "simulated_paper"):
        assert all(key.startswith("n_") for key in set(plain(name)) - {"defaults"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_shared_cells": 25}, r"n_shared_cells is 25, .*40 \(source\) and 24 \(target\).*≤ 24"),
        ({"n_shared_drugs": 7}, r"n_shared_drugs is 7, .*12 \(source\) and 6 \(target\).*≤ 6"),
        ({"n_source_drugs": 900}, r"need 902 distinct drugs, but \d+ compounds are known.*Lower n_source_drugs"),
        ({"n_target_drugs": 1, "n_shared_drugs": 1}, r"data\.n_target_drugs=1 is not valid: .*greater than or equal to 2"),
        ({"n_source_cells": 0}, r"data\.n_source_cells=0 is not valid"),
        ({"n_shared_cells": -1}, r"data\.n_shared_cells=-1 is not valid"),
        ({"source_missing": 1.0}, r"data\.source_missing=1\.0 is not valid: .*less than 1"),
        ({"line_sd": -0.1}, r"data\.line_sd=-0\.1 is not valid"),
        ({"n_pathways": 61}, r"61 pathways cannot each own one of 60 genes"),
        ({"pathways_per_drug": 6}, r"pathways_per_drug is 6, but drugs choose among 5"),
        ({"n_tissues": 21}, r"n_tissues is 21, but 20 tissues have names"),
        ({"label_cap": "source"}, r"data\.label_cap='source' is not a valid choice.*none, target"),
        ({"cap_um": None}, r"data\.label_cap=target needs a capped target"),
        ({"n_gens": 5}, r"data\.n_gens is not a known key\. Did you mean 'n_genes'\?"),
        ({"seed": None}, r"data\.seed=None is not valid"),
    ],
)
def test_an_impossible_setting_is_named_with_its_remedy(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        simulated_study(**TINY | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_shared_cells": 0, "n_shared_drugs": 0},
        {"n_shared_cells": 24, "n_shared_drugs": 6},
        {"n_source_drugs": 2, "n_target_drugs": 2, "n_shared_drugs": 2},
        {"n_source_cells": 2, "n_target_cells": 2, "n_shared_cells": 2},
        {"cap_um": None, "label_cap": "none"},
        {"n_pathways": 60, "drug_skew": 0, "n_tissues": 1},
        {"batch_sd": 0, "platform_spread": 0, "expression_noise": 0},
    ],
)
def test_extreme_but_possible_settings_give_finite_data_of_the_sizes_asked_for(changes: dict[str, Any]) -> None:
    settings = TINY | changes
    study = simulated_study(**settings)
    for screen, role in ((study.source, "source"), (study.target, "target")):
        assert (len(screen.cells), len(screen.drugs)) == (settings[f"n_{role}_cells"], settings[f"n_{role}_drugs"])
        assert np.isfinite(screen.cells.expression).all()
        assert np.isfinite(screen.responses.potency).all()
        assert np.isfinite(screen.truth["potency"]).all()


# ---------------------------------------------------------------------------------------------------------------- seeds


def test_same_seed_gives_the_same_study() -> None:
    assert simulated_study(**TINY).content_hash == simulated_study(**TINY).content_hash


def test_seed_zero_is_a_seed_like_any_other() -> None:
    assert len({simulated_study(**TINY | {"seed": seed}).content_hash for seed in (0, 1, 2)}) == 3


def test_assay_noise_has_a_stream_of_its_own() -> None:
    quiet, loud = (screens("simulated_tiny", source_noise=noise)[0] for noise in (0.0, 0.44))
    np.testing.assert_array_equal(quiet.truth["potency"], loud.truth["potency"])
    np.testing.assert_array_equal(quiet.cells.expression, loud.cells.expression)
    np.testing.assert_array_equal(quiet.responses.cell_idx, loud.responses.cell_idx)


# ------------------------------------------------------------------------------------------------- sizes, overlap, cap


def test_study_clips_source_labels_at_the_targets_cap() -> None:
    study = simulated_study(**TINY)
    assert study.source.responses.potency.min() == np.float32(-np.log10(8))
    assert study.raw_source_potency.min() < -2
    assert simulated_study(**TINY | {"label_cap": "none"}).source.responses.potency.min() < -2


def test_default_study_has_about_twelve_thousand_source_pairs() -> None:
    source, target = screens("simulated")
    assert 11_000 < len(source.responses) < 12_000
    assert (len(source.cells), len(source.drugs), len(target.cells), len(target.drugs)) == (240, 60, 150, 16)


def test_shared_lines_carry_equal_link_ids_and_tissues_under_ids_of_their_own() -> None:
    source, target = screens("simulated")
    tissue = dict(zip(source.cells.link_ids, source.cells.tissues, strict=True))
    shared = [row for row, link in enumerate(target.cells.link_ids) if link in tissue]
    assert len(shared) == 90
    assert all(target.cells.tissues[row] == tissue[target.cells.link_ids[row]] for row in shared)
    assert not set(source.cells.ids) & set(target.cells.ids)


def test_shared_drugs_carry_equal_structures_and_causal_genes() -> None:
    source, target = screens("simulated")
    row_of = {key: row for row, key in enumerate(source.drugs.structure_keys)}
    shared = [(row_of[key], row) for row, key in enumerate(target.drugs.structure_keys) if key in row_of]
    assert len(shared) == 10
    for in_source, in_target in shared:
        genes = source.truth["causal_genes"][source.drugs.ids[in_source]]
        assert genes == target.truth["causal_genes"][target.drugs.ids[in_target]]
        assert target.drugs.targets[in_target] == ", ".join(genes)


@pytest.mark.parametrize("name", ["simulated", "simulated_tiny"])
def test_missing_shares_are_those_asked_for(name: str) -> None:
    for screen, share in zip(screens(name), (0.18, 0.04), strict=True):
        size = len(screen.cells) * len(screen.drugs)
        assert len(screen.responses) == round(size * (1 - share))


@pytest.mark.parametrize("share", [0.55, 0.3])
def test_capped_share_of_the_target_is_the_one_asked_for(share: float) -> None:
    source, target = screens("simulated", capped_share=share)
    assert target.cap is not None
    assert target.cap == pytest.approx(-0.90309, abs=1e-5)
    assert target.responses.censored.mean() == pytest.approx(share, abs=1e-3)
    np.testing.assert_array_equal(target.responses.potency[target.responses.censored], np.float32(target.cap))
    assert (target.responses.potency[~target.responses.censored] > np.float32(target.cap)).all()
    assert source.cap is None
    assert not source.responses.censored.any()


# ----------------------------------------------------------------------------------------------------------- potency


@pytest.mark.parametrize("noise", [0.44, 0.8])
def test_label_noise_has_the_stated_width(noise: float) -> None:
    source, _ = screens("simulated", source_noise=noise)
    rows = source.responses
    residual = rows.potency - source.truth["potency"][rows.cell_idx, rows.drug_idx]
    assert residual.std() == pytest.approx(noise, rel=0.03)
    assert residual.mean() == pytest.approx(0, abs=4 * noise / np.sqrt(len(rows)))
    assert source.truth["label_noise"] == noise


def test_target_labels_are_the_noise_free_potency_but_for_cap_and_noise() -> None:
    _, target = screens("simulated", target_noise=0.0)
    rows = target.responses
    expected = np.maximum(target.truth["potency"], np.float32(target.cap))[rows.cell_idx, rows.drug_idx]
    np.testing.assert_allclose(rows.potency, expected, atol=1e-5)


def test_both_assays_see_the_same_biology_with_independent_noise() -> None:
    source, target = screens("simulated", cap_um=None)
    cells, drugs = overlap(source, target)
    both = [grid(screen, screen.responses.potency) for screen in (source, target)]
    truth = [screen.truth["potency"] for screen in (source, target)]
    noise, clean = (
        [values[0][np.ix_(cells[0], drugs[0])], values[1][np.ix_(cells[1], drugs[1])]]
        for values in ([b - t for b, t in zip(both, truth, strict=True)], truth)
    )
    measured = ~np.isnan(noise[0]) & ~np.isnan(noise[1])
    assert abs(np.corrcoef(noise[0][measured], noise[1][measured])[0, 1]) < 4 / np.sqrt(measured.sum())
    centred = [part - part.mean(axis=0) for part in clean]
    np.testing.assert_allclose(centred[1], 1.25 * centred[0], atol=1e-4)


def causal_part(screen: Screen) -> NDArray[np.float64]:
    truth = screen.truth
    part: NDArray[np.float64] = truth["potency"] - truth["line_effect"][:, None] - truth["drug_effect"]
    return part


def normal_scores(columns: NDArray[Any]) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = norm.ppf((columns.argsort(axis=0).argsort(axis=0) + 0.5) / len(columns))
    return scores


@pytest.mark.parametrize("side", [0, 1])
def test_noise_free_potency_regresses_on_the_causal_genes_and_not_on_others(side: int) -> None:
    screen = screens("simulated", expression_noise=0.0, batch_sd=0.0)[side]
    column = {gene: number for number, gene in enumerate(screen.genes)}
    # Each platform is monotone per gene, so normal scores undo it up to sampling.
    expression = normal_scores(screen.cells.expression)
    part = causal_part(screen)
    members = screen.truth["pathways"]
    for row, drug in enumerate(screen.drugs.ids):
        causal = [column[gene] for gene in screen.truth["causal_genes"][drug]]
        hit = set(screen.truth["drug_pathways"][drug])
        others = [column[genes[0]] for name, genes in members.items() if name not in hit][: len(causal)]
        fitted = LinearRegression().fit(expression[:, causal], part[:, row])
        assert fitted.score(expression[:, causal], part[:, row]) > 0.9
        assert LinearRegression().fit(expression[:, others], part[:, row]).score(expression[:, others], part[:, row]) < 0.5
        slopes = np.array(screen.truth["causal_weights"][drug])
        assert np.corrcoef(fitted.coef_, slopes)[0, 1] > 0.9
        assert fitted.coef_ @ slopes / (slopes @ slopes) == pytest.approx(1, abs=0.15)


def test_causal_genes_belong_to_the_pathways_of_their_drug() -> None:
    source, _ = screens("simulated")
    pathway_of = {gene: name for name, genes in source.truth["pathways"].items() for gene in genes}
    assert set(pathway_of) == set(source.genes)
    for drug in source.drugs.ids:
        genes = source.truth["causal_genes"][drug]
        assert len(genes) == 10
        assert {pathway_of[gene] for gene in genes} == set(source.truth["drug_pathways"][drug])


def test_line_genes_explain_half_of_the_general_sensitivity() -> None:
    shares = []
    for seed in range(4):
        source, _ = screens("simulated", expression_noise=0.0, seed=seed)
        rows = [source.genes.index(gene) for gene in source.truth["line_genes"]]
        x = normal_scores(source.cells.expression[:, rows])
        shares.append(LinearRegression().fit(x, source.truth["line_effect"]).score(x, source.truth["line_effect"]))
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)


def structure_correlation(seed: int, **changes: Any) -> float:
    """Correlation of drug effects with their leave-one-out ridge prediction from the fingerprint (closed form)."""
    source, _ = screens("simulated_tiny", seed=seed, n_source_drugs=200, **changes)
    x = Morgan(bits=256, radius=2)(source.drugs.smiles, source.drugs.names)  # type: ignore[arg-type]
    x, y = x - x.mean(axis=0), source.truth["drug_effect"] - source.truth["drug_effect"].mean()
    inverse = np.linalg.inv(x @ x.T + 10 * np.eye(len(x)))
    predicted = y - inverse @ y / np.diag(inverse)
    return float(np.corrcoef(predicted, y)[0, 1])


def test_structure_predicts_the_effect_of_unseen_drugs_only_when_it_is_given_a_share() -> None:
    assert np.mean([structure_correlation(seed) for seed in range(3)]) > 0.3
    assert abs(np.mean([structure_correlation(seed, structure_share=0.0) for seed in range(3)])) < 0.2


# -------------------------------------------------------------------------------------------------------- expression


def test_expression_is_finite_float32_in_the_range_of_its_platform() -> None:
    source, target = screens("simulated")
    for screen in (source, target):
        assert screen.cells.expression.dtype == np.float32
        assert np.isfinite(screen.cells.expression).all()
    low, high = np.quantile(source.cells.expression, [0.02, 0.95])
    assert low > 2.8
    assert high < 10.2
    assert target.cells.expression.min() >= 0
    assert np.quantile(target.cells.expression, 0.999) < 14


def test_genes_of_one_pathway_move_together() -> None:
    source, _ = screens("simulated")
    correlation = np.asarray(np.corrcoef(source.cells.expression.T))
    column = {gene: number for number, gene in enumerate(source.genes)}
    groups = [[column[gene] for gene in genes] for genes in source.truth["pathways"].values()]
    within = np.mean([correlation[np.ix_(group, group)][np.triu_indices(len(group), 1)].mean() for group in groups])
    between = np.mean([correlation[np.ix_(a, b)].mean() for a, b in pairwise(groups)])
    assert within > 0.25
    assert abs(between) < 0.1


def test_a_linear_classifier_tells_the_platforms_apart() -> None:
    source, target = screens("simulated_tiny")
    x = StandardScaler().fit_transform(np.concatenate([source.cells.expression, target.cells.expression]))
    y = np.repeat([0, 1], [len(source.cells), len(target.cells)])
    assert cross_val_score(LogisticRegression(), x, y, cv=4).min() > 0.95


def test_platforms_order_the_shared_lines_alike_gene_by_gene() -> None:
    source, target = screens("simulated", expression_noise=0.0, batch_sd=0.0)
    (in_source, in_target), _ = overlap(source, target)
    left, right = source.cells.expression[in_source], target.cells.expression[in_target]
    rho = [spearmanr(left[:, gene], right[:, gene]).statistic for gene in range(len(source.genes))]
    assert min(rho) > 0.9999
    assert np.median(np.abs(left - right)) > 0.5


def test_gene_wise_platform_curves_are_not_straight_lines() -> None:
    source, target = screens("simulated", expression_noise=0.0, batch_sd=0.0)
    (in_source, in_target), _ = overlap(source, target)
    left, right = source.cells.expression[in_source], target.cells.expression[in_target]
    r2 = [np.corrcoef(left[:, gene], right[:, gene])[0, 1] ** 2 for gene in range(len(source.genes))]
    assert np.quantile(r2, 0.1) < 0.98


def test_batch_programs_move_the_target_only() -> None:
    without, with_batch = (screens("simulated", batch_sd=size, expression_noise=0.0) for size in (0.0, 0.5))
    np.testing.assert_array_equal(without[0].cells.expression, with_batch[0].cells.expression)
    moved = with_batch[1].cells.expression - without[1].cells.expression
    spectrum = np.linalg.svd(moved, compute_uv=False) ** 2
    assert spectrum[:3].sum() / spectrum.sum() > 0.9


def test_panel_is_the_uncapped_source_screen() -> None:
    panel = simulated_panel(**{key: value for key, value in TINY.items() if key != "label_cap"})
    source, _ = screens("simulated_tiny")
    responses = source.responses
    assert np.array_equal(panel.values[responses.cell_idx, responses.drug_idx], responses.potency)
    assert np.isfinite(panel.values).sum() == len(responses)
    assert np.array_equal(panel.cells.expression, source.cells.expression)
    assert panel.truth["causal_genes"] == source.truth["causal_genes"]
