"""Screens from tidy files: expression, responses and drugs, each under column names of the user's choice."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from dadsp.data.combine import Combine, combined
from dadsp.data.genes import GeneOptions, harmonised
from dadsp.data.ids import MatchBy, line_keys, one_to_one, structures_of
from dadsp.data.potency import (
    SHARES_OF_AREA,
    OnImplausible,
    Replicates,
    Unit,
    censor,
    check_units,
    not_reached,
    replicates,
    share_of_area,
    suspicions,
    to_label,
    to_potency,
)
from dadsp.data.problems import Unreadable, attempt, refuse
from dadsp.data.study import LabelCap, OnDifferentMeasures, make_study
from dadsp.data.tables import Delimiter, Matrix, places, read_matrix, read_table
from dadsp.drugs.structures import structure_keys
from dadsp.errors import ConfigError, MissingIdsError, SchemaError, examples, nearest
from dadsp.options import check_choice, validated
from dadsp.schema import BoolArray, CellLines, Drugs, FloatArray, Measure, Note, Responses, Screen, Study, duplicates

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
_SHARES = (-1.0, 1.0)  # credible labels where areas are divided: cells that grow beyond the control lose less than nothing


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
        link_id: Identity across screens; without this column a line's own id is its identity.
        name: The line's name, for ``link_by: name``.
        tissue: Tissue or cancer type, for tissue splits and strata.
    """

    cell_id: str
    link_id: str | None = None
    name: str | None = None
    tissue: str | None = None


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
        link_by: What tells which lines of two screens are the same: the ``link_id``, or the ``name`` (spelling forgiven).
        links: Id table that translates ``cell_id`` to the identity across screens.
        unknown_tissues: Entries of the tissue column that name no tissue.
        on_missing: ``"error"``, or ``"blank"`` to leave lines without a row unlinked and without tissue.
    """

    unnamed_rows: ClassVar[bool] = False  # published tables hold totals and lines without an id, which name nothing
    columns: CellColumns
    link_by: Literal["id", "name"] = "id"
    links: LinkFile | None = None
    unknown_tissues: tuple[str, ...] = ()
    on_missing: Literal["error", "blank"] = "error"

    @model_validator(mode="after")
    def _one_identity(self) -> "CellFile":
        if self.link_by == "name" and self.columns.name is None:
            raise ValueError("link_by=name needs columns.name")
        if self.links is not None and (self.link_by == "name" or self.columns.link_id is not None):
            raise ValueError("give one of columns.link_id, links and link_by=name")
        return self

    def table(self, root: Path) -> pd.DataFrame:
        """One row per line, columns as ``CellColumns`` names them."""
        columns = self.columns.model_dump()
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


def tidy_study(
    root: str | Path | None,
    source: Mapping[str, Any] | ScreenOptions | None = None,
    target: Mapping[str, Any] | ScreenOptions | None = None,
    *,
    sources: Mapping[str, Mapping[str, Any] | ScreenOptions] | None = None,
    combine: Combine = "prefer",
    folder: str | None = None,
    label_cap: LabelCap = "none",
    on_missing_structure: Literal["drop", "error"] = "drop",
    on_different_measures: OnDifferentMeasures = "error",
    min_genes: int = 2,
) -> Study:
    """A study from the files of two screens, or of several source screens and a target.

    Args:
        root: Folder to which relative paths refer.
        source: Options of the screen whose labels train.
        target: Options of the screen whose labels are held out.
        sources: In place of ``source``, options of several screens under keys of the user's choice, the preferred one first.
        combine: What becomes of a drug that several sources measured; see ``combined``.
        folder: If ``root`` holds a folder of this name, paths refer to that one.
        label_cap: See ``make_study``.
        on_missing_structure: See ``make_study``.
        on_different_measures: See ``make_study``.
        min_genes: See ``make_study``.

    Raises:
        ConfigError: ``root`` is not set or no folder, or an option is unknown, missing or impossible.
        DadspError: A file is wrong; the message says which, where and what to do.
    """
    given = {
        "label_cap": label_cap,
        "on_missing_structure": on_missing_structure,
        "on_different_measures": on_different_measures,
        "min_genes": min_genes,
    }
    joining = validated(_StudyOptions, given, "data")
    check_choice("data.combine", combine, Combine)
    base = base_folder(root, folder, "data")
    nodes = {**_source_nodes(source, sources), "target": target}
    sides = [validated(ScreenOptions, node, f"data.{key}") for key, node in nodes.items()]
    screens = [attempt(side.name, partial(tidy_screen, side, base)) for side in sides]
    read = [screen for screen in screens if screen is not None]
    if len(read) < len(sides):
        raise Unreadable("The study cannot be joined.")
    policies = [side.responses.replicates for side in sides[:-1]]
    one = attempt("sources", lambda: combined(read[:-1], combine, policies))
    if one is None:
        raise Unreadable("The sources cannot be combined.")
    return make_study(one, read[-1], **joining.model_dump())


def _source_nodes(source: Any, sources: Any) -> dict[str, Any]:
    """The options of each source by its key below ``data``, the preferred one first."""
    if (source is None) == (not sources):
        raise ConfigError(
            f"data has {'neither source nor sources' if source is None else 'both source and sources'}. Give one screen as "
            "data.source, or several as data.sources: {KEY: screen, …}, the preferred one first."
        )
    if source is not None:
        return {"source": source}
    if not isinstance(sources, Mapping):
        raise ConfigError(
            "data.sources is no mapping. Give each screen under a key: {KEY: screen, …}, the preferred one first."
        )
    return {f"sources.{key}": node for key, node in sources.items()}


def tidy_screen(options: Mapping[str, Any] | ScreenOptions, root: str | Path = ".") -> Screen:
    """One screen from its files.

    Lines with expression but no responses stay, and so do drugs of the drug file without responses.

    Args:
        options: The files and what their columns are called.
        root: Folder to which relative paths refer.

    Raises:
        ConfigError: An option is unknown, missing or impossible, or a file is absent.
        DadspError: A file is wrong; the message says which, where and what to do.
    """
    options = validated(ScreenOptions, options, "screen")
    root = Path(root)
    name = options.name
    expression = attempt(f"{name} expression", lambda: read_expression(options.expression, root))
    cells = expression and attempt(f"{name} cells", lambda: _cells(options.cells, expression[0], root))
    drugs = attempt(f"{name} drugs", lambda: _drugs(options.drugs, root))
    labels = attempt(
        f"{name} responses",
        lambda: _responses(options, cells and cells[0].ids, drugs and drugs[0].ids, root),
    )
    if expression is None or cells is None or drugs is None or labels is None:
        raise Unreadable(f"{name} cannot be read.")
    return Screen(
        name=name,
        genes=expression[0].columns,
        cells=cells[0],
        drugs=drugs[0],
        responses=labels.responses,
        cap=labels.cap,
        notes=(*expression[1], *cells[1], *drugs[1], *labels.notes),
        measure=options.responses.label_measure,
    )


class _StudyOptions(Options):
    label_cap: LabelCap
    on_missing_structure: Literal["drop", "error"]
    on_different_measures: OnDifferentMeasures
    min_genes: int = Field(ge=1)


class _Labels(NamedTuple):
    responses: Responses
    cap: float | None
    notes: tuple[Note, ...]


def base_folder(root: str | Path | None, folder: str | None, where: str) -> Path:
    """The folder to which a configuration's paths refer.

    Args:
        root: What the user set.
        folder: If ``root`` holds a folder of this name, it is that one.
        where: Path of these options in the configuration, for errors.

    Raises:
        ConfigError: ``root`` is not set or no folder.
    """
    if not root:
        holding = f"that holds {folder}" if folder else "to which the paths refer"
        raise ConfigError(
            f"{where}.root is not set. Give the folder {holding} as {where}.root=FOLDER, or in the environment variable "
            f"that the {where} config names beside root (DADSP_REAL_DATA for the real panel)."
        )
    base = Path(root)
    if not base.is_dir():
        raise ConfigError(f"{where}.root={root} is not a folder. Give the one that holds the raw files.")
    return base / folder if folder and (base / folder).is_dir() else base


def read_expression(file: ExpressionFile, root: Path) -> tuple[Matrix, tuple[Note, ...]]:
    """Lines × genes, each named once."""
    path = root / file.path
    matrix, notes = file.read(root)
    notes = (*notes, *_suspicious_scale(matrix, file.transform))
    _unique(matrix.rows, "cell lines", path)
    if duplicates(matrix.rows):  # while problems are collected: no row to which a response could belong
        raise Unreadable(f"{path} names cell lines twice.")
    if file.transform == "log2p1":
        negative = int((matrix.numbers < 0).sum())
        if negative:
            raise SchemaError(
                f"{path}: {negative} of {matrix.numbers.size} values are negative, so they are logarithms already. "
                "Set expression.transform: none."
            )
        matrix = replace(matrix, numbers=np.log2(matrix.numbers + np.float32(1)))
    matrix, more = harmonised(matrix, file.genes, root, str(path))
    return matrix, (*notes, *more)


def _suspicious_scale(matrix: Matrix, transform: str) -> tuple[Note, ...]:
    """A note if logarithms seem to be taken twice or never: no log2(TPM + 1) exceeds 20; some gene of many has more TPM."""
    top = float(matrix.numbers.max())
    if len(matrix.columns) < 100 or (transform == "none" and top < 50) or (transform == "log2p1" and top > 25):
        return ()
    done = "had not been taken" if transform == "none" else "had been taken already"
    return (
        Note(
            f"suspicious transform {transform}: the largest value is {top:g}, as if logarithms {done}; values",
            matrix.numbers.size,
        ),
    )


def _cells(file: CellFile | None, expression: Matrix, root: Path) -> tuple[CellLines, tuple[Note, ...]]:
    ids = expression.rows
    if file is None:
        return CellLines(ids, ids, (None,) * len(ids), expression.numbers), ()
    path = root / file.path
    table = file.table(root)
    _unique(table["cell_id"], "cell lines", path)
    table = table.drop_duplicates("cell_id")
    known = set(table["cell_id"])
    missing = [name for name in ids if name not in known]
    if missing and file.on_missing == "error":
        refuse(
            MissingIdsError(
                f"{path}: {len(missing)} of {len(ids)} cell lines with expression have no row (e.g. {examples(missing)}). "
                "Add them, or set cells.on_missing: blank."
            )
        )
    chosen = table.set_index("cell_id").reindex(list(ids))
    notes = (Note("cell lines without annotation kept, unlinked", len(missing), examples(missing)),) if missing else ()
    links, more = _links(file, chosen, root)
    _unique([link for link in links if link is not None], "link ids", path)
    tissues = (None if tissue in file.unknown_tissues else tissue for tissue in _texts(chosen, "tissue"))
    return CellLines(ids, links, tuple(tissues), expression.numbers), (*notes, *more)


def _links(file: CellFile, chosen: pd.DataFrame, root: Path) -> tuple[tuple[str | None, ...], tuple[Note, ...]]:
    """Identity across screens of each chosen line, and a note on those that an id table or their name leaves without one."""
    path = root / file.path
    if file.links is not None:
        path = root / file.links.path
        pairs = read_table(
            path, file.links.columns.model_dump(), optional=("cell_id", "link_id"), delimiter=file.links.delimiter
        )
        own = pairs[pairs["cell_id"].isin(chosen.index)]
        identity = one_to_one(own[["cell_id", "link_id"]], str(path))
        links: tuple[str | None, ...] = tuple(identity.get(str(name)) for name in chosen.index)
    elif file.link_by == "name":
        links = line_keys(_texts(chosen, "name"), str(path))
    else:
        return (_texts(chosen, "link_id") if "link_id" in chosen else tuple(chosen.index)), ()
    lost = [name for name, link in zip(chosen.index, links, strict=True) if link is None]
    return links, (Note(f"cell lines that {path.name} links to no other screen", len(lost), examples(lost)),) if lost else ()


def _drugs(file: DrugFile, root: Path) -> tuple[Drugs, tuple[Note, ...]]:
    path = root / file.path
    table = file.table(root)
    _unique(table["drug_id"], "drugs", path)
    table = table.drop_duplicates("drug_id")
    ids, smiles = tuple(table["drug_id"]), _texts(table, "smiles")
    names = tuple(name or drug_id for name, drug_id in zip(_texts(table, "name"), ids, strict=True))
    notes: tuple[Note, ...] = ()
    if file.structures is not None:
        path = root / file.structures.path
        columns = file.structures.columns.model_dump()
        known = read_table(path, columns, optional=("key", "smiles"), delimiter=file.structures.delimiter)
        smiles, notes = structures_of(table.assign(name=list(names)), known, file.structures.by, str(path))
    if file.smiles:
        smiles, more = _given_structures(file.smiles, ids, smiles, root / file.path)
        notes = (*notes, *more)
    try:
        keys = structure_keys(smiles, names)
    except SchemaError as error:
        refuse(SchemaError(f"{path}: {error}"))
        keys = (None,) * len(ids)
    return Drugs(ids=ids, names=names, smiles=smiles, structure_keys=keys, targets=_texts(table, "target")), notes


def _given_structures(
    given: Mapping[str, str], ids: tuple[str, ...], smiles: tuple[str | None, ...], path: Path
) -> tuple[tuple[str | None, ...], tuple[Note, ...]]:
    """The structures with those of the configuration in place of the files' own."""
    unknown = [name for name in given if name not in set(ids)]
    if unknown:
        hint = nearest(unknown[0], ids)
        raise ConfigError(f"drugs.smiles names {len(unknown)} drugs that {path} lacks (e.g. {examples(unknown)}). {hint}")
    note = Note("structures taken from drugs.smiles", len(given), examples(given))
    return tuple(given.get(name, own) for name, own in zip(ids, smiles, strict=True)), (note,)


def _responses(
    options: ScreenOptions, cell_ids: tuple[str, ...] | None, drug_ids: tuple[str, ...] | None, root: Path
) -> _Labels:
    """The labels; where lines or drugs could not be read (None), every name in the file counts as known."""
    file = options.responses
    path = root / file.path
    table = file.table(root)
    if "unit" in table and file.unit is not None:
        check_units(table["unit"], file.unit, str(path))
    cell_names = table["cell_id"]
    if options.id_map is not None:
        cell_names = cell_names.map(line_translation(options.id_map, root))
    cell_ids = tuple(cell_names.dropna().unique()) if cell_ids is None else cell_ids
    drug_ids = tuple(table["drug_id"].unique()) if drug_ids is None else drug_ids
    table, notes = complete(
        table.assign(cell_idx=rows_of(cell_names, cell_ids), drug_idx=rows_of(table["drug_id"], drug_ids)), file, path
    )
    potency, more = _labels(table["value"].to_numpy(), file, path)
    notes = (*notes, *more)
    credible = ~np.isnan(potency)
    if not credible.all():
        left_out = places(path, table.index[~credible])
        notes = (
            *notes,
            Note(f"responses of {len(table)} whose label is not credible left out", int((~credible).sum()), left_out),
        )
        table, potency = table[credible], potency[credible]
    censored, cap = np.zeros(len(potency), dtype=bool), None
    if file.unit is not None:
        notes = (*notes, *suspicions(potency, table, file.unit))  # before a cap hides them
        potency, censored, cap, more = _censored(potency, table, file, file.unit, path)
        notes = (*notes, *more)
    cell_idx, drug_idx = (table[name].to_numpy().astype(np.int64) for name in ("cell_idx", "drug_idx"))
    measured = Responses(cell_idx, drug_idx, potency, censored)
    merged, merge_notes = replicates(measured, file.replicates, cell_ids, drug_ids, str(path))
    return _Labels(merged, cap, (*notes, *merge_notes))


def _labels(values: NDArray[np.float64], file: ResponseFile, path: Path) -> tuple[FloatArray, tuple[Note, ...]]:
    """The label of each value, NaN where it is not credible and may be dropped; and a note on shares beyond a whole."""
    plausible = file.plausible
    if file.full_area is not None:
        values, plausible = share_of_area(values, file.full_area), plausible or _SHARES
    labels = to_label(values, file.label_measure, file.unit, plausible, str(path), file.on_implausible)
    if file.full_area is None:
        return labels, ()
    low, high = int((labels < 0).sum()), int((labels > 1).sum())
    what = f"areas of {len(labels)} that exceed the full area of {file.full_area:g} ({low}) or lie below 0 ({high}), kept"
    return labels, (Note(what, low + high),) if low + high else ()


def _censored(
    potency: FloatArray, table: pd.DataFrame, file: ResponseFile, unit: Unit, path: Path
) -> tuple[FloatArray, BoolArray, float | None, tuple[Note, ...]]:
    """Labels, which of them are bounds, the common cap, and what was noticed."""
    flags, notes = not_reached(table["relation"], unit, str(path)) if "relation" in table else (None, ())
    labels = censor(potency, flags, file.cap, unit)
    if "top_dose" not in table:
        return *labels, notes
    given = table["top_dose"].notna().to_numpy()
    bound = np.full(len(potency), -np.inf, dtype=np.float32)  # nothing lies beyond a dose that is not given
    bound[given] = to_potency(table["top_dose"].to_numpy()[given], "um", where=f"{path}, top dose")
    beyond = labels.potency <= bound
    if file.beyond_top_dose == "clip":
        clipped = np.where(beyond, bound, labels.potency)
        done = "set to it"
    else:
        clipped, done = labels.potency, "kept as published"
    found = int((labels.potency < bound).sum())
    more = (Note(f"labels of {len(potency)} beyond the highest dose marked censored, {done}", found),) if found else ()
    return clipped, labels.censored | beyond, labels.cap, (*notes, *more)


def rows_of(names: "pd.Series[Any]", ids: tuple[str, ...]) -> "pd.Series[Any]":
    """Where each name stands among the ids; missing where it does not."""
    rows = pd.Index(ids).get_indexer(pd.Index(names)).astype(np.float64)
    return pd.Series(np.where(rows >= 0, rows, np.nan), index=names.index)


# What the option governs: (column that is then missing, column that names the culprit, what is wrong with the row).
_GAPS: dict[str, tuple[str, str | None, str]] = {
    "on_missing_value": ("value", None, "have no value"),
    "on_missing_expression": ("cell_idx", "cell_id", "name cell lines without expression"),
    "on_missing_drug": ("drug_idx", "drug_id", "name drugs that the drug file lacks"),
}


def complete(table: pd.DataFrame, file: File, path: Path) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    """The rows with a value, a line and a drug; the others are refused or, where the options say so, dropped with a note."""
    notes: list[Note] = []
    for option, (column, culprit, what) in _GAPS.items():
        gone = table[column].isna()
        if not gone.any():
            continue
        bad = table[gone]
        names = list(bad[culprit].unique()) if culprit else []
        counted = f"{what} ({len(names)} different ones)" if culprit else what
        shown = examples(names) if culprit else places(path, bad.index)
        if getattr(file, option) == "error":
            kind = MissingIdsError if culprit else SchemaError
            refuse(
                kind(
                    f"{path}: {len(bad)} of {len(table)} responses {counted}, e.g. {shown}. "
                    f"Supply what is missing, or set responses.{option}: drop."
                )
            )
        notes.append(Note(f"responses of {len(table)} that {counted} left out", len(bad), shown))
        table = table[~gone]
    return table, tuple(notes)


def line_translation(file: IdMapFile, root: Path) -> dict[str, str]:
    """Response id → expression id, for the ids that have one."""
    path = root / file.path
    columns = file.columns.model_dump()
    table = read_table(path, columns, optional=set(columns), delimiter=file.delimiter)
    table = table.dropna().drop_duplicates()
    _unique(table["response_id"], "response ids", path)
    return dict(zip(table["response_id"], table["expression_id"], strict=True))


def _texts(table: pd.DataFrame, name: str) -> tuple[str | None, ...]:
    """A column as Python strings, None where empty or where there is no such column."""
    if name not in table:
        return (None,) * len(table)
    return tuple(None if pd.isna(text) else str(text) for text in table[name])


def _unique(ids: Sequence[str] | pd.Series, what: str, path: Path) -> None:
    repeated = duplicates(ids)
    if repeated:
        refuse(
            SchemaError(
                f"{path}: {len(repeated)} {what} stand more than once (e.g. {examples(repeated)}). Keep one of each."
            )
        )
