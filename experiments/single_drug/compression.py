r"""Error against size of compressed single-drug networks, as a table and a figure.

One partition of each drug's lines, split as dadsp single-drug does: the test lines, which neither training nor compression
sees, give the errors.

python experiments/single_drug/compression.py --out experiments/single_drug \
    panel=ccle_np24 selection.n_genes=200 drug=[Nilotinib,PD-0325901,AEW541,Erlotinib,Lapatinib,PLX4720]
"""

import argparse
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from dadsp.configuration.compose import build, compose
from dadsp.evaluation.figures import BLUE, DPI, GREEN, LABEL, ORANGE, PURPLE, finish
from dadsp.files import write_atomically
from dadsp.models.base import FitContext
from dadsp.options import validated
from dadsp.provenance import environment_tags
from dadsp.seeding import derive_seed
from dadsp.singledrug.codec import layer_ends
from dadsp.singledrug.compression import CompressionOptions, compression_curve
from dadsp.singledrug.fitting import fit_network
from dadsp.singledrug.folds import Folds, Genes
from dadsp.singledrug.lines import chosen_drugs, drug_lines
from dadsp.singledrug.settings import OPTIONS, SingleDrugOptions

ARCHITECTURES: tuple[Literal["fixed", "growth"], ...] = ("fixed", "growth")
SPARSITIES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95)
BITS = {2: ORANGE, 3: GREEN, 4: PURPLE, 5: BLUE}


def main() -> None:
    """Prints means over drugs and writes every point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="as dadsp single-drug takes them")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_intermixed_args()
    config = compose("single_drug", arguments.overrides)
    given = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    options = validated(SingleDrugOptions, {key: given[key] for key in OPTIONS}, "")
    panel = build(config.panel, "panel")
    tables = []
    for drug in chosen_drugs(panel, given["drug"], options):
        lines = drug_lines(panel, drug)
        seed = derive_seed(config.seed, lines.drug_id, 0)
        folds = Folds(lines, options.protocol, options.selection, seed)
        prepared, test_idx = folds.prepared("validation", Genes("selected", "train")), folds.rows["test"][1]
        test = prepared.inputs(lines.expression[test_idx]), lines.response[test_idx]
        context = FitContext(seed=derive_seed(seed, "network"))
        for architecture in ARCHITECTURES:
            network = fit_network(*prepared.fold, replace(options.network, architecture=architecture), context)
            mse = float(np.mean((network.predict(test[0]) - test[1]) ** 2))
            facts = {
                "drug_id": lines.drug_id,
                "architecture": architecture,
                "widths": "-".join(map(str, network.network.widths)),
                "n_weights": layer_ends(network.network.n_inputs, network.network.widths)[-1],
                "uncompressed_bytes": network.size_bytes,
                "uncompressed_mse": mse,
                "uncompressed_r2": 1 - mse / np.var(test[1]),
            }
            print(facts, flush=True)
            compression = options.compression or CompressionOptions()
            points = compression_curve(network, prepared.fold, test, SPARSITIES, BITS, compression, context)
            tables.append(pd.DataFrame([facts | asdict(point) for point in points]))
    table = pd.concat(tables, ignore_index=True).round(4)
    means = table.groupby(["architecture", "sparsity", "bits"])[["ratio", "mse_change"]].agg(["mean", "min", "max"])
    print(means.round(3).to_string())
    command = shlex.join(["python", "experiments/single_drug/compression.py", *arguments.overrides])
    facts = {"data_hash": panel.content_hash, "seed": config.seed, "command": command}
    table = table.assign(**facts, **{"git.sha": environment_tags().get("git.sha", "")})
    write_atomically(arguments.out / "compression.csv", lambda path: table.to_csv(path, index=False))
    draw(table, arguments.out / "compression.png")


def draw(table: pd.DataFrame, path: Path) -> None:
    """Writes a PNG: a panel for each architecture; for each number of bits the mean over drugs, a mark for each sparsity."""
    figure = Figure(figsize=(9, 4), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(ARCHITECTURES), sharey=True)
    for axes, architecture in zip(panels, ARCHITECTURES, strict=True):
        for bits, points in table[table["architecture"] == architecture].groupby("bits"):
            curve = points.groupby("sparsity")[["ratio", "mse_change"]].mean()
            axes.plot(curve["ratio"], 100 * curve["mse_change"], "o-", color=BITS[bits], label=f"{bits} bits")
        axes.axhline(2, color="0.6", linestyle=":")
        axes.axvline(10, color="0.6", linestyle=":")
        axes.set_xscale("log")
        axes.set_xticks([5, 10, 20, 40], ["5", "10", "20", "40"])
        axes.minorticks_off()
        axes.set_title(f"{architecture}, mean over {table['drug_id'].nunique()} drugs", fontsize=LABEL)
        axes.set_xlabel("Times smaller on disk", fontsize=LABEL)
    panels[0].set_ylabel("Change of test MSE, %", fontsize=LABEL)
    panels[0].legend(frameon=False)
    finish(figure, list(panels), path)


if __name__ == "__main__":
    main()
