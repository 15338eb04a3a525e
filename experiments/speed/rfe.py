"""Times dadsp's SVR-RFE against scikit-learn's RFE(SVR(kernel="linear")), one after the other in one process.

python experiments/speed/rfe.py --lines 400 --genes 20000 --out experiments/speed/rfe.csv
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from numpy.typing import NDArray
from sklearn.feature_selection import RFE
from sklearn.svm import SVR

from dadsp.files import write_atomically
from dadsp.provenance import environment_tags
from dadsp.singledrug.selection import SvrRfe


class TimedRfe(SvrRfe):
    """Adds up the seconds and rounds spent in the SVR's solver."""

    dual_s = 0.0
    rounds = 0

    def _dual(self, gram: NDArray[np.float64], response: NDArray[np.float64]) -> NDArray[np.float64]:
        start = time.perf_counter()
        dual = super()._dual(gram, response)
        self.dual_s += time.perf_counter() - start
        self.rounds += 1
        return dual


def seconds(selector: Any, expression: NDArray[np.float64], response: NDArray[np.float64]) -> float:
    """Of one fit."""
    start = time.perf_counter()
    selector.fit(expression, response)
    return time.perf_counter() - start


def main() -> None:
    """Times both and prints the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=400)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--keep", type=int, default=1000)
    parser.add_argument("--step", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=2, help="the faster of so many rounds counts, for each")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    expression = rng.random((arguments.lines, arguments.genes))
    response = expression[:, :20].sum(axis=1) + rng.normal(size=arguments.lines)

    by_gene = np.ascontiguousarray(expression.T)
    start = time.perf_counter()
    by_gene.T @ by_gene
    gram_s = time.perf_counter() - start
    rounds = []
    for _ in range(arguments.rounds):
        ours = TimedRfe(arguments.keep, arguments.step)
        theirs = RFE(SVR(kernel="linear", epsilon=0.1), n_features_to_select=arguments.keep, step=arguments.step)
        rounds.append(
            {
                "dadsp_s": seconds(ours, expression, response),
                "dual_s": ours.dual_s,
                "sklearn_s": seconds(theirs, expression, response),
            }
        )
    best = {name: min(row[name] for row in rounds) for name in rounds[0]}
    row = {
        "lines": arguments.lines,
        "genes": arguments.genes,
        "keep": arguments.keep,
        "step": arguments.step,
        **best,
        "ratio": best["sklearn_s"] / best["dadsp_s"],
        "same_genes": int((ours.support_ & theirs.support_).sum()),
        "same_ranking": bool(np.array_equal(ours.ranking_, theirs.ranking_)),
        "rounds": ours.rounds,
        "gram_s": gram_s,
        "command": f"python experiments/speed/rfe.py --lines {arguments.lines} --genes {arguments.genes} "
        f"--keep {arguments.keep} --step {arguments.step} --seed {arguments.seed} --rounds {arguments.rounds}",
        "git.sha": environment_tags().get("git.sha", ""),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS", ""),
        "scikit-learn": sklearn.__version__,
    }
    table = pd.DataFrame([row]).round(3)
    print(table.drop(columns="command").to_string(index=False))
    if arguments.out:
        write_atomically(arguments.out, lambda path: table.to_csv(path, index=False))


if __name__ == "__main__":
    main()
