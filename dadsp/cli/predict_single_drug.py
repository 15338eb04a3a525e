"""``dadsp predict`` on a run of ``dadsp single-drug``: response and class of new lines by one network per drug."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from dadsp.cli.configuration import build
from dadsp.data.new_pairs import read_pairs
from dadsp.errors import ConfigError, DadspError, LoadError
from dadsp.files import read_json
from dadsp.schema import CellLines, Drugs, Note, ResponsePanel, Responses, Screen
from dadsp.singledrug.model import load_single_drug
from dadsp.singledrug.protocol import MODEL


class Predicted(NamedTuple):
    """Predicted pairs, ready to be written.

    Attributes:
        system: Who predicted.
        frame: cell_id, drug_id and the predictions.
        column: The column of the predicted response.
        unit: What it is.
        notes: What was left out.
    """

    system: str
    frame: pd.DataFrame
    column: str
    unit: str
    notes: tuple[Note, ...]


def predict_single_drug(config: DictConfig, folder: Path) -> Predicted:
    """Response and class of the pairs by the networks of one repeat."""
    if config.drugs:
        raise ConfigError("drugs has no use here: a single-drug network knows its own drug alone. Leave it out.")
    if not isinstance(config.repeat, int):
        raise ConfigError(f"repeat={config.repeat!r} is not valid. Give the number of a partition, from 0 on.")
    places = {
        read_json(path)["drug_id"]: path.parent for path in folder.glob(f"drugs/*/repeat_{config.repeat}/{MODEL}/model.json")
    }
    if not places:
        raise LoadError(f"{folder} holds no model of repeat={config.repeat}. Choose one that is finished.")
    expression = Path(config.expression) if config.expression else None
    screen = _screen(None if expression else _panel(folder), list(places))
    pairs, frame, notes = read_pairs(
        Path(config.pairs),
        expression=expression,
        drugs=None,
        known=[screen],
        domain="source",
        on_unknown=config.on_unknown,
    )
    frame = frame.assign(response=np.float32(0), sensitivity=None)
    unit = ""
    for row in np.unique(pairs.drug_idx):
        model = load_single_drug(places[pairs.screen.drugs.ids[row]], config.form)
        mine = np.flatnonzero(pairs.drug_idx == row)
        response = model.predict(pairs.screen.cells.expression[pairs.cell_idx[mine]], pairs.screen.genes)
        frame.loc[mine, "response"] = response
        frame.loc[mine, "sensitivity"] = model.classes(response)
        unit = model.response
    return Predicted(f"single-drug networks, repeat {config.repeat}", frame, "response", unit, notes)


def _panel(folder: Path) -> ResponsePanel:
    """The run's own panel, whose lines can be predicted again."""
    try:
        config: Any = OmegaConf.load(folder / "config.yaml")
        panel: ResponsePanel = build(config.panel, "panel")
    except DadspError as error:
        raise LoadError(f"The run's own data cannot be read again: {error} Or give expression=.") from error
    except Exception as error:  # absent, unreadable, or no YAML: each has its own class
        raise LoadError(f"{folder / 'config.yaml'} cannot be read ({error}). Give expression= instead.") from error
    return panel


def _screen(panel: ResponsePanel | None, drug_ids: list[str]) -> Screen:
    """The run's lines, where it is asked for them, and the drugs it has models of, as ``read_pairs`` takes them."""
    nobody = CellLines((), (), (), np.zeros((0, 0), dtype=np.float32))
    unknown = (None,) * len(drug_ids)
    none = np.zeros(0, dtype=np.int64)
    return Screen(
        name=panel.name if panel else "new lines",
        genes=panel.genes if panel else (),
        cells=panel.cells if panel else nobody,
        drugs=Drugs(tuple(drug_ids), tuple(drug_ids), unknown, unknown, unknown),
        responses=Responses(none, none, none.astype(np.float32), none.astype(bool)),
    )
