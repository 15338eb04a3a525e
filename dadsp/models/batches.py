"""Batches as row numbers: nothing is copied per pair until the network gathers it on the device."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dadsp.schema import FloatArray, IntArray
from dadsp.seeding import derive_seed


class PairBatch(NamedTuple):
    """One training step's rows. Each distinct line and drug stands once, however many pairs share it.

    Attributes:
        lines: Rows of the joint expression table (source lines, then target lines), distinct, shape (u,).
        line_of_row: Positions in ``lines``: first the line of each labelled pair, then the sampled target lines; (b + t,).
        drugs: Rows of the drug features, distinct, shape (v,).
        drug_of_pair: Positions in ``drugs``, shape (b,).
        label: Scaled potency, shape (b,).
    """

    lines: Tensor
    line_of_row: Tensor
    drugs: Tensor
    drug_of_pair: Tensor
    label: Tensor


@dataclass(frozen=True, eq=False)
class LabelledPairs:
    """Training pairs as index triples: int64, int64, float32, each of shape (n,)."""

    line: IntArray
    drug: IntArray
    label: FloatArray

    def __len__(self) -> int:
        return len(self.label)


class PairBatches:
    """Every labelled pair exactly once an epoch, in an order drawn from (seed, epoch), each batch beside target lines.

    Args:
        pairs: Labelled source pairs.
        size: Pairs in a batch; the last batch of an epoch may be smaller.
        seed: Root of the order.
        epoch: Tells the current epoch when iteration begins.
        target_lines: Rows of the joint table to draw as many target lines from as a batch has pairs, each line once before
            any comes again. None draws none.
        partner: For the authors' paired design: the joint-table row of the same line in the target, per source line; it
            then replaces the draw.
    """

    def __init__(
        self,
        pairs: LabelledPairs,
        *,
        size: int,
        seed: int,
        epoch: Callable[[], int],
        target_lines: IntArray | None = None,
        partner: IntArray | None = None,
    ) -> None:
        self.pairs, self.size, self.seed, self.epoch = pairs, size, seed, epoch
        self.target_lines, self.partner = target_lines, partner

    def __len__(self) -> int:
        return -(-len(self.pairs) // self.size)

    def __iter__(self) -> Iterator[PairBatch]:
        random = np.random.default_rng(derive_seed(self.seed, "batches", self.epoch()))
        order = random.permutation(len(self.pairs))
        target = None
        if self.partner is None and self.target_lines is not None:
            rounds = -(-len(order) // len(self.target_lines))
            target = np.concatenate([random.permutation(self.target_lines) for _ in range(rounds)])
        for start in range(0, len(order), self.size):
            rows = order[start : start + self.size]
            line = self.pairs.line[rows]
            beside = self.partner[line] if self.partner is not None else target
            if beside is not None:
                line = np.concatenate([line, beside if self.partner is not None else beside[start : start + len(rows)]])
            lines, line_of_row = np.unique(line, return_inverse=True)
            drugs, drug_of_pair = np.unique(self.pairs.drug[rows], return_inverse=True)
            parts = (lines, line_of_row, drugs, drug_of_pair, self.pairs.label[rows])
            yield PairBatch(*(torch.from_numpy(part) for part in parts))


class RowBatches:
    """Every row once an epoch, in an order drawn from (seed, epoch); yields int64 row numbers."""

    def __init__(self, rows: IntArray, *, size: int, seed: int, epoch: Callable[[], int]) -> None:
        self.rows, self.size, self.seed, self.epoch = rows, size, seed, epoch

    def __len__(self) -> int:
        return -(-len(self.rows) // self.size)

    def __iter__(self) -> Iterator[Tensor]:
        random = np.random.default_rng(derive_seed(self.seed, "batches", self.epoch()))
        order = torch.from_numpy(random.permutation(self.rows))
        yield from order.split(self.size)
