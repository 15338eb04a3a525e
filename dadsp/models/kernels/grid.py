"""The lines and drugs that a system of kernels compares: those that trained, and those to predict."""

from dataclasses import dataclass

from dadsp.models.kernels.similarity import Values
from dadsp.schema import FloatArray


@dataclass(frozen=True, eq=False)
class TrainingGrid:
    """Lines and drugs that a system learned from, whatever of them has labels in one fit or the other.

    Attributes:
        expression: Scaled, float32, shape (n_lines, n_genes).
        features: Of the drugs, float32, shape (n_drugs, d).
        line_keys: Identity of each line across screens.
        drug_keys: Identity of each drug across screens.
        targets: Names of each drug's targets.
    """

    expression: FloatArray
    features: FloatArray
    line_keys: tuple[str, ...]
    drug_keys: tuple[str, ...]
    targets: tuple[frozenset[str], ...]


@dataclass(frozen=True, eq=False)
class Query:
    """Distinct lines and drugs to predict, beside a ``TrainingGrid``; fields as there.

    Attributes:
        same_drug: 1 where a drug has the identity of a training drug, shape (n, n_drugs).
        similarity: Tanimoto similarity to the training drugs, shape (n, n_drugs).
    """

    expression: FloatArray
    features: FloatArray
    line_keys: tuple[str, ...]
    drug_keys: tuple[str, ...]
    targets: tuple[frozenset[str], ...]
    same_drug: Values
    similarity: Values
