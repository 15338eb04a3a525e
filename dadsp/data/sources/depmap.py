"""The files of the Dependency Map (depmap.org), as published."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from dadsp.data.genes import GeneOptions
from dadsp.data.sources.tidy_files import CellColumns, CellFile, ExpressionFile
from dadsp.data.table_files import header_of
from dadsp.data.tables import Matrix, read_matrix, read_table
from dadsp.errors import examples
from dadsp.schema import Note

# Releases from 2025 on put these before the genes.
_PROFILE = ("", "SequencingID", "ModelConditionID", "IsDefaultEntryForModel", "IsDefaultEntryForMC", "ProfileID")


class ExpressionTpm(ExpressionFile):
    """``OmicsExpressionProteinCodingGenesTPMLogp1.csv``: model id, then log2(TPM + 1) under "SYMBOL (entrez)".

    Where a release holds several profiles of a model, its default one is read.
    """

    id_column: str = ""
    orientation: Literal["lines_by_genes", "genes_by_lines"] = "lines_by_genes"
    genes: GeneOptions = GeneOptions(ids="symbol_entrez")

    def read(self, root: Path) -> tuple[Matrix, tuple[Note, ...]]:
        file = self.at(root)
        header = header_of(file)
        id_column = "ModelID" if "ModelID" in header else self.id_column
        ignore = [name for name in header if name in _PROFILE and name != id_column]
        matrix = read_matrix(file, id_column, ignore=[*ignore, *self.ignore])
        chosen = self.left_out(root)
        if "IsDefaultEntryForModel" not in header:
            return matrix, chosen
        marks = read_table(file, {"default": "IsDefaultEntryForModel"}, optional=("default",))["default"]
        default = marks.str.lower().isin(["yes", "true", "1"]).to_numpy(dtype=bool)
        left = [name for name, kept in zip(matrix.rows, default, strict=True) if not kept]
        kept_rows = tuple(name for name, kept in zip(matrix.rows, default, strict=True) if kept)
        notes = (Note("profiles that are not their model's default left out", len(left), examples(left)),) if left else ()
        return Matrix(kept_rows, matrix.columns, np.ascontiguousarray(matrix.numbers[default])), (*chosen, *notes)


class Models(CellFile):
    """``Model.csv``: ModelID, name, lineage."""

    columns: CellColumns = CellColumns(cell_id="ModelID", link_id="ModelID", name="CellLineName", tissue="OncotreeLineage")


_SAMPLE_INFO = (
    CellColumns(cell_id="DepMap_ID", link_id="DepMap_ID", name="stripped_cell_line_name", tissue="lineage"),
    CellColumns(cell_id="Broad_ID", link_id="Broad_ID", name="CCLE_Name", tissue="Primary Disease"),  # until 2018
)


class SampleInfo(CellFile):
    """``sample_info.csv`` (2019 to 2022) or ``DepMap-2018q3-celllines.csv``, whichever its header shows."""

    columns: CellColumns = _SAMPLE_INFO[0]

    def table(self, root: Path) -> pd.DataFrame:
        file = self.at(root)
        header = header_of(file)
        columns = self.columns
        if columns == _SAMPLE_INFO[0] and "DepMap_ID" not in header and "Broad_ID" in header:
            columns = _SAMPLE_INFO[1]
        given = columns.headers
        return read_table(file, given, optional=set(given) - {"cell_id"})
