"""Held-out source RMSE against epochs, and against the seconds that so many epochs take on quiet cores.

The curves come from ``convergence.py``, whose runs shared the machine; seconds per step from ``compare.py``.

    python experiments/speed/convergence_figure.py --data gdsc_ccle_panel --curves experiments/speed/convergence_panel.csv \\
        --steps experiments/speed/results.csv --out experiments/speed/convergence_panel.png
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from dadsp.files import write_atomically

PIPELINE = {"32x32": "+ blocks 32 × 32", "64x64": "+ blocks 64 × 64", "16xall": "+ blocks 16 × all drugs (default)"}


def seconds_per_epoch(steps: pd.DataFrame, n_pairs: float) -> dict[str, float]:
    """Of each shape of ``PIPELINE``: its steps hold so many pairs each, and an epoch holds ``n_pairs``."""
    rows = steps.set_index("pipeline")
    return {shape: n_pairs / rows.loc[name, "pairs_per_s"] for shape, name in PIPELINE.items()}


def main() -> None:
    """Draws the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--curves", type=Path, required=True)
    parser.add_argument("--steps", type=Path, required=True)
    parser.add_argument("--pairs", type=float, default=142_946, help="training pairs in an epoch")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    curves = pd.read_csv(arguments.curves)
    seconds = seconds_per_epoch(pd.read_csv(arguments.steps).query("data == @arguments.data"), arguments.pairs)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for variant, part in curves[~curves["variant"].str.contains("relu")].groupby("variant"):
        score = part.groupby("epoch")["val/source/rmse"].mean()
        axes[0].plot(score.index, score, marker=".", label=variant)
        axes[1].plot(score.index * seconds[str(variant).split()[0]], score, marker=".", label=variant)
    axes[0].set(xlabel="epoch", ylabel="RMSE of held-out source lines", ylim=(0.42, 0.52))
    axes[1].set(xlabel="seconds of training, two quiet cores")
    axes[1].legend(frameon=False, fontsize=8)
    write_atomically(arguments.out, lambda path: figure.savefig(path, format="png", dpi=120))


if __name__ == "__main__":
    main()
