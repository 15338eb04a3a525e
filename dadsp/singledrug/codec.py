"""The compressed file of a single-drug network: bytes to network and back, bit for bit (docs/single_drug.md)."""

import hashlib
import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dadsp.errors import LoadError
from dadsp.schema import FloatArray, IntArray
from dadsp.singledrug import huffman
from dadsp.singledrug.network import ACTIVATIONS, Activation, FittedNetwork, SingleDrugNetwork

MAGIC = b"\x89DADSPn\n"  # not text, and damaged by a transfer that rewrites line ends
VERSION = 1
MAX_WEIGHTS = 2**23  # a file of a few bytes may state any widths, so what is allocated for them has a bound
MAX_BYTES = 2**25  # more than any network of so many weights takes

_HEAD = struct.Struct("<8sH16s")  # magic, version, checksum
_NETWORK = struct.Struct("<IBBIdd")  # inputs, hidden layers, gap bits, entries, mean and sd of the response
_HIDDEN = struct.Struct("<IB")  # width, activation


@dataclass(frozen=True, eq=False)
class SharedWeights:
    """A network whose weights are mostly zero and otherwise take a few values per layer.

    Attributes:
        n_inputs: Genes.
        widths: Of the hidden layers.
        activations: Of the hidden layers.
        biases: One array for each dense layer, float32.
        codebooks: The values weights may take, one float32 array for each dense layer, at most 256.
        positions: Where weights are not pruned, ascending int64; all weight matrices laid out one after another by rows.
        codes: Which value of its layer's codebook each of them takes, int64.
        y_mean: Mean response of the training lines.
        y_sd: Their standard deviation.
    """

    n_inputs: int
    widths: tuple[int, ...]
    activations: tuple[Activation, ...]
    biases: tuple[FloatArray, ...]
    codebooks: tuple[FloatArray, ...]
    positions: IntArray
    codes: IntArray
    y_mean: float
    y_sd: float

    @property
    def ends(self) -> IntArray:
        """Position after the last weight of each dense layer."""
        return layer_ends(self.n_inputs, self.widths)

    def fitted(self) -> FittedNetwork:
        """The network that these weights are."""
        network = SingleDrugNetwork(self.n_inputs, self.widths, self.activations)
        flat = np.zeros(self.ends[-1], dtype=np.float32)
        starts = np.cumsum([0, *map(len, self.codebooks)])[:-1]
        layer_of_weight = np.searchsorted(self.ends, self.positions, side="right")
        flat[self.positions] = np.concatenate(self.codebooks)[starts[layer_of_weight] + self.codes]
        matrices = np.split(flat, self.ends[:-1])
        with torch.no_grad():
            for layer, matrix, bias in zip(network.dense, matrices, self.biases, strict=True):
                layer.weight.copy_(torch.from_numpy(matrix).view_as(layer.weight))
                layer.bias.copy_(torch.from_numpy(bias))
        return FittedNetwork(network, self.y_mean, self.y_sd)


def layer_ends(n_inputs: int, widths: tuple[int, ...]) -> IntArray:
    """Position after the last weight of each dense layer, the output layer included."""
    sizes = np.array([n_inputs, *widths, 1], dtype=np.int64)
    return np.cumsum(sizes[:-1] * sizes[1:])


def encode(shared: SharedWeights, gap_bits: int) -> bytes:
    """The content of the file.

    Args:
        shared: The network.
        gap_bits: A weight that lies further than 2^gap_bits positions behind the one before it is reached over zeros that
            are stored like weights.
    """
    gaps, symbols = relative_positions(shared.positions, shared.codes, 2**gap_bits)
    facts = (shared.n_inputs, len(shared.widths), gap_bits, len(symbols), shared.y_mean, shared.y_sd)
    layers = zip(shared.widths, shared.activations, strict=True)
    parts = [
        _NETWORK.pack(*facts),
        *(_HIDDEN.pack(width, ACTIVATIONS.index(activation)) for width, activation in layers),
        np.array([len(values) for values in shared.codebooks], "<u2").tobytes(),
        np.concatenate([*shared.biases, *shared.codebooks]).astype("<f4").tobytes(),
        _stream(gaps),
        _stream(symbols),
    ]
    body = b"".join(parts)
    return _HEAD.pack(MAGIC, VERSION, _checksum(body)) + body


def decode(content: bytes) -> SharedWeights:
    """The network that ``encode`` wrote.

    Raises:
        LoadError: The content is of another kind or version, or damaged.
    """
    if not content.startswith(MAGIC):
        raise LoadError("This is no compressed dadsp network.")
    head = _Reader(content)
    _, version, checksum = head.unpack(_HEAD)
    if version != VERSION:
        raise LoadError(f"The file has version {version}; this dadsp reads version {VERSION}.")
    body = content[_HEAD.size :]
    if _checksum(body) != checksum:
        raise LoadError("The checksum does not match.")
    return _decode_body(_Reader(body))


def _decode_body(body: "_Reader") -> SharedWeights:
    n_inputs, n_hidden, gap_bits, n_entries, y_mean, y_sd = body.unpack(_NETWORK)
    hidden = [body.unpack(_HIDDEN) for _ in range(n_hidden)]
    widths = tuple(width for width, _ in hidden)
    _require(min((n_inputs, *widths)) > 0, "a layer has no nodes")
    _require(all(code < len(ACTIVATIONS) for _, code in hidden), "an activation is unknown")
    # Products of Python's integers, which do not overflow.
    n_weights = sum(before * after for before, after in zip((n_inputs, *widths), (*widths, 1), strict=True))
    _require(n_weights <= MAX_WEIGHTS, f"{n_weights} weights are more than {MAX_WEIGHTS}")
    _require(n_entries <= n_weights, f"{n_entries} entries are more than {n_weights} weights")
    _require(1 <= gap_bits <= 8, f"a gap has between 1 and 8 bits, not {gap_bits}")
    n_values = body.array("<u2", n_hidden + 1)
    values = body.array("<f4", sum((*widths, 1)) + int(n_values.sum())).astype(np.float32)
    finite = bool(np.isfinite(values).all()) and math.isfinite(y_mean) and 0 < y_sd < math.inf
    _require(finite, "a value is no number")
    gaps = body.stream(n_entries, 2**gap_bits)
    symbols = body.stream(n_entries, int(n_values.max()) + 1)
    _require(body.left == 0, "something follows the network")

    positions = np.cumsum(gaps + 1) - 1
    _require(n_entries == 0 or positions[-1] < n_weights, "a weight lies outside the network")
    positions, codes = positions[symbols > 0], symbols[symbols > 0] - 1
    layer = np.searchsorted(layer_ends(n_inputs, widths), positions, side="right")
    _require(bool((codes < n_values[layer]).all()), "a weight has no value")
    cuts = np.cumsum([*widths, 1, *n_values])
    arrays = tuple(np.split(values, cuts[:-1]))
    return SharedWeights(
        n_inputs=n_inputs,
        widths=widths,
        activations=tuple(ACTIVATIONS[code] for _, code in hidden),
        biases=arrays[: n_hidden + 1],
        codebooks=arrays[n_hidden + 1 :],
        positions=positions,
        codes=codes,
        y_mean=y_mean,
        y_sd=y_sd,
    )


def relative_positions(positions: IntArray, codes: IntArray, reach: int) -> tuple[IntArray, IntArray]:
    """Relative positions (zeros skipped, below ``reach``) and symbols: 0 for a zero put between, else 1 + code.

    Reference: Han et al. 2016, section 2 and figure 2.
    """
    skipped = np.diff(positions, prepend=-1) - 1
    n_zeros = skipped // reach
    ends = np.cumsum(n_zeros + 1) - 1  # where each weight stands among the entries
    gaps = np.full(len(positions) + n_zeros.sum(), reach - 1, dtype=np.int64)
    symbols = np.zeros(len(gaps), dtype=np.int64)
    gaps[ends] = skipped % reach
    symbols[ends] = codes + 1
    return gaps, symbols


def _stream(symbols: IntArray) -> bytes:
    """A Huffman code's lengths and the symbols in it, each with its size before it."""
    lengths = huffman.code_lengths(np.bincount(symbols))
    coded = huffman.encode(symbols, lengths)
    return struct.pack("<H", len(lengths)) + lengths.astype(np.uint8).tobytes() + struct.pack("<I", len(coded)) + coded


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise LoadError(f"The network is impossible: {otherwise}.")


class _Reader:
    """Takes a byte string apart from the front, never beyond its end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    @property
    def left(self) -> int:
        return len(self.data) - self.place

    def take(self, n_bytes: int) -> bytes:
        _require(n_bytes <= self.left, f"{n_bytes} bytes are wanted where {self.left} are left")
        self.place += n_bytes
        return self.data[self.place - n_bytes : self.place]

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        return layout.unpack(self.take(layout.size))

    def array(self, kind: str, n: int) -> NDArray[Any]:
        return np.frombuffer(self.take(n * np.dtype(kind).itemsize), dtype=kind)

    def stream(self, n_entries: int, n_symbols: int) -> IntArray:
        """The symbols that ``_stream`` wrote, all below ``n_symbols``."""
        (n_lengths,) = self.unpack(struct.Struct("<H"))
        lengths = self.array("u1", n_lengths).astype(np.int64)
        _require(n_lengths <= n_symbols, f"{n_lengths} code words are more than {n_symbols}")
        (n_bytes,) = self.unpack(struct.Struct("<I"))
        return huffman.decode(self.take(n_bytes), n_entries, lengths)
