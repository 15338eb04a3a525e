"""Error against size of compressed single-drug networks, on simulated lines.

One network per drug and architecture is trained on half of the lines; a fifth chooses epochs and widths, and the remaining
30 %, which neither training nor compression sees, give the errors. Drugs are those whose responses vary most.

python experiments/single_drug/compression.py --out experiments/single_drug/compression.csv
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from dadsp.data.sources.simulated import simulated_study
from dadsp.files import write_atomically
from dadsp.models.base import FitContext
from dadsp.schema import FloatArray, Screen
from dadsp.seeding import derive_seed
from dadsp.singledrug.codec import layer_ends
from dadsp.singledrug.compression import CompressionOptions, compression_curve
from dadsp.singledrug.fitting import fit_network
from dadsp.singledrug.network import NetworkOptions
from dadsp.tracking import environment_tags

SPARSITIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)
BITS = (2, 3, 4, 5)

Part = tuple[FloatArray, FloatArray]


def simulated_screen(seed: int) -> Screen:
    """500 lines, 60 drugs and 1,000 genes, as many as the paper selects."""
    return simulated_study(
        seed=seed,
        n_genes=1000,
        n_source_cells=500,
        n_target_cells=60,
        n_shared_cells=30,
        n_source_drugs=60,
        n_target_drugs=8,
        n_shared_drugs=4,
    ).source


def parts(screen: Screen, drug: int, seed: int) -> tuple[Part, Part, Part]:
    """Scaled expression and responses of training, validation and test lines."""
    measured = np.flatnonzero(screen.responses.drug_idx == drug)
    order = np.random.default_rng(derive_seed(seed, "lines", drug)).permutation(measured)
    rows = np.split(order, [round(0.5 * len(order)), round(0.7 * len(order))])
    expression = [screen.cells.expression[screen.responses.cell_idx[part]] for part in rows]
    low, high = expression[0].min(axis=0), expression[0].max(axis=0)
    train, val, test = (
        (((x - low) / (high - low)).astype(np.float32), screen.responses.potency[part])
        for x, part in zip(expression, rows, strict=True)
    )
    return train, val, test


def main() -> None:
    """Prints the mean over drugs and writes every point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drugs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    screen, context = simulated_screen(arguments.seed), FitContext(seed=arguments.seed)
    spread = pd.Series(screen.responses.potency).groupby(screen.responses.drug_idx).std()
    rows = []
    for drug in spread.nlargest(arguments.drugs).index:
        train, val, test = parts(screen, drug, arguments.seed)
        for architecture in ("fixed", "growth"):
            network = fit_network(*train, *val, NetworkOptions(architecture), context)
            mse = float(np.mean((network.predict(test[0]) - test[1]) ** 2))
            facts = {
                "architecture": architecture,
                "drug": screen.drugs.ids[drug],
                "widths": "-".join(map(str, network.network.widths)),
                "n_weights": layer_ends(network.network.n_inputs, network.network.widths)[-1],
                "uncompressed_bytes": network.size_bytes,
                "uncompressed_mse": mse,
                "uncompressed_r2": 1 - mse / np.var(test[1]),
            }
            points = compression_curve(network, (*train, *val), test, SPARSITIES, BITS, CompressionOptions(), context)
            rows += [facts | asdict(point) for point in points]
            print(facts, flush=True)
    table = pd.DataFrame(rows).round(4)
    means = table.groupby(["architecture", "sparsity", "bits"])[["ratio", "mse_change"]].agg(["mean", "min", "max"])
    print(means.round(3).to_string())
    if arguments.out:
        command = f"python experiments/single_drug/compression.py --drugs {arguments.drugs} --seed {arguments.seed}"
        table = table.assign(seed=arguments.seed, command=command, **{"git.sha": environment_tags().get("git.sha", "")})
        write_atomically(arguments.out, lambda path: table.to_csv(path, index=False))


if __name__ == "__main__":
    main()
