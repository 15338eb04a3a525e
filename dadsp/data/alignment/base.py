"""What every alignment sees, and what it leaves behind."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from dadsp.errors import LoadError, SchemaError
from dadsp.schema import Domain, FloatArray, Split, Study

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class AlignmentLines:
    """Expression that an alignment may learn from. There is no label in it.

    Attributes:
        source: Raw expression of the source lines that train, float32, shape (n_source, n_genes).
        target: Raw expression of the target lines that lend theirs, float32, shape (n_target, n_genes).
        shared_source: Raw expression in the source of those target lines that it profiled too, shape (n_shared, n_genes);
            whether they have labels that train does not matter.
        shared_target: The same lines in the target, row by row, shape (n_shared, n_genes).
        shared_line: Number of the source line of each row of the two, shape (n_shared,): equal where one line was
            profiled more than once.
        across: False where source and target are one screen, which leaves nothing to bridge.
    """

    source: FloatArray
    target: FloatArray
    shared_source: FloatArray
    shared_target: FloatArray
    shared_line: NDArray[np.int64]
    across: bool

    @classmethod
    def of(cls, study: Study, split: Split) -> Self:
        """The lines that a split lets an alignment see.

        Raises:
            SchemaError: There is none on one side.
        """
        across = study.scope == "across"
        training = np.unique(study.source.responses.cell_idx[split.train_idx])
        adapting = np.unique(split.adapt_cell_idx)
        for screen, rows in ((study.source, training), (study.target, adapting)):
            if not len(rows):
                raise SchemaError(
                    f"There is no line of {screen.name} to fit the alignment on. Let the split offer some, or set "
                    "alignment=none."
                )
        partner = study.target_cell_in_source[adapting] if across else np.full(len(adapting), -1)
        shared = partner >= 0
        source, target = study.source.cells.expression, study.target.cells.expression
        return cls(
            source=source[training],
            target=target[adapting],
            shared_source=source[partner[shared]],
            shared_target=target[adapting[shared]],
            shared_line=partner[shared],
            across=across,
        )

    @property
    def n_shared(self) -> int:
        """How many lines both screens profiled, each counted once."""
        return len(np.unique(self.shared_line))

    def counts(self) -> dict[str, int]:
        """How many lines of each kind there are."""
        return {
            "n_lines_source": len(self.source),
            "n_lines_target": len(self.target),
            "n_shared": self.n_shared,
        }


def array(arrays: Arrays, name: str) -> FloatArray:
    """The array of that name, as float32.

    Raises:
        LoadError: It is absent.
    """
    if name not in arrays:
        raise LoadError(f"A saved alignment lacks {name}. Train the model again.")
    return np.asarray(arrays[name], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class FittedAlignment(ABC):
    """A map of each screen's raw expression onto one scale, to travel inside a saved model.

    Attributes:
        stated: JSON-able facts: ``kind``, the options, how many lines it was fitted on.
        gene_wise: Whether a gene's aligned value depends on that gene alone.
    """

    stated: dict[str, Any]
    gene_wise: ClassVar[bool] = True

    @abstractmethod
    def transform(self, expression: FloatArray, domain: Domain) -> FloatArray:
        """Aligned expression, float32, shape (n_lines, n_genes), of raw expression measured in ``domain``."""

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """What was fitted, by name, ready for safetensors."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, stated: dict[str, Any], arrays: Arrays) -> Self:
        """The alignment that stated this and whose ``arrays`` gave these.

        Raises:
            LoadError: An array is absent.
        """


class Alignment(ABC):
    """A choice of alignment and its options.

    Attributes:
        kind: How configurations and saved models call it.
        fitted: What it leaves behind, which a saved model reads back; None where that is of another kind.
    """

    kind: ClassVar[str]
    fitted: ClassVar[type[FittedAlignment] | None] = None

    @abstractmethod
    def fit(self, lines: AlignmentLines) -> FittedAlignment:
        """The map that these lines suggest.

        Raises:
            ConfigError: The lines do not allow this alignment.
        """
