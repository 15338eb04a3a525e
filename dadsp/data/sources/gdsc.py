"""The files of the Genomics of Drug Sensitivity in Cancer (cancerrxgene.org), as published."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from dadsp.data.ids import drug_key
from dadsp.data.problems import refuse
from dadsp.data.sources.response_file import ResponseFile
from dadsp.data.sources.tidy_files import CellColumns, CellFile, DrugColumns, DrugFile, ExpressionFile
from dadsp.data.tables import Matrix
from dadsp.errors import SchemaError, examples
from dadsp.schema import Note

_PAIR = {"cell_id": "COSMIC_ID", "drug_id": "DRUG_ID"}
_ARRAY = re.compile(r"(?:DATA\.)?(\d+)(\.\d+)?")


class FittedDoseResponse(ResponseFile):
    """``GDSC1_…`` or ``GDSC2_fitted_dose_response`` (.xlsx, .csv, .tsv): ``ic50`` (ln µM) or ``auc``.

    An LN_IC50 beyond the row's MAX_CONC is extrapolated: kept as published and marked censored.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ic50": {"columns": {**_PAIR, "value": "LN_IC50", "top_dose": "MAX_CONC"}, "unit": "ln_um"},
        "auc": {"columns": {**_PAIR, "value": "AUC"}},
    }


class RmaExpression(ExpressionFile):
    """``Cell_line_RMA_proc_basalExp.txt``: GENE_SYMBOLS, GENE_title, one column DATA.<COSMIC id> per array.

    Rows without a symbol are left out.

    Attributes:
        repeated_arrays: What to do with a second array of a line, whose header ends in ".1".
    """

    id_column: str = "GENE_SYMBOLS"
    orientation: Literal["lines_by_genes", "genes_by_lines"] = "genes_by_lines"
    ignore: tuple[str, ...] = ("GENE_title",)
    repeated_arrays: Literal["first", "mean", "error"] = "first"

    def read(self, root: Path) -> tuple[Matrix, tuple[Note, ...]]:
        matrix, notes = super().read(root)
        found = [_ARRAY.fullmatch(name) for name in matrix.rows]
        foreign = [name for name, match in zip(matrix.rows, found, strict=True) if match is None]
        if foreign:
            raise SchemaError(
                f"{root / self.path}: {len(foreign)} of {len(found)} columns are not DATA.<COSMIC id> "
                f"(e.g. {examples(foreign)}). Name them under expression.ignore."
            )
        lines = [match[1] for match in found if match]
        rows: dict[str, list[int]] = {}
        for row, line in enumerate(lines):
            rows.setdefault(line, []).append(row)
        repeated = [line for line, places in rows.items() if len(places) > 1]
        if not repeated:
            return replace(matrix, rows=tuple(lines)), notes
        if self.repeated_arrays == "error":
            raise SchemaError(
                f"{root / self.path}: {len(repeated)} lines have several arrays (e.g. {examples(repeated)}). "
                "Set expression.repeated_arrays to first or mean."
            )
        kept = [places if self.repeated_arrays == "mean" else places[:1] for places in rows.values()]
        numbers = np.stack([matrix.numbers[places].mean(axis=0, dtype=np.float64) for places in kept]).astype(np.float32)
        done = "averaged" if self.repeated_arrays == "mean" else "reduced to their first"
        note = Note(f"lines with several arrays {done}", len(repeated), examples(repeated))
        return Matrix(tuple(rows), matrix.columns, numbers), (*notes, note)


class CellLineDetails(CellFile):
    """``Cell_Lines_Details`` (.xlsx or .txt): COSMIC identifier, name and cancer type; its line of totals is passed over."""

    unnamed_rows: ClassVar[bool] = True
    columns: CellColumns = CellColumns(
        cell_id="COSMIC identifier", name="Sample Name", tissue="Cancer Type (matching TCGA label)"
    )
    unknown_tissues: tuple[str, ...] = ("UNABLE TO CLASSIFY", "UNCLASSIFIED")


class DrugsOfDoseResponse(DrugFile):
    """The drugs that a fitted dose response file names; structures stand elsewhere."""

    columns: DrugColumns = DrugColumns(drug_id="DRUG_ID", name="DRUG_NAME", target="PUTATIVE_TARGET")

    def table(self, root: Path) -> pd.DataFrame:
        frame = super().table(root)
        spelled = frame["name"].fillna("").map(drug_key)
        several = frame["drug_id"][spelled.groupby(frame["drug_id"]).transform("nunique") > 1].unique()
        if len(several):
            names = (f"{one}: {' / '.join(frame['name'][frame['drug_id'] == one].unique())}" for one in several)
            refuse(
                SchemaError(
                    f"{root / self.path}: {len(several)} drug ids stand for drugs of several names (e.g. "
                    f"{examples(names)}). Give each drug an id of its own."
                )
            )
        return frame.drop_duplicates("drug_id")


class ScreenedCompounds(DrugFile):
    """``Screened_Compounds`` or ``screened_compounds_rel_…``: ids, names, synonyms, targets; structures stand elsewhere."""

    columns: DrugColumns = DrugColumns(drug_id="DRUG_ID", name="DRUG_NAME", synonyms="SYNONYMS", target="TARGET")
