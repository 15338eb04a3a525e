"""Convolutional networks over one-hot SMILES that compute a piece of a string once, wherever it stands."""

from abc import abstractmethod
from typing import cast

import torch
from torch import Tensor, nn


class PiecewiseCnn(nn.Module):
    """Convolution → pooling → convolution → pooling → dense layer over the positions of a SMILES.

    Strings of a batch share most short pieces (and all of what follows their ends), so each layer computes a piece once;
    outputs are those of the plain layers.

    Args:
        first: Convolution over the one-hot symbols × positions.
        second: Convolution over its pooled outputs.
        length: Positions.
        n_values: What a position has after the second pooling.
        n_outputs: Width of the dense layer.
    """

    def __init__(
        self, first: nn.Conv1d | nn.Conv2d, second: nn.Conv1d | nn.Conv2d, length: int, n_values: int, n_outputs: int
    ) -> None:
        super().__init__()
        self.first, self.second = first, second
        for layer in (first, second):
            length = (length - layer.kernel_size[-1] + 1) // 2
        self.dense = nn.Linear(length * n_values, n_outputs)

    def forward(self, rows: Tensor) -> Tensor:
        """Codes of drugs, shape (n, n_outputs).

        Args:
            rows: Token numbers as floats, shape (n, length).
        """
        windows, place = distinct_windows(rows.long(), self.first.kernel_size[-1] + 1)
        pooled = self._first_pooled(windows)
        windows, place = distinct_windows(place, self.second.kernel_size[-1] + 1)
        pieces = pooled.index_select(0, windows.flatten()).view(*windows.shape, *pooled.shape[1:])
        pooled = torch.relu(self._second_pooled(pieces.movedim(1, -1)))
        flat = pooled.index_select(0, place.flatten()).view(len(rows), -1)
        return torch.relu(self.dense(flat))

    @abstractmethod
    def _first_pooled(self, tokens: Tensor) -> Tensor:
        """First convolution, ReLU and pooling of pieces of two windows, shape (n_pieces, filters, …)."""

    @abstractmethod
    def _second_pooled(self, pieces: Tensor) -> Tensor:
        """Second convolution and pooling of pieces (n_pieces, filters, …, positions), shape (n_pieces, n_values)."""


class SmilesCnn(PiecewiseCnn):
    """Kernels that cover all symbols at several positions, and so slide along the string only.

    The order of symbols means nothing. On one-hot columns the first convolution is a sum of weight columns, which are looked
    up: the one-hot matrix is never built.

    Args:
        n_tokens: Size of the vocabulary; inputs are 1 … ``n_tokens``, and 0 for no symbol.
        length: Positions.
        filters: Of the two convolutions.
        kernels: Widths of the two convolutions, in positions.
        n_outputs: Width of the dense layer.

    Reference: DADSP section 2.3; deviation D13 (``SmilesImageCnn`` is the authors').
    """

    first: nn.Conv1d

    def __init__(
        self, n_tokens: int, length: int, filters: tuple[int, int], kernels: tuple[int, int], n_outputs: int
    ) -> None:
        first, second = nn.Conv1d(n_tokens, filters[0], kernels[0]), nn.Conv1d(*filters, kernels[1])
        super().__init__(first, second, length, filters[1], n_outputs)

    def _first_pooled(self, tokens: Tensor) -> Tensor:
        filters, n_tokens, kernel = self.first.weight.shape
        # Row 0 is no symbol; rows 1 + … are the symbols at the kernel's first position, then at its second, …
        columns = nn.functional.pad(self.first.weight.permute(2, 1, 0).flatten(0, 1), (0, 0, 1, 0))
        windows = tokens.unfold(1, kernel, 1)
        at_position = n_tokens * torch.arange(kernel, device=tokens.device)
        rows = torch.where(windows > 0, windows + at_position, 0)
        summed = nn.functional.embedding_bag(rows.flatten(0, 1), columns, mode="sum")
        return torch.relu((summed.view(len(tokens), -1, filters) + cast(Tensor, self.first.bias)).amax(1))

    def _second_pooled(self, pieces: Tensor) -> Tensor:
        hidden: Tensor = self.second(pieces)
        return hidden.amax(2)


class SmilesImageCnn(PiecewiseCnn):
    """Kernels that are squares over neighbouring symbols and positions of the matrix as an image.

    The order of the vocabulary matters, as it does in the authors' code.

    Args:
        n_tokens: As in ``SmilesCnn``.
        length: As in ``SmilesCnn``.
        filters: Of the two convolutions.
        kernels: Sides of the two convolutions' squares.
        n_outputs: Width of the dense layer.

    Reference: the authors' code (31 symbols × 188 positions, squares of 5 and 3); ReLU and maximum pooling by 2, without
    padding, are ours where nothing is said.
    """

    def __init__(
        self, n_tokens: int, length: int, filters: tuple[int, int], kernels: tuple[int, int], n_outputs: int
    ) -> None:
        height = max(n_tokens, kernels[0] + 1 + 2 * kernels[1])  # one output of the second pooling sees so many rows
        left = height
        for kernel in kernels:
            left = (left - kernel + 1) // 2
        first, second = nn.Conv2d(1, filters[0], kernels[0]), nn.Conv2d(*filters, kernels[1])
        super().__init__(first, second, length, filters[1] * left, n_outputs)
        self.height = height

    def _first_pooled(self, tokens: Tensor) -> Tensor:
        image = nn.functional.one_hot(tokens, self.height + 1)[:, :, 1:].to(self.first.weight.dtype)
        hidden: Tensor = self.first(image.transpose(1, 2).unsqueeze(1))
        return torch.relu(nn.functional.max_pool2d(hidden, 2).squeeze(3))

    def _second_pooled(self, pieces: Tensor) -> Tensor:
        return nn.functional.max_pool2d(self.second(pieces), 2).flatten(1)


def distinct_windows(ids: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The distinct windows that slide over rows of numbers by two (what pooling by two sees), and where each stands.

    Args:
        ids: Numbers ≥ 0, int64, shape (n, length).
        size: Numbers in a window.

    Returns:
        Distinct windows, shape (m, size); for each row and window its number among them, shape (n, positions).
    """
    windows = ids.unfold(1, size, 2)
    base = int(ids.max()) + 1
    if base**size >= 2**63:  # too large to write a window as one number
        distinct, place = torch.unique(windows.flatten(0, 1), dim=0, return_inverse=True)
        return distinct, place.view(windows.shape[:2])
    digits = base ** torch.arange(size, device=ids.device)
    keys, place = torch.unique((windows * digits).sum(2), return_inverse=True)
    return keys.unsqueeze(1) // digits % base, place
