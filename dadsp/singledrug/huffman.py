"""Canonical Huffman coding of small-integer symbols, vectorised.

A code is known by the lengths of its words alone. Ordered by (length, symbol), the words are consecutive binary fractions:
each begins where the one before it ends, a word of length n being 2⁻ⁿ wide. Bits are written most significant first.
"""

import heapq
import itertools

import numpy as np
from numpy.typing import NDArray

from dadsp.errors import LoadError
from dadsp.schema import IntArray

MAX_LENGTH = 48  # bits; a Huffman code has longer words only over more symbols than the 48th Fibonacci number, 4.8e9
_CHUNK = 2**14  # symbols coded and bytes decoded at a time, which bounds the memory


def code_lengths(counts: IntArray) -> IntArray:
    """Length in bits of each symbol's word in an optimal prefix code.

    Args:
        counts: How often each symbol occurs, shape (n_symbols,).

    Returns:
        0 for a symbol that does not occur; 1 where only one occurs.

    Reference: Huffman, Proceedings of the IRE 40, 1952.
    """
    lengths = np.zeros(len(counts), dtype=np.int64)
    occurring = np.flatnonzero(counts)
    if len(occurring) == 1:
        lengths[occurring] = 1
    order = itertools.count()  # decides between equal counts
    trees = [(int(counts[symbol]), next(order), [int(symbol)]) for symbol in occurring]
    heapq.heapify(trees)
    while len(trees) > 1:
        lighter, heavier = heapq.heappop(trees), heapq.heappop(trees)
        below = lighter[2] + heavier[2]
        lengths[below] += 1
        heapq.heappush(trees, (lighter[0] + heavier[0], next(order), below))
    return lengths


def encode(symbols: IntArray, lengths: IntArray) -> bytes:
    """The symbols' words one after another, the last byte filled with zero bits."""
    ordered, starts = _words(lengths)
    words = np.zeros(len(lengths), dtype=np.uint64)
    words[ordered] = starts
    pieces = np.split(symbols, range(_CHUNK, len(symbols), _CHUNK))
    return np.packbits(np.concatenate([_bits(words[piece], lengths[piece]) for piece in pieces])).tobytes()


def decode(data: bytes, n_symbols: int, lengths: IntArray) -> IntArray:
    """The symbols that ``encode`` wrote.

    Raises:
        LoadError: The lengths are no complete prefix code, or the data are not exactly the words of so many symbols.
    """
    ordered, starts = _words(lengths)
    if len(ordered) == 0 and n_symbols:
        raise LoadError(f"The code has no word, yet {n_symbols} symbols are to be read with it.")
    if len(ordered) and lengths[ordered].max() == 1:  # as many symbols as bits: too many to follow one by one
        bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), count=min(n_symbols, 8 * len(data)))
        whole = len(bits) == n_symbols and bool((bits < len(ordered)).all())
        return _exactly(ordered[bits] if whole else ordered[:0], n_symbols, lengths, data)
    found = [np.zeros(0, dtype=np.int64)]
    padded = np.frombuffer(data + bytes(7), dtype=np.uint8)
    bit, missing = 0, n_symbols
    for start in range(0, len(data) if n_symbols else 0, _CHUNK):
        # Which word would stand at each bit? Then follow the words that do stand there.
        rank = np.searchsorted(starts, _bits_from_each(padded[start : start + _CHUNK + 7]), side="right") - 1
        steps, begins = lengths[ordered][rank].astype(np.uint8).tobytes(), []
        while bit < len(steps) and missing:
            begins.append(bit)
            bit += steps[bit]
            missing -= 1
        found.append(ordered[rank[begins]])
        bit -= len(steps)
    return _exactly(np.concatenate(found), n_symbols, lengths, data)


def _exactly(symbols: IntArray, n_symbols: int, lengths: IntArray, data: bytes) -> IntArray:
    """The symbols, if they are as many as were stated and ``data`` is what ``encode`` makes of them."""
    if len(symbols) != n_symbols or encode(symbols, lengths) != data:
        raise LoadError(f"A stream of {len(data)} bytes does not hold exactly {n_symbols} coded symbols.")
    return symbols


def _words(lengths: IntArray) -> tuple[IntArray, NDArray[np.uint64]]:
    """The symbols that have a word, in its order, and each word at the top of 64 bits."""
    ordered = np.argsort(lengths, kind="stable")[np.count_nonzero(lengths == 0) :]
    sizes = lengths[ordered]
    if sizes.max(initial=0) > MAX_LENGTH or sizes.min(initial=1) < 1:
        raise LoadError(f"A code word has between 1 and {MAX_LENGTH} bits, not {sizes.min()} to {sizes.max()}.")
    shares = np.left_shift(1, MAX_LENGTH - sizes)
    if shares.sum() != 2**MAX_LENGTH and sizes.tolist() not in ([], [1]):
        raise LoadError(f"{len(sizes)} code words of {sizes.min()} to {sizes.max()} bits do not fill a prefix code.")
    starts = (np.cumsum(shares) - shares).astype(np.uint64) << np.uint64(64 - MAX_LENGTH)
    return ordered, starts


def _bits(words: NDArray[np.uint64], sizes: IntArray) -> NDArray[np.uint8]:
    """The first bits of each word, as many as its size, one after another."""
    begins = np.cumsum(sizes) - sizes
    place = np.arange(sizes.sum()) - np.repeat(begins, sizes)  # of each bit within its word
    bits: NDArray[np.uint8] = (np.repeat(words, sizes) >> (63 - place).astype(np.uint64) & np.uint64(1)).astype(np.uint8)
    return bits


def _bits_from_each(data: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The 57 bits from every bit of ``data`` but its last seven bytes, at the top of 64; shape (8 · (len(data) − 7),)."""
    octets = np.lib.stride_tricks.sliding_window_view(data, 8)
    words = np.ascontiguousarray(octets).view(">u8").astype(np.uint64)
    return (words << np.arange(8, dtype=np.uint64)).ravel()
