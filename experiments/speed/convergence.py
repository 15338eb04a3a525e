"""Source-validation RMSE against epochs and seconds, and the final target scores, of ways to batch and step.

Each run is a whole ``dadsp train`` without tracking: the same study, split, planned epochs and λ ramp; no early stop, so
that curves are comparable. Runs share the machine one thread each; read seconds as ratios within one file.

    python experiments/speed/convergence.py --data gdsc_ccle_panel --grid shapes --seeds 0 1 2 --jobs 2 \\
        --out experiments/speed/convergence_panel.csv
"""

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from dadsp.configuration.compose import build, compose
from dadsp.errors import DivergenceError
from dadsp.files import write_atomically
from dadsp.models.base import FitContext, predict_split
from dadsp.provenance import environment_tags
from dadsp.schema import Study


def _blocks(lines: int, drugs: int | str, rate: float) -> list[str]:
    shape = [f"trainer.block_lines={lines}", f"trainer.block_drugs={drugs}", "trainer.min_blocks=1"]
    return [*shape, f"trainer.learning_rate={rate}"]


GRIDS: dict[str, dict[str, list[str]]] = {
    "shapes": {
        "32x32 lr 1e-3": _blocks(32, 32, 1e-3),
        "64x64 lr 1e-4": _blocks(64, 64, 1e-4),
        "64x64 lr 1e-3": _blocks(64, 64, 1e-3),
        "64x64 lr 4e-3": _blocks(64, 64, 4e-3),
        "16xall lr 1e-3": _blocks(16, "null", 1e-3),
        "16xall lr 2e-3": _blocks(16, "null", 2e-3),
        "64x64 lr 1e-3 relu": [*_blocks(64, 64, 1e-3), "model.encoder_activation=relu"],
    },
    "default": {"default": []},
    "plain": {
        "plain path": ["trainer=pairs", "model.input_basis=genes"],
        "default": [],
    },
    "basis": {
        "64x64 rowspace": ["model.input_basis=rowspace"],
        "64x64 genes": ["model.input_basis=genes"],
    },
}


@lru_cache(maxsize=1)
def _study(data: str) -> Study:
    study: Study = build(compose("config", [f"data={data}"]).data, "data")
    return study


def run_one(data: str, variant: str, overrides: list[str], seed: int, threads: int) -> list[dict[str, Any]]:
    """One row an epoch; the last one also holds the target scores of the kept weights."""
    torch.set_num_threads(threads)
    config = compose("config", [f"data={data}", f"trainer.threads={threads}", "trainer.patience=null", *overrides])
    study = _study(data)
    split = build(config.split, "split", study=study, seed=seed)
    model = build(config.model, "model")
    start = time.perf_counter()
    rows: list[dict[str, Any]] = []

    def on_epoch(stage: str, epoch: int, metrics: dict[str, float]) -> None:
        nonlocal start
        if "val/source/rmse" in metrics:
            rows.append({"epoch": epoch + 1, "seconds": time.perf_counter() - start, **metrics})
        else:
            start = time.perf_counter()  # the supervised stage begins when pre-training ends

    identity = {"data": data, "variant": variant, "seed": seed, "split_hash": split.content_hash}
    try:
        model.fit(study, split, FitContext(seed, on_epoch=on_epoch))
    except DivergenceError as error:
        return [{**identity, **row} for row in rows] + [{**identity, "epoch": len(rows) + 1, "diverged": str(error)}]
    frame = predict_split(model, study, split, parts=("test",)).frame
    error = (frame["y_pred"] - frame["y_true"]).to_numpy()
    within = frame.groupby("drug_id")[["y_true", "y_pred"]].apply(lambda part: part.corr().iloc[0, 1])
    rows[-1] |= {
        "target_rmse": float(np.sqrt(np.mean(error**2))),
        "target_r2": float(1 - np.sum(error**2) / np.sum((frame["y_true"] - frame["y_true"].mean()) ** 2)),
        "target_r_per_drug": float(within.median()),
        "collapsed": any("collapsed" in epoch for epoch in model.histories["dadsp_a"]),
    }
    return [{**identity, **row} for row in rows]


def _runs(arguments: argparse.Namespace) -> Iterator[tuple[str, str, list[str], int, int]]:
    for seed in arguments.seeds:
        for variant, overrides in GRIDS[arguments.grid].items():
            yield arguments.data, variant, [*overrides, *arguments.overrides], seed, arguments.threads


def main() -> None:
    """Runs the grid and writes the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="gdsc_ccle_panel")
    parser.add_argument("--grid", choices=list(GRIDS), default="shapes")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("overrides", nargs="*", help="further overrides for every run")
    arguments = parser.parse_intermixed_args()
    facts = {
        "data_hash": _study(arguments.data).content_hash,
        "git.sha": environment_tags().get("git.sha", ""),
        "command": " ".join(["python experiments/speed/convergence.py", *sys.argv[1:]]),
    }
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        for finished in as_completed([pool.submit(run_one, *run) for run in _runs(arguments)]):
            rows += finished.result()
            table = pd.DataFrame(rows).sort_values(["variant", "seed", "epoch"], kind="stable").assign(**facts)
            write_atomically(arguments.out, lambda path, table=table: table.round(5).to_csv(path, index=False))
            print({k: v for k, v in rows[-1].items() if k in ("variant", "seed", "epoch", "target_rmse", "diverged")})


if __name__ == "__main__":
    main()
