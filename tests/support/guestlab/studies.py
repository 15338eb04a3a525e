"""A study and a panel, from the simulator."""

from typing import Any

from dadsp.data.sources.simulated import simulated_panel, simulated_study
from dadsp.schema import ResponsePanel, Study

SMALL: dict[str, Any] = {"n_genes": 60, "n_pathways": 6, "n_tissues": 4, "n_source_cells": 40, "n_target_cells": 24}


def two_plates(seed: int) -> Study:
    """A pair of small screens."""
    shared: dict[str, Any] = {"n_shared_cells": 14, "n_source_drugs": 12, "n_target_drugs": 6, "n_shared_drugs": 4}
    return simulated_study(seed=seed, **SMALL, **shared)


def one_plate(seed: int) -> ResponsePanel:
    """One small screen of two drugs."""
    shared: dict[str, Any] = {"n_shared_cells": 0, "n_source_drugs": 2, "n_target_drugs": 2, "n_shared_drugs": 0}
    return simulated_panel(seed=seed, **SMALL | shared)
