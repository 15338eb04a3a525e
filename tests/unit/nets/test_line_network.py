"""The line network's algebra against loops, its drug codes, and deep CORAL against numpy."""

from typing import cast

import numpy as np
import pytest
import torch

from dadsp.nets.coral import coral
from dadsp.nets.feed_forward import first_linear
from dadsp.nets.line_network import DrugCode, Head, LineNetwork

N_GENES, N_FEATURES, WIDTH, N_FREE = 6, 5, 3, 4
HEADS: list[Head] = ["bilinear", "film", "mlp"]


def network(head: Head, free_dropout: float = 0.0, n_free: int = N_FREE) -> LineNetwork:
    torch.manual_seed(0)
    code = DrugCode(N_FEATURES, (7,), WIDTH, n_free, "tanh", free_dropout)
    if code.free is not None:
        torch.nn.init.normal_(code.free.weight[1:])
    return LineNetwork(
        N_GENES,
        code,
        WIDTH,
        encoder_widths=(8, 4),
        activation="tanh",
        encoder_activation="tanh",
        dropout=0.0,
        head=head,
        head_widths=(6,),
        spread=0.25,
        discriminator_widths=None,
    ).eval()


def rows(numbers: list[int], levels: list[float]) -> torch.Tensor:
    features = torch.rand(len(numbers), N_FEATURES, generator=torch.Generator().manual_seed(1))
    return torch.cat([features, torch.tensor(levels)[:, None], torch.tensor(numbers)[:, None]], dim=1)


def by_hand(net: LineNetwork, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """h of one line and one drug, as the docstring states it."""
    if net.head == "mlp":
        hidden = torch.tanh(first_linear(net.joined)(torch.cat([x, z])))
        return torch.as_tensor(net.joined[1](hidden)[0])
    own = net.of_line(x)[0] + net.of_drug(z)[0]
    if net.head == "bilinear":
        return torch.as_tensor(net.project(x) @ z / np.sqrt(WIDTH) + own)
    factor, shift = net.modulate(z)[:WIDTH], net.modulate(z)[WIDTH:]
    return torch.as_tensor(net.read_out(torch.relu((1 + factor) * net.project(x) + shift))[0] + own)


@pytest.mark.parametrize("head", HEADS)
@torch.no_grad()
def test_blocks_and_pairs_are_the_formula_of_the_docstring(head: Head) -> None:
    net = network(head)
    for weight in net.parameters():  # so that no ReLU gives 0 throughout
        torch.nn.init.normal_(weight)
    lines = net.encoder(torch.rand(3, N_GENES))
    drugs = net.drug_branch(rows([0, 2], [0.5, 0.7]))
    block = net.regress_block(lines, drugs)
    line, drug = (torch.from_numpy(part.ravel()) for part in np.indices((3, 2)))
    assert torch.allclose(net.regress(lines, line, drugs, drug), block.ravel(), atol=1e-6)
    for i in range(3):
        for j, level in enumerate((0.5, 0.7)):
            assert float(block[i, j]) == pytest.approx(level + 0.25 * float(by_hand(net, lines[i], drugs[j, :-1])), abs=1e-5)


@torch.no_grad()
def test_a_drug_without_a_number_has_the_code_of_its_structure_alone() -> None:
    code = cast(DrugCode, network("bilinear").drug_branch[0])
    assert code.free is not None
    of_structure = code.of_structure(rows([0], [0.0])[:, :-2])
    assert torch.equal(code(rows([0], [0.3]))[:, :-1], of_structure)
    assert torch.allclose(code(rows([3], [0.3]))[:, :-1] - of_structure, code.free.weight[3])
    assert float(code(rows([3], [0.3]))[0, -1]) == pytest.approx(0.3)


@torch.no_grad()
def test_free_codes_begin_at_nothing_and_are_left_out_in_training_alone() -> None:
    torch.manual_seed(0)
    code = DrugCode(N_FEATURES, (7,), WIDTH, N_FREE, "tanh", free_dropout=0.5)
    assert code.free is not None
    assert float(code.free.weight.abs().sum()) == 0
    torch.nn.init.ones_(code.free.weight)
    code.free.weight.data[0] = 0
    many = rows([1] * 400, [0.0] * 400)
    own = code(many)[:, :-1] - code.of_structure(many[:, :-2])
    assert 0.35 < float((own.abs().sum(1) > 0.5).float().mean()) < 0.65
    own = code.eval()(many)[:, :-1] - code.of_structure(many[:, :-2])
    assert torch.allclose(own, torch.ones_like(own), atol=1e-6)


def test_deep_coral_is_the_scaled_distance_of_covariances() -> None:
    random = np.random.default_rng(0)
    source, target = random.normal(size=(7, 3)), random.normal(size=(5, 3)) * 2
    expected = ((np.cov(source.T) - np.cov(target.T)) ** 2).sum() / (4 * 3**2)
    assert float(coral(torch.from_numpy(source), torch.from_numpy(target))) == pytest.approx(expected, rel=1e-12)
    assert float(coral(torch.from_numpy(source[:1]), torch.from_numpy(source[:1] + 1))) == 0
