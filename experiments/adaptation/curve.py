"""Target scores against the adversary's weight, for each size of the planted shift.

python experiments/adaptation/curve.py experiments/adaptation/results.csv --out experiments/adaptation/curve.png
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from dadsp.files import write_atomically

SCORES = {"rmse": "RMSE, −log10 IC50(µM)", "median_drug_pearson": "r per drug (median over drugs)"}


def differences(results: pd.DataFrame, score: str) -> pd.DataFrame:
    """Score minus that of weight 0 on the same data, paired by seed: mean and half width of a 95 % t interval."""
    scores = results.pivot_table(index=["batch_sd", "seed"], columns="weight", values=score)
    paired = scores.drop(columns=0.0).sub(scores[0.0], axis=0)
    grouped = paired.melt(ignore_index=False).groupby(["batch_sd", "weight"])["value"]
    half = grouped.sem() * stats.t.ppf(0.975, grouped.count() - 1)
    return pd.DataFrame({"mean": grouped.mean(), "half": half}).reset_index()


def main() -> None:
    """Prints the paired differences and draws the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    results = pd.read_csv(arguments.results).query("kind == 'model'")
    results = results.assign(
        weight=results["system"].str.extract(r"weight (\S+)", expand=False).astype(float),
        batch_sd=results["command"].str.extract(r"batch_sd=(\S+)", expand=False).astype(float),
    )
    figure, axes = plt.subplots(1, len(SCORES), figsize=(9, 3.6), layout="constrained")
    for axis, (score, label) in zip(axes, SCORES.items(), strict=True):
        print(f"\n{label}, minus that of weight 0\n{differences(results, score).round(3).to_string(index=False)}")
        weights = np.sort(results["weight"].unique())
        for shift, part in results.groupby("batch_sd"):
            by_weight = part.groupby("weight")[score]
            axis.errorbar(range(len(weights)), by_weight.mean(), by_weight.std(), marker="o", capsize=3, label=f"{shift:g}")
        axis.set_xticks(range(len(weights)), [f"{weight:g}" for weight in weights])
        axis.set(xlabel="adversarial weight", ylabel=label)
    axes[1].legend(title="size of the shift (log2)", frameon=False)
    write_atomically(arguments.out, lambda path: figure.savefig(path, format="png", dpi=120))


if __name__ == "__main__":
    main()
