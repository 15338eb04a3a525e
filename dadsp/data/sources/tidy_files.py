"""The files of a screen: where each lies, what its columns are called, and what becomes of rows that lack something."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from dadsp.data.genes import GeneOptions
from dadsp.data.ids import MatchBy
from dadsp.data.potency import (
    SHARES_OF_AREA,
    OnImplausible,
    Replicates,
    Unit,
)
from dadsp.data.table_files import Delimiter
from dadsp.data.tables import Matrix, read_matrix, read_table
from dadsp.errors import nearest
from dadsp.schema import Measure, Note

OnMissing = Literal["error", "drop"]


class Options(BaseModel):
    """Checked options: unknown keys are refused, nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class File(Options):
    """Where a table lies; ``delimiter`` overrides what its extension says."""

    path: str
    delimiter: Delimiter | None = None


class ExpressionFile(File):
    """Lines × genes, or genes × lines.

    Attributes:
        id_column: Header of the column of line ids, or of gene symbols under ``"genes_by_lines"``.
        orientation: What stands in the rows.
        ignore: Headers of columns that hold no expression.
        transform: ``"log2p1"`` takes log2(x + 1), for RPKM or TPM that are published as they are.
        genes: How the genes are named.
    """

    id_column: str
    orientation: Literal["lines_by_genes", "genes_by_lines"] = "lines_by_genes"
    ignore: tuple[str, ...] = ()
    transform: Literal["none", "log2p1"] = "none"
    genes: GeneOptions = GeneOptions()

    def read(self, root: Path) -> tuple[Matrix, tuple[Note, ...]]:
        """Lines × genes, named as in the file (a gene without a name ""), and what was left out.

        Layouts with a form of their own override this.
        """
        path = root / self.path
        by_gene = self.orientation == "genes_by_lines"
        matrix = read_matrix(
            path,
            self.id_column,
            ignore=self.ignore,
            delimiter=self.delimiter,
            unnamed_rows="blank" if by_gene else "error",
        )
        if by_gene:
            matrix = Matrix(matrix.columns, matrix.rows, np.ascontiguousarray(matrix.numbers.T))
        return matrix, ()


class ResponseColumns(Options):
    """Headers of the response file.

    Attributes:
        cell_id: Line, in the ids of the expression file or of the id map.
        drug_id: Drug, in the ids of the drug file.
        value: The response.
        unit: Unit of each row, to be checked against the declared one.
        relation: ``>`` (or true, yes, 1) where the IC50 was not reached.
        top_dose: Highest concentration the row's drug was tested at, in µM.
    """

    cell_id: str
    drug_id: str
    value: str
    unit: str | None = None
    relation: str | None = None
    top_dose: str | None = None


_AREAS = SHARES_OF_AREA | {"act_area"}


class ResponseFile(File):
    """Measured pairs, one row each.

    Attributes:
        columns: Headers.
        measure: What the values are.
        unit: Unit of the values; the measures other than IC50 and EC50 have none.
        full_area: What the file calls a full area, for ``auc``, ``aac`` and ``act_area``; values are divided by it, so that
            areas over different doses compare, and an ``act_area`` becomes an ``aac``.
        cap: Highest tested concentration, in ``unit``; values at or beyond it are censored and set to it.
        beyond_top_dose: Values at or beyond their own row's top dose are censored; ``"flag"`` keeps them as extrapolated,
            ``"clip"`` sets them to that dose.
        replicates: What to do with pairs that stand more than once.
        plausible: Lowest and highest credible label (−log10 µM for IC50 and EC50); None takes the measure's own.
        on_implausible: What to do with rows whose label is not credible.
        on_missing_expression: What to do with rows that name lines without expression.
        on_missing_drug: What to do with rows that name drugs absent from the drug file.
        on_missing_value: What to do with rows without a value.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # of a published layout: measure → its options
    columns: ResponseColumns
    measure: Measure = "ic50"
    unit: Unit | None = None
    full_area: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    cap: float | None = None
    beyond_top_dose: Literal["flag", "clip"] = "flag"
    replicates: Replicates = "median"
    plausible: tuple[float, float] | None = None
    on_implausible: OnImplausible = "error"
    on_missing_expression: OnMissing = "error"
    on_missing_drug: OnMissing = "error"
    on_missing_value: OnMissing = "error"

    @model_validator(mode="before")
    @classmethod
    def _of_layout(cls, given: Any) -> Any:
        if not cls.presets or not isinstance(given, Mapping):
            return given
        measure = given.get("measure", next(iter(cls.presets)))
        if measure not in cls.presets:
            raise ValueError(f"this layout has no measure {measure!r}. {nearest(str(measure), cls.presets)}")
        preset = cls.presets[measure]
        columns = {**preset.get("columns", {}), **given.get("columns", {})}
        return {"measure": measure, **preset, **given, "columns": columns}

    @model_validator(mode="after")
    def _measure_has_its_unit(self) -> "ResponseFile":
        if (self.unit is None) == (self.measure in ("ic50", "ec50")):
            raise ValueError(
                f"measure {self.measure} needs a unit. Set unit."
                if self.unit is None
                else f"measure {self.measure} has no unit. Leave unit={self.unit} out."
            )
        if self.cap is not None and self.unit is None:
            raise ValueError(f"measure {self.measure} knows no cap in concentration. Leave cap out.")
        if self.full_area is not None and self.measure not in _AREAS:
            raise ValueError(
                f"measure {self.measure} is no area. Leave full_area out, or set measure: auc, aac or act_area."
            )
        return self

    @property
    def label_measure(self) -> Measure:
        """What the labels are: a share of the full area where that is given."""
        return "aac" if self.measure == "act_area" and self.full_area is not None else self.measure

    def table(self, root: Path) -> pd.DataFrame:
        """Columns as ``ResponseColumns`` names them; the index counts the data rows of the file."""
        return read_table(
            root / self.path,
            self.columns.model_dump(),
            numbers=("value", "top_dose"),
            optional=("value", "unit", "relation", "top_dose"),
            delimiter=self.delimiter,
        )


class DrugColumns(Options):
    """Headers of the drug file; a missing name is the id.

    Attributes:
        drug_id: Drug, in the ids of the response file.
        smiles: Structure; None where ``structures`` names a file that holds them.
        name: Display name.
        target: Target genes or description.
        synonyms: Other names, separated by commas.
        cid: PubChem compound id.
    """

    drug_id: str
    smiles: str | None = None
    name: str | None = None
    target: str | None = None
    synonyms: str | None = None
    cid: str | None = None


class StructureColumns(Options):
    """Headers of a file of structures: what names a drug, and its SMILES."""

    key: str
    smiles: str


class StructureFile(File):
    """Structures of drugs that the drug file itself lacks.

    Attributes:
        columns: Headers.
        by: What ``key`` holds: the drug file's id, a name (spelling and case forgiven, synonyms tried), or a PubChem CID.
    """

    columns: StructureColumns
    by: MatchBy = "name"


class DrugFile(File):
    """One row per drug; empty SMILES are allowed.

    Attributes:
        columns: Headers.
        structures: Where the SMILES stand, if not here.
        smiles: Drug id → SMILES, in place of what the files say: structures that they lack or have wrong.
    """

    columns: DrugColumns
    structures: StructureFile | None = None
    smiles: dict[str, str] | None = None

    @model_validator(mode="after")
    def _smiles_stand_somewhere(self) -> "DrugFile":
        if (self.columns.smiles is None) == (self.structures is None):
            raise ValueError("give either columns.smiles or structures")
        if self.structures and self.structures.by == "cid" and self.columns.cid is None:
            raise ValueError("structures.by=cid needs columns.cid")
        return self

    def table(self, root: Path) -> pd.DataFrame:
        """One row per drug, columns as ``DrugColumns`` names them."""
        columns = self.columns.model_dump()
        return read_table(root / self.path, columns, optional=set(columns) - {"drug_id"}, delimiter=self.delimiter)


class CellColumns(Options):
    """Headers of the annotation file.

    Attributes:
        cell_id: Line, in the ids of the expression file.
        link_id: Identity across screens, in one column or in several, the preferred one first; without such a column a
            line's own id is its identity.
        name: The line's name, for ``link_by: name`` and ``id_then_name``.
        aliases: Columns of further names for them; a cell may hold several, separated by semicolons.
        tissue: Tissue or cancer type, for tissue splits and strata.
    """

    cell_id: str
    link_id: str | tuple[str, ...] | None = None
    name: str | None = None
    aliases: tuple[str, ...] = ()
    tissue: str | None = None

    @property
    def link_ids(self) -> tuple[str, ...]:
        """The columns of ``link_id``."""
        return (self.link_id,) if isinstance(self.link_id, str) else self.link_id or ()

    @property
    def headers(self) -> dict[str, str | None]:
        """Our name of each column → its header; columns that may be several are numbered ("link_id", "link_id 1")."""
        several = {"link_id": self.link_ids, "alias": self.aliases}
        plain: dict[str, str | None] = {"cell_id": self.cell_id, "name": self.name, "tissue": self.tissue}
        return plain | {
            f"{what} {place}" if place else what: header
            for what, headers in several.items()
            for place, header in enumerate(headers)
        }


class LinkColumns(Options):
    """Headers of an id table: how this screen and how other screens call a line."""

    cell_id: str
    link_id: str


class LinkFile(File):
    """Identity of lines across screens, in a table of its own."""

    columns: LinkColumns


class CellFile(File):
    """One row per line.

    Attributes:
        columns: Headers.
        link_by: What tells which lines of two screens are the same: the ``link_id``, the ``name`` (spelling forgiven), or
            the name of those that no id links.
        links: Id table that translates ``cell_id`` to the identity across screens.
        unknown_tissues: Entries of the tissue column that name no tissue.
        on_missing: ``"error"``, or ``"blank"`` to leave lines without a row unlinked and without tissue.
    """

    unnamed_rows: ClassVar[bool] = False  # published tables hold totals and lines without an id, which name nothing
    columns: CellColumns
    link_by: Literal["id", "name", "id_then_name"] = "id"
    links: LinkFile | None = None
    unknown_tissues: tuple[str, ...] = ()
    on_missing: Literal["error", "blank"] = "error"

    @model_validator(mode="after")
    def _one_identity(self) -> "CellFile":
        if self.link_by != "id" and self.columns.name is None:
            raise ValueError(f"link_by={self.link_by} needs columns.name")
        if self.links is not None and (self.link_by == "name" or self.columns.link_id is not None):
            raise ValueError("give one of columns.link_id, links and link_by=name")
        return self

    def table(self, root: Path) -> pd.DataFrame:
        """One row per line, columns as ``CellColumns`` names them."""
        columns = self.columns.headers
        optional = set(columns) if self.unnamed_rows else set(columns) - {"cell_id"}
        return read_table(root / self.path, columns, optional=optional, delimiter=self.delimiter).dropna(subset="cell_id")


class IdMapColumns(Options):
    """Headers of an id map: how the response file and how the expression file call a line."""

    response_id: str
    expression_id: str


class IdMapFile(File):
    """Translates the line ids of the responses; ids it lacks count as lines without expression."""

    columns: IdMapColumns


class ScreenOptions(Options):
    """All files of one screen.

    Attributes:
        name: Display name.
        expression: Expression per line.
        responses: Measured pairs.
        drugs: Names and structures.
        cells: Annotation of the lines, if there is any.
        id_map: Translation of line ids, if responses and expression differ.
    """

    name: str = Field(min_length=1)
    expression: ExpressionFile
    responses: ResponseFile
    drugs: DrugFile
    cells: CellFile | None = None
    id_map: IdMapFile | None = None
