"""Integrated gradients against closed forms and against captum on the genes themselves, one pair at a time."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from torch import Tensor, nn

from dadsp.analysis.attribution import (
    AttributionOptions,
    Baseline,
    attribute_drug_features,
    attribute_genes,
    mean_gradient,
    potency_functions,
)
from dadsp.analysis.gene_rankings import rank_overlap
from dadsp.errors import ConfigError, DadspError
from dadsp.models.base import Predictor
from dadsp.models.networks.potency_function import PotencyFunction
from dadsp.models.systems.classical import Linear
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.models.systems.dadsp_b import DadspB
from dadsp.models.systems.deepdsc1 import DeepDsc1
from dadsp.models.systems.sla import Sla
from dadsp.options import validated
from dadsp.schema import Domain, FloatArray, Pairs, Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study
from tests.support.systems import LIVELY

SYSTEMS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "dadsp_a": (DadspA, {}),
    "dadsp_a_relu": (DadspA, {"encoder_activation": "relu", "activation": "relu", "dropout": 0.3}),
    "dadsp_b": (DadspB, {}),
    "sla": (Sla, {}),
    "deepdsc1": (DeepDsc1, {"folds": 2, "pretraining": None}),
}
EXACT = AttributionOptions(steps=64, random_lines=3)
BASELINES: tuple[Baseline, ...] = ("zero", "mean_line", "random_lines")


@pytest.fixture(scope="module")
def study() -> Study:
    return small_study(n_genes=9)


@pytest.fixture(scope="module")
def systems(study: Study) -> dict[str, Predictor]:
    split = cross_screen(study, seed=0, val_fraction=0.2)
    training = {"max_epochs": 1, "min_blocks": 1}
    return {
        name: system(training=training, **{**LIVELY, **options}).fit(study, split)
        for name, (system, options) in SYSTEMS.items()
    }


def pairs_of(study: Study, domain: Domain = "target", drug: int = 1, lines: tuple[int, ...] = (0, 3, 5, 6)) -> Pairs:
    screen = study.target if domain == "target" else study.source
    return Pairs(screen, domain, np.array(lines), np.full(len(lines), drug))


def expression_of(pairs: Pairs) -> FloatArray:
    return pairs.screen.cells.expression[pairs.cell_idx]


def functions_of(model: Predictor, pairs: Pairs) -> list[PotencyFunction]:
    """The functions of a network, by their type."""
    return cast(list[PotencyFunction], potency_functions(model, pairs))


def textbook(model: Predictor, pairs: Pairs, start: FloatArray | None) -> FloatArray:
    """captum over the genes, pair by pair, the whole network each time; starts from raw ``start``, None from scaled zero."""
    found = np.zeros((len(pairs), len(model.genes)), dtype=np.float32)
    for function in functions_of(model, pairs):

        def potency(scaled: Tensor, function: PotencyFunction = function) -> Tensor:
            codes = function.encoder(scaled)
            drugs = function.network.drug_branch(function.drug_row.expand(len(scaled), -1))
            rows = torch.arange(len(scaled))
            scaled_potency: Tensor = function.network.regress(codes, rows, drugs, rows)
            return scaled_potency * (function.labels.high - function.labels.low) + function.labels.low

        for row, line in enumerate(expression_of(pairs)):
            ends = torch.from_numpy(function.scale(line[None]))
            starts = torch.zeros_like(ends) if start is None else torch.from_numpy(function.scale(start[None]))
            attribution = IntegratedGradients(potency).attribute(ends, baselines=starts, n_steps=64)
            found[row] += function.share[row] * attribution[0].numpy()
    return found


def test_integral_of_a_linear_function_is_weight_times_difference() -> None:
    random = torch.Generator().manual_seed(0)
    weights = torch.randn(6, generator=random)
    starts, ends = (torch.randn(4, 6, generator=random) for _ in range(2))
    gradient, steps = mean_gradient(lambda x: x @ weights + 2, starts, ends, AttributionOptions())
    assert torch.allclose(gradient, weights.expand(4, 6), atol=1e-6)
    assert steps.tolist() == [32] * 4


def test_integral_of_a_product_is_shared_equally_from_zero() -> None:
    ends = torch.tensor([[2.0, 3.0], [-1.0, 4.0]])
    gradient, _ = mean_gradient(lambda x: x[:, 0] * x[:, 1], torch.zeros(2, 2), ends, AttributionOptions())
    assert torch.allclose(gradient * ends, torch.tensor([[3.0, 3.0], [-2.0, -2.0]]), atol=1e-6)


def test_steps_are_doubled_only_on_the_paths_that_need_it() -> None:
    ends = torch.tensor([[0.01], [1.0]])
    options = AttributionOptions(steps=2, max_steps=256, tolerance=1e-4)
    gradient, steps = mean_gradient(lambda x: torch.sigmoid(40 * (x[:, 0] - 0.6)), torch.zeros(2, 1), ends, options)
    assert steps[0] == 2 < steps[1]
    assert gradient[1, 0].item() == pytest.approx(1 / (1 + np.exp(-16)), abs=1e-4)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("domain", ["source", "target"])
def test_genes_equal_the_textbook_way(systems: dict[str, Predictor], study: Study, name: str, domain: Domain) -> None:
    pairs = pairs_of(study, domain)
    model = systems[name]
    from_zero, from_mean = (
        attribute_genes(functions_of(model, pairs), pairs, model.genes, baseline, EXACT).values
        for baseline in ("zero", "mean_line")
    )
    assert from_zero == pytest.approx(textbook(model, pairs, None), abs=2e-5)
    assert from_mean == pytest.approx(textbook(model, pairs, pairs.screen.cells.expression.mean(axis=0)), abs=2e-5)
    assert np.abs(from_zero).max() > 1e-3


def test_random_lines_are_the_mean_over_real_lines(systems: dict[str, Predictor], study: Study) -> None:
    pairs, model = pairs_of(study), systems["dadsp_a"]
    n = len(study.target.cells)
    every = AttributionOptions(random_lines=n + 5, steps=64)
    found = attribute_genes(functions_of(model, pairs), pairs, model.genes, "random_lines", every)
    one_by_one = [textbook(model, pairs, line) for line in study.target.cells.expression]
    assert found.values == pytest.approx(np.mean(one_by_one, axis=0), abs=2e-5)
    predicted = model.predict(Pairs(study.target, "target", np.arange(n), np.full(n, 1)))
    assert found.baseline_potency == pytest.approx(np.full(4, predicted.mean()), abs=1e-5)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("baseline", BASELINES)
def test_attributions_add_up_to_the_difference(
    systems: dict[str, Predictor], study: Study, name: str, baseline: Baseline
) -> None:
    pairs, model = pairs_of(study), systems[name]
    found = attribute_genes(functions_of(model, pairs), pairs, model.genes, baseline, EXACT)
    difference = found.potency - found.baseline_potency
    assert found.potency == pytest.approx(model.predict(pairs), abs=1e-5)
    assert found.values.sum(axis=1) == pytest.approx(difference, abs=EXACT.tolerance)
    assert found.completeness_error == pytest.approx(found.values.sum(axis=1) - difference, abs=1e-5)


def test_internal_batches_change_nothing(systems: dict[str, Predictor], study: Study) -> None:
    pairs, model = pairs_of(study), systems["dadsp_b"]
    functions = functions_of(model, pairs)
    whole, cut = (
        attribute_genes(functions, pairs, model.genes, "random_lines", replace(EXACT, internal_batch=size)).values
        for size in (1024, 4)
    )
    assert cut == pytest.approx(whole, abs=1e-6)


def test_labelled_pair_of_deepdsc1_is_explained_by_the_network_that_did_not_see_it(
    systems: dict[str, Predictor], study: Study
) -> None:
    pairs, model = pairs_of(study), systems["deepdsc1"]
    assert isinstance(model, DeepDsc1)
    shares = np.stack([function.share for function in functions_of(model, pairs)])
    fold = model.fold_of_pair[pairs.cell_idx, pairs.drug_idx]
    assert np.array_equal(shares.argmax(axis=0), fold)
    assert np.array_equal(shares.sum(axis=0), np.ones(4))


def test_incomplete_attributions_are_refused_with_lines_and_remedy(systems: dict[str, Predictor], study: Study) -> None:
    pairs, model = pairs_of(study), systems["dadsp_a_relu"]
    options = AttributionOptions(steps=2, max_steps=2, tolerance=1e-9)
    with pytest.raises(DadspError, match=r"of 4 lines miss .* \(e\.g\. TGT-line.*Raise attribution\.max_steps"):
        attribute_genes(functions_of(model, pairs), pairs, model.genes, "zero", options)


def test_shuffled_weights_keep_their_values_and_change_the_attributions(systems: dict[str, Predictor], study: Study) -> None:
    pairs, model = pairs_of(study), systems["dadsp_b"]
    (function,) = functions_of(model, pairs)
    before = [weights.clone() for weights in function.network.parameters()]
    shuffled = function.with_shuffled_weights(seed=0)
    assert all(torch.equal(old, new) for old, new in zip(before, function.network.parameters(), strict=True))
    for old, new in zip(before, shuffled.network.parameters(), strict=True):
        assert torch.equal(old.flatten().sort().values, new.flatten().sort().values)
    assert shuffled.encoder is shuffled.network.get_submodule("target_encoder")
    original, other = (attribute_genes([each], pairs, model.genes, "zero", EXACT).values for each in (function, shuffled))
    assert not np.allclose(original, other, rtol=0.1)


def test_attributions_of_a_learned_function_do_not_survive_shuffling() -> None:
    """A network whose answer rests on two genes out of 200: the ranking is its weights' doing, not the expression's."""
    study = small_study(n_genes=200)
    split = cross_screen(study, seed=0, val_fraction=0.2)
    model = DadspA(training={"max_epochs": 1, "min_blocks": 1}, **{**LIVELY, "pretraining": None}).fit(study, split)
    first = next(module for module in model.network.encoder.modules() if isinstance(module, nn.Linear))
    with torch.no_grad():
        first.weight[:, 2:] *= 0.01
    pairs = pairs_of(study)
    (function,) = functions_of(model, pairs)
    original = attribute_genes([function], pairs, model.genes, "zero", EXACT).values
    for seed in range(3):
        values = attribute_genes([function.with_shuffled_weights(seed)], pairs, model.genes, "zero", EXACT).values
        correlations = [rank_overlap(a, b, 10).spearman for a, b in zip(original, values, strict=True)]
        assert np.abs(np.mean(correlations)) < 0.3


def test_drug_features_equal_the_textbook_way_and_add_up(systems: dict[str, Predictor], study: Study) -> None:
    pairs, model = pairs_of(study), systems["dadsp_b"]
    (function,) = functions_of(model, pairs)
    found = attribute_drug_features([function], pairs, model.genes, EXACT)
    assert found.values.sum(axis=1) == pytest.approx(found.potency - found.baseline_potency, abs=1e-5)
    assert (found.values[:, function.drug_row[0].numpy() == 0] == 0).all()  # a bit that is not set explains nothing
    for row, line in enumerate(expression_of(pairs)):
        code = function.encoder(torch.from_numpy(function.scale(line[None])))
        of_bits = IntegratedGradients(
            lambda bits, code=code: function.of_drug_features(bits, code.expand(len(bits), -1))
        ).attribute(function.drug_row, n_steps=64)
        assert found.values[row] == pytest.approx(of_bits[0].numpy(), abs=1e-5)


def test_weights_receive_no_gradient(systems: dict[str, Predictor], study: Study) -> None:
    pairs, model = pairs_of(study), systems["dadsp_a"]
    (function,) = functions_of(model, pairs)
    for weights in function.network.parameters():
        weights.grad = None  # what training left
    attribute_genes([function], pairs, model.genes, "zero", EXACT)
    assert all(weights.grad is None for weights in function.network.parameters())


def test_system_without_gradient_is_refused(study: Study) -> None:
    with pytest.raises(ConfigError, match=r"ridge.* has no gradients .* DADSP-A, DADSP-B, DeepDSC or SLA"):
        potency_functions(Linear(name="ridge"), pairs_of(study))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baselines": ["zero", "zero"]}, "a baseline stands twice"),
        ({"baselines": ["zeros"]}, "Did you mean 'zero'"),
        ({"steps": 64, "max_steps": 32}, "max_steps=32 is below steps=64"),
        ({"internal_batch": 10}, "cannot hold random_lines=20"),
        ({"tolerance": 0}, "tolerance=0 is not valid"),
        ({"tolerance": float("inf")}, "tolerance=inf is not valid"),
        ({"stepz": 3}, "Did you mean 'steps'"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validated(AttributionOptions, options, "attribution")
