"""On which scale a table is, beside the fitted lines gene by gene and line by line; and rules that bring it to theirs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dadsp.data.new_platform.options import COHORT, SHARED, Scale
from dadsp.data.new_platform.reference import Reference
from dadsp.errors import SchemaError, examples
from dadsp.schema import BoolArray, FloatArray, IntArray, Note

FAR = 2.0  # sd from the fitted lines' mean beyond which a gene (of a table, or of a line) is off
OFF, OFF_OF_ONE = 0.10, 0.25  # share of genes that may be off: the first + the second / √(number of lines)
LEVEL, LEVEL_OF_ONE = 0.6, 0.6  # |sd| that the median gene may be off, likewise
TILT, TILT_OF_ONE = 0.25, 0.10  # |log2| that the slope of the genes' levels on the fitted ones may have, likewise
ODD_LINES, LINES_FOR_AN_ODD_ONE = 0.1, 5  # share of lines that may be off alone, with a note; one in five lines or more
SPREAD = (0.45, 2.2)  # sd within a table of ≥ COHORT lines over the fitted sd, in the median gene
STILL = 0.35  # root mean squared z of a line below which it hardly differs from a mean
LARGE = 50.0  # no logarithm of an expression is as large
WHOLE_LIBRARY = 5000  # genes from which on a table's sums are the libraries' sizes
LOGARITHMS = {"natural logarithms": 1 / np.log(2), "logarithms to base 10": np.log2(10)}


@dataclass(frozen=True, eq=False)
class Fit:
    """How a table lies beside the fitted lines.

    Attributes:
        n_lines: Of the table.
        z: (median of the gene over the table − fitted mean) / fitted sd, shape (n_genes,).
        off: Genes further off than ``FAR``, shape (n_genes,).
        slope: Of the genes' medians on the fitted means; None where those have no levels of their own.
        spread: sd within the table over the fitted one, in the median gene; None for fewer than ``COHORT`` lines.
        odd: Lines that are off by themselves.
        still: Whether lines hardly differ from the fitted mean.
    """

    n_lines: int
    z: FloatArray
    off: BoolArray
    slope: float | None
    spread: float | None
    odd: IntArray
    still: bool

    @property
    def is_good(self) -> bool:
        """Whether the table can be on the scale of the fitted lines."""
        one = 1 / np.sqrt(self.n_lines)
        return bool(
            self.off.mean() <= OFF + OFF_OF_ONE * one
            and abs(np.median(self.z)) <= LEVEL + LEVEL_OF_ONE * one
            and (self.slope is None or _are_level(np.array([self.slope]), self.n_lines).all())
            and (self.spread is None or SPREAD[0] <= self.spread <= SPREAD[1])
            and len(self.odd) <= max(ODD_LINES * self.n_lines, self.n_lines >= LINES_FOR_AN_ODD_ONE)
            and not self.still
        )


def fit_of(values: FloatArray, reference: Reference, columns: IntArray) -> Fit:
    """The table beside the fitted lines.

    Args:
        values: float32, shape (n_lines, n).
        reference: Of the fitted lines.
        columns: Which of its genes these are, shape (n,).
    """
    level, mean = np.median(values, axis=0), reference.mean[columns]
    z = ((level - mean) / reference.width[columns]).astype(np.float32)
    z_of_lines = reference.z(values, columns)
    slope, slopes = None, np.ones(len(values))
    if reference.levels_differ and mean.std() > 0:
        centred = (mean - mean.mean()) / (mean.var() * len(mean))
        slope, slopes = float(centred @ level), values @ centred
    far = np.abs(z_of_lines)
    odd = ((far > FAR).mean(axis=1) > OFF + OFF_OF_ONE) | (np.median(far, axis=1) > FAR) | ~_are_level(slopes, 1)
    spread = None
    if len(values) >= COHORT:
        spread = float(np.median(values.std(axis=0) / reference.width[columns]))
    still = bool(np.median(np.sqrt((np.minimum(far, 10) ** 2).mean(axis=1))) < STILL)
    return Fit(len(values), z, np.abs(z) > FAR, slope, spread, np.flatnonzero(odd), still)


def _are_level(slopes: np.ndarray, n_lines: int) -> BoolArray:
    most = 2.0 ** (TILT + TILT_OF_ONE / np.sqrt(n_lines))
    inside: BoolArray = (slopes >= 1 / most) & (slopes <= most)
    return inside


def declared(
    raw: FloatArray, whole: FloatArray, scale: Scale, reference: Reference, columns: IntArray, where: str
) -> tuple[FloatArray, tuple[Note, ...]]:
    """Values of the declared scale on that of logarithms, or of the fitted lines where they are z-scores.

    Args:
        raw: The model's genes, shape (n_lines, n).
        whole: All genes of the table, shape (n_lines, n_all), whose sums are the libraries' sizes.
        scale: What the user says they are; not ``"auto"``.
        reference: Of the fitted lines.
        columns: Which of its genes ``raw`` holds.
        where: What holds the table, for an error.

    Raises:
        SchemaError: They cannot be that.
    """
    if scale in ("counts", "tpm", "fpkm"):
        bad = int((raw < 0).sum())
        if bad:
            raise SchemaError(
                f"{where}: {bad:,} of {raw.size:,} values are negative, the least {raw.min():.4g}, which {scale} cannot be. "
                "Set new_platform.scale to what they are, or correct them."
            )
        if raw.max() <= LARGE:
            raise SchemaError(
                f"{where}: declared as {scale}, but its largest value is {raw.max():.4g}, as of logarithms. Set "
                "new_platform.scale=log2, or auto."
            )
        return _from_counts(raw, whole, reference, columns) if scale == "counts" else _logarithm(raw, scale.upper())
    if scale == "zscore":
        if np.abs(np.median(raw)) > 1 or np.quantile(np.abs(raw), 0.99) > 10:
            raise SchemaError(
                f"{where}: declared as z-scores, but the median value is {np.median(raw):.4g} and 1 in 100 is beyond "
                f"{np.quantile(np.abs(raw), 0.99):.4g}. Set new_platform.scale to what they are."
            )
        values = raw * reference.sd[columns] + reference.mean[columns]
        what = "z-scores put on the training lines' mean and sd of each gene (new_platform.scale=zscore)"
        return values.astype(np.float32), (Note(what, raw.shape[1], f"{len(raw)} lines"),)
    if scale in ("log2", "rma") and raw.max() > LARGE:
        raise SchemaError(
            f"{where}: declared as {scale}, but its largest value is {raw.max():.4g}, which no logarithm is. Set "
            "new_platform.scale=tpm, fpkm or counts."
        )
    return raw, ()


def guesses(
    raw: FloatArray, whole: FloatArray, reference: Reference, columns: IntArray
) -> Iterator[tuple[FloatArray, tuple[Note, ...]]]:
    """What a table that does not fit may be, made into what would fit, the likeliest first."""
    if raw.min() < 0:
        return
    if raw.max() > LARGE:
        if is_counts(raw):
            yield _from_counts(raw, whole, reference, columns)
        yield _logarithm(raw, "TPM or the like")
        return
    for what, factor in LOGARITHMS.items():
        note = Note(f"taken for {what}, since they fit the training lines when made to base 2", len(raw), f"× {factor:.4f}")
        yield (raw * np.float32(factor)).astype(np.float32), (note,)


def is_counts(raw: FloatArray) -> bool:
    """Whether these are large whole numbers."""
    return bool(raw.min() >= 0 and raw.max() > LARGE and (raw == np.round(raw)).all())


def _logarithm(raw: FloatArray, what: str) -> tuple[FloatArray, tuple[Note, ...]]:
    note = Note(f"read as {what}: log2(x + 1)", len(raw), f"values up to {raw.max():.4g}")
    return np.log2(raw.astype(np.float64) + 1).astype(np.float32), (note,)


def _from_counts(
    raw: FloatArray, whole: FloatArray, reference: Reference, columns: IntArray
) -> tuple[FloatArray, tuple[Note, ...]]:
    """log2(CPM + 1); where the table holds too few genes to know a library's size, by median ratio to the fitted means."""
    if whole.shape[1] >= WHOLE_LIBRARY:
        size = np.maximum(whole.sum(axis=1, dtype=np.float64, keepdims=True), 1) / 1e6
        how = "counts per million"
    else:
        theirs = reference.mean[columns].astype(np.float64)
        usual = theirs >= np.median(theirs)
        ratio = np.log2(raw[:, usual].astype(np.float64) + 1) - theirs[usual]
        size = 2 ** np.median(ratio, axis=1, keepdims=True)
        how = (
            f"scaled to the training lines by median ratio (with {whole.shape[1]:,} genes, sums say nothing of the library)"
        )
    note = Note(f"read as counts: {how}, then log2(x + 1)", len(raw), f"values up to {raw.max():,.0f}")
    return np.log2(raw / size + 1).astype(np.float32), (note,)


def shift_error(
    values: FloatArray,
    fit: Fit,
    genes: Sequence[str],
    reference: Reference,
    columns: IntArray,
    *,
    where: str,
    other: str | None,
) -> SchemaError:
    """What to raise of a table that does not fit: what, how much, examples, the remedy.

    Args:
        values: Shape (n_lines, n).
        fit: Of these values.
        genes: Their names.
        reference: Of the fitted lines.
        columns: As for ``fit_of``.
        where: What holds the table.
        other: The screen whose fitted lines they would fit, if one does.
    """
    worst = np.argsort(-np.abs(fit.z), kind="stable")[:3]
    shown = [
        f"{genes[gene]} {np.median(values[:, gene]):.3g}, theirs {reference.mean[columns[gene]]:.3g} ± "
        f"{reference.sd[columns[gene]]:.2g}"
        for gene in worst
    ]
    slope = "" if fit.slope is None else f"; levels of genes rise by {fit.slope:.2f} for 1 of theirs"
    spread = "" if fit.spread is None else f"; genes vary {fit.spread:.2f} times as much"
    odd = f"; {len(fit.odd):,} of {fit.n_lines:,} lines are off by themselves" if len(fit.odd) else ""
    return SchemaError(
        f"{where} is not on the scale of the training lines: {int(fit.off.sum()):,} of {len(genes):,} genes lie more than "
        f"{FAR:g} sd from their mean (e.g. {'; '.join(shown)}){slope}{spread}{odd}. {_remedy(values, fit, other)}"
    )


def _remedy(values: FloatArray, fit: Fit, other: str | None) -> str:
    align = f"new_platform.align=zscore or rank, or bridge with {SHARED} lines that the training screen holds too"
    if fit.n_lines < COHORT:
        align = f"new_platform.align=quantile, or give {COHORT} lines or more and align=zscore"
    choices = (
        [] if other is None else [f"It fits the other screen's lines: if it was measured as they were, set domain={other}."]
    )
    if values.min() < 0 and np.abs(np.median(values)) < 1:
        return " ".join([*choices, f"If these are z-scores of genes, set new_platform.scale=zscore; else {align}."])
    return " ".join([*choices, f"Give expression processed as theirs was, or set {align}."])


def odd_lines(fit: Fit, lines: Sequence[str]) -> tuple[Note, ...]:
    """A note on the few lines that are unlike the fitted ones in a table that fits."""
    odd = [lines[row] for row in fit.odd]
    return (Note("lines unlike the training lines, predicted nevertheless", len(odd), examples(odd)),) if odd else ()
