"""Folders as ``dadsp train`` leaves them, written without training."""

import json
from pathlib import Path

import numpy as np
import yaml

from dadsp.evaluation.metrics import evaluate
from dadsp.evaluation.naive_predictions import naive_frame
from dadsp.evaluation.report import Row, comparison, to_json
from dadsp.runs.folder import NAIVE
from dadsp.schema import PredictionTable
from tests.support.comparisons import table

SYSTEM, MEAN, ORACLE = "mine", "source mean", "oracle target drug mean"


def naive_of(system: PredictionTable) -> dict[str, PredictionTable]:
    """Two naive rows over the pairs of a system."""
    frame = system.frame
    by_drug = frame.groupby("drug_id")["y_true"].transform("mean").astype(np.float32).astype(np.float64)
    return {
        MEAN: PredictionTable(frame.assign(y_pred=float(np.float32(frame["y_true"].mean() + 0.1)))),
        ORACLE: PredictionTable(frame.assign(y_pred=by_drug)),
    }


def rows_of(system: PredictionTable) -> list[Row]:
    """The system and its naive rows, scored."""
    kept = naive_of(system)
    return [
        Row(SYSTEM, "model", evaluate(system), r_interval=(0.1, 0.6)),
        Row(MEAN, "naive_source", evaluate(kept[MEAN]), note="all pairs alike"),
        Row(ORACLE, "naive_oracle", evaluate(kept[ORACLE])),
    ]


def write_run(folder: Path, *, seed: int = 0, naive: bool = True, error: float = 0.4) -> PredictionTable:
    """Writes a finished run of one system; without ``naive`` as versions that kept no naive predictions did.

    Returns:
        Its test predictions.
    """
    folder.mkdir(parents=True)
    system = table(error, seed)
    rows = rows_of(system)
    facts = {"system": SYSTEM, "seed": seed, "command": "dadsp train", "data_hash": "0" * 32, "split": "cross_screen"}
    config = {"model": {"_target_": "x.Mine", "depth": 2}, "data": {}, "split": {}, "seed": seed}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    parts = {"train_idx": [0, 1, 2], "val_idx": [3], "test_idx": list(range(len(system))), "adapt_cell_idx": [0]}
    (folder / "split.json").write_text(json.dumps({"kind": "cross_screen", **parts}))
    system.frame.to_parquet(folder / "predictions.parquet", index=False)
    if naive:
        naive_frame(naive_of(system)).to_parquet(folder / NAIVE, index=False)
    comparison(rows).to_csv(folder / "comparison.csv", index=False)
    (folder / "metrics.json").write_text(json.dumps({"run": facts, **to_json(rows)}))
    return system
