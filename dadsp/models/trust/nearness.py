"""How far lines and drugs lie from those that trained, as the system itself sees them.

A line is its expression as the system takes it (aligned, scaled), at the genes that vary most; a drug its fingerprint.
Neither distance sees a label.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dadsp.drugs.morgan import Morgan
from dadsp.models.base import Arrays, Predictor, learned_split
from dadsp.models.kernels.similarity import squared_distances, tanimoto
from dadsp.schema import BoolArray, Domain, FloatArray, IntArray, Screen, Split, Study

BITS = 2048  # so that few substructures share a bit, whatever the system's own fingerprint is
MOST_GENES = 1000  # kept of each training line
_AT_ONCE = 1024  # lines of which distances are computed together


@dataclass(frozen=True, eq=False)
class Nearness:
    """The lines and drugs that trained.

    Attributes:
        lines: Inputs of the training lines at ``genes``, float32, shape (n_lines, n_kept); None where the system reads no
            expression, or it must stay private.
        genes: Columns of the system's inputs, int64, shape (n_kept,).
        bits: Fingerprints of the training drugs that have a structure, packed, uint8, shape (n_drugs, ``BITS`` / 8).
        line_keys: Identity of the lines that have training labels.
        drug_keys: Identity of the drugs that have training labels.
    """

    lines: FloatArray | None
    genes: IntArray
    bits: NDArray[np.uint8]
    line_keys: tuple[str, ...]
    drug_keys: tuple[str, ...]

    @classmethod
    def of(cls, model: Predictor, study: Study, split: Split) -> Self:
        """What the fitted ``model`` learned from in this split."""
        source = study.source
        train = source.responses.take(learned_split(model, split).train_idx)
        lines, drugs = np.unique(train.cell_idx), np.unique(train.drug_idx)
        genes, inputs = np.zeros(0, dtype=np.int64), None
        all_inputs = _inputs(model, source, "source", lines)
        if all_inputs is not None:
            spread = all_inputs.var(axis=0) if all_inputs.shape[1] > MOST_GENES else np.zeros(all_inputs.shape[1])
            genes = np.sort(np.argsort(-spread, kind="stable")[:MOST_GENES]).astype(np.int64)
            inputs = np.ascontiguousarray(all_inputs[:, genes])
        return cls(
            lines=inputs,
            genes=genes,
            bits=np.packbits(_fingerprints(source, drugs)[1].astype(bool), axis=1),
            line_keys=tuple(sorted({source.line_keys[row] for row in lines})),
            drug_keys=tuple(sorted({source.drug_keys[row] for row in drugs})),
        )

    def seen(self, screen: Screen, lines: IntArray, drugs: IntArray) -> tuple[BoolArray, BoolArray]:
        """Whether these lines and these drugs of a screen have training labels, under whatever id."""
        return _among([screen.line_keys[row] for row in lines], self._known_lines), _among(
            [screen.drug_keys[row] for row in drugs], self._known_drugs
        )

    def line_distance(self, model: Predictor, screen: Screen, domain: Domain, rows: IntArray) -> FloatArray:
        """Euclidean distance to the nearest training line over √genes, shape (n_rows,); NaN where lines are not compared."""
        inputs = None if self.lines is None else _inputs(model, screen, domain, rows)
        if inputs is None or self.lines is None:
            return np.full(len(rows), np.nan, dtype=np.float32)
        nearest = np.empty(len(rows))
        for start in range(0, len(rows), _AT_ONCE):
            part = inputs[start : start + _AT_ONCE, self.genes]
            nearest[start : start + _AT_ONCE] = squared_distances(part, self.lines).min(axis=1)
        # What rounding leaves of the distance of a line to itself is no distance.
        nearest[nearest < 1e-5 * max(1.0, float((self.lines.astype(np.float64) ** 2).sum(axis=1).mean()))] = 0.0
        return np.sqrt(nearest / max(1, len(self.genes))).astype(np.float32)

    def drug_similarity(self, screen: Screen, rows: IntArray) -> FloatArray:
        """Largest Tanimoto similarity to a training drug, shape (n_rows,); NaN without a structure."""
        similarity = np.full(len(rows), np.nan, dtype=np.float32)
        known = np.unpackbits(self.bits, axis=1).astype(np.float32)
        has, fingerprints = _fingerprints(screen, rows)
        if len(has) and len(known):
            similarity[has] = tanimoto(fingerprints, known).max(axis=1)
        return similarity

    def without_lines(self) -> Self:
        """The same without the lines: neither their expression nor what they are called."""
        return replace(self, lines=None, genes=self.genes[:0], line_keys=())

    @cached_property
    def _known_lines(self) -> frozenset[str]:
        return frozenset(self.line_keys)

    @cached_property
    def _known_drugs(self) -> frozenset[str]:
        return frozenset(self.drug_keys)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """What ``from_state`` reads."""
        arrays: Arrays = {"genes": self.genes, "bits": self.bits}
        if self.lines is not None:
            arrays["lines"] = self.lines
        return {"line_keys": list(self.line_keys), "drug_keys": list(self.drug_keys)}, arrays

    @classmethod
    def from_state(cls, facts: dict[str, Any], arrays: Arrays) -> Self:
        """What ``state`` described."""
        keys = tuple(facts["line_keys"]), tuple(facts["drug_keys"])
        return cls(arrays.get("lines"), arrays["genes"], arrays["bits"], *keys)


def _inputs(model: Predictor, screen: Screen, domain: Domain, rows: IntArray) -> FloatArray | None:
    """Expression as the system takes it, shape (n_rows, n_genes); None where it reads none."""
    scaled = getattr(model, "scaled_expression", None)
    if scaled is None or not model.genes:
        return None
    inputs: FloatArray = scaled(screen, domain, rows)
    return inputs


def _fingerprints(screen: Screen, rows: IntArray) -> tuple[IntArray, FloatArray]:
    """Places in ``rows`` of the drugs that have a structure, and their fingerprints, shape (n_places, ``BITS``)."""
    drugs = screen.drugs
    has = np.array([place for place, row in enumerate(rows) if drugs.smiles[row] is not None], dtype=np.int64)
    smiles, names = ([column[rows[place]] or "" for place in has] for column in (drugs.smiles, drugs.names))
    return has, Morgan(bits=BITS)(smiles, names)


def _among(keys: list[str], known: frozenset[str]) -> BoolArray:
    return np.fromiter((key in known for key in keys), dtype=bool, count=len(keys))
