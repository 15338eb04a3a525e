"""The parts of a screen from its files: expression, drugs and labels; tidy_lines has the lines."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dadsp.data.curves.table import fitted_labels
from dadsp.data.drug_tables import cross_checks, read_structures, told_drugs
from dadsp.data.genes import harmonised
from dadsp.data.odd_names import check_names
from dadsp.data.potency import (
    censor,
    dose_bounds,
    not_reached,
    relation_kinds,
    replicates,
    share_of_area,
    suspicions,
    to_label,
)
from dadsp.data.problems import Unreadable, refuse, stop_if_unsound
from dadsp.data.response_cells import parsed, where_of
from dadsp.data.sources.file_options import File
from dadsp.data.sources.response_file import ResponseFile
from dadsp.data.sources.response_layouts import measured, refuse_matrix, refuse_turned, several_screens
from dadsp.data.sources.tidy_files import DrugFile, ExpressionFile, ScreenOptions
from dadsp.data.sources.tidy_lines import line_translation, refuse_repeated, texts_of
from dadsp.data.structure_tables import cids_of, structures_of
from dadsp.data.table_files import TableFile, header_of
from dadsp.data.tables import Matrix, places, read_table
from dadsp.data.units import Unit, check_units
from dadsp.errors import ConfigError, MissingIdsError, SchemaError, UnitsError, examples, nearest
from dadsp.schema import BoolArray, Drugs, FloatArray, Note, Responses, duplicates

_SHARES = (-1.0, 1.0)  # credible labels where areas are divided: cells that grow beyond the control lose less than nothing


class Labels(NamedTuple):
    """Labelled pairs of a screen, the cap of its labels, and what was noticed or left out."""

    responses: Responses
    cap: float | None
    notes: tuple[Note, ...]


def read_expression(file: ExpressionFile, root: Path) -> tuple[Matrix, tuple[Note, ...]]:
    """Lines × genes, each named once."""
    path = root / file.path
    matrix, notes = file.read(root)
    check_names(matrix, file.genes.ids, str(path))
    notes = (*notes, *_suspicious_scale(matrix, file.transform))
    refuse_repeated(matrix.rows, "cell lines", path)
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


def read_drugs(file: DrugFile, root: Path) -> tuple[Drugs, tuple[Note, ...]]:
    """Drugs with their structures."""
    path = root / file.path
    rows = file.table(root)
    stop_if_unsound()  # drugs of rows that are refused would seem to be lacking
    refuse_repeated(rows["drug_id"], "drugs", path)
    table = rows.drop_duplicates("drug_id")
    ids, cells = tuple(table["drug_id"]), texts_of(table, "smiles")
    names = tuple(name or drug_id for name, drug_id in zip(texts_of(table, "name"), ids, strict=True))
    cells, given = _given_structures(file.smiles or {}, ids, cells, path)
    smiles, notes = read_structures(cells, names, str(path), file.on_invalid_structure)
    if len(table) < len(rows):  # while problems are collected: the id that one of them should have would seem to be lacking
        raise Unreadable(f"{path} names drugs twice.")
    notes = (*file.left_out(root), *notes)
    if file.structures is not None:
        where = root / file.structures.path
        columns = file.structures.columns.model_dump()
        known = read_table(file.structures.at(root), columns, optional=("key", "smiles"))
        rules = file.structures.by, str(where), file.identity, file.on_invalid_structure
        found, more = structures_of(table.assign(name=list(names)), known, *rules)
        smiles = tuple(own or other for own, other in zip(smiles, found, strict=True))
        notes = (*notes, *file.structures.left_out(root), *more)
    drugs = told_drugs(ids, names, smiles, texts_of(table, "target"), file.identity)
    cids = {drug_id: cids_of(text) for drug_id, text in zip(ids, texts_of(table, "cid"), strict=True)}
    return drugs, (*given, *notes, *cross_checks(drugs, cids))


def _given_structures(
    given: Mapping[str, str], ids: tuple[str, ...], smiles: tuple[str | None, ...], path: Path
) -> tuple[tuple[str | None, ...], tuple[Note, ...]]:
    """The structures with those of the configuration in place of the files' own."""
    if not given:
        return smiles, ()
    unknown = [name for name in given if name not in set(ids)]
    if unknown:
        hint = nearest(unknown[0], ids)
        raise ConfigError(f"drugs.smiles names {len(unknown)} drugs that {path} lacks (e.g. {examples(unknown)}). {hint}")
    note = Note("structures taken from drugs.smiles", len(given), examples(given))
    return tuple(given.get(name, own) for name, own in zip(ids, smiles, strict=True)), (note,)


def read_responses(
    options: ScreenOptions, cell_ids: tuple[str, ...] | None, drug_ids: tuple[str, ...] | None, root: Path
) -> Labels:
    """The labels; where lines or drugs could not be read (None), every name in the file counts as known."""
    file = options.responses
    path = file.at(root)
    table, notes = _measurements(file, cell_ids or (), drug_ids or (), root)
    cell_names = table["cell_id"]
    if options.id_map is not None:
        notes = (*options.id_map.left_out(root), *notes)
        cell_names = cell_names.map(line_translation(options.id_map, root, list(cell_names.unique())))
    cell_ids = tuple(cell_names.dropna().unique()) if cell_ids is None else cell_ids
    drug_ids = tuple(table["drug_id"].unique()) if drug_ids is None else drug_ids
    table = table.assign(cell_idx=rows_of(cell_names, cell_ids), drug_idx=rows_of(table["drug_id"], drug_ids))
    table, more = complete(table, file, path, {"cell_id": cell_ids, "drug_id": drug_ids})
    notes = (*notes, *more)
    potency, more = _labels_of(table, file, path)
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
    return Labels(merged, cap, (*notes, *merge_notes))


def _measurements(
    file: ResponseFile, cell_ids: Collection[str], drug_ids: Collection[str], root: Path
) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    """The rows whose cells can be read, as ``parsed`` gives them, and what was noticed; ids are those of the file."""
    path, notes = file.at(root), file.left_out(root)
    if file.fit is not None:
        table, more = fitted_labels(file, root)
        return table.assign(value_written=None), (*notes, *more)
    if file.layout == "long" and not set(file.headers.values()) - {None} <= set(header_of(path)):
        refuse_matrix(path, header_of(path), cell_ids, drug_ids)
    table = file.table(root)
    if file.layout != "long":
        refuse_turned(path, file.layout, table, cell_ids, drug_ids)
        table, more = measured(table, path)
        notes = (*notes, *more)
    elif not file.presets:  # a published layout says itself what it chooses
        notes = (*notes, *several_screens(path, file.headers.values()))
    if "unit" in table and file.unit is not None:
        check_units(table["unit"], file.unit, str(path))
    what = f"values of {file.headers['value']!r}" if file.headers else "values"
    table, more = parsed(table, file.unit, path, what, percent=file.percent)
    notes = (*notes, *more)
    if file.unit is None and "relation" in table:
        kinds = relation_kinds(table["relation"], None)
        notes = (
            *notes,
            *_some(f"relations of the {file.measure} passed over: only an IC50 or EC50 is censored", kinds != "equal"),
        )
    return table, notes


def _labels_of(table: pd.DataFrame, file: ResponseFile, path: TableFile) -> tuple[FloatArray, tuple[Note, ...]]:
    """The label of each value, NaN where it is not credible and may be dropped; and a note on shares beyond a whole."""
    values, plausible = table["value"].to_numpy(), file.plausible
    if file.full_area is not None:
        values, plausible = share_of_area(values, file.full_area), plausible or _SHARES
    at = partial(where_of, table, path=path)
    labels = to_label(values, file.label_measure, file.unit, plausible, str(path), file.on_implausible, at)
    if file.full_area is None:
        return labels, ()
    low, high = int((labels < 0).sum()), int((labels > 1).sum())
    what = f"areas of {len(labels)} that exceed the full area of {file.full_area:g} ({low}) or lie below 0 ({high}), kept"
    return labels, (Note(what, low + high),) if low + high else ()


def _censored(
    potency: FloatArray, table: pd.DataFrame, file: ResponseFile, unit: Unit, path: TableFile
) -> tuple[FloatArray, BoolArray, float | None, tuple[Note, ...]]:
    """Labels, which of them are bounds, the common cap, and what was noticed."""
    flags, notes = not_reached(table["relation"], unit, str(path)) if "relation" in table else (None, ())
    labels = censor(potency, flags, file.cap, unit)
    if "top_dose" not in table:
        return *labels, notes
    bound = dose_bounds(table["top_dose"].to_numpy(), "um")
    bad = np.flatnonzero(np.isnan(bound) & table["top_dose"].notna())
    if len(bad):
        shown = [f"{places(path, [table.index[row]])}: {table['top_dose'].iloc[row]:g}" for row in bad[:4]]
        refuse(
            UnitsError(
                f"{path}: {len(bad)} of {len(table)} top doses in {file.headers.get('top_dose')!r} can be no dose in µM "
                f"(e.g. {examples(shown)}). Correct or empty those cells, or set responses.columns.top_dose: null."
            )
        )
    bound = np.where(np.isnan(bound), np.float32(-np.inf), bound)  # nothing lies beyond a dose that is not known
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


def complete(
    table: pd.DataFrame, file: File, path: TableFile, known: Mapping[str, Sequence[str]]
) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    """The rows with a value, a line and a drug; the others are refused or, where the options say so, dropped with a note.

    Args:
        table: Of the responses, with ``cell_idx`` and ``drug_idx``.
        file: Whose options say what becomes of them.
        path: Of the responses, for messages.
        known: The ids that ``cell_id`` and ``drug_id`` are looked up among, for the message where none is found.
    """
    notes: list[Note] = []
    for option, (column, culprit, what) in _GAPS.items():
        gone = table[column].isna()
        if not gone.any():
            continue
        bad = table[gone]
        if culprit and gone.all():
            _refuse_unjoined(bad, known.get(culprit, ()), culprit, path)
            return table[~gone], tuple(notes)
        names = list(bad[culprit].unique()) if culprit else []
        counted = f"{what} ({len(names)} different ones)" if culprit else what + _words(bad)
        shown = examples(names) if culprit else examples(where_of(bad, range(len(bad)), path))
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


def _words(table: pd.DataFrame) -> str:
    """Which words stand for values that are missing, how often, unless all are empty."""
    counts = Counter(table["value_written"].fillna("") if "value_written" in table else ())
    if set(counts) <= {""}:
        return ""
    return f" ({examples((f'{n} {word!r}' if word else f'{n} empty' for word, n in counts.most_common()), 40)})"


def _some(what: str, concerned: BoolArray) -> tuple[Note, ...]:
    return (Note(what, int(concerned.sum())),) if concerned.any() else ()


def _refuse_unjoined(table: pd.DataFrame, known: Sequence[str], column: str, path: TableFile) -> None:
    """An error that shows both sides of a join that found nothing, which no option means."""
    names = list(table[column].unique())
    what, remedy = {
        "cell_id": ("name cell lines without expression", "give an id_map that translates them"),
        "drug_id": ("name drugs that the drug file lacks", "another one as drugs.columns.drug_id"),
    }[column]
    refuse(
        MissingIdsError(
            f"{path}: all {len(table)} responses {what}: none of {len(names)} (e.g. {examples(names)}) is among the "
            f"{len(known)} there (e.g. {examples(known)}). Name the column that holds the same ids as "
            f"responses.columns.{column}, or {remedy}."
        )
    )
