"""Batches as row numbers: nothing is copied per pair until the network gathers it on the device.

How the rows of a batch lie is known here alone: a stage asks the batch for potency, squared error and both domains' codes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from dadsp.nets.pair_network import PairNetwork
from dadsp.schema import FloatArray, IntArray
from dadsp.seeding import derive_seed


class Batch(Protocol):
    """One training step's rows, and what a loss needs of them."""

    @property
    def lines(self) -> Tensor:
        """Rows of the joint expression table (source lines, then target lines), distinct, shape (u,)."""

    @property
    def drugs(self) -> Tensor:
        """Rows of the drug features, distinct, shape (v,)."""

    @property
    def domain_weight(self) -> float:
        """Factor of a loss on ``domain_halves``; other than 1 only where processes share a step.

        Each process then computes the loss of its own lines, and the mean over processes of weight × loss is the step's.
        For a mean over all rows of both halves, such as a cross-entropy, that is exactly the loss of one process on the
        union of the step's blocks. A discrepancy of two distributions (MMD, CORAL) has no such sum: the step's loss is then
        the mean of the blocks' discrepancies, each weighted by its number of lines.
        """

    def potency(self, network: PairNetwork, codes: Tensor, drug_codes: Tensor) -> Tensor:
        """Scaled potency of the labelled pairs.

        Args:
            network: Gives the regressor.
            codes: Of ``lines``, shape (u, code width).
            drug_codes: Of ``drugs``, shape (v, drug width).
        """

    def mean_squared_error(self, predicted: Tensor, line_weight: Tensor | None = None) -> Tensor:
        """Scalar: mean over the labelled pairs, each of which weighs the same in an epoch.

        Args:
            predicted: From ``potency``.
            line_weight: Further factor of all pairs of a line, for each of ``lines``, shape (u,).
        """

    def domain_halves(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Codes of the source rows, and of the target rows beside them, each of shape (n, code width).

        Args:
            codes: Of ``lines``, shape (u, code width).
        """


class PairBatch(NamedTuple):
    """One training step's rows. Each distinct line and drug stands once, however many pairs share it.

    Attributes:
        lines: Rows of the joint expression table (source lines, then target lines), distinct, shape (u,).
        line_of_row: Positions in ``lines``: first the line of each labelled pair, then the sampled target lines; (b + t,).
        drugs: Rows of the drug features, distinct, shape (v,).
        drug_of_pair: Positions in ``drugs``, shape (b,).
        label: Scaled potency, shape (b,).
        weight: How much each pair counts, 1 on average over an epoch, shape (b,).
    """

    lines: Tensor
    line_of_row: Tensor
    drugs: Tensor
    drug_of_pair: Tensor
    label: Tensor
    weight: Tensor

    @property
    def domain_weight(self) -> float:
        """Pairs are drawn in one process."""
        return 1.0

    def potency(self, network: PairNetwork, codes: Tensor, drug_codes: Tensor) -> Tensor:
        """Of each pair, shape (b,)."""
        return network.regress(codes, self._line_of_pair, drug_codes, self.drug_of_pair)

    def mean_squared_error(self, predicted: Tensor, line_weight: Tensor | None = None) -> Tensor:
        """Over the batch's pairs."""
        weight = self.weight if line_weight is None else self.weight * line_weight[self._line_of_pair]
        return (weight * (predicted - self.label) ** 2).mean()

    def domain_halves(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """One source row per pair, one target row beside each: b and t rows."""
        rows = codes.index_select(0, self.line_of_row)
        return rows[: len(self.label)], rows[len(self.label) :]

    @property
    def _line_of_pair(self) -> Tensor:
        return self.line_of_row[: len(self.label)]


@dataclass(frozen=True, eq=False)
class LabelledPairs:
    """Training pairs as index triples: int64, int64, float32, each of shape (n,).

    Attributes:
        line: Row of the line.
        drug: Row of the drug.
        label: Its label.
        weight: How much each pair counts, float32, 1 on average; None: all alike.
    """

    line: IntArray
    drug: IntArray
    label: FloatArray
    weight: FloatArray | None = None

    @property
    def weights(self) -> FloatArray:
        """``weight``, ones where there is none."""
        return np.ones(len(self), dtype=np.float32) if self.weight is None else self.weight

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
        target = _stream(random, None if self.partner is not None else self.target_lines, len(order))
        weights = self.pairs.weights
        for start in range(0, len(order), self.size):
            rows = order[start : start + self.size]
            line = self.pairs.line[rows]
            beside = target[start : start + len(rows)] if self.partner is None else self.partner[line]
            lines, line_of_row = np.unique(np.concatenate([line, beside]), return_inverse=True)
            drugs, drug_of_pair = np.unique(self.pairs.drug[rows], return_inverse=True)
            parts = (lines, line_of_row, drugs, drug_of_pair, self.pairs.label[rows], weights[rows])
            yield PairBatch(*(torch.from_numpy(part) for part in parts))


class BlockBatch(NamedTuple):
    """One training step's block: some source lines with some drugs, and target lines beside them.

    Attributes:
        lines: Rows of the joint expression table: source lines, then as many target lines (fewer when there are fewer).
        n_source: How many of them are source lines.
        drugs: Rows of the drug features, shape (v,).
        label: Scaled potency, shape (n_source, v), 0 where unmeasured.
        weight: 1 / (mean pairs in a block), times the pair's own weight, where measured; 0 elsewhere. So every pair counts
            the same in an epoch, or as much as its weight says.
        domain_weight: See ``Batch``.
    """

    lines: Tensor
    n_source: int
    drugs: Tensor
    label: Tensor
    weight: Tensor
    domain_weight: float = 1.0

    def potency(self, network: PairNetwork, codes: Tensor, drug_codes: Tensor) -> Tensor:
        """Of every source line with every drug, measured or not, shape (n_source, v)."""
        return network.regress_block(codes[: self.n_source], drug_codes)

    def mean_squared_error(self, predicted: Tensor, line_weight: Tensor | None = None) -> Tensor:
        """Over the measured pairs, as ``weight`` counts them."""
        weight = self.weight if line_weight is None else self.weight * line_weight[: self.n_source, None]
        return (weight * (predicted - self.label) ** 2).sum()

    def domain_halves(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Each distinct line once, whatever number of pairs it has."""
        return codes[: self.n_source], codes[self.n_source :]


class BlockBatches:
    """Every labelled pair exactly once an epoch, as blocks of lines × drugs.

    Lines and drugs are shuffled into groups anew each epoch, from (seed, epoch); every group of lines meets every group of
    drugs once, in random order. An encoder pass over a block's lines serves all its pairs.

    Args:
        pairs: Labelled source pairs.
        shape: Lines and drugs of a block, at most; None for all drugs.
        min_blocks: Blocks are made smaller where an epoch would have fewer: a small screen needs its steps.
        seed: Root of the order.
        epoch: Tells the current epoch when iteration begins.
        target_lines: Rows of the joint table to draw target lines from, each once before any comes again; None draws none.
    """

    def __init__(
        self,
        pairs: LabelledPairs,
        *,
        shape: tuple[int, int | None],
        seed: int,
        epoch: Callable[[], int],
        target_lines: IntArray | None = None,
        min_blocks: int = 1,
    ) -> None:
        self.seed, self.epoch, self.target_lines = seed, epoch, target_lines
        self.lines, line = np.unique(pairs.line, return_inverse=True)
        self.drugs, drug = np.unique(pairs.drug, return_inverse=True)
        self.shape = _shrunk(shape, (len(self.lines), len(self.drugs)), min_blocks)
        self.label = torch.zeros(len(self.lines), len(self.drugs))
        self.weight = torch.zeros_like(self.label)
        self.label[line, drug] = torch.from_numpy(pairs.label)
        self.weight[line, drug] = torch.from_numpy(pairs.weights) * (len(self) / len(pairs))

    def __len__(self) -> int:
        return -(-len(self.lines) // self.shape[0]) * -(-len(self.drugs) // self.shape[1])

    def __iter__(self) -> Iterator[BlockBatch]:
        random = np.random.default_rng(derive_seed(self.seed, "batches", self.epoch()))
        line_groups = np.array_split(random.permutation(len(self.lines)), -(-len(self.lines) // self.shape[0]))
        drug_groups = np.array_split(random.permutation(len(self.drugs)), -(-len(self.drugs) // self.shape[1]))
        blocks = [(lines, drugs) for lines in line_groups for drugs in drug_groups]
        target = _stream(random, self.target_lines, sum(len(lines) for lines, _ in blocks))
        start = 0
        for block in random.permutation(len(blocks)):
            lines, drugs = blocks[block]
            beside = np.unique(target[start : start + len(lines)])
            start += len(lines)
            rows, columns = torch.from_numpy(lines), torch.from_numpy(drugs)
            yield BlockBatch(
                lines=torch.from_numpy(np.concatenate([self.lines[lines], beside])),
                n_source=len(lines),
                drugs=torch.from_numpy(self.drugs[drugs]),
                label=self.label.index_select(0, rows).index_select(1, columns),
                weight=self.weight.index_select(0, rows).index_select(1, columns),
            )


class BlockShare:
    """What one of several processes trains on: every step takes as many blocks as there are processes, one for each.

    The mean of the processes' losses, and with it of their gradients, is exactly that of one process on the union of the
    step's blocks: each pair weighs 1 / (mean pairs in a step), and the domain loss is the mean over all lines of the union
    (a line that stands in two of the blocks counts twice). In the last step of an epoch there may be fewer blocks than
    processes; those without one repeat the step's first block with weight 0.

    Args:
        blocks: The blocks of an epoch; every process draws the same ones.
        rank: Which process this is, from 0.
        n_processes: How many share a step.
    """

    def __init__(self, blocks: BlockBatches, *, rank: int, n_processes: int) -> None:
        self.blocks, self.rank, self.n_processes = blocks, rank, n_processes

    def __len__(self) -> int:
        return -(-len(self.blocks) // self.n_processes)

    def __iter__(self) -> Iterator[BlockBatch]:
        # A mean over processes divides by their number, and the blocks' weights are meant for one block a step.
        pair_factor = self.n_processes * len(self) / len(self.blocks)
        blocks = iter(self.blocks)
        while step := list(islice(blocks, self.n_processes)):
            takes_part = self.rank < len(step)
            own = step[self.rank if takes_part else 0]
            n_lines = sum(len(block.lines) for block in step)
            yield own._replace(
                weight=own.weight * (takes_part * pair_factor),
                domain_weight=takes_part * self.n_processes * len(own.lines) / n_lines,
            )


def _shrunk(shape: tuple[int, int | None], of: tuple[int, int], min_blocks: int) -> tuple[int, int]:
    """The shape, its longer side halved until a grid of size ``of`` falls into ``min_blocks`` blocks or single pairs."""
    lines, drugs = min(shape[0], of[0]), min(shape[1] or of[1], of[1])
    while lines * drugs > 1 and -(-of[0] // lines) * -(-of[1] // drugs) < min_blocks:
        lines, drugs = (-(-lines // 2), drugs) if lines >= drugs else (lines, -(-drugs // 2))
    return lines, drugs


def _stream(random: np.random.Generator, lines: IntArray | None, n: int) -> IntArray:
    """``n`` of ``lines`` in random order, each once before any comes again; none of None."""
    if lines is None:
        return np.zeros(0, dtype=np.int64)
    return np.concatenate([random.permutation(lines) for _ in range(-(-n // len(lines)))])[:n]


class TwoDomainBatches:
    """Each of ``n_target`` rows once an epoch, beside as many of ``n_source``, each once before any comes again.

    The order is drawn from (seed, epoch); batches are of nearly equal size, at most ``size``. Yields int64 row numbers
    (source, target).
    """

    def __init__(self, n_source: int, n_target: int, *, size: int, seed: int, epoch: Callable[[], int]) -> None:
        self.n_source, self.n_target, self.size, self.seed, self.epoch = n_source, n_target, size, seed, epoch

    def __len__(self) -> int:
        return -(-self.n_target // self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        random = np.random.default_rng(derive_seed(self.seed, "batches", self.epoch()))
        target = torch.from_numpy(random.permutation(self.n_target))
        source = torch.from_numpy(_stream(random, np.arange(self.n_source), self.n_target))
        yield from zip(source.tensor_split(len(self)), target.tensor_split(len(self)), strict=True)


class RowBatches:
    """Each of ``n_rows`` rows once an epoch, in an order drawn from (seed, epoch); yields int64 row numbers."""

    def __init__(self, n_rows: int, *, size: int, seed: int, epoch: Callable[[], int]) -> None:
        self.n_rows, self.size, self.seed, self.epoch = n_rows, size, seed, epoch

    def __len__(self) -> int:
        return -(-self.n_rows // self.size)

    def __iter__(self) -> Iterator[Tensor]:
        random = np.random.default_rng(derive_seed(self.seed, "batches", self.epoch()))
        order = torch.from_numpy(random.permutation(self.n_rows))
        yield from order.split(self.size)
