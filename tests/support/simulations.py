"""Simulated screens by the name of their configuration."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from dadsp.data.sources.simulated import simulated_screens
from dadsp.data.sources.simulation import Simulation
from dadsp.schema import Screen

CONF = Path(__file__).resolve().parents[2] / "conf" / "data"


def config(name: str) -> dict[str, Any]:
    """The settings of a data config; the others are merged over ``simulated`` as their defaults list says."""
    settings = plain(name)
    if name != "simulated":
        assert settings.pop("defaults") == ["simulated", "_self_"]
        settings = plain("simulated") | settings
    assert settings.pop("_target_") == "dadsp.data.sources.simulated.simulated_study"
    return settings


def plain(name: str) -> dict[str, Any]:
    settings = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def simulation(name: str, **changes: Any) -> Simulation:
    settings = config(name) | changes
    del settings["label_cap"]
    return Simulation(**settings)


@cache
def screens(name: str, **changes: Any) -> tuple[Screen, Screen]:
    return simulated_screens(simulation(name, **changes))


def grid(screen: Screen, values: NDArray[Any]) -> NDArray[np.float64]:
    """One value per response as a (cells, drugs) matrix, NaN where unmeasured."""
    table = np.full((len(screen.cells), len(screen.drugs)), np.nan)
    table[screen.responses.cell_idx, screen.responses.drug_idx] = values
    return table


def overlap(source: Screen, target: Screen) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the shared lines and of the shared drugs in (source, target), each of shape (2, n)."""
    found = []
    for left, right in (
        (source.cells.link_ids, target.cells.link_ids),
        (source.drugs.structure_keys, target.drugs.structure_keys),
    ):
        row_of = {key: row for row, key in enumerate(left)}
        found.append(np.array([(row_of[key], row) for row, key in enumerate(right) if key in row_of]).T)
    return found[0], found[1]
