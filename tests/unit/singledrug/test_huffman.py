"""Huffman coding against a slow coder and against the entropy."""

import heapq

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dadsp.errors import LoadError
from dadsp.schema import IntArray
from dadsp.singledrug.huffman import MAX_LENGTH, code_lengths, decode, encode

Symbols = st.lists(st.integers(0, 12), max_size=200).map(lambda values: np.array(values, dtype=np.int64))


def counts_of(symbols: IntArray) -> IntArray:
    return np.bincount(symbols, minlength=13)


def slow_words(lengths: IntArray) -> dict[int, str]:
    """Canonical words as text: count upwards, and append a zero for every longer length."""
    words, number, length = {}, 0, 0
    for symbol in sorted(np.flatnonzero(lengths), key=lambda symbol: (lengths[symbol], symbol)):
        number <<= int(lengths[symbol]) - length
        length = int(lengths[symbol])
        words[int(symbol)] = format(number, f"0{length}b")
        number += 1
    return words


def slow_total(counts: IntArray) -> int:
    """Bits of an optimal code: the sum of all merged counts."""
    heap = sorted(int(count) for count in counts if count)
    total = heap[0] if len(heap) == 1 else 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        total += merged
        heapq.heappush(heap, merged)
    return total


@given(Symbols)
def test_coded_symbols_come_back_and_equal_the_slow_coder(symbols: IntArray) -> None:
    lengths = code_lengths(counts_of(symbols))
    coded = encode(symbols, lengths)
    text = "".join(slow_words(lengths)[symbol] for symbol in symbols.tolist())
    assert coded == bytes(int(text[start : start + 8].ljust(8, "0"), 2) for start in range(0, len(text), 8))
    assert np.array_equal(decode(coded, len(symbols), lengths), symbols)


@given(Symbols.filter(len))
def test_total_length_is_optimal(symbols: IntArray) -> None:
    counts = counts_of(symbols)
    assert int(code_lengths(counts) @ counts) == slow_total(counts)


@pytest.mark.parametrize("skew", [0.02, 0.3, 0.9])
def test_mean_length_lies_between_the_entropy_and_one_bit_more(skew: float) -> None:
    symbols = np.minimum(np.random.default_rng(0).geometric(skew, 20_000) - 1, 255)
    counts = np.bincount(symbols)
    shares = counts[counts > 0] / len(symbols)
    entropy = -(shares * np.log2(shares)).sum()
    assert entropy <= code_lengths(counts) @ counts / len(symbols) < entropy + 1


def test_long_streams_come_back_across_the_pieces_they_are_read_in() -> None:
    symbols = np.random.default_rng(0).integers(0, 256, 40_000)
    lengths = code_lengths(np.bincount(symbols))
    assert np.array_equal(decode(encode(symbols, lengths), len(symbols), lengths), symbols)


def test_words_of_the_greatest_length_come_back() -> None:
    fibonacci = [1, 1]
    while len(fibonacci) < MAX_LENGTH + 1:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    lengths = code_lengths(np.array(fibonacci))
    assert lengths.max() == MAX_LENGTH
    symbols = np.arange(len(fibonacci))
    assert np.array_equal(decode(encode(symbols, lengths), len(symbols), lengths), symbols)


@pytest.mark.parametrize(
    "lengths",
    [[1, 1, 1], [1, 2], [2, 2, 2], [2], [MAX_LENGTH + 1, 1], [0, 0]],
    ids=["overfull", "incomplete", "gap", "one long word", "too long", "no word"],
)
def test_lengths_that_are_no_complete_code_are_refused(lengths: list[int]) -> None:
    with pytest.raises(LoadError):
        decode(b"\x00", 1, np.array(lengths))


@pytest.mark.parametrize(
    ("data", "n_symbols"),
    [(b"\x50", 2), (b"\x50", 9), (b"\x51", 4), (b"\x50\x00", 4), (b"", 1), (b"\x50", 0)],
    ids=["too few asked", "too many asked", "bits after the end", "a byte too many", "empty", "none asked"],
)
def test_streams_that_are_not_exactly_the_symbols_are_refused(data: bytes, n_symbols: int) -> None:
    lengths = np.array([2, 2, 1])  # words 10, 11, 0; 0101 0000 holds symbols 2 0 0 …
    with pytest.raises(LoadError, match="does not hold exactly"):
        decode(data, n_symbols, lengths)


@given(st.binary(max_size=60), st.integers(0, 200), st.lists(st.integers(0, 255), max_size=20))
def test_random_streams_are_refused_or_are_what_encoding_gives(data: bytes, n_symbols: int, lengths: list[int]) -> None:
    code = np.array(lengths, dtype=np.int64)
    try:
        symbols = decode(data, n_symbols, code)
    except LoadError:
        return
    assert len(symbols) == n_symbols
    assert encode(symbols, code) == data


@pytest.mark.parametrize("n_words", [1, 2])
def test_a_million_words_of_one_bit_are_read_at_once(n_words: int) -> None:
    symbols = np.arange(1_000_001) % n_words + 3
    lengths = code_lengths(np.bincount(symbols))
    coded = encode(symbols, lengths)
    assert np.array_equal(decode(coded, len(symbols), lengths), symbols)
    for n_wrong in (len(symbols) - 8, len(symbols) + 8):
        with pytest.raises(LoadError, match="exactly"):
            decode(coded, n_wrong, lengths)
