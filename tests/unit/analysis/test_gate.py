"""The gate before genes are named: its statistics by hand, planted genes that pass, noise that does not."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dadsp.analysis.attribution import AttributionOptions
from dadsp.analysis.gate import NO_GENES, Gate, GateOptions, HeldOut, gate, gate_table, gene_effects, max_t, ranks_lines
from dadsp.errors import ConfigError
from dadsp.models.kernels.system import KernelSystem
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.models.systems.drug_ridge import DrugRidge
from dadsp.models.systems.pairwise_gp import PairwiseGp
from dadsp.options import validated
from dadsp.schema import FloatArray, Pairs, Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import holey_study, small_study
from tests.support.systems import LIVELY

SYSTEMS: dict[str, Any] = {"pairwise_gp": PairwiseGp, "drug_ridge": lambda: DrugRidge(penalties=[30.0])}


def study_with(potency: Any, *, n_lines: int, n_genes: int, n_drugs: int = 5, seed: int = 0) -> Study:
    """A study whose source labels are ``potency`` of scaled expression, shape (n_lines, n_genes), as (n_lines, n_drugs)."""
    study = small_study(n_source=n_lines, n_target=12, n_drugs=n_drugs, n_genes=n_genes, links=0)
    random = np.random.default_rng(seed)
    expression = random.normal(size=(n_lines, n_genes)).astype(np.float32)
    source, responses = study.source, study.source.responses
    labels = potency(expression, random)[responses.cell_idx, responses.drug_idx].astype(np.float32)
    cells = replace(source.cells, expression=expression)
    source = replace(source, cells=cells, responses=replace(responses, potency=labels))
    return replace(study, source=source, raw_source_potency=labels)


def noise(expression: FloatArray, random: np.random.Generator) -> NDArray[Any]:
    """Labels that share something between drugs, and nothing with expression."""
    n = len(expression)
    return random.normal(size=(n, 1)) + random.standard_t(3, size=(n, 5))


def planted(expression: FloatArray, random: np.random.Generator) -> NDArray[Any]:
    """Gene d drives drug d up, gene 5 + d drives it down."""
    return expression[:, :5] - 0.8 * expression[:, 5:10] + random.normal(size=(len(expression), 5))


def gated(model: KernelSystem | DadspA, study: Study, drug: int, held_out: tuple[HeldOut, ...] = (), **options: Any) -> Gate:
    pairs, *others = (Pairs(study.source, "source", np.array([0]), np.array([row])) for row in (drug, 0, 1, 2, 3))
    others = [other for other in others if other.drug_idx[0] != drug]
    return gate(model, pairs, GateOptions(**options), AttributionOptions(), 0, others, held_out)


def fitted(name: str, study: Study) -> KernelSystem:
    system: KernelSystem = SYSTEMS[name]()
    return system.fit(study, cross_screen(study, seed=0))


def test_effect_of_a_linear_function_is_weight_times_standard_deviation() -> None:
    random = np.random.default_rng(0)
    expression = random.normal(2, [0.5, 1, 3, 0], size=(50, 4))
    weights = np.array([2.0, -1.0, 0.5, 7.0])
    found = gene_effects((expression - 1.3) * weights, expression)
    assert found == pytest.approx(weights * expression.std(axis=0) * [1, 1, 1, 0])


def test_p_values_count_the_largest_statistic_of_every_draw() -> None:
    # Root mean squares over model and draws: 2, 1, so the statistics are (1.5, 1), (0.5, 1), (1.22, 1), whatever the sign.
    own, draws = np.array([3.0, 1.0]), np.array([[-1.0, 1.0], [np.sqrt(2), -1.0]])
    assert max_t(own, draws) == pytest.approx([1 / 3, 1.0])
    assert max_t(own * 100, draws * [[1], [0.001]], scale_free=True) == pytest.approx(max_t(own, draws, scale_free=True))


def test_share_of_noise_with_any_gene_is_the_level_however_genes_are_correlated() -> None:
    random = np.random.default_rng(1)
    smallest = []
    for _ in range(2000):
        effects = random.normal(size=(40, 3)) @ random.normal(size=(3, 30)) + 0.1 * random.normal(size=(40, 30))
        smallest.append(max_t(effects[0], effects[1:]).min())
    assert np.mean(np.array(smallest) <= 0.025) == pytest.approx(0.025, abs=0.01)
    assert np.mean(np.array(smallest) <= 0.25) == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("name", SYSTEMS)
def test_labels_are_found_again_in_what_was_learned_from_them(name: str) -> None:
    study, split = holey_study()
    options: dict[str, Any] = {"tolerance": 1e-8} if name == "pairwise_gp" else {"penalties": [30.0]}
    model = (PairwiseGp if name == "pairwise_gp" else DrugRidge)(refit=False, **options).fit(study, split)
    used = study.source.responses.take(split.train_idx)
    lines, drugs = np.unique(study.source.responses.cell_idx), np.unique(study.source.responses.drug_idx)
    assert model.learned.weights.shape == (len(lines), len(drugs))
    labels = np.zeros((len(lines), len(drugs)))
    labels[np.searchsorted(lines, used.cell_idx), np.searchsorted(drugs, used.drug_idx)] = used.potency
    expected = np.where(model.learned.measured, labels - np.nan_to_num(model.learned.level.means), 0)
    assert model._residuals() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", SYSTEMS)
def test_dealt_labels_change_what_is_said_of_lines_and_keep_the_level(name: str) -> None:
    study = study_with(planted, n_lines=60, n_genes=12)
    model = fitted(name, study)
    lines = np.arange(60)
    pairs = Pairs(study.source, "source", lines, np.full(60, 1))
    told, dealt = (np.asarray(each.potency_functions(pairs)[0].level) for each in (model, model.with_dealt_labels(pairs, 3)))
    assert told == pytest.approx(dealt)
    truth = study.source.responses.potency.reshape(60, 5)[:, 1]
    known, unknown = (np.corrcoef(each.predict(pairs), truth)[0, 1] for each in (model, model.with_dealt_labels(pairs, 3)))
    assert known > 0.7
    assert abs(unknown) < 0.5
    assert model.with_dealt_labels(pairs, 4).predict(pairs) != pytest.approx(
        model.with_dealt_labels(pairs, 3).predict(pairs)
    )


@pytest.mark.parametrize("name", SYSTEMS)
def test_planted_genes_are_named_and_no_others(name: str) -> None:
    study = study_with(planted, n_lines=150, n_genes=30)
    model = fitted(name, study)
    for drug in (1, 4):
        found = gated(model, study, drug)
        assert {model.genes[drug], model.genes[5 + drug]} == set(found.facts["named"])
        assert found.effects[drug] > 0 > found.effects[5 + drug]
        table = gate_table(found, model.genes)
        assert table["named"].tolist() == [True, True, *[False] * 28]
        assert "2 of 30 genes stand above the null of labels dealt to other lines" in found.sentence


def noise_names_genes(name: str, seeds: range) -> int:
    """How many models of noise name any gene."""
    count = 0
    for seed in seeds:
        study = study_with(noise, n_lines=40, n_genes=12, seed=seed)
        count += not gated(fitted(name, study), study, drug=seed % 5, lines=20).closed
    return count


@pytest.mark.parametrize("name", SYSTEMS)
def test_noise_names_no_gene(name: str) -> None:
    assert noise_names_genes(name, range(100, 105)) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_noise_names_no_gene_in_95_of_100_models(name: str) -> None:
    assert noise_names_genes(name, range(100)) <= 5


def test_genes_of_all_drugs_are_not_the_drugs_own() -> None:
    study = study_with(lambda x, random: 2 * x[:, :1] + x[:, 1:2] + 0 * x[:, :5], n_lines=60, n_genes=8)
    found = gated(fitted("pairwise_gp", study), study, drug=4)
    assert found.p.min() <= 0.025
    assert found.sentence.startswith(f"{NO_GENES}: the same genes for other drugs (median Spearman 1.00")
    assert not found.named.any()
    assert found.facts["named"] == []


def test_network_names_no_gene_unless_it_ranks_lines_by_labels_that_trained_nothing() -> None:
    study = small_study(n_genes=9)
    options = LIVELY | {"training": {"max_epochs": 1, "min_blocks": 1}, "pretraining": None}
    model = DadspA(**options).fit(study, cross_screen(study, seed=0, val_fraction=0.2))
    random = np.random.default_rng(0)
    right, other = random.normal(size=40), random.normal(size=40)
    few = HeldOut(right[:9], right[:9])
    lenient = {"alpha": 0.5, "draws": 1, "equal": 1.0}
    above = gated(model, study, 1, (HeldOut(right, right),), **lenient)
    if above.p.min() <= 0.5:  # one draw: the null is passed as often as not
        assert "not 10 labels" in gated(model, study, 1, (few,), **lenient).sentence
        assert (
            "does not rank the lines of 40 labels" in gated(model, study, 1, (HeldOut(right, -right),), **lenient).sentence
        )
        assert not above.closed
    assert above.facts["held_out"]["labels"] == 40
    assert ranks_lines([few]) == (0.0, 0)
    z, n = ranks_lines([HeldOut(right, right), HeldOut(right, other)])
    assert n == 80
    assert z == pytest.approx(np.sqrt(39 / 2) * (1 + ranks_lines([HeldOut(right, other)])[0] / np.sqrt(39)))


def test_gate_that_nothing_can_pass_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"draws=30 can give no p value of alpha=0\.025\. Take 39 or more"):
        validated(GateOptions, {"draws": 30}, "gate")
