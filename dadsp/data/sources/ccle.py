"""The files of the Cancer Cell Line Encyclopedia (Broad Institute), as published."""

import gzip
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from dadsp.data.sources.response_file import ResponseFile
from dadsp.data.sources.tidy_files import CellColumns, CellFile, DrugColumns, DrugFile, ExpressionFile
from dadsp.data.table_files import check_file
from dadsp.data.tables import Matrix, read_matrix, read_table
from dadsp.errors import SchemaError, examples
from dadsp.schema import Note

_PAIR = {"cell_id": "CCLE Cell Line Name", "drug_id": "Compound"}
_DOSES = "Doses (uM)"
_CURVE = {"dose_um": _DOSES, "activity": "Activity Data (median)", "activity_sd": "Activity SD"}
_WITH_DEPMAP_ID = re.compile(r"(.+?) \((ACH-\d+)\)")


class DrugData(ResponseFile):
    """``CCLE_NP24.2009_Drug_data_2015.02.24.csv``: ``ic50``, ``ec50`` (µM), ``act_area`` or ``amax`` of 24 compounds.

    An IC50 of 8 µM, the highest dose, was not reached; so was one at the own highest dose of a curve that ends earlier. EC50
    beyond the highest dose are extrapolated, kept and marked censored; EC50 are missing where nothing was fitted.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ic50": {"columns": {**_PAIR, "value": "IC50 (uM)", "top_dose": _DOSES}, "unit": "um", "cap": 8},
        "ec50": {"columns": {**_PAIR, "value": "EC50 (uM)", "top_dose": _DOSES}, "unit": "um", "on_missing_value": "drop"},
        "act_area": {"columns": {**_PAIR, "value": "ActArea"}},
        "amax": {"columns": {**_PAIR, "value": "Amax"}},
    }

    has_doses: ClassVar[bool] = True

    def wells(self, root: Path) -> pd.DataFrame:
        """The doses and activities behind the published numbers: ``fit: {dose_unit: um, response: activity_percent}``."""
        return _exploded(root / self.path).rename(columns={"dose_um": "dose", "activity": "value"})

    def table(self, root: Path) -> pd.DataFrame:
        frame = read_table(self.at(root), self.headers, optional=("value",), written=("value",))
        if "top_dose" in frame:
            tops = {text: max(_numbers(text, root / self.path)) for text in frame["top_dose"].unique()}
            frame = frame.assign(top_dose=frame["top_dose"].map(tops))
        return frame


def curves(path: Path) -> pd.DataFrame:
    """Every dose of every curve of the drug data: cell_id, drug_id, dose_um, activity and activity_sd (percent of control).

    Raises:
        SchemaError: A curve's vectors differ in length or hold anything but numbers.
    """
    return _exploded(path).reset_index(drop=True)


def _exploded(path: Path) -> pd.DataFrame:
    """``curves`` with the row of the file as index."""
    frame = read_table(path, {**_PAIR, **_CURVE})
    for name in _CURVE:
        frame[name] = [_numbers(text, path) for text in frame[name]]
    lengths = frame[list(_CURVE)].map(len)
    uneven = frame[lengths.nunique(axis=1) > 1]
    if len(uneven):
        named = [f"{row.cell_id}/{row.drug_id}" for row in uneven.itertuples()]
        raise SchemaError(
            f"{path}: {len(uneven)} curves have vectors of unequal length (e.g. {examples(named)}). Correct them."
        )
    return frame.explode(list(_CURVE)).astype(dict.fromkeys(_CURVE, "float64"))


class Gct(ExpressionFile):
    """``CCLE_Expression_Entrez_….gct`` or ``CCLE_RNAseq_genes_rpkm_….gct.gz``: genes × lines below two lines of size.

    cmapPy, the Broad's reader, fails under pandas 3 (it asks ``to_numeric`` for ``errors="ignore"``).

    Attributes:
        id_column: ``Description`` holds symbols; ``Name`` Entrez ids ("7157_at") or Ensembl ids: say so in ``genes.ids``.
        lines: What to call a line whose header is "22RV1_PROSTATE (ACH-000956)".
    """

    chooses_rows: ClassVar[bool] = False
    id_column: str = "Description"
    orientation: Literal["lines_by_genes", "genes_by_lines"] = "genes_by_lines"
    lines: Literal["ccle_name", "depmap_id"] = "ccle_name"

    def read(self, root: Path) -> tuple[Matrix, tuple[Note, ...]]:
        path = root / self.path
        size = _declared_size(path)
        other = "Name" if self.id_column == "Description" else "Description"
        read = read_matrix(self.at(root), self.id_column, ignore=[other], unnamed_rows="blank", repeated_columns="first")
        found = (len(read.rows), len(read.columns))
        repeated = size[1] - found[1]
        if size[0] != found[0] or repeated < 0:
            raise SchemaError(
                f"{path} declares {size[0]} genes × {size[1]} lines but holds {found[0]} × {found[1]}. Fetch it again."
            )
        notes = (Note("columns that repeat a line left out", repeated),) if repeated else ()
        ids = [_WITH_DEPMAP_ID.fullmatch(name) for name in read.columns]
        group = 1 if self.lines == "ccle_name" else 2
        lines = tuple(match[group] if match else name for match, name in zip(ids, read.columns, strict=True))
        return Matrix(lines, read.rows, np.ascontiguousarray(read.numbers.T)), notes


class Compounds(DrugFile):
    """The compounds that the drug data name; structures stand elsewhere."""

    columns: DrugColumns = DrugColumns(drug_id="Compound", target="Target")

    def table(self, root: Path) -> pd.DataFrame:
        return super().table(root).drop_duplicates("drug_id")


class Annotations(CellFile):
    """``Cell_lines_annotations_20181226.txt``: CCLE name, DepMap id, name and TCGA code."""

    unnamed_rows: ClassVar[bool] = True
    columns: CellColumns = CellColumns(cell_id="CCLE_ID", link_id="depMapID", name="Name", tissue="tcga_code")
    unknown_tissues: tuple[str, ...] = ("UNABLE TO CLASSIFY",)


def _numbers(text: str, path: Path) -> list[float]:
    """The comma-separated numbers of a cell."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise SchemaError(f"{path}: {text!r} is no list of numbers ({error}). Correct it.") from error


def _declared_size(path: Path) -> tuple[int, int]:
    """Genes and lines as the second line of a GCT file says."""
    check_file(path)
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            version, size = lines.readline().strip(), lines.readline().split()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise SchemaError(f"{path} cannot be read: {error}. Fetch it again.") from error
    if version != "#1.2" or len(size) != 2 or not all(part.isdigit() for part in size):
        raise SchemaError(f"{path} is not a GCT file of version 1.2: it begins with {version[:20]!r}. Fetch it again.")
    return int(size[0]), int(size[1])
