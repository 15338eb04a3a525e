"""Predicted against measured test responses of a run on pure noise, genes selected honestly and with test labels.

python experiments/single_drug/noise.py runs/…_single_drug_noise_seed0 --out experiments/single_drug/noise.png
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dadsp.evaluation.figures import BLUE, DPI, LABEL, VERMILION, finish
from dadsp.singledrug.protocol import PREDICTIONS

SCOPES = {
    "train": ("genes selected on training lines", BLUE),
    "all_oracle": ("genes selected on all lines (oracle)", VERMILION),
}


def main() -> None:
    """Draws every test line of every drug and partition."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--method", default="svr")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    table = pd.concat([pd.read_parquet(path) for path in sorted(arguments.run.glob(f"drugs/*/repeat_*/{PREDICTIONS}"))])
    table = table[(table["method"] == arguments.method) & (table["gene_set"] == "selected")]
    figure = Figure(figsize=(8, 4), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, (scope, (heading, colour)) in zip(panels, SCOPES.items(), strict=True):
        part = table[table["selection_scope"] == scope]
        r = np.corrcoef(part["y_true"], part["y_pred"])[0, 1]
        axes.plot(part["y_true"], part["y_pred"], ".", color=colour, alpha=0.6)
        axes.set_title(f"{heading}\nr = {r:.2f}, {len(part)} test lines", fontsize=LABEL)
        axes.set_xlabel("Measured: noise", fontsize=LABEL)
        print(f"{scope}: r = {r:.3f}")
    panels[0].set_ylabel(f"Predicted by {arguments.method}", fontsize=LABEL)
    finish(figure, list(panels), arguments.out)


if __name__ == "__main__":
    main()
