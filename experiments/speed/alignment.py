"""Seconds and memory of every alignment at 16,017 genes: 914 source lines, 504 target lines, 326 or 504 of them shared.

Each runs in a process of its own on one thread, on random lines of a hundred factors. Seconds are of fitting (reading the
lines is not counted) and of transforming both screens once; the peak is the process's resident memory above what it was with
the lines in memory.

    python experiments/speed/alignment.py [--out experiments/speed/alignment.csv]
"""

import argparse
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from dadsp.configuration.compose import build, compose
from dadsp.data.alignment.base import AlignmentLines

N_SOURCE, N_TARGET, N_GENES, N_FACTORS = 914, 504, 16_017, 100
CASES = [(kind, 326) for kind in ("zscore", "rank", "quantile", "coral", "bridge", "combat")] + [("bridge", 504)]


def lines(n_shared: int) -> AlignmentLines:
    """Lines of a hundred factors, the target's genes shifted, stretched and noisier."""
    random = np.random.default_rng(0)
    loadings = random.normal(size=(N_FACTORS, N_GENES)).astype(np.float32)
    factors = random.normal(size=(N_SOURCE + N_TARGET - n_shared, N_FACTORS)).astype(np.float32)

    def measured(rows: np.ndarray, noise: float) -> np.ndarray:
        return factors[rows] @ loadings + noise * random.standard_normal((len(rows), N_GENES), dtype=np.float32)

    source = measured(np.arange(N_SOURCE), 5)
    target = 2 * measured(np.arange(N_SOURCE - n_shared, len(factors)), 8) + 3
    shared = np.arange(n_shared)
    return AlignmentLines(
        source=source,
        target=target,
        shared_source=source[N_SOURCE - n_shared + shared],
        shared_target=target[shared],
        shared_line=shared,
        across=True,
    )


def measure(kind: str, n_shared: int) -> dict[str, object]:
    """One row of the table."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        known = lines(n_shared)
        before = peak_mib()
        alignment = build(compose("config", [f"alignment={kind}"]).alignment, "alignment")
        start = time.perf_counter()
        fitted = alignment.fit(known)
        fit = time.perf_counter() - start
        for expression, domain in ((known.source, "source"), (known.target, "target")):
            fitted.transform(expression, domain)
        total = time.perf_counter() - start
    saved = sum(array.nbytes for array in fitted.arrays().values()) / 2**20
    return {
        "alignment": kind,
        "n_shared": n_shared,
        "fit_s": round(fit, 2),
        "transform_s": round(total - fit, 2),
        "peak_mib": round(peak_mib() - before),
        "saved_mib": round(saved, 1),
        "penalty": fitted.stated.get("penalty"),
    }


def peak_mib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("alignment.csv"))
    out = parser.parse_args().out
    rows = []
    for case in CASES:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            rows.append(pool.submit(measure, *case).result())
        print(rows[-1], flush=True)
    pd.DataFrame(rows).to_csv(out, index=False)


if __name__ == "__main__":
    main()
