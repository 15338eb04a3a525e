"""The tables of CoderData, a collection of harmonised drug screens (CCLE, GDSC, CTRP, gCSI, NCI60, PRISM …)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from dadsp.data.genes import GeneOptions
from dadsp.data.ids import one_to_one
from dadsp.data.sources.response_file import ResponseFile
from dadsp.data.sources.tidy_files import CellColumns, CellFile, DrugColumns, DrugFile, ExpressionFile
from dadsp.data.tables import Matrix, read_table
from dadsp.errors import SchemaError, examples
from dadsp.schema import Note

_TRIPLE = {"cell_id": "improve_sample_id", "drug_id": "improve_drug_id", "value": "dose_response_value"}
_METRICS = {"ic50": "fit_ic50", "ec50": "fit_ec50", "auc": "fit_auc", "aac": "aac"}


class Experiments(ResponseFile):
    """``…_experiments``: one study's rows of one ``dose_response_metric``.

    Fitted IC50 and EC50 are −log10 M, as the collection's curve fit makes them since July 2025; set ``unit`` for older
    releases. Flat curves have IC50s far outside any dose, hence ``on_implausible``.

    Attributes:
        study: As in the column ``study``, in any case, e.g. ``"CTRPv2"`` or ``"ctrpv2"``.
        metric: As in ``dose_response_metric``; None takes fit_ic50, fit_ec50, fit_auc or aac, as the measure says.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ic50": {"columns": _TRIPLE, "unit": "neg_log10_m"},
        "ec50": {"columns": _TRIPLE, "unit": "neg_log10_m"},
        "auc": {"columns": _TRIPLE},
        "aac": {"columns": _TRIPLE},
    }
    study: str
    metric: str | None = None

    def table(self, root: Path) -> pd.DataFrame:
        path = root / self.path
        columns = {**self.headers, "study": "study", "metric": "dose_response_metric"}
        frame = read_table(self.at(root), columns, optional=("value",), written=("value",))
        metric = self.metric or _METRICS[self.measure]
        for column, wanted in (("study", self.study), ("metric", metric)):
            frame = _only(frame, column, wanted, f"responses.{column}", path)
        return frame.drop(columns=["study", "metric"])


class Transcriptomics(ExpressionFile):
    """``…_transcriptomics``: one row per (sample, Entrez gene), in TPM. Genes that some sample lacks are left out.

    Attributes:
        genes_table: ``genes.csv``, which names the Entrez ids.
        study: Only rows of this study; None takes all, and averages what stands twice.
    """

    id_column: str = "improve_sample_id"
    orientation: Literal["lines_by_genes", "genes_by_lines"] = "lines_by_genes"
    genes: GeneOptions = GeneOptions(duplicates="mean")
    genes_table: str
    study: str | None = None

    def read(self, root: Path) -> tuple[Matrix, tuple[Note, ...]]:
        path = root / self.path
        columns = {"line": self.id_column, "gene": "entrez_id", "value": "transcriptomics", "study": self.study and "study"}
        frame = read_table(self.at(root), columns, numbers=("value",), optional=("value",)).dropna()
        if self.study is not None:
            frame = _only(frame, "study", self.study, "expression.study", path)
        line_idx, lines = pd.factorize(frame["line"])
        gene_idx, entrez = pd.factorize(frame["gene"])
        shape = (len(lines), len(entrez))
        place = line_idx * shape[1] + gene_idx
        count = np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)
        total = np.bincount(place, weights=frame["value"].to_numpy(), minlength=count.size).reshape(shape)
        complete = np.asarray((count > 0).all(axis=0))
        if not complete.any():
            raise SchemaError(
                f"{path}: none of {len(entrez)} genes is measured in all {len(lines)} samples. Choose one study: set "
                "expression.study."
            )
        symbols = _symbols(root / self.genes_table)
        named = [symbols.get(str(gene), "") for gene, kept in zip(entrez, complete, strict=True) if kept]
        gone = [str(gene) for gene, kept in zip(entrez, complete, strict=True) if not kept]
        repeated = int((count > 1).sum())
        notes = (
            *self.left_out(root),
            *((Note("values of one sample and gene averaged", repeated),) if repeated else ()),
            *((Note("genes that some sample lacks left out", len(gone), examples(gone)),) if gone else ()),
        )
        numbers = (total[:, complete] / count[:, complete]).astype(np.float32)
        return Matrix(tuple(map(str, lines)), tuple(named), numbers), notes


class Drugs(DrugFile):
    """``…_drugs``: one row per synonym of a drug; the first is its name."""

    columns: DrugColumns = DrugColumns(drug_id="improve_drug_id", name="chem_name", smiles="canSMILES", cid="pubchem_id")

    def table(self, root: Path) -> pd.DataFrame:
        frame = super().table(root)
        several = frame.groupby("drug_id")["smiles"].nunique()
        several = several[several > 1]
        if len(several):
            raise SchemaError(
                f"{root / self.path}: {len(several)} drugs have several structures (e.g. {examples(several.index)}). "
                "Keep one of each."
            )
        return frame.drop_duplicates("drug_id")


class Samples(CellFile):
    """``…_samples``: one row per further id of a sample. All studies of the collection share ``improve_sample_id``.

    Attributes:
        link_source: Take the id of this ``other_id_source`` (e.g. ``"DepMap"``) as the identity across screens.
    """

    columns: CellColumns = CellColumns(cell_id="improve_sample_id", name="common_name", tissue="cancer_type")
    link_source: str | None = None

    def table(self, root: Path) -> pd.DataFrame:
        path = root / self.path
        columns = {**self.columns.headers, "other_id": "other_id", "source": "other_id_source"}
        frame = read_table(self.at(root), columns, optional=set(columns) - {"cell_id"})
        lines = frame.drop_duplicates("cell_id").drop(columns=["other_id", "source"])
        if self.link_source is None:
            return lines
        links = _only(frame, "source", self.link_source, "cells.link_source", path)
        identity = one_to_one(links[["cell_id", "other_id"]], str(path))
        return lines.assign(link_id=lines["cell_id"].map(identity))


def _only(frame: pd.DataFrame, column: str, wanted: str, option: str, path: Path) -> pd.DataFrame:
    """The rows whose column holds what is wanted, in any case: file names write a study's name small, columns do not."""
    chosen = frame[frame[column].str.casefold() == wanted.casefold()]
    if not len(chosen):
        present = sorted(frame[column].dropna().unique())
        raise SchemaError(f"{path} holds no {column} {wanted!r}. Set {option} to one of: {examples(present, 12)}.")
    return chosen


def _symbols(path: Path) -> dict[str, str]:
    """Entrez id → symbol."""
    frame = read_table(path, {"entrez": "entrez_id", "symbol": "gene_symbol"}, optional=("entrez", "symbol")).dropna()
    frame = frame.drop_duplicates("entrez")
    return dict(zip(frame["entrez"], frame["symbol"], strict=True))
