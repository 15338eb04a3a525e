"""``new_platform.align``: a table of another platform put on the scale of the fitted lines."""

from collections.abc import Sequence

import numpy as np

from dadsp.data.alignment.base import AlignmentLines
from dadsp.data.alignment.bridge import Bridge
from dadsp.data.new_platform.options import COHORT, SHARED, Align
from dadsp.data.new_platform.reference import Reference
from dadsp.data.scaling import shift_and_scale
from dadsp.errors import SchemaError, examples
from dadsp.schema import FloatArray, IntArray, Note, Screen

ALIKE = 0.5  # rank correlation of a line with the fitted means below which its values cannot be put in their order


def aligned(
    values: FloatArray,
    lines: Sequence[str],
    align: Align,
    reference: Reference,
    columns: IntArray,
    training: Screen | None,
    where: str,
) -> tuple[FloatArray, tuple[Note, ...]]:
    """The table on the scale of the fitted lines, and a note on what that takes away.

    Args:
        values: float32, shape (n_lines, n).
        lines: Their names.
        align: Not ``"none"``.
        reference: Of the fitted lines.
        columns: Which of its genes these are.
        training: Lines of the training screen with the model's genes in its order; None where they are not at hand.
        where: What holds the table, for an error.

    Raises:
        SchemaError: The lines do not allow it: too few, too few shared, or not ranked as the fitted ones.
    """
    if align == "quantile":
        return _by_quantile(values, lines, reference, columns, where)
    if len(values) < COHORT:
        raise SchemaError(
            f"{where}: new_platform.align={align} compares lines with each other, {COHORT} at least, and there are "
            f"{len(values)}: their own tissue would be taken for the platform. Give more lines of the same platform, or set "
            "new_platform.align=quantile, which looks at each line alone."
        )
    if align == "bridge":
        return _by_bridge(values, lines, columns, training, where)
    if align == "zscore":
        shift, scale = shift_and_scale("zscore", [values])
        scores = (values - shift) / scale
    else:
        from scipy.special import ndtri  # a second of imports that nothing else here needs
        from scipy.stats import rankdata

        scores = ndtri((rankdata(values, axis=0) - 0.5) / len(values))
    how = "standardised" if align == "zscore" else "ranked"
    note = Note(
        f"align={align}: each gene {how} among these lines and put on the training lines' mean and sd; what these lines "
        "have in common is lost",
        len(values),
        f"{values.shape[1]} genes",
    )
    return (scores * reference.sd[columns] + reference.mean[columns]).astype(np.float32), (note,)


def _by_quantile(
    values: FloatArray, lines: Sequence[str], reference: Reference, columns: IntArray, where: str
) -> tuple[FloatArray, tuple[Note, ...]]:
    if not reference.levels_differ:
        raise SchemaError(
            f"{where}: new_platform.align=quantile orders the genes of a line by their levels, and the training lines are "
            f"z-scores, in which genes have none. Give {COHORT} lines or more and set new_platform.align=zscore or rank."
        )
    from scipy.stats import rankdata  # as above

    ranks = rankdata(values, axis=1)
    of_mean = rankdata(reference.mean[columns])
    alike = np.array([np.corrcoef(rank, of_mean)[0, 1] if rank.std() > 0 else 0.0 for rank in ranks])
    unlike = [f"{lines[row]}: {alike[row]:.2f}" for row in np.flatnonzero(alike < ALIKE).tolist()]
    if unlike:
        raise SchemaError(
            f"{where}: in {len(unlike):,} of {len(values):,} lines genes are not ordered as in the training lines (rank "
            f"correlation below {ALIKE:g}, e.g. {examples(unlike)}), so quantiles say nothing. If these are z-scores of "
            "genes, set new_platform.scale=zscore; else check the names of the genes."
        )
    n = values.shape[1]
    positions = (np.arange(len(reference.profile)) + 0.5) / len(reference.profile)
    mapped = np.interp((ranks - 0.5) / n, positions, reference.profile)
    note = Note(
        "align=quantile: each line's values in their order take the values of a training line; how the platform favours "
        "single genes stays",
        len(values),
        f"{n} genes",
    )
    return mapped.astype(np.float32), (note,)


def _by_bridge(
    values: FloatArray, lines: Sequence[str], columns: IntArray, training: Screen | None, where: str
) -> tuple[FloatArray, tuple[Note, ...]]:
    known: dict[str, int] = {}
    if training is not None:
        cells = training.cells
        known = {link: row for row, link in enumerate(cells.link_ids) if link} | {
            name: r for r, name in enumerate(cells.ids)
        }
    shared = np.array([row for row, name in enumerate(lines) if name in known], dtype=np.int64)
    if training is None or len(shared) < SHARED:
        what = "the run's own lines are not at hand" if training is None else f"there are {len(shared)}"
        raise SchemaError(
            f"{where}: new_platform.align=bridge learns from lines that the training screen holds too, by the same ids, "
            f"{SHARED} at least, and {what}. Give such lines in the same table, or set new_platform.align=zscore."
        )
    partner = np.array([known[lines[row]] for row in shared], dtype=np.int64)
    theirs = np.ascontiguousarray(training.cells.expression[:, columns])
    fitted = Bridge().fit(AlignmentLines(theirs, values, theirs[partner], values[shared], partner, across=True))
    z, scores = fitted.transform(values, "target"), fitted.scores
    explained = fitted.stated["median_r2_of_genes"]
    note = Note(
        f"align=bridge: learned from lines that the training screen holds too; of those held out, it explains "
        f"{explained or 0:.0%} of the median gene's variance",
        len(shared),
        examples([lines[row] for row in shared]),
    )
    return (z * scores.source_scale + scores.source_shift).astype(np.float32), (note,)
