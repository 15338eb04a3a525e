"""A finished run of ``dadsp single-drug`` as an object: response and class of new lines by one network per drug."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dadsp.building import build
from dadsp.data.new_pairs import OnUnknown, read_pairs, refuse_impossible
from dadsp.data.tables import Frame
from dadsp.errors import ConfigError, DadspError, LoadError
from dadsp.models.prediction import Predicted, refuse_undefined
from dadsp.options import check_choice
from dadsp.runs.folder import RunFolder
from dadsp.runs.run import Table, readable
from dadsp.schema import CellLines, Drugs, ResponsePanel, Responses, Screen
from dadsp.singledrug.model import Form, drug_of, load_single_drug
from dadsp.singledrug.protocol import MODEL


class SingleDrugRun:
    """The networks of a finished run of ``dadsp single-drug``, one per drug and repeat.

    Attributes:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"<networks of {len(self.table)} methods, {self.folder}>"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Its configuration, nested as in ``config.yaml``."""
        return RunFolder(self.folder).settings

    @cached_property
    def table(self) -> pd.DataFrame:
        """Means over drugs and repeats of every method's scores.

        Raises:
            LoadError: The run is not finished.
        """
        path = self.folder / "summary.csv"
        if not path.is_file():
            raise LoadError(f"{self.folder} holds no {path.name}. Check that the run is finished.")
        return pd.read_csv(path)

    def predict(
        self,
        pairs: Table,
        expression: Table | None = None,
        *,
        on_unknown: OnUnknown = "error",
        repeat: int = 0,
        form: Form = "network",
    ) -> pd.DataFrame:
        """Response and class of each pair: what ``dadsp predict`` writes.

        Args:
            pairs: Columns cell_id, drug_id; a table in memory or a file.
            expression: New lines: column cell_id, then one column per gene. None takes the run's own lines.
            on_unknown: ``"drop"`` leaves out pairs of unknown lines or drugs, ``"error"`` refuses them.
            repeat: Which partition's networks.
            form: ``"network"`` as trained, or ``"compressed"``.

        Returns:
            Columns cell_id, drug_id, response and sensitivity.

        Raises:
            DadspError: An option is no choice, the run holds no such models, or a table cannot be used.
        """
        return self.predicted(pairs, expression, on_unknown=on_unknown, repeat=repeat, form=form).frame

    def predicted(
        self, pairs: Table, expression: Table | None, *, on_unknown: OnUnknown, repeat: int, form: Form
    ) -> Predicted:
        """The same with notes on what was left out."""
        return predict_single_drug(
            self.folder,
            readable(pairs, "pairs"),
            expression=None if expression is None else readable(expression, "expression"),
            on_unknown=on_unknown,
            repeat=repeat,
            form=form,
        )


def predict_single_drug(
    folder: Path, pairs: Path | Frame, *, expression: Path | Frame | None, on_unknown: OnUnknown, repeat: int, form: Form
) -> Predicted:
    """Response and class of the pairs by the networks of one repeat.

    Args:
        folder: Run folder of ``dadsp single-drug``.
        pairs: Table with columns cell_id, drug_id.
        expression: Table of lines: column cell_id, every other column a gene. None takes the run's own lines.
        on_unknown: As for ``read_pairs``.
        repeat: Which partition's networks.
        form: As trained, or compressed.

    Raises:
        DadspError: An option is no choice, the run holds no such models, or a table cannot be used.
    """
    check_choice("on_unknown", on_unknown, OnUnknown)
    check_choice("form", form, Form)
    if not isinstance(repeat, int):
        raise ConfigError(f"repeat={repeat!r} is not valid. Give the number of a partition, from 0 on.")
    found = folder.glob(f"drugs/*/repeat_{repeat}/{MODEL}/model.json")
    places = {drug_of(path.parent): path.parent for path in sorted(found)}
    if not places:
        raise LoadError(f"{folder} holds no model of repeat={repeat}. Choose one that is finished.")
    screen = _screen(None if expression else _panel(folder), list(places))
    read, frame, notes = read_pairs(
        pairs, expression=expression, drugs=None, known=[screen], domain="source", on_unknown=on_unknown
    )
    frame = frame.assign(response=np.float32(0), sensitivity=None)
    unit = ""
    for row in np.unique(read.drug_idx):
        model = load_single_drug(places[read.screen.drugs.ids[row]], form)
        mine = np.flatnonzero(read.drug_idx == row)
        if expression is not None:
            refuse_impossible(read.screen, model.genes, model.seen_range, str(expression))
        response = model.predict(read.screen.cells.expression[read.cell_idx[mine]], read.screen.genes)
        refuse_undefined(f"network of {model.drug_id}", frame.iloc[mine], response)
        frame.loc[mine, "response"] = response
        frame.loc[mine, "sensitivity"] = model.classes(response)
        unit = model.response
    return Predicted(f"single-drug networks, repeat {repeat}", frame, "response", unit, notes, {})


def _panel(folder: Path) -> ResponsePanel:
    """The run's own panel, whose lines can be predicted again."""
    try:
        panel: ResponsePanel = build(RunFolder(folder).buildable_settings()["panel"], "panel")
    except DadspError as error:
        raise LoadError(f"The run's own data cannot be read again: {error} Or give expression=.") from error
    return panel


def _screen(panel: ResponsePanel | None, drug_ids: list[str]) -> Screen:
    """The run's lines, where it is asked for them, and the drugs it has models of, as ``read_pairs`` takes them."""
    nobody = CellLines((), (), (), np.zeros((0, 0), dtype=np.float32))
    unknown = (None,) * len(drug_ids)
    return Screen(
        name=panel.name if panel else "new lines",
        genes=panel.genes if panel else (),
        cells=panel.cells if panel else nobody,
        drugs=Drugs(tuple(drug_ids), tuple(drug_ids), unknown, unknown, unknown),
        responses=Responses.none(),
    )
