"""A user's expression as lines that a model can be asked about, or refused: names, scale, alignment, missing genes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from dadsp.data.new_platform.imputing import Imputer
from dadsp.data.new_platform.options import NewPlatformOptions
from dadsp.data.new_platform.reading import read_lines
from dadsp.data.new_platform.reference import Reference
from dadsp.data.new_platform.repairs import aligned
from dadsp.data.new_platform.scale import FAR, LARGE, Fit, declared, fit_of, guesses, odd_lines, shift_error
from dadsp.data.table_files import Frame
from dadsp.data.tables import Matrix
from dadsp.errors import SchemaError, examples
from dadsp.schema import BoolArray, Domain, FloatArray, IntArray, Note, Screen

CONSTANT = 10  # lines from which on a gene of one value in all of them tells something
TELLING = 10  # values from which on a table of two of them is none of expression
ODD_GENES = 0.01  # share of genes that may have the commonest value without looking like fillings


@dataclass(frozen=True, eq=False)
class NewLines:
    """Lines on a model's own scale, with all its genes.

    Attributes:
        ids: Of the lines.
        genes: The model's, in its order.
        expression: float32, shape (n_lines, n_genes).
        notes: All that was done.
        imputer: Of genes that the table lacks; None where it has all.
    """

    ids: tuple[str, ...]
    genes: tuple[str, ...]
    expression: FloatArray
    notes: tuple[Note, ...]
    imputer: Imputer | None = None

    def draws(self, number: int, seed: int = 0) -> Iterator[FloatArray]:
        """The same expression with errors added to the imputed genes, as they err in lines left out."""
        if self.imputer is None:
            return
        random = np.random.default_rng(seed)
        for _ in range(number):
            drawn = self.expression.copy()
            drawn[:, self.imputer.absent] += self.imputer.error(random)
            yield drawn


def harmonised(
    table: Path | Frame,
    genes: Sequence[str],
    options: NewPlatformOptions,
    *,
    domain: Domain,
    reference: Callable[[Domain], Reference | None],
    training: Callable[[], Screen | None],
) -> NewLines:
    """The lines of a table on the scale of those that a model was fitted on.

    Args:
        table: As for ``read_lines``.
        genes: Of the model; at least one.
        options: What the user says of it.
        domain: Whose fitted lines it is held against.
        reference: What the model keeps of them.
        training: Lines of that screen; None where they are not at hand. Called only where something must be learned of them.

    Raises:
        ConfigError: A file is absent.
        SchemaError: The table cannot be read or repaired by the options: what, how many, examples, the remedy.
    """
    where = str(table)
    matrix, notes = read_lines(table, genes, None if options.gene_table is None else Path(options.gene_table))
    _refuse_two_values(matrix, where)
    lines = _Lines.of(matrix, genes)
    _refuse_lacking(lines, genes, options.max_missing, where)
    kept, own = reference(domain), None
    if kept is None:
        own = _with_genes(training(), genes)
        kept = None if own is None else Reference.of(own.cells.expression)
    if kept is None:
        return _unchecked(lines, matrix, genes, options, notes, where)
    others: Domain = "source" if domain == "target" else "target"
    lines, said = _on_scale(lines, matrix, options, kept, (others, reference(others)), where)
    notes = (*notes, *said)
    n_given = len(lines.genes)
    lines, said = _without_fillings(lines, kept, options)
    notes = (*notes, *said)
    _refuse_lacking(lines, genes, options.max_missing, where, n_given - len(lines.genes))
    if own is None and (options.align == "bridge" or len(lines.genes) < len(genes)):
        own = _with_genes(training(), genes)
    if options.align != "none":
        values, said = aligned(lines.values, lines.ids, options.align, kept, lines.columns, own, where)
        lines = replace(lines, values=values)
        notes = (*notes, *said, *_left_over(lines, kept))
    return _completed(lines, matrix, genes, kept, own, notes)


@dataclass(frozen=True, eq=False)
class _Lines:
    """Lines × those of the model's genes that the table has; ``columns`` are their places in the model."""

    ids: tuple[str, ...]
    genes: tuple[str, ...]
    columns: IntArray
    values: FloatArray

    @classmethod
    def of(cls, matrix: Matrix, genes: Sequence[str]) -> Self:
        place = {gene: column for column, gene in enumerate(matrix.columns)}
        columns = np.array([number for number, gene in enumerate(genes) if gene in place], dtype=np.int64)
        present = tuple(genes[number] for number in columns)
        return cls(matrix.rows, present, columns, matrix.numbers[:, [place[gene] for gene in present]])

    def only(self, kept: BoolArray) -> Self:
        genes = tuple(gene for gene, stays in zip(self.genes, kept, strict=True) if stays)
        return replace(self, genes=genes, columns=self.columns[kept], values=self.values[:, kept])

    @property
    def constant(self) -> BoolArray:
        """Genes of one value in all lines; none where lines are too few to tell."""
        if len(self.values) < CONSTANT:
            return np.zeros(len(self.genes), dtype=bool)
        return np.asarray((self.values == self.values[0]).all(axis=0))


def _with_genes(screen: Screen | None, genes: Sequence[str]) -> Screen | None:
    return None if screen is None or not len(screen.cells) else screen.with_genes(genes)


def _refuse_two_values(matrix: Matrix, where: str) -> None:
    if matrix.numbers.size >= TELLING and len(distinct := np.unique(matrix.numbers)) <= 2:
        raise SchemaError(
            f"{where}: its {matrix.numbers.size:,} values are only {examples(f'{value:g}' for value in distinct)}: calls, "
            "not expression. Give measured expression."
        )


def _refuse_lacking(lines: _Lines, genes: Sequence[str], most: float, where: str, n_filled: int = 0) -> None:
    lacking = [genes[number] for number in np.setdiff1d(np.arange(len(genes)), lines.columns)]
    if len(lacking) > most * len(genes):
        filled = f", {n_filled} of them with one impossible value in all lines" if n_filled else ""
        raise SchemaError(
            f"{where} lacks {len(lacking)} of the model's {len(genes)} genes (e.g. {examples(lacking)}{filled}), and "
            f"{most:.0%} may be imputed. Add them, set new_platform.max_missing (0.5 at most), or train a model on the "
            "genes you have."
        )


def _on_scale(
    lines: _Lines,
    matrix: Matrix,
    options: NewPlatformOptions,
    reference: Reference,
    other: tuple[Domain, Reference | None],
    where: str,
) -> tuple[_Lines, tuple[Note, ...]]:
    """The lines on the fitted scale, or, where an alignment follows, on that of logarithms."""
    raw, varies = lines.values, ~lines.constant
    varies = varies if varies.any() else ~varies

    def fit(values: FloatArray, beside: Reference = reference) -> Fit:
        return fit_of(values[:, varies], beside, lines.columns[varies])

    values: FloatArray = raw
    notes: tuple[Note, ...] = ()
    if options.scale not in ("auto", "as_trained"):
        values, notes = declared(raw, matrix.numbers, options.scale, reference, lines.columns, where)
    found = fit(values)
    if not found.is_good and options.scale == "auto":
        choices = guesses(raw, matrix.numbers, reference, lines.columns)
        fitting = ((guess, said, judged) for guess, said in choices if (judged := fit(guess)).is_good)
        values, notes, found = next(fitting, (values, notes, found))
    if found.is_good:
        return replace(lines, values=values), (*notes, *odd_lines(found, lines.ids))
    if options.align != "none":
        if options.scale == "auto" and raw.max() > LARGE:
            values, notes = next(guesses(raw, matrix.numbers, reference, lines.columns), (values, notes))
        return replace(lines, values=values), notes
    fits_other = other[1] is not None and fit(raw, other[1]).is_good
    shown = replace(lines, values=values).only(varies)
    raise shift_error(
        shown.values, found, shown.genes, reference, shown.columns, where=where, other=other[0] if fits_other else None
    )


def _without_fillings(lines: _Lines, reference: Reference, options: NewPlatformOptions) -> tuple[_Lines, tuple[Note, ...]]:
    """The lines without genes whose one value in all of them stands for a missing one; and notes on what looks like it."""
    z = np.abs(reference.z(lines.values, lines.columns)).min(axis=0)
    constant = lines.constant
    filled = constant & ((z > FAR) | (options.align != "none"))
    notes: tuple[Note, ...] = ()
    for what, which in (
        ("genes of one value in all lines that the training lines do not have, taken as missing", filled),
        ("genes of one value in all lines", constant & ~filled),
    ):
        notes += _noted(what, [gene for gene, is_one in zip(lines.genes, which, strict=True) if is_one])
    if len(lines.values) < CONSTANT:
        values, counts = np.unique(lines.values, return_counts=True)
        usual = (lines.values == values[counts.argmax()]).all(axis=0) & (z > FAR)
        if usual.sum() > ODD_GENES * len(lines.genes):
            odd = [gene for gene, is_one in zip(lines.genes, usual, strict=True) if is_one]
            notes += _noted(f"genes of the value {values[counts.argmax()]:g}, far from the training lines: fillings?", odd)
    return lines.only(~filled), notes


def _left_over(lines: _Lines, reference: Reference) -> tuple[Note, ...]:
    """What an alignment could not bring onto the fitted scale."""
    found = fit_of(lines.values, reference, lines.columns)
    off = [gene for gene, is_off in zip(lines.genes, found.off, strict=True) if is_off]
    return _noted(f"genes still more than {FAR:g} sd from the training lines' mean", off)


def _completed(
    lines: _Lines,
    matrix: Matrix,
    genes: Sequence[str],
    reference: Reference,
    own: Screen | None,
    notes: tuple[Note, ...],
) -> NewLines:
    """All genes of the model, those that are absent imputed, and a note on genes that it does not know."""
    absent = np.setdiff1d(np.arange(len(genes)), lines.columns)
    imputer, values = None, lines.values
    if len(absent):
        imputer = Imputer.fit(None if own is None else own.cells.expression, lines.columns, absent, reference)
        values = imputer(lines.values)
        how = "by the training lines' mean, as these are not at hand"
        if imputer.regression is not None:
            explained = imputer.regression.explained
            how = f"by regression on the others, which explains {explained:.0%} of the median one's variance"
        notes = (*notes, *_noted(f"genes that the table lacks, imputed {how}", [genes[number] for number in absent]))
    return _with_unused(matrix, lines.ids, tuple(genes), values, notes, imputer)


def _unchecked(
    lines: _Lines,
    matrix: Matrix,
    genes: Sequence[str],
    options: NewPlatformOptions,
    notes: tuple[Note, ...],
    where: str,
) -> NewLines:
    """The lines as they are, where neither the model nor its run says what training lines looked like."""
    _refuse_lacking(lines, genes, 0.0, where)
    if options.align != "none" or options.scale not in ("auto", "as_trained"):
        raise SchemaError(
            f"{where}: the model keeps nothing of its training lines' expression and its run's data are not at hand, so "
            "that no table can be brought to their scale. Train the model again, or leave new_platform out."
        )
    said = Note("genes whose scale could not be checked: the model keeps nothing of its training lines", len(genes))
    return _with_unused(matrix, lines.ids, tuple(genes), lines.values, (*notes, said), None)


def _with_unused(
    matrix: Matrix,
    ids: tuple[str, ...],
    genes: tuple[str, ...],
    values: FloatArray,
    notes: tuple[Note, ...],
    imputer: Imputer | None,
) -> NewLines:
    unused = sorted(set(matrix.columns) - set(genes))
    return NewLines(ids, genes, values, (*notes, *_noted("genes the model does not know, not used", unused)), imputer)


def _noted(what: str, names: Sequence[str]) -> tuple[Note, ...]:
    return (Note(what, len(names), examples(names)),) if names else ()
