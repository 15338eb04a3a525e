"""Seconds and memory of the pairwise Gaussian process: on the panels, at the paper's size, and growing to 2,000 × 2,000.

python experiments/speed/pairwise_gp.py --out experiments/speed/pairwise_gp.csv
DADSP_REAL_DATA names the folder of real screens; without it the panels are left out.

The textbook way, a Cholesky factor of the covariance of all training pairs, is timed beside it where it is possible.
Processor seconds of one thread are given, since other work on the machine disturbs those less than seconds of the clock.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve

from dadsp.files import write_atomically
from dadsp.models.kernels.similarity import PairSystem

GRIDS = ((40, 25), (80, 50), (100, 100), (250, 250), (500, 500), (1000, 1000), (2000, 2000))
MOST_PAIRS = 9_000  # of the textbook way: 0.6 GB of covariance
PANELS = ("gdsc_ccle_panel", "gdsc12_ccle", "gdsc12_ctrp")


def kernel(n: int, seed: int) -> np.ndarray:
    """A covariance with the decaying spectrum of real similarities, and 1 on the diagonal's idiosyncratic part."""
    rows = np.random.default_rng(seed).normal(size=(n, 60))
    return rows @ rows.T / 60 + np.eye(n)


def grow() -> list[dict[str, object]]:
    """One row per size of grid, 80 % of it measured."""
    rows = []
    for n_lines, n_drugs in GRIDS:
        random = np.random.default_rng(0)
        measured = random.random((n_lines, n_drugs)) < 0.8
        labels = random.normal(size=measured.shape)
        system = PairSystem(kernel(n_lines, 1), kernel(n_drugs, 2), measured, 1.0)
        begin = time.process_time()
        weights, steps = system.solve(labels)
        seconds = time.process_time() - begin
        row: dict[str, object] = {
            "what": f"{n_lines} × {n_drugs}",
            "pairs": int(measured.sum()),
            "cpu_s": seconds,
            "steps": steps,
        }
        if measured.sum() <= MOST_PAIRS:
            line, drug = np.nonzero(measured)
            begin = time.process_time()
            covariance = system.lines[np.ix_(line, line)] * system.drugs[np.ix_(drug, drug)]
            covariance[np.diag_indices(len(line))] += 1.0
            dense = cho_solve(cho_factor(covariance, overwrite_a=True), labels[measured])
            row["textbook_cpu_s"] = time.process_time() - begin
            row["largest_difference"] = float(np.abs(dense - weights[measured]).max() / np.abs(dense).max())
        rows.append(row)
        print(row, flush=True)
    return rows


def panel(data: str) -> dict[str, object]:
    """Fit, predict and peak memory on one study, in a process of its own."""
    code = f"""
import resource, time
from dadsp.data.alignment.bridge import Auto
from dadsp.api import load_study
from dadsp.models.base import predict_split
from dadsp.models.systems.pairwise_gp import PairwiseGp
from dadsp.schema import Pairs
from dadsp.splits.cross_screen import cross_screen
study = load_study("data={data}")
split = cross_screen(study, seed=0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begin = time.process_time()
model = PairwiseGp(alignment=Auto(), training={{"threads": 1}}).fit(study, split)
fitted = time.process_time()
tested = study.target.responses.take(split.test_idx)
model.predict(Pairs(study.target, "target", tested.cell_idx, tested.drug_idx))
ended = time.process_time()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(split.train_idx) + len(split.val_idx), fitted - begin, ended - fitted, (peak - before) / 1024, peak / 1024)
"""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    pairs, fit, predict, more, peak = said.split()[-5:]
    row = {"what": data, "pairs": int(pairs), "fit_cpu_s": float(fit), "predict_cpu_s": float(predict)}
    row |= {"cpu_s": float(fit) + float(predict), "more_mib": float(more), "peak_mib": float(peak)}
    print(row, flush=True)
    return row


def main() -> None:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    known = [*(PANELS if os.environ.get("DADSP_REAL_DATA") else ()), "simulated", "simulated_paper"]
    frame = pd.DataFrame([*map(panel, known), *grow()])
    numbers = frame.select_dtypes("float").columns
    frame[numbers] = frame[numbers].round(4)
    write_atomically(out, lambda path: frame.to_csv(path, index=False))
    print(f"peak of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
