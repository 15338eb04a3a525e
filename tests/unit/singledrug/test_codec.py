"""The compressed file: every network comes back bit for bit, and nothing else is ever read."""

import hashlib
import itertools
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dadsp.errors import LoadError
from dadsp.singledrug.codec import MAX_WEIGHTS, SharedWeights, decode, encode, layer_ends, relative_positions
from dadsp.singledrug.network import ACTIVATIONS

HEAD_BYTES = 26  # as docs/single_drug.md has it


def shared(
    seed: int, n_inputs: int = 7, widths: tuple[int, ...] = (5, 3), density: float = 0.4, n_values: int = 4
) -> SharedWeights:
    """A network drawn at random."""
    random = np.random.default_rng(seed)
    ends = layer_ends(n_inputs, widths)
    positions = np.flatnonzero(random.random(ends[-1]) < density)
    codebooks = tuple(random.normal(size=random.integers(1, n_values + 1)).astype(np.float32) for _ in ends)
    layers = np.searchsorted(ends, positions, side="right")
    return SharedWeights(
        n_inputs=n_inputs,
        widths=widths,
        activations=tuple(ACTIVATIONS[code] for code in random.integers(0, 2, len(widths))),
        biases=tuple(random.normal(size=width).astype(np.float32) for width in (*widths, 1)),
        codebooks=codebooks,
        positions=positions,
        codes=np.array([random.integers(len(codebooks[layer])) for layer in layers], dtype=np.int64),
        y_mean=float(random.normal()),
        y_sd=1.5,
    )


def sealed(body: bytes) -> bytes:
    """A file of this body whose checksum matches."""
    return struct.pack("<8sH16s", b"\x89DADSPn\n", 1, hashlib.blake2b(body, digest_size=16).digest()) + body


def matrices(network: SharedWeights) -> list[np.ndarray]:
    """Dense weights, placed one by one."""
    sizes = (network.n_inputs, *network.widths, 1)
    dense = [np.zeros((after, before), np.float32) for before, after in itertools.pairwise(sizes)]
    starts = [0, *layer_ends(network.n_inputs, network.widths)]
    for position, code in zip(network.positions.tolist(), network.codes.tolist(), strict=True):
        layer = max(number for number in range(len(dense)) if starts[number] <= position)
        dense[layer].flat[position - starts[layer]] = network.codebooks[layer][code]
    return dense


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n_inputs=st.integers(1, 40),
    widths=st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple),
    density=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    gap_bits=st.integers(1, 8),
)
def test_a_network_comes_back_bit_for_bit(
    seed: int, n_inputs: int, widths: tuple[int, ...], density: float, gap_bits: int
) -> None:
    network = shared(seed, n_inputs, widths, density)
    again = decode(encode(network, gap_bits))
    facts = ("n_inputs", "widths", "activations", "y_mean", "y_sd")
    assert [getattr(again, name) for name in facts] == [getattr(network, name) for name in facts]
    built = again.fitted().network
    for layer, weight, bias in zip(built.dense, matrices(network), network.biases, strict=True):
        assert layer.weight.detach().numpy().tobytes() == weight.tobytes()
        assert layer.bias.detach().numpy().tobytes() == bias.tobytes()


def test_relative_positions_are_those_of_the_published_example() -> None:
    # Weights 1, 3 and 11 places after one another (the first after position 0), three bits for a place: a zero is put eight
    # places after the second.
    gaps, symbols = relative_positions(np.array([1, 4, 15]), np.array([0, 1, 2]), reach=8)
    assert symbols.tolist() == [1, 2, 0, 3]
    assert gaps.tolist() == [1, 2, 7, 2]


def test_a_gap_of_exactly_the_reach_needs_a_zero_and_one_less_does_not() -> None:
    for skipped, expected in ((3, [3]), (4, [3, 0]), (7, [3, 3]), (8, [3, 3, 0])):
        gaps, _ = relative_positions(np.array([skipped]), np.array([0]), reach=4)
        assert gaps.tolist() == expected


def test_the_layout_is_the_documented_one() -> None:
    network = SharedWeights(
        n_inputs=2,
        widths=(1,),
        activations=("tanh",),
        biases=(np.array([0.5], np.float32), np.array([-1.0], np.float32)),
        codebooks=(np.array([0.25], np.float32), np.array([2.0], np.float32)),
        positions=np.array([1, 2]),
        codes=np.array([0, 0]),
        y_mean=3.0,
        y_sd=0.5,
    )
    body = (
        struct.pack("<IBBIdd", 2, 1, 8, 2, 3.0, 0.5)
        + struct.pack("<IB", 1, 1)
        + struct.pack("<HH", 1, 1)
        + struct.pack("<4f", 0.5, -1.0, 0.25, 2.0)
        + bytes([2, 0, 1, 1, 1, 0, 0, 0, 0b10000000])  # gaps 1, 0: words of one bit each
        + bytes([2, 0, 0, 1, 1, 0, 0, 0, 0b00000000])  # symbol 1 twice
    )
    assert encode(network, gap_bits=8) == sealed(body)


def test_every_flipped_bit_is_refused() -> None:
    content = encode(shared(0), 4)
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(LoadError):
            decode(bytes(damaged))


def test_every_truncation_and_anything_appended_is_refused() -> None:
    content = encode(shared(0), 4)
    for cut in range(len(content)):
        with pytest.raises(LoadError):
            decode(content[:cut])
        with pytest.raises(LoadError):
            decode(sealed(content[HEAD_BYTES:cut]))
    for longer in (content + b"\x00", sealed(content[HEAD_BYTES:] + b"\x00")):
        with pytest.raises(LoadError):
            decode(longer)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused(content: bytes) -> None:
    for attempt in (content, b"\x89DADSPn\n" + content):
        with pytest.raises(LoadError):
            decode(attempt)


@settings(deadline=None, max_examples=200)
@given(st.data(), st.integers(0, 20))
def test_a_forged_body_is_refused_or_is_a_network_in_bounds(data: st.DataObject, seed: int) -> None:
    body = bytearray(encode(shared(seed), 4)[HEAD_BYTES:])
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        network = decode(sealed(bytes(body)))
    except LoadError:
        return
    assert all(bool(np.isfinite(layer.weight.detach().numpy()).all()) for layer in network.fitted().network.dense)


@pytest.mark.parametrize(
    ("n_inputs", "widths", "n_entries"),
    [
        (2**32 - 1, [2**32 - 1] * 255, 2**32 - 1),
        (2**32 - 1, [1], 0),
        (MAX_WEIGHTS, [1], 0),
        (2000, [4000], 2**23 - 1),
        (2000, [4000], 8_000_000),
        (1, [1], 3),
        (0, [1], 0),
        (1, [0], 0),
    ],
)
def test_absurd_sizes_are_refused_without_memory_for_them(n_inputs: int, widths: list[int], n_entries: int) -> None:
    body = struct.pack("<IBBIdd", n_inputs, len(widths), 8, n_entries, 0.0, 1.0)
    body += b"".join(struct.pack("<IB", width, 0) for width in widths)
    tracemalloc.start()
    try:
        for rest in (b"", bytes(20), bytes(20_000)):
            with pytest.raises(LoadError):
                decode(sealed(body + rest))
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("place", [10, 18], ids=["y_mean", "y_sd"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(place: int, value: float) -> None:
    body = bytearray(encode(shared(0), 4)[HEAD_BYTES:])
    struct.pack_into("<d", body, place, value)
    with pytest.raises(LoadError, match="no number"):
        decode(sealed(bytes(body)))


def test_another_version_is_named() -> None:
    content = bytearray(encode(shared(0), 4))
    struct.pack_into("<H", content, 8, 2)
    with pytest.raises(LoadError, match="version 2"):
        decode(bytes(content))


def test_another_kind_of_file_is_named() -> None:
    with pytest.raises(LoadError, match="no compressed dadsp network"):
        decode(b"PK\x03\x04 and more")
