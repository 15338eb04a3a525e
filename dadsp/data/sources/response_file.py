"""The response file of a screen: measured pairs, matrices, or wells."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd
from pydantic import Field, model_validator

from dadsp.data.curves.options import FitOptions
from dadsp.data.potency import SHARES_OF_AREA, OnImplausible, Replicates
from dadsp.data.sources.file_options import File, OnMissing, Options
from dadsp.data.sources.response_layouts import Layout, melted
from dadsp.data.tables import read_table
from dadsp.data.units import Unit
from dadsp.errors import nearest
from dadsp.schema import Measure


class ResponseColumns(Options):
    """Headers of the response file.

    Attributes:
        cell_id: Line, in the ids of the expression file or of the id map.
        drug_id: Drug, in the ids of the drug file.
        value: The response.
        unit: Unit of each row (with ``fit``, of its dose), to be checked against the declared one.
        relation: ``>`` (or true, yes, 1) where the IC50 was not reached.
        top_dose: Highest concentration the row's drug was tested at, in µM.
        dose: With ``fit``, the dose of each well.
        replicate: With ``fit``, what tells wells of one dose apart, which then stand once each.
    """

    cell_id: str
    drug_id: str
    value: str
    unit: str | None = None
    relation: str | None = None
    top_dose: str | None = None
    dose: str | None = None
    replicate: str | None = None


_FITTED: Mapping[str, Mapping[str, Any]] = {"ic50": {"unit": "um"}, "ec50": {"unit": "um"}, "auc": {}, "aac": {}}
_AREAS = SHARES_OF_AREA | {"act_area"}


class ResponseFile(File):
    """Measured pairs, one row each, or a matrix of lines and drugs; with ``fit``, wells, whose curves give the labels.

    Attributes:
        layout: ``"long"`` has one row per pair (or well); the others are matrices, named by what stands in the rows.
        id_column: Of a matrix: header of the column that names its rows.
        ignore: Of a matrix: headers of columns that hold no responses.
        columns: Of a long table: headers.
        fit: What doses and responses are, and how curves are fitted.
        measure: What the values are; with ``fit``, what of the curves labels: ``ic50``, ``ec50`` (µM), ``auc``, ``aac``.
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
    has_doses: ClassVar[bool] = False  # of a published layout: wells need no columns.dose
    layout: Layout = "long"
    id_column: str | None = None
    ignore: tuple[str, ...] = ()
    columns: ResponseColumns | None = None
    fit: FitOptions | None = None
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
        if not isinstance(given, Mapping):
            return given
        presets = cls.presets
        if given.get("fit") is not None:
            published = next(iter(presets.values()), {}).get("columns", {})
            columns = {name: published[name] for name in ("cell_id", "drug_id", "value") if name in published}
            presets = {measure: {**preset, "columns": columns} for measure, preset in _FITTED.items()}
            given = {key: value for key, value in given.items() if key != "unit" or value is not None}
        if not presets:
            return given
        measure = given.get("measure", next(iter(presets)))
        if measure not in presets:
            what = "this layout" if presets is cls.presets else "a fitted curve"
            raise ValueError(f"{what} has no measure {measure!r}. {nearest(str(measure), presets)}")
        preset = presets[measure]
        columns = {**preset.get("columns", {}), **(given.get("columns") or {})}
        return {"measure": measure, **preset, **given, "columns": columns}

    @model_validator(mode="after")
    def _layout_has_its_columns(self) -> "ResponseFile":
        if self.layout == "long" and self.columns is None:
            raise ValueError("columns is required. Set it (cell_id, drug_id, value), or layout if the file is a matrix.")
        if self.layout == "long" and (self.id_column is not None or self.ignore):
            raise ValueError("layout long has no id_column and no ignore. Set layout: lines_by_drugs or drugs_by_lines.")
        if self.layout != "long" and (self.columns is not None or self.id_column is None):
            raise ValueError(f"layout {self.layout} needs id_column and has no columns. Set id_column, leave columns out.")
        return self

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

    @model_validator(mode="after")
    def _wells_have_doses(self) -> "ResponseFile":
        columns = self.columns
        if self.fit is None:
            if columns is not None and (columns.dose is not None or columns.replicate is not None):
                raise ValueError("columns.dose and columns.replicate are of wells. Set fit, or leave them out.")
            return self
        if columns is None or self.layout != "long":
            raise ValueError("fit reads wells, one a row. Set layout: long and columns.")
        if columns.dose is None and not self.has_doses:
            raise ValueError("fit needs columns.dose. Name the column of doses.")
        if columns.relation is not None or columns.top_dose is not None or self.full_area is not None:
            raise ValueError("fit finds what was not reached. Leave columns.relation, columns.top_dose and full_area out.")
        if self.unit not in (None, "um"):
            raise ValueError(f"labels of fit are in µM. Leave unit={self.unit} out; the doses' unit is fit.dose_unit.")
        return self

    def wells(self, root: Path) -> pd.DataFrame:
        """With ``fit``: cell_id, drug_id, value, dose, unit, replicate; the index counts the data rows of the file."""
        names = {"cell_id", "drug_id", "value", "dose", "unit", "replicate"}
        return read_table(
            self.at(root),
            {name: header for name, header in self.headers.items() if name in names},
            numbers=("value", "dose"),
            optional=("value", "dose", "unit", "replicate"),
        )

    @property
    def label_measure(self) -> Measure:
        """What the labels are: a share of the full area where that is given."""
        return "aac" if self.measure == "act_area" and self.full_area is not None else self.measure

    @property
    def headers(self) -> dict[str, str | None]:
        """Our names of the columns of a long table → the file's."""
        return {} if self.columns is None else self.columns.model_dump()

    @property
    def percent(self) -> bool:
        """Whether values are percentages."""
        return self.measure == "amax" or self.full_area == 100

    def table(self, root: Path) -> pd.DataFrame:
        """Columns as ``ResponseColumns`` names them, and value_written (see ``read_table``); of a matrix, see ``melted``.

        The index counts the data rows that are read.
        """
        if self.layout != "long" and self.id_column is not None:
            return melted(self.at(root), self.layout, self.id_column, self.ignore)
        optional = ("value", "unit", "relation", "top_dose")
        return read_table(self.at(root), self.headers, numbers=("top_dose",), optional=optional, written=("value",))
