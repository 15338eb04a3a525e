"""A convolutional network over one-hot SMILES that never builds the one-hot matrix."""

from typing import cast

import torch
from torch import Tensor, nn


class SmilesCnn(nn.Module):
    """Convolution → pooling → convolution → pooling → dense layer over the positions of a SMILES.

    A kernel of the first convolution covers all symbols at several positions, so it slides along the string only: the order
    of symbols means nothing. On one-hot columns it is a sum of weight columns, which are looked up. Strings of a batch share
    most short pieces (and all of what follows their ends), so each layer computes a piece once wherever it stands; outputs
    are those of the plain layers.

    Args:
        n_tokens: Size of the vocabulary; inputs are 1 … ``n_tokens``, and 0 for no symbol.
        length: Positions.
        filters: Of the two convolutions.
        kernels: Widths of the two convolutions, in positions.
        n_outputs: Width of the dense layer.

    Reference: DADSP section 2.3; deviation D13 (``SmilesImageCnn`` is the authors').
    """

    def __init__(
        self, n_tokens: int, length: int, filters: tuple[int, int], kernels: tuple[int, int], n_outputs: int
    ) -> None:
        super().__init__()
        self.first = nn.Conv1d(n_tokens, filters[0], kernels[0])
        self.second = nn.Conv1d(filters[0], filters[1], kernels[1])
        positions = length
        for kernel in kernels:
            positions = (positions - kernel + 1) // 2
        self.dense = nn.Linear(positions * filters[1], n_outputs)

    def forward(self, rows: Tensor) -> Tensor:
        """Codes of drugs, shape (n, n_outputs).

        Args:
            rows: Token numbers as floats, shape (n, length).
        """
        windows, place = distinct_windows(rows.long(), self.first.kernel_size[0] + 1)
        pooled = torch.relu(self._first_convolution(windows).amax(1))
        windows, place = distinct_windows(place, self.second.kernel_size[0] + 1)
        pieces = pooled.index_select(0, windows.flatten()).view(*windows.shape, -1).transpose(1, 2)
        pooled = torch.relu(self.second(pieces).amax(2))
        flat = pooled.index_select(0, place.flatten()).view(len(rows), -1)
        return torch.relu(self.dense(flat))

    def _first_convolution(self, tokens: Tensor) -> Tensor:
        """The first convolution of strings of tokens, shape (n, positions, filters)."""
        filters, n_tokens, kernel = self.first.weight.shape
        # Row 0 is no symbol; rows 1 + … are the symbols at the kernel's first position, then at its second, …
        columns = nn.functional.pad(self.first.weight.permute(2, 1, 0).flatten(0, 1), (0, 0, 1, 0))
        windows = tokens.unfold(1, kernel, 1)
        at_position = n_tokens * torch.arange(kernel, device=tokens.device)
        rows = torch.where(windows > 0, windows + at_position, 0)
        summed = nn.functional.embedding_bag(rows.flatten(0, 1), columns, mode="sum")
        return summed.view(len(tokens), -1, filters) + cast(Tensor, self.first.bias)


class SmilesImageCnn(nn.Module):
    """Convolution → pooling → convolution → pooling → dense layer over the symbols × positions matrix as an image.

    Kernels are squares over neighbouring symbols and positions, so the order of the vocabulary matters, as it does in the
    authors' code.

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
        super().__init__()
        self.height = max(n_tokens, kernels[0] + 1 + 2 * kernels[1])  # one output of the second pooling sees so many rows
        height = self.height
        for kernel in kernels:
            height, length = (height - kernel + 1) // 2, (length - kernel + 1) // 2
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, filters[0], kernels[0]), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(filters[0], filters[1], kernels[1]), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
            *(nn.Linear(filters[1] * height * length, n_outputs), nn.ReLU()),
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Codes of drugs, shape (n, n_outputs).

        Args:
            rows: Token numbers as floats, shape (n, length).
        """
        image = nn.functional.one_hot(rows.long(), self.height + 1)[:, :, 1:].to(rows.dtype)
        codes: Tensor = self.layers(image.transpose(1, 2).unsqueeze(1))
        return codes


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
