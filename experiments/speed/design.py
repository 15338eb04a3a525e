"""How long it takes to choose pairs to measure: 300 of 350 lines × 200 drugs, on one thread, beside the dense textbook way.

The dense way keeps the covariance of all pairs and conditions it on each choice; it is tried on a grid that it can hold
(n pairs squared), where each step costs n².

    OMP_NUM_THREADS=1 python experiments/speed/design.py
"""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

import dadsp
from dadsp.analysis.design import errors_of
from dadsp.analysis.greedy_design import Errors, choose
from dadsp.schema import Study

SIZES = {"n_genes": 634, "n_source_cells": 900, "n_target_cells": 350, "n_source_drugs": 200, "n_target_drugs": 200}
SHARED = {"n_shared_cells": 200, "n_shared_drugs": 120}


def model_of(study: Study) -> Any:
    """A fitted process."""
    return dadsp.model("pairwise_gp").fit(study, dadsp.split(study))


def dense(errors: Errors, rows: NDArray[np.int64], budget: int) -> list[int]:
    """Greedy choice among some pairs on their dense covariance."""
    columns = [errors.with_pair(*divmod(int(row), errors.shape[1])).ravel()[rows] for row in rows]
    left, noise, chosen = np.stack(columns), errors.variances.noise, list[int]()
    for _ in range(budget):
        gains = (left**2).sum(axis=0) / (np.diag(left) + noise)
        gains[chosen] = -np.inf
        best = int(np.argmax(gains))
        chosen.append(best)
        left = left - np.outer(left[best], left[best]) / (left[best, best] + noise)
    return chosen


def main() -> None:
    """Prints seconds."""
    overrides = [f"data.{name}={value}" for name, value in (SIZES | SHARED).items()]
    study = dadsp.load_study("data=simulated", *overrides)
    model = model_of(study)
    errors, _ = errors_of(model, study.target, "target")
    print(f"{errors.shape[0]} lines × {errors.shape[1]} drugs, {errors.shape[0] * errors.shape[1]:,} pairs")
    everything = np.ones(errors.shape, dtype=bool)
    for budget in (30, 300):
        start = time.process_time()
        found = choose(errors, everything, np.ones(errors.shape), budget)
        print(f"{budget} pairs: {time.process_time() - start:.1f} s of CPU, of {len(set(found.line.tolist()))} lines")
    n = 2000
    rows = np.sort(np.random.default_rng(0).choice(everything.size, n, replace=False))
    start = time.process_time()
    dense(errors, rows, 30)
    taken = time.process_time() - start
    whole = 8 * everything.size**2 / 2**30
    print(f"dense, {n:,} pairs, 30 choices: {taken:.1f} s; {everything.size:,} pairs would take {whole:.0f} GiB")


if __name__ == "__main__":
    main()
