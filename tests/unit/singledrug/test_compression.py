"""Compressing a trained network: what is removed, what is shared, and what comes back from disk."""

import copy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch.nn.utils import parametrize

from dadsp.errors import LoadError, SchemaError
from dadsp.models.base import FitContext
from dadsp.schema import FloatArray
from dadsp.singledrug import compression, fitting
from dadsp.singledrug.codec import MAX_BYTES
from dadsp.singledrug.compression import (
    CompressedNetwork,
    CompressionOptions,
    SharedValues,
    compress,
    compression_curve,
    load_compressed,
    prune_smallest,
    share_values,
)
from dadsp.singledrug.fitting import fit_network
from dadsp.singledrug.network import NetworkOptions, SingleDrugNetwork, TrainedNetwork

OPTIONS = CompressionOptions(sparsity=0.7, rounds=2, bits=3, max_epochs=3)


@cache
def tables() -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    random = np.random.default_rng(0)
    x = random.random((150, 30)).astype(np.float32)
    y = (3 + 4 * x[:, 0] * x[:, 1] + x[:, 2]).astype(np.float32)
    return x[:100], y[:100], x[100:], y[100:]


@cache
def trained() -> TrainedNetwork:
    options = NetworkOptions("fixed", fixed_widths=(24, 12), dropout=0.1, max_epochs=40, learning_rate=0.01)
    return fit_network(*tables(), options)


@cache
def small() -> CompressedNetwork:
    return compress(trained(), *tables(), OPTIONS)


def weights(network: SingleDrugNetwork) -> list[FloatArray]:
    return [layer.weight.detach().numpy() for layer in network.dense]


def flat(network: SingleDrugNetwork) -> FloatArray:
    return np.concatenate([weight.ravel() for weight in weights(network)])


def test_the_smallest_weights_of_all_layers_are_masked_and_no_others() -> None:
    network = copy.deepcopy(trained().network)
    before = np.abs(flat(network))
    for n_masked in (500, 700):  # in two goes, as the rounds do
        prune_smallest(network, n_masked - (before.size - int(np.count_nonzero(flat(network)))))
    masked = flat(network) == 0
    assert set(np.flatnonzero(masked)) == set(np.argsort(before)[:700])


def test_compression_removes_the_share_asked_for() -> None:
    kept = np.count_nonzero(flat(small().network))
    assert kept == 0.3 * flat(small().network).size


def test_a_layer_takes_no_more_values_than_its_bits_allow() -> None:
    for weight in weights(small().network):
        assert len(np.unique(weight[weight != 0])) <= 2**3


def test_every_weight_takes_the_nearest_value() -> None:
    weight = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    values, codes = share_values(weight, 16)
    assert np.array_equal(np.abs(weight[:, None] - values).argmin(axis=1), codes)


@pytest.mark.parametrize("n_values", [2, 8, 32])
def test_sharing_errs_no_more_than_equal_steps_over_the_range(n_values: int) -> None:
    weight = np.random.default_rng(0).normal(size=3000).astype(np.float32)
    values, codes = share_values(weight, n_values)
    # From n equal steps no weight is further than half a step, and k-means only ever lowers the sum of squares.
    half_step = (weight.max() - weight.min()) / (n_values - 1) / 2
    steps = np.linspace(weight.min(), weight.max(), n_values)
    at_start = ((weight[:, None] - steps) ** 2).min(axis=1)
    squared = (values[codes] - weight) ** 2
    assert at_start.max() <= half_step**2 * 1.0001
    assert squared.sum() <= at_start.sum()


@pytest.mark.parametrize("weight", [[], [0.5], [0.5, -1.0, 0.5, 2.0]])
def test_few_distinct_weights_are_kept_exactly(weight: list[float]) -> None:
    values, codes = share_values(np.array(weight, np.float32), 4)
    assert values[codes].tolist() == weight


def test_gradient_of_a_value_is_the_sum_over_its_weights() -> None:
    layer = torch.nn.Linear(4, 3)
    codes = np.array([0, 1, 1, 2, 0, 1])
    positions = np.array([0, 2, 3, 7, 8, 11])
    sharing = SharedValues(positions, codes, np.array([0.5, -1.0, 2.0], np.float32), layer.weight.shape)
    parametrize.register_parametrization(layer, "weight", sharing)
    x, upstream = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), torch.arange(15.0).view(5, 3)
    layer(x).backward(upstream)
    of_weights = (upstream.T @ x).flatten()[positions]  # d/dW of Σ upstream · (xWᵀ + b)
    expected = torch.stack([of_weights[codes == code].sum() for code in range(3)])
    gradient = layer.get_parameter("parametrizations.weight.original").grad
    torch.testing.assert_close(gradient, expected)


def test_the_decoded_network_is_bit_for_bit_the_one_that_was_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    quantised: list[FloatArray] = []

    def spy(name: str, network: SingleDrugNetwork, *more: Any) -> None:
        fitting.train(name, network, *more)
        quantised[:] = [weight.copy() for weight in weights(network)]

    monkeypatch.setattr(compression, "train", spy)
    decoded = compress(trained(), *tables(), OPTIONS)
    assert [a.tobytes() for a in weights(decoded.network)] == [b.tobytes() for b in quantised]


def test_a_saved_network_predicts_the_same_and_has_the_size_it_says(tmp_path: Path) -> None:
    path = tmp_path / "new" / "network.dnz"
    small().save(path)
    again = load_compressed(path)
    assert path.stat().st_size == small().size_bytes == again.size_bytes
    assert np.array_equal(again.predict(tables()[2]), small().predict(tables()[2]))


def test_the_size_compared_with_is_that_of_the_safetensors_file(tmp_path: Path) -> None:
    save_file(trained().to_arrays(), tmp_path / "network.safetensors")
    assert (tmp_path / "network.safetensors").stat().st_size == trained().size_bytes


def test_compression_without_pruning_in_many_values_keeps_the_predictions() -> None:
    x = tables()[2]
    near = compress(trained(), *tables(), CompressionOptions(sparsity=0, bits=8, max_epochs=1, value_learning_rate=1e-9))
    np.testing.assert_allclose(near.predict(x), trained().predict(x), atol=0.02)


def test_compression_leaves_the_trained_network_as_it_was() -> None:
    before = {name: value.copy() for name, value in trained().to_arrays().items()}
    compress(trained(), *tables(), OPTIONS)
    assert all(np.array_equal(value, before[name]) for name, value in trained().to_arrays().items())


def test_the_same_seed_gives_the_same_file() -> None:
    first, again, other = (compress(trained(), *tables(), OPTIONS, FitContext(seed=seed)).content for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_training_after_pruning_lowers_the_error() -> None:
    x, y, *_ = tables()
    options = replace(OPTIONS, sparsity=0.9, rounds=1, max_epochs=20, learning_rate=0.01)
    idle = compress(trained(), *tables(), replace(options, max_epochs=1, learning_rate=1e-9, value_learning_rate=1e-9))
    tuned = compress(trained(), *tables(), options)
    assert np.mean((tuned.predict(x) - y) ** 2) < 0.8 * np.mean((idle.predict(x) - y) ** 2)


def test_a_network_whose_every_layer_loses_its_weights_predicts_a_constant() -> None:
    bare = compress(trained(), *tables(), replace(OPTIONS, sparsity=0.9999, rounds=1))
    assert np.ptp(bare.predict(tables()[2])) == 0


def test_the_points_of_the_curve_are_what_compress_gives() -> None:
    x, y = tables()[2:]
    points = compression_curve(trained(), tables(), (x, y), [0.7, 0.9], [2, 3], OPTIONS)
    assert [(point.sparsity, point.bits) for point in points] == [(0.7, 2), (0.7, 3), (0.9, 2), (0.9, 3)]
    same = points[1]
    assert same.size_bytes == small().size_bytes
    assert same.ratio == trained().size_bytes / small().size_bytes
    assert same.mse == pytest.approx(np.mean((small().predict(x) - y) ** 2))
    assert same.mse_change == pytest.approx(same.mse / np.mean((trained().predict(x) - y) ** 2) - 1, rel=1e-4)


def test_tables_of_other_genes_are_refused() -> None:
    x, y, x_val, y_val = tables()
    with pytest.raises(SchemaError, match="reads 30 genes"):
        compress(trained(), x[:, :29], y, x_val[:, :29], y_val, OPTIONS)


def test_a_file_larger_than_any_network_is_not_even_read(tmp_path: Path) -> None:
    with (tmp_path / "network.dnz").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(LoadError, match="larger than"):
        load_compressed(tmp_path / "network.dnz")


@pytest.mark.parametrize("content", [None, b"", b"no network", b"\x89DADSPn\n"])
def test_files_that_hold_no_network_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "network.dnz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LoadError, match=r"network\.dnz"):
        load_compressed(path)
