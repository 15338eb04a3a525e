"""What every drug representation offers: one row of floats per drug, fitted on training drugs, saved as plain facts."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from pydantic.dataclasses import dataclass

from dadsp.options import STRICT
from dadsp.schema import FloatArray, Note

if TYPE_CHECKING:
    from rdkit import Chem
    from torch import nn

T = TypeVar("T")


@dataclass(frozen=True, config=STRICT)
class DrugFeatures(ABC):
    """Turns structures into rows of floats. Its fields are all that a saved model needs to do so again.

    Attributes:
        kind: Name in configurations and saved models.
    """

    kind: ClassVar[str]

    @property
    @abstractmethod
    def width(self) -> int:
        """Floats per drug, once fitted."""

    def fit(self, smiles: Sequence[str], names: Sequence[str]) -> Self:
        """The same representation with everything that follows from data taken from these (training) drugs."""
        return self

    @abstractmethod
    def __call__(self, smiles: Sequence[str], names: Sequence[str]) -> FloatArray:
        """One row per drug, float32, shape (n_drugs, width).

        Raises:
            SchemaError: Some SMILES are not valid.
        """

    def encoder(self) -> "tuple[nn.Module, int] | None":
        """A network with fresh weights that turns rows into codes, learned with the model, and the width of these codes.

        None, as here, where rows are features already. A fitted representation is asked.
        """
        return None

    @property
    def learned(self) -> bool:
        """True where rows hold codes (tokens, atoms) that only an encoder learned with the model can read."""
        return type(self).encoder is not DrugFeatures.encoder

    def environments(self, molecule: "Chem.Mol") -> dict[int, tuple[frozenset[int], ...]] | None:
        """The groups of atoms that each column other than 0 stands for, by column; None where columns tell of no atoms."""
        return None

    def without_effect(self) -> list[str]:
        """A line for each reason that keys which were set cannot act."""
        return []

    def notes(self, smiles: Sequence[str], names: Sequence[str]) -> tuple[Note, ...]:
        """What of these drugs the representation cannot express, counted; empty where it expresses all."""
        return ()

    def facts(self) -> dict[str, Any]:
        """JSON-able facts that ``dadsp.drugs.representations.from_facts`` reads."""
        return {"kind": self.kind, **asdict(self)}


def fitted(value: T | None) -> T:
    """A field that ``fit`` fills in.

    Raises:
        RuntimeError: It has not been filled in.
    """
    if value is None:
        raise RuntimeError("These drug features follow from the training drugs: call fit first.")
    return value
