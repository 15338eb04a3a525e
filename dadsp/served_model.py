"""A trained model with all it needs to predict, in one folder that can leave the project; MLflow loads it through here.

The folder holds the model (``dadsp.models.base.save_model``), how far to trust it (``dadsp.models.trust``), the drugs of
both screens with their structures, and the lines with the expression that the model reads, unless that must stay private.
It is JSON and safetensors: reading it runs no code from it. This module needs no mlflow.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from dadsp.data.tables import Frame
from dadsp.errors import LoadError, MissingIdsError, SchemaError
from dadsp.files import read_json, write_atomically, write_json
from dadsp.models.base import Predictor, load_model, save_model
from dadsp.models.prediction import predict_new
from dadsp.models.trust.trust import Trust, load_trust
from dadsp.schema import CellLines, Drugs, FloatArray, Responses, Screen, Split, Study

FORMAT = {"format": "dadsp-served-model", "version": 1}
MODEL, TRUST, SCREENS, EXPRESSION = "model", "trust", "screens.json", "expression.safetensors"
LINE_FACTS = ("ids", "link_ids", "tissues", "names")
MADE_UP = "new line"


class ServedModel:
    """Predicts the pairs of a request.

    Attributes:
        predictor: The fitted system.
        source: Lines (unless left out) and drugs of the source screen, without labels.
        target: The same of the target screen.
        trust: How far to trust the system; None where that is not known.
    """

    def __init__(self, predictor: Predictor, source: Screen, target: Screen, trust: Trust | None = None) -> None:
        self.trust = trust
        self.predictor = predictor
        self.source = source
        self.target = target

    def predict(self, frame: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Potency of each pair, as ``dadsp predict`` gives it.

        Args:
            frame: Columns cell_id and drug_id. With a column ``expression`` (gene → value; one row of each line is enough)
                all lines come from the request, with a column ``smiles`` all drugs do.
            params: ``domain`` and ``on_unknown``, as ``dadsp predict`` takes them.

        Returns:
            Columns cell_id, drug_id, neg_log10_ic50_um (−log10 IC50(µM)), ic50_um, and what else ``dadsp predict`` gives.

        Raises:
            DadspError: The request cannot be used: which rows, why, and what to do.
        """
        options = {"domain": "target", "on_unknown": "error", **(params or {})}
        expression, drugs = _lines_in(frame), _drugs_in(frame)
        if expression is None and not self.target.cells.ids:
            raise MissingIdsError(
                "This model was logged without its lines' expression (tracking.log_expression=false). "
                "Give the column expression: gene → value."
            )
        request = Frame("the request", frame)
        known = (self.source, self.target)
        given: dict[str, Any] = {"expression": expression, "drugs": drugs, "known": lambda: known, "trust": self.trust}
        return predict_new(self.predictor, request, **given, **options).frame


def save_served_model(
    predictor: Predictor, study: Study, folder: Path, *, expression: bool, trust: Trust | None = None
) -> None:
    """Writes all that predicting needs into ``folder``.

    Args:
        predictor: The fitted system.
        study: Its screens; their labels are not written.
        folder: Created if need be.
        expression: False leaves the lines out, so that they must come with each request. A model that reads no gene keeps
            their names.
        trust: How far to trust it.
    """
    save_model(predictor, folder / MODEL)
    if trust is not None:
        (trust if expression or not predictor.genes else trust.without_lines()).save(folder / TRUST)
    save_screens(predictor, study, folder, expression=expression)


def save_screens(predictor: Predictor, study: Study, folder: Path, *, expression: bool = True) -> None:
    """Writes the drugs of both screens, and the lines with what the predictor reads of them; see ``save_served_model``."""
    screens = {"source": study.source, "target": study.target}
    lines = {domain: screen.with_genes(predictor.genes).cells for domain, screen in screens.items()}
    if predictor.genes and not expression:
        lines = {domain: CellLines((), (), (), cells.expression[:0]) for domain, cells in lines.items()}
    arrays = {domain: cells.expression for domain, cells in lines.items()}
    write_atomically(folder / EXPRESSION, lambda path: save_file(arrays, path))
    facts = {
        domain: {
            "name": screen.name,
            "cells": {name: getattr(lines[domain], name) for name in LINE_FACTS},
            "drugs": asdict(screen.drugs),
        }
        for domain, screen in screens.items()
    }
    write_json(folder / SCREENS, {**FORMAT, **facts}, indent=None)


def load_served_model(folder: Path) -> ServedModel:
    """The model that ``save_served_model`` wrote; runs no code from its files.

    Raises:
        LoadError: The folder holds no such model, a damaged one, or one of another version.
    """
    predictor = load_model(folder / MODEL)
    return ServedModel(predictor, *load_screens(predictor, folder), load_trust(folder / TRUST))


def load_screens(predictor: Predictor, folder: Path) -> tuple[Screen, Screen]:
    """Source and target as ``save_screens`` wrote them, without labels.

    Raises:
        LoadError: The folder holds none, damaged ones, or of another version.
    """
    facts = read_json(folder / SCREENS)
    if not isinstance(facts, dict) or {key: facts.get(key) for key in FORMAT} != FORMAT:
        raise LoadError(f"{folder / SCREENS} is of no served model of version {FORMAT['version']}. Log the model again.")
    try:
        arrays = load_file(folder / EXPRESSION)
        screens = [
            Screen(
                name=facts[domain]["name"],
                genes=predictor.genes,
                cells=_lines_of(facts[domain]["cells"], arrays[domain]),
                drugs=_drugs_of(facts[domain]["drugs"]),
                responses=Responses.none(),
            )
            for domain in ("source", "target")
        ]
    except (OSError, SafetensorError, KeyError, TypeError, SchemaError) as error:
        raise LoadError(f"{folder} does not hold a complete model ({error}). Log it again.") from error
    return screens[0], screens[1]


def example_request(predictor: Predictor, study: Study, split: Split, *, expression: bool, n_pairs: int = 3) -> pd.DataFrame:
    """A request that the model can answer: the first test pairs, of a made-up line where lines are left out."""
    pairs = study.target.responses.take(split.test_idx[:n_pairs])
    cells, drugs = np.array(study.target.cells.ids), np.array(study.target.drugs.ids)
    frame = pd.DataFrame({"cell_id": cells[pairs.cell_idx], "drug_id": drugs[pairs.drug_idx]})
    if predictor.genes and not expression:
        reference = predictor.reference("target")
        made_up = np.zeros(len(predictor.genes)) if reference is None else reference.mean.astype(np.float64)
        if reference is not None:
            made_up[::2] += reference.sd[::2]  # no line is the mean
        levels: list[Any] = [dict(zip(predictor.genes, made_up.tolist(), strict=True)), *[None] * (len(frame) - 1)]
        frame = frame.assign(cell_id=MADE_UP, expression=levels)
    return frame


def _lines_of(facts: dict[str, Any], expression: FloatArray) -> CellLines:
    ids, links, tissues, names = (tuple(facts.get(name, ())) for name in LINE_FACTS)
    return CellLines(ids, links, tissues, expression, names)


def _drugs_of(facts: dict[str, Any]) -> Drugs:
    columns: dict[str, Any] = {name: None if values is None else tuple(values) for name, values in facts.items()}
    return Drugs(**columns)


def _load_pyfunc(path: str) -> ServedModel:
    """Named by MLflow's python_function flavour, whose loader calls it."""
    return load_served_model(Path(path))


def _lines_in(frame: pd.DataFrame) -> Frame | None:
    """The lines that come with a request, one row each; None where none does."""
    if "expression" not in frame or frame["expression"].isna().all():
        return None
    lines: dict[str, dict[str, float]] = {}
    for name, values in frame.loc[frame["expression"].notna(), ["cell_id", "expression"]].itertuples(index=False):
        if lines.setdefault(name, values) != values:
            raise SchemaError(f"The request gives {name} two different expressions. Keep one.")
    table = pd.DataFrame.from_records(list(lines.values()))
    return Frame("the request's expression", pd.concat([pd.DataFrame({"cell_id": list(lines)}), table], axis="columns"))


def _drugs_in(frame: pd.DataFrame) -> Frame | None:
    """The drugs that come with a request, one row each; None where none does."""
    if "smiles" not in frame or frame["smiles"].isna().all():
        return None
    drugs = frame.loc[frame["smiles"].notna(), ["drug_id", "smiles"]].drop_duplicates()
    return Frame("the request's smiles", drugs)
