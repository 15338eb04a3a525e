"""How far two assays lie apart: what GDSC1 and GDSC2 say of pairs that both measured. No target screen is read.

For every drug that both measured in 20 lines or more: the mean difference of the labels (−log10 IC50 µM, clipped at 8 µM)
and the spread of the differences about it. Half the variance of that spread is one label's noise. The ratio of the variance
of the drugs' means to that noise is what ``dadsp.models.calibrated.PRIORS`` guesses of an unknown assay.

    python experiments/few_labels/assays.py
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "transfer"))

from choices import read

from dadsp.configuration.compose import compose
from dadsp.schema import Screen

FEWEST = 20


def labels(screen: Screen) -> "pd.Series[float]":
    """Labels by line and structure."""
    responses = screen.responses
    keys = [np.array(names, dtype=object)[rows] for names, rows in
            ((screen.line_keys, responses.cell_idx), (screen.drug_keys, responses.drug_idx))]  # fmt: skip
    return pd.Series(responses.potency.astype(float), pd.MultiIndex.from_arrays(keys)).groupby(level=[0, 1]).mean()


def main() -> None:
    """Prints what was found."""
    root = Path(str(compose("config", ["data=gdsc12_ccle"]).data.root))
    one, other = (labels(read(name, root)) for name in ("gdsc2", "gdsc1"))
    gaps = (one - other).dropna()
    of_drug = gaps.groupby(level=1).agg(["mean", "var", "size"])
    of_drug = of_drug[of_drug["size"] >= FEWEST]
    noise = float(of_drug["var"].mean() / 2)
    # The mean of n differences has itself a variance of 2·noise/n.
    drug = float(of_drug["mean"].var() - (of_drug["var"] / of_drug["size"]).mean())
    assay = float(of_drug["mean"].mean() ** 2)
    print(
        f"{len(of_drug)} drugs, {len(gaps):,} pairs; variance of a label's noise {noise:.3f}, of drugs' offsets {drug:.3f} "
        f"(ratio {drug / noise:.2f}), assay {assay:.4f} (ratio {assay / noise:.2f})"
    )


if __name__ == "__main__":
    main()
