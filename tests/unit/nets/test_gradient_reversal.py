"""The adversary's gradient reaches the encoder reversed and scaled, exactly."""

import itertools
import math

import pytest
import torch

from dadsp.nets.dadsp_network import DadspNetwork
from dadsp.nets.gradient_reversal import reversal_strength, reverse_gradient


def network(discriminator_batch_norm: bool = False) -> DadspNetwork:
    torch.manual_seed(0)
    return DadspNetwork(
        6,
        4,
        encoder_widths=(5, 3),
        drug_widths=(4,),
        regressor_widths=(4,),
        discriminator_widths=(4, 3),
        activation="tanh",
        encoder_activation="tanh",
        discriminator_batch_norm=discriminator_batch_norm,
    )


def test_forward_is_the_identity() -> None:
    features = torch.randn(4, 3)
    assert torch.equal(reverse_gradient(features, 0.7), features)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_gradient_is_minus_lambda_times_upstream(strength: float) -> None:
    features = torch.randn(4, 3, requires_grad=True)
    upstream = torch.randn(4, 3)
    reverse_gradient(features, strength).backward(upstream)
    assert features.grad is not None
    assert torch.equal(features.grad, -strength * upstream)


def test_encoder_gradient_is_minus_lambda_times_that_without_reversal() -> None:
    model, x, domain = network(), torch.randn(8, 6), torch.tensor([0, 1] * 4)
    assert model.discriminator is not None
    torch.nn.functional.cross_entropy(model.discriminator(model.encoder(x)), domain).backward()
    plain = [weight.grad.clone() for weight in model.encoder.parameters() if weight.grad is not None]
    head = [weight.grad.clone() for weight in model.discriminator.parameters() if weight.grad is not None]
    model.zero_grad()
    torch.nn.functional.cross_entropy(model.tell_domain(model.encoder(x), 0.4), domain).backward()
    for weight, expected in zip(model.encoder.parameters(), plain, strict=True):
        torch.testing.assert_close(weight.grad, -0.4 * expected)
    for weight, expected in zip(model.discriminator.parameters(), head, strict=True):
        torch.testing.assert_close(weight.grad, expected)  # the adversary itself learns unreversed


@pytest.mark.parametrize("batch_norm", [False, True])
def test_discriminator_output_varies_and_every_parameter_gets_gradient(batch_norm: bool) -> None:
    model, x = network(batch_norm), torch.randn(8, 6)
    logits = model.tell_domain(model.encoder(x), 1.0)
    assert logits.shape == (8, 2)
    assert logits.std(dim=0).min() > 1e-4
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1] * 4)).backward()
    for part in (model.encoder, model.discriminator):
        assert part is not None
        assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in part.parameters())


def test_drug_features_never_reach_the_discriminator() -> None:
    model = network()
    torch.nn.functional.cross_entropy(
        model.tell_domain(model.encoder(torch.randn(4, 6)), 1.0), torch.tensor([0, 1, 0, 1])
    ).backward()
    assert all(weight.grad is None for weight in model.drug_branch.parameters())


def test_lambda_starts_at_zero_rises_and_follows_the_formula() -> None:
    values = [reversal_strength(p / 100) for p in range(101)]
    assert values[0] == 0.0
    assert all(later > earlier for earlier, later in itertools.pairwise(values))
    assert values[50] == pytest.approx(math.tanh(2.5))  # 2/(1+e^{-2x}) − 1 = tanh x with x = γp/2
    assert values[100] == pytest.approx(0.9999092, abs=1e-7)
    assert reversal_strength(0.5, gamma=2.0) == pytest.approx(math.tanh(0.5))


@pytest.mark.parametrize("progress", [-0.01, 1.01])
def test_progress_outside_the_run_is_refused(progress: float) -> None:
    with pytest.raises(ValueError, match="progress"):
        reversal_strength(progress)
