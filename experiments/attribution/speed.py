"""Times integrated gradients of one drug in many lines: captum pair by pair, captum over all lines, and dadsp.

The textbook way calls captum for each pair over the genes, and its function runs the whole network, drug branch included.
All three take the same steps from the same baseline, one thread, fresh weights of the default widths. CPU seconds count,
since they hardly depend on what else the machine does; the ways take turns and the fastest of so many rounds counts.

python experiments/attribution/speed.py --genes 634 16017 --out experiments/attribution/speed.csv
"""

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from dadsp.analysis.attribution import AttributionOptions, attribute_genes
from dadsp.data.scaling import LabelScaler
from dadsp.drugs.morgan import Morgan
from dadsp.files import write_atomically
from dadsp.models.networks.potency_function import PotencyFunction
from dadsp.nets.dadsp_network import DadspNetwork
from dadsp.provenance import environment_tags
from dadsp.schema import CellLines, Drugs, FloatArray, Pairs, Responses, Screen

SMILES = "CC(=O)Oc1ccccc1C(=O)O"


def fresh_function(n_genes: int, n_lines: int) -> PotencyFunction:
    """The default network of DADSP-A without discriminator."""
    torch.manual_seed(0)
    network = DadspNetwork(
        n_genes,
        256,
        encoder_widths=(2048, 1024, 512),
        drug_widths=(256, 256),
        regressor_widths=(256, 128, 64),
        discriminator_widths=None,
        activation="relu",
        encoder_activation="sigmoid",
    )
    features = Morgan()
    row = torch.from_numpy(features([SMILES], ["drug"]))
    share = np.ones(n_lines, dtype=np.float32)
    return PotencyFunction(network, network.encoder, lambda raw: raw, LabelScaler(-5.0, 5.0), features, row, share)


def simulated_pairs(n_genes: int, n_lines: int) -> Pairs:
    """Lines of noise and one drug."""
    expression = np.random.default_rng(0).normal(size=(n_lines, n_genes)).astype(np.float32)
    unknown, none = (None,) * n_lines, np.zeros(0, dtype=np.int64)
    cells = CellLines(tuple(f"L{row}" for row in range(n_lines)), unknown, unknown, expression)
    drugs = Drugs(("D",), ("drug",), (SMILES,), (None,), (None,))
    responses = Responses(none, none, none.astype(np.float32), none.astype(bool))
    screen = Screen("noise", tuple(f"G{row}" for row in range(n_genes)), cells, drugs, responses)
    return Pairs(screen, "source", np.arange(n_lines), np.zeros(n_lines, dtype=np.int64))


def textbook(function: PotencyFunction, pairs: Pairs, options: AttributionOptions, *, at_once: int) -> FloatArray:
    """captum over the genes, ``at_once`` lines in a call."""

    def potency(scaled: Tensor) -> Tensor:
        drugs = function.network.drug_branch(function.drug_row.expand(len(scaled), -1))
        rows = torch.arange(len(scaled))
        predicted = function.network.regress(function.encoder(scaled), rows, drugs, rows)
        return predicted * (function.labels.high - function.labels.low) + function.labels.low

    method = IntegratedGradients(potency)
    lines = torch.from_numpy(pairs.screen.cells.expression)
    size = max(options.internal_batch, at_once)
    parts = [
        method.attribute(some, baselines=0.0, n_steps=options.steps, internal_batch_size=size)
        for some in lines.split(at_once)
    ]
    values: FloatArray = torch.cat(parts).float().numpy()
    return values


def main() -> None:
    """Times the three ways for each number of genes and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genes", type=int, nargs="+", default=[634, 16017])
    parser.add_argument("--lines", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    n_lines = arguments.lines
    rows = []
    for n_genes in arguments.genes:
        options = AttributionOptions(tolerance=1.0)  # the same steps for all
        function, pairs = fresh_function(n_genes, n_lines), simulated_pairs(n_genes, n_lines)
        ways: dict[str, Callable[[], FloatArray]] = {
            "dadsp": lambda f=function, p=pairs, o=options: attribute_genes([f], p, p.screen.genes, "zero", o).values,
            "captum, all lines": lambda f=function, p=pairs, o=options: textbook(f, p, o, at_once=n_lines),
            "captum, pair by pair": lambda f=function, p=pairs, o=options: textbook(f, p, o, at_once=1),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        found: dict[str, FloatArray] = {}
        for _ in range(arguments.rounds):
            for name, way in ways.items():
                start = time.process_time()
                found[name] = way()
                seconds[name].append(time.process_time() - start)
        for name in ways:
            difference = float(np.abs(found[name] - found["dadsp"]).max() / np.abs(found["dadsp"]).max())
            rows.append(
                {
                    "genes": n_genes,
                    "lines": n_lines,
                    "steps": options.steps,
                    "way": name,
                    "cpu_seconds": round(min(seconds[name]), 3),
                    "times_dadsp": round(min(seconds[name]) / min(seconds["dadsp"]), 1),
                    "largest_relative_difference": f"{difference:.1g}",
                }
            )
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    if arguments.out:
        tags = environment_tags()
        table = table.assign(commit=tags.get("git.sha", ""), torch=tags["version.torch"])
        write_atomically(arguments.out, lambda path: table.to_csv(path, index=False))


if __name__ == "__main__":
    main()
