"""``dadsp predict`` on a run of ``dadsp single-drug``: response and class of new lines by one network per drug."""

from pathlib import Path

import numpy as np

from dadsp.cli.finished_run import read_config
from dadsp.configuration.compose import build
from dadsp.data.new_pairs import OnUnknown, read_pairs, refuse_impossible
from dadsp.data.tables import Frame
from dadsp.errors import ConfigError, DadspError, LoadError
from dadsp.models.prediction import Predicted, refuse_undefined
from dadsp.options import check_choice
from dadsp.schema import CellLines, Drugs, ResponsePanel, Responses, Screen
from dadsp.singledrug.model import Form, drug_of, load_single_drug
from dadsp.singledrug.protocol import MODEL


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
    return Predicted(f"single-drug networks, repeat {repeat}", frame, "response", unit, notes)


def _panel(folder: Path) -> ResponsePanel:
    """The run's own panel, whose lines can be predicted again."""
    try:
        config = read_config(folder)
        panel: ResponsePanel = build(config.panel, "panel")
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
