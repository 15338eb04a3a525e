"""How the cost of an epoch grows with genes, lines and drugs, the textbook's way and the default's, with a log-log plot.

Random expression and labels, 80 % of the pairs measured; one of the three sizes varies, the others stay at 4,000 genes, 500
lines (and 250 in the target) and 200 drugs. Seconds of an epoch are steps × median step, both ways in one process.

    python -m experiments.speed.growth --out experiments/speed/growth.csv --figure experiments/speed/growth.png
"""

import argparse
import copy
import logging
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from dadsp.configuration.compose import build, compose
from dadsp.files import write_atomically
from dadsp.models.base import FitContext
from dadsp.provenance import environment_tags
from dadsp.schema import CellLines, Drugs, Responses, Screen, Study
from dadsp.splits.cross_screen import cross_screen
from experiments.speed.compare import (
    GENES,
    WARM_UP,
    DenseRows,
    FirstBatches,
    bare_loop,
    peak_since_reset,
    reset_peak,
    textbook,
)

DEFAULT = {"genes": 4000, "lines": 500, "drugs": 200}
SIZES = {
    "genes": (1000, 4000, 16000, 60000),
    "lines": (100, 250, 500, 1000, 2000),
    "drugs": (25, 50, 100, 200, 400, 800),
}
STEPS = 6


def _screen(name: str, n_lines: int, n_genes: int, n_drugs: int, random: np.random.Generator) -> Screen:
    expression = random.standard_normal((n_lines, n_genes), dtype=np.float32)
    line, drug = np.divmod(np.flatnonzero(random.random(n_lines * n_drugs) < 0.8), n_drugs)
    ids = [tuple(f"{what}{row}" for row in range(n)) for what, n in (("line", n_lines), ("drug", n_drugs))]
    smiles = tuple("C" * (1 + row % 40) + "O" for row in range(n_drugs))  # only their fingerprints' width matters here
    return Screen(
        name,
        tuple(f"gene{row}" for row in range(n_genes)),
        CellLines(ids[0], tuple(f"{name}{x}" for x in ids[0]), (None,) * n_lines, expression),
        Drugs(ids[1], ids[1], smiles, ids[1], (None,) * n_drugs),
        Responses(line, drug, random.standard_normal(len(line), dtype=np.float32), np.zeros(len(line), dtype=bool)),
    )


def random_study(genes: int, lines: int, drugs: int) -> Study:
    """A study without meaning, of the sizes asked for."""
    random = np.random.default_rng(0)
    source = _screen("source", lines, genes, drugs, random)
    target = _screen("target", max(2, lines // 2), genes, min(drugs, 24), random)
    return Study(source, target, "none", source.responses.potency)


def measure(sizes: dict[str, int]) -> dict[str, Any]:
    """Milliseconds of a step, seconds of an epoch, peak memory: the textbook's way and the default's."""
    study = random_study(**sizes)
    split = cross_screen(study, seed=0)
    row: dict[str, Any] = {**sizes, "pairs": len(split.train_idx)}
    for way, overrides in (("textbook", ["trainer=pairs", GENES]), ("fast", [])):
        model = build(compose("config", ["model.pretraining=null", *overrides]).model, "model")
        start = time.perf_counter()
        stage, batches = model.prepare_stage(study, split, FitContext())
        preparation = time.perf_counter() - start
        stage.total_steps = 15 * len(batches)
        reset_peak()
        if way == "textbook":
            first = FirstBatches(batches, 3 + WARM_UP)
            dense = DenseRows(first.listed, stage.expression.numpy(), stage.drug_features.numpy())
            seconds, _ = textbook(copy.deepcopy(stage.network), dense, stage.options.batch_size, 1e-4)
            step = statistics.median(seconds[WARM_UP:])
        else:
            step = bare_loop(stage, FirstBatches(batches, STEPS + WARM_UP))
        row |= {
            f"{way}_ms_per_step": 1e3 * step,
            f"{way}_s_per_epoch": step * len(batches),
            f"{way}_peak_gib": peak_since_reset(),
        }
    return row | {"fast_preparation_s": preparation}


def draw(table: pd.DataFrame, path: Path) -> None:
    """Seconds of an epoch against each size, log-log, with the exponent of a straight line through the last points."""
    figure, axes = plt.subplots(1, len(SIZES), figsize=(12, 3.8), sharey=True)
    for axis, what in zip(axes, SIZES, strict=True):
        part = table[table["varied"] == what].sort_values(what)
        for way, colour, marker in (("textbook", "#d55e00", "s"), ("fast", "#0072b2", "o")):
            seconds = part[f"{way}_s_per_epoch"]
            slope = np.polyfit(np.log(part[what][-3:]), np.log(seconds[-3:]), 1)[0]
            axis.loglog(part[what], seconds, color=colour, marker=marker, label=f"{way}, exponent {slope:.1f}")
        axis.set_xlabel(what)
        axis.set_xticks(SIZES[what], [f"{size:,}" for size in SIZES[what]])
        axis.minorticks_off()
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("seconds per epoch")
    figure.tight_layout()
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=150, format="png"))


def main() -> None:
    """Measures every size and draws the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--figure", type=Path, required=True)
    arguments = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    rows = []
    for what, sizes in SIZES.items():
        for size in sizes:
            rows.append({"varied": what, **measure({**DEFAULT, what: size})})
            print({name: round(value, 3) if isinstance(value, float) else value for name, value in rows[-1].items()})
    table = pd.DataFrame(rows)
    table["ratio"] = table["textbook_s_per_epoch"] / table["fast_s_per_epoch"]
    facts = {
        "command": " ".join(["python -m experiments.speed.growth", *sys.argv[1:]]),
        "git.sha": environment_tags().get("git.sha", ""),
        "threads": torch.get_num_threads(),
    }
    write_atomically(arguments.out, lambda path: table.round(4).assign(**facts).to_csv(path, index=False))
    draw(table, arguments.figure)


if __name__ == "__main__":
    main()
