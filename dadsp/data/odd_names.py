"""Names of genes and lines that are none: numbers, codes, an index that pandas wrote, totals and comments."""

import re
from collections.abc import Sequence

from dadsp.data.cell_values import DATE, digits_lost, of_no_row
from dadsp.data.problems import remark
from dadsp.data.tables import Matrix
from dadsp.errors import SchemaError, examples
from dadsp.schema import Note

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_FRACTION = re.compile(r"[+-]?\d*\.\d*[1-9]\d*(?:[eE][+-]?\d+)?")
_OF_PANDAS = re.compile(r"Unnamed: \d+(_level_\d+)?|__index_level_\d+__|level_\d+")
_FEWEST = 3  # names that can be told from a few ids by chance


def check_names(matrix: Matrix, ids: str, where: str) -> None:
    """Passes lines × genes whose names may be some; remarks on what may be none.

    Args:
        matrix: Named as in the file.
        ids: ``GeneOptions.ids``.
        where: What holds it, for an error.

    Raises:
        SchemaError: Genes are named by numbers that are no ids of the declared kind, or lines by fractions, dates or
            numbers with lost digits.
    """
    genes = [name.strip() for name in matrix.columns if name.strip()]
    lost = [name for name in matrix.rows if digits_lost(name)]
    if lost:
        raise SchemaError(
            f"{where}: {len(lost)} cell lines are named by numbers that have lost digits (e.g. {examples(lost)}), as "
            "spreadsheets make them. Give the ids the format Text there, and save them again from the original."
        )
    for what, names in (("genes", genes), ("cell lines", matrix.rows)):
        fractions = [name for name in names if _FRACTION.fullmatch(name)]
        if len(fractions) >= _FEWEST and len(fractions) > len(names) / 2:
            raise SchemaError(
                f"{where}: {len(fractions)} of {len(names)} {what} are named by fractions (e.g. {examples(fractions)}), so "
                "that values stand where names belong. Give the file a header, choose another id_column, or set orientation."
            )
    dated = [name for name in matrix.rows if DATE.fullmatch(name)]
    if dated or (genes and all(DATE.fullmatch(name) for name in genes)):
        what, shown = ("cell lines", dated) if dated else ("genes", genes)
        raise SchemaError(
            f"{where}: {len(shown)} {what} are named by dates (e.g. {examples(shown)}). Choose another column of names, or "
            "restore those that a spreadsheet made dates of."
        )
    _of_pandas(genes, where)
    numbers = [name for name in genes if _NUMBER.fullmatch(name)]
    if ids == "entrez":
        _counted(numbers, len(genes), where)
    elif numbers and len(numbers) == len(genes):
        raise SchemaError(
            f"{where}: all {len(genes)} genes are named by numbers (e.g. {examples(numbers)}), which no {ids} is. If they "
            "are Entrez ids, set expression.genes.ids: entrez and expression.genes.table; if they count rows or are codes "
            "of categories, write the table again with the names."
        )
    elif numbers:
        remark(Note("suspicious names of genes that are numbers; genes", len(numbers), examples(numbers)))
    odd = of_no_row(matrix.rows)
    if odd:
        remark(
            Note("suspicious rows of expression named like totals or comments, read as cell lines", len(odd), examples(odd))
        )
    _remark_on_first_row(matrix)


def _of_pandas(genes: Sequence[str], where: str) -> None:
    written = [name for name in genes if _OF_PANDAS.fullmatch(name)]
    if written:
        raise SchemaError(
            f"{where}: {len(written)} columns are called as pandas calls an index that it writes (e.g. "
            f"{examples(written)}), not as genes. Leave them out (to_csv with index=False), or name them under "
            "expression.ignore."
        )


def _counted(numbers: Sequence[str], n_genes: int, where: str) -> None:
    """Entrez ids of a real table leave gaps; 0 is none of them."""
    values = sorted(int(name) for name in numbers if name.isdecimal())
    if len(values) == n_genes >= _FEWEST and values == list(range(values[0], values[0] + n_genes)) and values[0] <= 1:
        raise SchemaError(
            f"{where}: the {n_genes} Entrez ids count from {values[0]} to {values[-1]}, so that they are row numbers or "
            "codes of categories. Write the table again with the ids."
        )


def _remark_on_first_row(matrix: Matrix) -> None:
    """A second header line of numbers, such as Entrez ids below symbols, would pass for a cell line."""
    whole = (matrix.numbers % 1 == 0).mean(axis=1)
    if len(whole) > _FEWEST and matrix.numbers.shape[1] > _FEWEST and whole[0] == 1 and whole[1:].max() < 0.5:
        what = "suspicious first row: whole numbers alone, unlike all others, as if it were a second header; cell lines"
        remark(Note(what, 1, matrix.rows[0]))
