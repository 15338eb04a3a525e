"""Compressing a trained network: pruning, weight sharing, Huffman coding.

Reference: Han et al., "Deep compression", ICLR 2016; pruning with retraining: Han et al., NeurIPS 2015.
"""

import copy
import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from dadsp.errors import ConfigError, LoadError
from dadsp.files import write_atomically
from dadsp.models.base import FitContext
from dadsp.options import STRICT
from dadsp.schema import FloatArray, IntArray
from dadsp.singledrug.codec import MAX_BYTES, MAX_WEIGHTS, SharedWeights, decode, encode, layer_ends
from dadsp.singledrug.fitting import Lines, shift_inputs, train
from dadsp.singledrug.network import FittedNetwork, SingleDrugNetwork, TrainedNetwork


@dataclass(frozen=True, config=STRICT)
class CompressionOptions:
    """How far a network is compressed.

    Attributes:
        sparsity: Share of all weights that is removed, the smallest in absolute value first, biases left out.
        rounds: Times that weights are removed and the others trained again; every round keeps the same share.
        bits: A layer's weights take at most 2^bits values.
        gap_bits: Bits of a relative position before Huffman coding.
        learning_rate: Adam's step size while the remaining weights are trained.
        value_learning_rate: Adam's step size while the shared values are trained.
        max_epochs: Most epochs of each training.
        patience: Epochs without a better validation error before one stops; None trains all epochs.
    """

    sparsity: float = Field(default=0.8, ge=0, lt=1)
    rounds: int = Field(default=3, ge=1)
    bits: int = Field(default=5, ge=1, le=8)
    gap_bits: int = Field(default=8, ge=1, le=8)
    learning_rate: float = Field(default=5e-4, gt=0)
    value_learning_rate: float = Field(default=1e-4, gt=0)
    max_epochs: int = Field(default=50, ge=1)
    patience: int | None = Field(default=10, ge=1)


@plain_dataclass(frozen=True, eq=False)
class CompressedNetwork(FittedNetwork):
    """A network read from its compressed form.

    Attributes:
        content: The compressed form.
    """

    content: bytes

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """The network that ``content`` describes.

        Raises:
            LoadError: The content is of another kind or version, or damaged.
        """
        fitted = decode(content).fitted()
        return cls(fitted.network, fitted.y_mean, fitted.y_sd, content)

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return len(self.content)

    def save(self, path: Path) -> None:
        """Writes the file; it is complete or absent."""
        write_atomically(path, lambda temporary: _put(temporary, self.content))


def load_compressed(path: Path) -> CompressedNetwork:
    """The network saved at ``path``.

    Raises:
        LoadError: The file is absent, of another kind or version, or damaged.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LoadError(f"it is larger than {MAX_BYTES} bytes.")
        return CompressedNetwork.from_bytes(path.read_bytes())
    except OSError as error:
        raise LoadError(f"Cannot read {path}: {error.strerror or error}. Check the path.") from error
    except LoadError as error:
        raise LoadError(f"{path} holds no compressed network: {error} Restore it from a copy or compress again.") from None


def compress(
    trained: TrainedNetwork,
    x_train: FloatArray,
    y_train: FloatArray,
    x_val: FloatArray,
    y_val: FloatArray,
    options: CompressionOptions,
    context: FitContext | None = None,
) -> CompressedNetwork:
    """The network pruned, its weights shared, and coded; predictions come from the decoded form.

    The small weights are removed and the others trained again, in rounds. Each layer's remaining weights are put into
    groups of one value by k-means that starts from equal steps over their range, and the values are trained on. Every
    training has the loss of the network's own, dropout lowered as weights grow fewer, and keeps its best epoch on the
    validation lines.

    Args:
        trained: What ``fit_network`` returned.
        x_train: The lines it was trained on, shape (n_train, n_genes).
        y_train: Their responses.
        x_val: The lines that chose its epoch, shape (n_val, n_genes).
        y_val: Their responses.
        options: How far.
        context: Seed and callback.

    Raises:
        SchemaError: The tables do not fit together or the network.
        ConfigError: The network has more weights than the format holds.
    """
    lines = _lines(trained, x_train, y_train, x_val, y_val)
    pruned = _pruned(trained, lines, options, context or FitContext())
    return _shared(pruned, trained, lines, options, context or FitContext())


@plain_dataclass(frozen=True)
class CurvePoint:
    """One way of compressing a network and what it costs.

    Attributes:
        sparsity: Share of weights removed.
        bits: log₂ of the values a layer may take.
        size_bytes: Size of the file.
        ratio: Size of the uncompressed network's safetensors file over that.
        mse: Mean squared error on the lines given.
        mse_change: mse over that of the uncompressed network, minus 1.
    """

    sparsity: float
    bits: int
    size_bytes: int
    ratio: float
    mse: float
    mse_change: float


def compression_curve(
    trained: TrainedNetwork,
    train_and_val: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    test: tuple[FloatArray, FloatArray],
    sparsities: Iterable[float],
    bits: Iterable[int],
    options: CompressionOptions,
    context: FitContext | None = None,
) -> list[CurvePoint]:
    """Error against size for each sparsity with each number of bits; each point is what ``compress`` gives.

    Args:
        trained: What ``fit_network`` returned.
        train_and_val: ``x_train``, ``y_train``, ``x_val``, ``y_val`` as for ``compress``.
        test: Expression and responses of lines that neither training nor compression saw.
        sparsities: To try.
        bits: To try.
        options: All else.
        context: Seed and callback.
    """
    context = context or FitContext()
    lines = _lines(trained, *train_and_val)
    error, points = _mse(trained, *test), []
    sizes = tuple(bits)
    for sparsity in sparsities:
        pruned = _pruned(trained, lines, replace(options, sparsity=sparsity), context)
        for n_bits in sizes:
            here = replace(options, sparsity=sparsity, bits=n_bits)
            small = _shared(copy.deepcopy(pruned), trained, lines, here, context)
            mse = _mse(small, *test)
            ratio = trained.size_bytes / small.size_bytes
            points.append(CurvePoint(sparsity, n_bits, small.size_bytes, ratio, mse, mse / error - 1))
    return points


def prune_smallest(network: SingleDrugNetwork, n_weights: int) -> None:
    """Masks the ``n_weights`` smallest weights (by absolute value, over all layers) of those not masked yet."""
    prune.global_unstructured([(layer, "weight") for layer in network.dense], prune.L1Unstructured, amount=n_weights)


def share_values(weights: FloatArray, n_values: int) -> tuple[FloatArray, IntArray]:
    """The values that weights are to share, and which of them each weight takes: the nearest.

    k-means started from equal steps over the range of the weights, which serves the few large weights better than a start
    drawn from among the many small ones.

    Args:
        weights: Shape (n,).
        n_values: At most; fewer where fewer distinct weights exist.

    Returns:
        Values, float32, shape (k,), and codes, int64, shape (n,).

    Reference: Han et al. 2016, section 3.1–3.2.
    """
    distinct, codes = np.unique(weights, return_inverse=True)
    if len(distinct) <= n_values:
        return distinct, codes
    start = np.linspace(distinct[0], distinct[-1], n_values, dtype=np.float32)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a value that no weight takes is dropped below
        groups = KMeans(n_values, init=start, n_init=1).fit(weights[:, None])
    taken, codes = np.unique(groups.labels_, return_inverse=True)
    values: FloatArray = groups.cluster_centers_[taken, 0].astype(np.float32)
    return values, codes


class SharedValues(nn.Module):
    """A weight matrix whose entries at ``positions`` take trained values by their codes and are zero elsewhere.

    A value's gradient is the sum of the gradients of the weights that take it (Han et al. 2016, eq. 3).
    """

    positions: Tensor
    codes: Tensor

    def __init__(self, positions: IntArray, codes: IntArray, values: FloatArray, shape: torch.Size) -> None:
        super().__init__()
        self.register_buffer("positions", torch.from_numpy(positions))
        self.register_buffer("codes", torch.from_numpy(codes))
        self.start = torch.from_numpy(values)
        self.shape: torch.Size = shape

    def forward(self, values: Tensor) -> Tensor:
        """The matrix."""
        flat = values.new_zeros(self.shape.numel())
        return flat.index_copy(0, self.positions, values[self.codes]).view(self.shape)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The values that training starts from."""
        return self.start


def _lines(trained: TrainedNetwork, x_train: FloatArray, y_train: FloatArray, x_val: FloatArray, y_val: FloatArray) -> Lines:
    n_weights = layer_ends(trained.network.n_inputs, trained.network.widths)[-1]
    if n_weights > MAX_WEIGHTS:
        raise ConfigError(f"A network of {n_weights} weights exceeds the format's {MAX_WEIGHTS}. Select fewer genes.")
    trained.predict(x_train[:1])  # refuses a table of other genes
    return Lines.of(x_train, y_train, x_val, y_val, scale=(trained.y_mean, trained.y_sd))


def _pruned(trained: TrainedNetwork, lines: Lines, options: CompressionOptions, context: FitContext) -> SingleDrugNetwork:
    """A copy of the network, of centred expression, without its small weights, the others trained again."""
    network = copy.deepcopy(trained.network)
    shift_inputs(network, lines.x_mean)
    training = replace(
        trained.options,
        learning_rate=options.learning_rate,
        max_epochs=options.max_epochs,
        patience=options.patience,
    )
    n_weights, n_removed = layer_ends(network.n_inputs, network.widths)[-1], 0
    for number in range(1, options.rounds + 1):
        kept_share = (1 - options.sparsity) ** (number / options.rounds)
        n_more = round(n_weights * (1 - kept_share)) - n_removed
        if n_more == 0:
            continue
        prune_smallest(network, n_more)
        n_removed += n_more
        # Fewer weights overfit less: Han et al. 2015, eq. 2.
        network.dropout = trained.options.dropout * math.sqrt(kept_share)
        train(f"prune-{options.sparsity:g}-{number}", network, lines, training, context)
    for layer in network.dense:
        if prune.is_pruned(layer):
            prune.remove(layer, "weight")
    return network


def _shared(
    network: SingleDrugNetwork, trained: TrainedNetwork, lines: Lines, options: CompressionOptions, context: FitContext
) -> CompressedNetwork:
    """The pruned network with shared values, trained on and coded; ``network`` is used up."""
    sharings = []
    for layer in network.dense:
        weights = layer.weight.detach().numpy().ravel()
        positions = np.flatnonzero(weights)
        values, codes = share_values(weights[positions], 2**options.bits)
        sharings.append(SharedValues(positions, codes, values, layer.weight.shape))
        parametrize.register_parametrization(layer, "weight", sharings[-1])
    training = replace(
        trained.options,
        learning_rate=options.value_learning_rate,
        max_epochs=options.max_epochs,
        patience=options.patience,
    )
    train(f"share-{options.sparsity:g}-{options.bits}", network, lines, training, context)
    shift_inputs(network, -lines.x_mean)
    starts = [0, *layer_ends(network.n_inputs, network.widths)[:-1]]
    values_of = "parametrizations.weight.original"
    shared = SharedWeights(
        n_inputs=network.n_inputs,
        widths=network.widths,
        activations=network.activations,
        biases=tuple(layer.bias.detach().numpy() for layer in network.dense),
        codebooks=tuple(layer.get_parameter(values_of).detach().numpy() for layer in network.dense),
        positions=np.concatenate([start + part.positions.numpy() for start, part in zip(starts, sharings, strict=True)]),
        codes=np.concatenate([part.codes.numpy() for part in sharings]),
        y_mean=trained.y_mean,
        y_sd=trained.y_sd,
    )
    return CompressedNetwork.from_bytes(encode(shared, options.gap_bits))


def _mse(network: FittedNetwork, x: FloatArray, y: FloatArray) -> float:
    return float(np.mean((network.predict(x).astype(np.float64) - y) ** 2))


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)
