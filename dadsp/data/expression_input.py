"""From raw expression of a screen to what a system reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dadsp.data.alignment.base import Alignment, AlignmentLines, FittedAlignment
from dadsp.data.alignment.identity import Identity
from dadsp.data.alignment.registry import load_alignment
from dadsp.data.new_platform.reference import Reference, from_arrays, references_of, to_array
from dadsp.data.scaling import ExpressionScaler, ScalerKind, ScalerScope, fit_scaler, shift_and_scale
from dadsp.errors import SchemaError, examples
from dadsp.schema import Domain, FloatArray, IntArray, Screen, Split, Study


@dataclass(frozen=True, eq=False)
class ExpressionInput:
    """What every system does to raw expression before it learns: restrict to its genes, align the platforms, scale.

    Fitted on the source lines that train and the target lines that lend their expression; it sees no label.

    Attributes:
        genes: Of the system, in its order.
        alignment: Brings both screens onto one scale; the identity under ``alignment=none``.
        scaler: What the system itself asks for: fitted on each screen's raw expression where nothing is aligned, else on the
            aligned source lines and the same for both screens, since scaling the target by itself would undo an alignment.
        ranges: Least and largest raw value among the fitted lines, float32, shape (2, 2): source, then target. None for a
            model that was saved before they were kept.
        references: What new tables are held against, of source and target; None as for ``ranges``.
    """

    genes: tuple[str, ...]
    alignment: FittedAlignment
    scaler: ExpressionScaler
    ranges: FloatArray | None = None
    references: tuple[Reference, Reference] | None = None

    @classmethod
    def fit(cls, study: Study, split: Split, *, alignment: Alignment | None, kind: ScalerKind, scope: ScalerScope) -> Self:
        """Fits alignment and scaler on the lines that the split allows.

        Args:
            study: Gives the expression.
            split: Its training pairs name the source lines, its ``adapt_cell_idx`` the target lines.
            alignment: None aligns nothing.
            kind: Of the scaler.
            scope: Of the scaler, where nothing is aligned.

        Raises:
            SchemaError: There is no line to fit on.
            ConfigError: The lines do not allow this alignment.
        """
        train_lines = np.unique(study.source.responses.cell_idx[split.train_idx])
        fitted_on = (
            study.source.cells.expression[train_lines],
            study.target.cells.expression[np.unique(split.adapt_cell_idx)],
        )
        kept = ranges_of(*fitted_on), references_of(*fitted_on)
        if alignment is None or alignment.kind == "none":
            scaler = fit_scaler(kind, scope, study, train_lines, split.adapt_cell_idx)
            return cls(study.genes, Identity(), scaler, *kept)
        lines = AlignmentLines.of(study, split)
        fitted = alignment.fit(lines)
        scaler = ExpressionScaler(*shift_and_scale(kind, [fitted.transform(lines.source, "source")]) * 2)
        return cls(study.genes, fitted, scaler, *kept)

    def transform(self, screen: Screen, domain: Domain, rows: IntArray | None = None) -> FloatArray:
        """Expression as the system takes it, float32, shape (n_lines, n_genes), of the lines in ``rows`` (all by default).

        Args:
            screen: Holds at least the system's genes.
            domain: The screen whose platform measured it.
            rows: Lines of the screen.

        Raises:
            SchemaError: The screen lacks genes of the model.
        """
        lacking = sorted(set(self.genes) - set(screen.genes))
        if lacking:
            raise SchemaError(
                f"{screen.name} lacks {len(lacking)} of the model's {len(self.genes)} genes (e.g. {examples(lacking)}). "
                "Add them, or train a model on the genes you have."
            )
        expression = (screen if screen.genes == self.genes else screen.with_genes(self.genes)).cells.expression
        return self.scale(expression if rows is None else expression[rows], domain)

    def scale(self, expression: FloatArray, domain: Domain) -> FloatArray:
        """The same of a matrix whose genes are the system's, in its order."""
        return self.scaler.transform(self.alignment.transform(expression, domain), domain)

    def seen_range(self, domain: Domain) -> tuple[float, float] | None:
        """Least and largest raw value of the fitted lines of that screen; None where it is not known."""
        if self.ranges is None:
            return None
        low, high = self.ranges[0 if domain == "source" else 1]
        return float(low), float(high)

    def reference(self, domain: Domain) -> Reference | None:
        """Raw expression of the fitted lines of that screen; None where it is not known."""
        return None if self.references is None else self.references[0 if domain == "source" else 1]

    def facts(self) -> dict[str, Any]:
        """What the alignment states of itself, JSON-able: its kind, its options, the lines it used, what it chose."""
        return dict(self.alignment.stated)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What was fitted, under ``scaler.`` and ``alignment.``; ``expression_ranges`` and ``expression_references``."""
        parts = {"scaler": self.scaler.to_arrays(), "alignment": self.alignment.arrays()}
        fitted = {f"{part}.{name}": value for part, arrays in parts.items() for name, value in arrays.items()}
        if self.ranges is not None:
            fitted["expression_ranges"] = self.ranges
        if self.references is not None:
            fitted["expression_references"] = to_array(self.references)
        return fitted

    @classmethod
    def from_state(
        cls, genes: tuple[str, ...], facts: dict[str, Any] | None, arrays: Mapping[str, NDArray[np.generic]]
    ) -> Self:
        """The input whose ``facts`` and ``arrays`` these are; other arrays may stand among them.

        Args:
            genes: Of the system, in its order.
            facts: None for a model that was saved before there were alignments.
            arrays: By name, with their prefixes.

        Raises:
            LoadError: The alignment is unknown, or an array is absent.
        """
        alignment = Identity() if facts is None else load_alignment(facts, _under("alignment.", arrays))
        ranges = arrays.get("expression_ranges")
        kept = None if ranges is None else np.asarray(ranges, dtype=np.float32).reshape(2, 2)
        scaler = ExpressionScaler.from_arrays(_under("scaler.", arrays))
        return cls(genes, alignment, scaler, kept, from_arrays(arrays, "expression_references"))


def ranges_of(source: FloatArray, target: FloatArray) -> FloatArray | None:
    """``ExpressionInput.ranges`` of these lines; a screen without any takes the other's, and None is of none at all."""
    ends = [(part.min(), part.max()) for part in (source, target) if part.size]
    return np.array([ends[0], ends[-1]], dtype=np.float32) if ends else None


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
