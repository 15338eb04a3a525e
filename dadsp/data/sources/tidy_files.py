"""The files of a screen: where each lies, what its columns are called, and what becomes of rows that lack something."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from dadsp.data.drug_tables import OnInvalid
from dadsp.data.genes import GeneOptions
from dadsp.data.ids import MatchBy
from dadsp.data.sources.file_options import File, Options
from dadsp.data.sources.response_file import ResponseFile
from dadsp.data.tables import Matrix, read_matrix, read_table
from dadsp.schema import Identity, Note


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
        by_gene = self.orientation == "genes_by_lines"
        unnamed: Literal["blank", "error"] = "blank" if by_gene else "error"
        matrix = read_matrix(self.at(root), self.id_column, ignore=self.ignore, unnamed_rows=unnamed)
        if by_gene:
            matrix = Matrix(matrix.columns, matrix.rows, np.ascontiguousarray(matrix.numbers.T))
        return matrix, self.left_out(root)


class DrugColumns(Options):
    """Headers of the drug file; a missing name is the id.

    Attributes:
        drug_id: Drug, in the ids of the response file.
        smiles: Structure; None where ``structures`` names a file that holds them.
        name: Display name.
        target: Target genes or description.
        synonyms: Other names, separated by commas, semicolons or bars.
        cid: PubChem compound id, or a list of them.
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
        identity: What tells whether two drugs are one: the ``"parent"``, without salt, solvent and charge, or the
            ``"exact"`` structure. Features are made of the structure as written.
        on_invalid_structure: What to do with a SMILES that is none: ``"drop"`` takes it as missing.
    """

    columns: DrugColumns
    structures: StructureFile | None = None
    smiles: dict[str, str] | None = None
    identity: Identity = "parent"
    on_invalid_structure: OnInvalid = "error"

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
        return read_table(self.at(root), columns, optional=set(columns) - {"drug_id"})


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
        return read_table(self.at(root), columns, optional=optional).dropna(subset="cell_id")


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
