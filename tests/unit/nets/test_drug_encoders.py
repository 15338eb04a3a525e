"""The learned drug encoders against plain layers and hand arithmetic."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dadsp.nets.graph_encoder import TOGETHER, GraphEncoder
from dadsp.nets.smiles_cnn import SmilesCnn, SmilesImageCnn, distinct_windows

N_TOKENS, LENGTH = 6, 21


def smiles_rows(n: int = 5) -> Tensor:
    """Random strings of different lengths, with an unknown token inside."""
    rows = torch.randint(1, N_TOKENS + 1, (n, LENGTH), generator=torch.Generator().manual_seed(0)).float()
    for row, end in zip(rows, (21, 13, 7, 2, 16), strict=True):
        row[end:] = 0
    rows[0, 4] = 0
    return rows


def dense_cnn(cnn: SmilesCnn, rows: Tensor) -> Tensor:
    """The same network over the one-hot matrix as an image, every kernel of the first layer as high as the image."""
    image = nn.functional.one_hot(rows.long(), N_TOKENS + 1)[:, :, 1:].float().transpose(1, 2).unsqueeze(1)
    hidden = nn.functional.conv2d(image, cnn.first.weight.unsqueeze(1), cnn.first.bias)
    hidden = nn.functional.max_pool2d(torch.relu(hidden), (1, 2))
    hidden = nn.functional.conv2d(hidden, cnn.second.weight.unsqueeze(2), cnn.second.bias)
    hidden = nn.functional.max_pool2d(torch.relu(hidden), (1, 2)).squeeze(2)
    return torch.relu(cnn.dense(hidden.transpose(1, 2).flatten(1)))


@pytest.mark.parametrize("kernels", [(5, 3), (4, 2), (1, 1)])
def test_looked_up_convolutions_equal_the_dense_one_hot_ones(kernels: tuple[int, int]) -> None:
    torch.manual_seed(0)
    cnn, rows = SmilesCnn(N_TOKENS, LENGTH, (8, 7), kernels, 5), smiles_rows()
    found = []
    for output in (cnn(rows), dense_cnn(cnn, rows)):
        cnn.zero_grad()
        (output**2).sum().backward()
        found.append([output.detach(), *(weight.grad.clone() for weight in cnn.parameters() if weight.grad is not None)])
    assert len(found[0]) == 1 + 6
    for ours, dense in zip(*found, strict=True):
        torch.testing.assert_close(ours, dense, atol=1e-5, rtol=1e-4)


def pooled_squares(image: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolution with squares, ReLU and pooling by 2 of a (channels, height, length) image, window by window."""
    side = weight.shape[2]
    windows = image.unfold(1, side, 1).unfold(2, side, 1)  # (channels, rows, columns, side, side)
    hidden = torch.relu(torch.einsum("crsab,fcab->frs", windows, weight) + bias[:, None, None])
    return hidden.unfold(1, 2, 2).unfold(2, 2, 2).amax((3, 4))


@pytest.mark.parametrize("n_tokens", [N_TOKENS, 15])  # the first needs rows of zeros below the symbols
def test_squares_slide_over_symbols_and_positions(n_tokens: int) -> None:
    torch.manual_seed(0)
    cnn, rows = SmilesImageCnn(n_tokens, LENGTH, (8, 7), (5, 3), 5), smiles_rows()
    assert (cnn.first.weight.shape, cnn.second.weight.shape) == ((8, 1, 5, 5), (7, 8, 3, 3))
    expected = []
    for row in rows.long():
        image = torch.zeros(1, max(n_tokens, 12), LENGTH)
        for position, token in enumerate(row.tolist()):
            if token:
                image[0, token - 1, position] = 1
        for layer in (cnn.first, cnn.second):
            image = pooled_squares(image, layer.weight, layer.bias)  # type: ignore[arg-type]
        expected.append(torch.relu(cnn.dense(image.movedim(2, 0).flatten())))
    torch.testing.assert_close(cnn(rows), torch.stack(expected))


@pytest.mark.parametrize("scale", [1, 10**9])  # the second is too large for one number per window
def test_distinct_windows_are_numpys(scale: int) -> None:
    ids = torch.randint(0, 3, (4, 11), generator=torch.Generator().manual_seed(0)) * scale
    distinct, place = distinct_windows(ids, 4)
    expected = np.lib.stride_tricks.sliding_window_view(ids.numpy(), 4, axis=1)[:, ::2]
    assert np.array_equal(distinct[place], expected)
    assert len(distinct) == len(np.unique(expected.reshape(-1, 4), axis=0))


def graph_rows(atoms: list[Tensor], bonds: list[Tensor], max_atoms: int) -> Tensor:
    """Packed graphs of the molecules given by atom features and bonds without loops."""
    rows = []
    for features, adjacency in zip(atoms, bonds, strict=True):
        n = len(features)
        all_atoms, all_bonds = torch.zeros(max_atoms, features.shape[1]), torch.zeros(max_atoms, max_atoms)
        all_atoms[:n], all_bonds[:n, :n] = features, adjacency + torch.eye(n)
        rows.append(torch.cat([all_atoms.flatten(), all_bonds.flatten()]))
    return torch.stack(rows)


CHAIN = torch.tensor([[0.0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]])
RING = torch.tensor([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])


def atoms_of(n: int) -> Tensor:
    return torch.rand(n, 5, generator=torch.Generator().manual_seed(n))


def test_graph_layers_are_normalised_adjacency_products() -> None:
    torch.manual_seed(0)
    encoder = GraphEncoder(5, 7, (6, 4))
    layers: Any = list(encoder.layers)
    with torch.no_grad():
        for layer in layers:
            layer.bias.uniform_(-0.5, 0.5)
    expected = []
    for bonds in (CHAIN, RING):
        loops = bonds + torch.eye(len(bonds))
        normalised = torch.diag(loops.sum(1) ** -0.5) @ loops @ torch.diag(loops.sum(1) ** -0.5)
        hidden = atoms_of(len(bonds))
        for layer in layers:
            hidden = torch.relu(normalised @ hidden @ layer.lin.weight.t() + layer.bias)
        expected.append(hidden.max(0).values)
    rows = graph_rows([atoms_of(4), atoms_of(3)], [CHAIN, RING], max_atoms=7)
    torch.testing.assert_close(encoder(rows), torch.stack(expected))


def test_order_of_atoms_and_other_drugs_of_the_batch_mean_nothing() -> None:
    torch.manual_seed(0)
    encoder = GraphEncoder(5, 7, (6, 4))
    order = torch.tensor([2, 0, 3, 1])
    as_is = graph_rows([atoms_of(4)], [CHAIN], 7)
    reordered = graph_rows([atoms_of(4)[order]], [CHAIN[order][:, order]], 7)
    larger = graph_rows([torch.ones(6, 5)], [torch.zeros(6, 6)], 7)
    torch.testing.assert_close(encoder(reordered), encoder(as_is))
    torch.testing.assert_close(encoder(torch.cat([as_is, larger]))[:1], encoder(as_is))


def test_dense_layer_reads_the_atoms_in_their_order() -> None:
    torch.manual_seed(0)
    encoder = GraphEncoder(5, 7, (6,), n_outputs=3)
    assert encoder.dense is not None
    layer: Any = encoder.layers[0]
    loops = CHAIN + torch.eye(4)
    normalised = torch.diag(loops.sum(1) ** -0.5) @ loops @ torch.diag(loops.sum(1) ** -0.5)
    atoms = torch.zeros(7, 6)
    atoms[:4] = torch.relu(normalised @ atoms_of(4) @ layer.lin.weight.t() + layer.bias)
    as_is = graph_rows([atoms_of(4)], [CHAIN], 7)
    torch.testing.assert_close(encoder(as_is), torch.relu(encoder.dense(atoms.flatten())).unsqueeze(0))
    order = torch.tensor([2, 0, 3, 1])
    reordered = graph_rows([atoms_of(4)[order]], [CHAIN[order][:, order]], 7)
    assert not torch.allclose(encoder(reordered), encoder(as_is))


@pytest.mark.parametrize("n_outputs", [None, 3])
def test_many_drugs_at_once_are_each_alone(n_outputs: int | None) -> None:
    torch.manual_seed(0)
    encoder = GraphEncoder(5, 9, (6, 4), n_outputs)
    sizes = [3, 9, 1, 0, *torch.randint(1, 10, (3 * TOGETHER,), generator=torch.Generator().manual_seed(0)).tolist()]
    chains = [(torch.arange(n)[:, None] - torch.arange(n)).abs().eq(1).float() for n in sizes]
    rows = graph_rows([atoms_of(n) for n in sizes], chains, max_atoms=9)
    together = encoder(rows)
    assert len(torch.unique(together.round(decimals=4), dim=0)) > 5
    torch.testing.assert_close(together, torch.cat([encoder(row.unsqueeze(0)) for row in rows]))
