"""SMILES as token numbers, the input of a convolutional network learned with the model."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass
from rdkit import Chem

from dadsp.drugs.features import DrugFeatures, fitted
from dadsp.drugs.structures import parse
from dadsp.errors import examples
from dadsp.options import STRICT
from dadsp.schema import FloatArray, Note

if TYPE_CHECKING:
    from dadsp.nets.smiles_cnn import SmilesCnn, SmilesImageCnn

Positive = Annotated[int, Field(ge=1)]

_PARTS = re.compile(r"\[[^\]]*\]|Br|Cl|%\d\d|.")
# Inside brackets a capital and a small letter are always one element; outside, "Sc" is sulphur and an aromatic carbon.
_PARTS_OF_BRACKET = re.compile(r"[A-Z][a-z]?|as|se|te|@@?|\d+|.")


def tokens_of(smiles: str) -> list[str]:
    """The symbols of a SMILES in order: atoms (two-letter elements whole), bonds, ring numbers, parts of bracket atoms."""
    parts = _PARTS.findall(smiles)
    return [token for part in parts for token in (_PARTS_OF_BRACKET.findall(part) if part[0] == "[" else [part])]


@dataclass(frozen=True, config=STRICT)
class SmilesTokens(DrugFeatures):
    """Token numbers of the canonical SMILES without stereochemistry, so that a structure has one spelling in every screen.

    A row holds positions in ``tokens`` counted from 1. 0 stands for no symbol: after the end, and for an unknown token.

    Attributes:
        tokens: Vocabulary; None takes the tokens of the training drugs (31 symbols in the authors' code).
        length: Positions; None takes the longest training drug (188 in the authors' code).
        filters: Of the two convolutions.
        kernels: Widths of the two convolutions, in positions.
        kernels_over: ``"string"``: kernels cover all symbols and slide along the positions; ``"matrix"``: squares over the
            symbols × positions matrix as an image (the authors' code), with symbols in the order of ``tokens``.
        outputs: Width of the layer after them.
    """

    kind: ClassVar[str] = "cnn"

    tokens: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    length: Positive | None = None
    filters: tuple[Positive, Positive] = (256, 128)
    kernels: tuple[Positive, Positive] = (5, 3)
    kernels_over: Literal["string", "matrix"] = "string"
    outputs: Positive = 256

    @property
    def width(self) -> int:
        """Positions of a row: ``length``, or more where the convolutions need more."""
        # One output of the second pooling sees this many positions.
        return max(fitted(self.length), self.kernels[0] + 1 + 2 * self.kernels[1])

    def fit(self, smiles: Sequence[str], names: Sequence[str]) -> Self:
        """The same with vocabulary and length of these drugs, where they were not given."""
        texts = _tokenised(smiles, names)
        tokens, length = self.tokens, self.length
        return replace(
            self,
            tokens=tuple(sorted({token for text in texts for token in text})) if tokens is None else tokens,
            length=max(map(len, texts), default=1) if length is None else length,
        )

    def __call__(self, smiles: Sequence[str], names: Sequence[str]) -> FloatArray:
        """Token numbers, float32, shape (n_drugs, width); what lies beyond ``length`` is cut.

        Raises:
            SchemaError: Some SMILES are not valid.
        """
        number = {token: row for row, token in enumerate(fitted(self.tokens), start=1)}
        rows = np.zeros((len(smiles), self.width), dtype=np.float32)
        for row, text in zip(rows, _tokenised(smiles, names), strict=True):
            known = [number.get(token, 0) for token in text[: fitted(self.length)]]
            row[: len(known)] = known
        return rows

    def encoder(self) -> "tuple[SmilesCnn | SmilesImageCnn, int]":
        """A convolutional network."""
        from dadsp.nets.smiles_cnn import SmilesCnn, SmilesImageCnn  # torch, which reading structures does not need

        network = SmilesCnn if self.kernels_over == "string" else SmilesImageCnn
        return network(len(fitted(self.tokens)), self.width, self.filters, self.kernels, self.outputs), self.outputs

    def notes(self, smiles: Sequence[str], names: Sequence[str]) -> tuple[Note, ...]:
        """Unknown tokens, and drugs longer than ``length``."""
        texts, known = _tokenised(smiles, names), set(fitted(self.tokens))
        unknown = Counter(token for text in texts for token in text if token not in known)
        longer = [name for name, text in zip(names, texts, strict=True) if len(text) > fitted(self.length)]
        found = (
            Note("SMILES tokens the model does not know, left out", unknown.total(), examples(unknown)),
            Note(f"drugs of more than {self.length} SMILES tokens, cut", len(longer), examples(longer)),
        )
        return tuple(note for note in found if note.count)


def _tokenised(smiles: Sequence[str], names: Sequence[str]) -> list[list[str]]:
    return [tokens_of(Chem.MolToSmiles(molecule, isomericSmiles=False)) for molecule in parse(smiles, names)]
