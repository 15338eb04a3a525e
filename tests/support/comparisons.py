"""Runs of made-up systems, for tests of comparing them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dadsp.evaluation.compare import Run
from dadsp.schema import PredictionTable

N_LINES, N_DRUGS = 12, 8


def table(error: float, seed: int, *, n_lines: int = N_LINES, measured: float = 0.8) -> PredictionTable:
    """Predictions that miss the label by ``error`` or twice that, of a share of the pairs; labels depend on neither."""
    labels = np.random.default_rng(0)
    line, drug = (part.ravel() for part in np.meshgrid(np.arange(n_lines), np.arange(N_DRUGS), indexing="ij"))
    true = labels.normal(-0.3, 0.9, len(line)) + 0.4 * drug
    chosen = labels.random(len(line)) < measured
    random = np.random.default_rng(seed)
    predicted = true + error * random.choice([-2.0, -1.0, 1.0, 2.0], len(line))
    frame = pd.DataFrame(
        {
            "cell_id": np.char.add("L", line.astype(str)),
            "drug_id": np.char.add("D", drug.astype(str)),
            "domain": "target",
            "split": "test",
            "y_true": true,
            "y_pred": predicted,
            "censored": False,
            "cell_seen": line % 2 == 0,
            "drug_seen": drug < 5,
            "pair_seen": (line % 2 == 0) & (drug < 5),
        }
    )
    return PredictionTable(frame[chosen])


def runs_of(system: str, error: float, seeds: Sequence[int] = (0, 1, 2), *, saw_target_labels: bool = False) -> list[Run]:
    """One run for each seed."""
    first = round(1000 * error)
    return [Run(system, f"seed {seed}", saw_target_labels, table(error, first + seed)) for seed in seeds]
