"""Attributions of systems of kernels against predictions of changed lines, and against kernels written in numpy."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from dadsp.analysis.attribution import AttributionOptions, Attributions, Baseline, attribute_genes, potency_functions
from dadsp.analysis.explanation import ExplanationOptions, explain
from dadsp.errors import ConfigError
from dadsp.models.kernels.function import KernelFunction
from dadsp.models.kernels.similarity import LineKernel, line_similarity
from dadsp.models.kernels.system import KernelSystem
from dadsp.models.systems.drug_ridge import DrugKernelRidge, DrugRidge
from dadsp.models.systems.pairwise_gp import PairwiseGp
from dadsp.schema import Domain, FloatArray, Pairs, Split, Study
from tests.support.studies import holey_study

EXACT = AttributionOptions(random_lines=3)
BASELINES: tuple[Baseline, ...] = ("zero", "mean_line", "random_lines")
DRUG, LINES = 1, (0, 2, 5, 9)  # the first two lines stand in the source too
KERNELS: tuple[LineKernel, ...] = ("linear", "rbf", "mixed")


def gp(lines: LineKernel) -> PairwiseGp:
    return PairwiseGp(kernel={"lines": lines, "noise": 0.1}, tolerance=1e-8)


@pytest.fixture(scope="module")
def holey() -> tuple[Study, Split]:
    return holey_study()


@pytest.fixture(scope="module")
def study(holey: tuple[Study, Split]) -> Study:
    return holey[0]


@pytest.fixture(scope="module")
def systems(holey: tuple[Study, Split]) -> dict[str, KernelSystem]:
    made: dict[str, KernelSystem] = {kind: gp(kind) for kind in KERNELS}
    made["drug_ridge"] = DrugRidge(penalties=[1.0])
    return {name: system.fit(*holey) for name, system in made.items()}


def pairs_of(study: Study, domain: Domain = "target") -> Pairs:
    screen = study.target if domain == "target" else study.source
    return Pairs(screen, domain, np.array(LINES), np.full(len(LINES), DRUG))


def with_expression(pairs: Pairs, expression: FloatArray) -> Pairs:
    return replace(pairs, screen=replace(pairs.screen, cells=replace(pairs.screen.cells, expression=expression)))


def attributed(model: KernelSystem, pairs: Pairs, baseline: Baseline = "mean_line") -> Attributions:
    return attribute_genes(potency_functions(model, pairs), pairs, model.genes, baseline, EXACT)


@pytest.mark.parametrize("name", [*KERNELS, "drug_ridge"])
@pytest.mark.parametrize("domain", ["source", "target"])
def test_attributions_add_up_to_the_difference_of_predictions(
    systems: dict[str, KernelSystem], study: Study, name: str, domain: Domain
) -> None:
    model, pairs = systems[name], pairs_of(study, domain)
    expression = pairs.screen.cells.expression.copy()
    expression[list(LINES)] = expression.mean(axis=0)
    predicted, of_mean = model.predict(pairs), model.predict(with_expression(pairs, expression))
    for baseline in BASELINES:
        found = attributed(model, pairs, baseline)
        assert found.potency == pytest.approx(predicted, abs=1e-5)
        assert found.values.sum(axis=1) == pytest.approx(found.potency - found.baseline_potency, abs=1e-5)
        assert np.abs(found.values).max() > 0.01
    # A line keeps its identity while it takes the mean's expression, and with it what its own labels in training say.
    assert attributed(model, pairs).baseline_potency == pytest.approx(of_mean, abs=1e-5)


@pytest.mark.parametrize("name", ["linear", "drug_ridge"])
def test_gene_of_a_linear_system_gets_what_changing_it_alone_changes(
    systems: dict[str, KernelSystem], study: Study, name: str
) -> None:
    model, pairs = systems[name], pairs_of(study)
    found, predicted = attributed(model, pairs).values, model.predict(pairs)
    for gene in range(len(study.genes)):
        changed = study.target.cells.expression.copy()
        changed[:, gene] = changed[:, gene].mean()
        assert found[:, gene] == pytest.approx(predicted - model.predict(with_expression(pairs, changed)), abs=1e-5)


@pytest.mark.parametrize("kind", KERNELS)
def test_gradient_is_that_of_finite_differences(kind: LineKernel) -> None:
    random = np.random.default_rng(0)
    lines, z = random.normal(size=(6, 5)).astype(np.float32), random.normal(size=(3, 5))
    weights, of_drug = random.normal(size=(6, 4)), random.random(4)
    function = KernelFunction(kind, 3.0, lines, weights, of_drug, -1.0, lambda raw: raw, np.zeros(3, np.float32))

    def potency(rows: Any) -> Any:
        return -1.0 + line_similarity(kind, rows, lines, 3.0) @ weights @ of_drug

    expression = torch.from_numpy(z).requires_grad_()
    outputs = function.of_first_outputs(expression)
    (gradient,) = torch.autograd.grad(outputs.sum(), expression)
    steps = [(potency(z + move) - potency(z - move)) / 2e-5 for move in 1e-5 * np.eye(5)]
    assert outputs.detach().numpy() == pytest.approx(potency(z))
    assert gradient.numpy() == pytest.approx(np.stack(steps, axis=1), abs=1e-7)


def test_what_a_lines_own_labels_say_is_no_genes(systems: dict[str, KernelSystem], study: Study) -> None:
    model, pairs = systems["mixed"], pairs_of(study)
    cells = pairs.screen.cells
    strangers = replace(cells, ids=tuple(f"new{row}" for row in range(len(cells))), link_ids=(None,) * len(cells))
    others = replace(pairs, screen=replace(pairs.screen, cells=strangers))
    (function,) = potency_functions(model, pairs)
    known, unknown = attributed(model, pairs), attributed(model, others)
    assert np.array_equal(known.values, unknown.values)
    assert function.beside == pytest.approx(model.predict(pairs) - model.predict(others), abs=1e-6)
    assert (np.abs(function.beside[:2]) > 0.01).all()
    assert np.array_equal(function.beside[2:], np.zeros(2))
    assert known.potency - unknown.potency == pytest.approx(function.beside, abs=1e-6)
    assert "own labels in training" in function.notes[0]
    assert potency_functions(model, others)[0].notes == ()


@pytest.mark.parametrize("name", ["mixed", "drug_ridge"])
def test_shuffled_weights_keep_their_values_and_change_the_attributions(
    systems: dict[str, KernelSystem], study: Study, name: str
) -> None:
    model, pairs = systems[name], pairs_of(study)
    (function,) = model.potency_functions(pairs)
    shuffled = function.with_shuffled_weights(seed=0)
    assert np.array_equal(np.sort(shuffled.weights, axis=None), np.sort(model.learned.weights, axis=None))
    assert function.weights is model.learned.weights
    original, other = (attribute_genes([each], pairs, model.genes, "zero", EXACT).values for each in (function, shuffled))
    assert not np.allclose(original, other, rtol=0.1)


def test_potency_is_explained_before_the_cap(holey: tuple[Study, Split]) -> None:
    study, split = holey
    capped = replace(study, target=replace(study.target, cap=-0.5), label_cap="target")
    model, pairs = gp("mixed").fit(capped, split), pairs_of(capped)
    assert "before the cap of -0.5" in potency_functions(model, pairs)[0].notes[0]
    found = attributed(model, pairs)
    assert found.potency.min() < -0.5
    assert np.maximum(found.potency, -0.5) == pytest.approx(model.predict(pairs), abs=1e-5)


def test_system_that_reads_no_gene_asks_for_none_and_is_refused(holey: tuple[Study, Split]) -> None:
    model = DrugKernelRidge().fit(*holey)
    assert model.genes == ()
    with pytest.raises(ConfigError, match="drug kernel ridge reads no gene"):
        potency_functions(model, pairs_of(holey[0]))


def test_explanation_of_a_kernel_system_is_whole_but_for_the_atoms(systems: dict[str, KernelSystem], study: Study) -> None:
    one = replace(study.target.drugs, **{name: column[:1] for name, column in vars(study.target.drugs).items() if column})
    pairs = Pairs(
        replace(study.target, drugs=one, responses=study.target.responses.none()),
        "target",
        np.array(LINES),
        np.zeros(4, int),
    )
    options = ExplanationOptions(top=2, shuffles=2, attribution=EXACT)
    found = explain(systems["mixed"], pairs, options, {"ridge": systems["drug_ridge"]})
    assert isinstance(found.atoms, str)
    assert "similarities of whole structures" in found.atoms
    assert found.notes == systems["mixed"].potency_functions(pairs)[0].notes
    assert set(found.overlaps["comparison"]) == {"baseline", "run", "weights"}
    assert found.lines["completeness_error"].abs().max() < 1e-5
