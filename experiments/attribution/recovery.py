"""How well attributions find planted genes: AUROC of their size on simulated screens, over lines, drugs and training seeds.

For each run and drug, some lines of each screen are drawn and explained, from the zero baseline. |Attribution| ranks genes,
per line or averaged over the lines first (``_mean``). Two kinds of genes are planted: the drug's own causal genes, and those
of general sensitivity, which act on all drugs. Beside each stand the same with shuffled weights (chance) and, in the source,
what needs no model: |Spearman correlation| of expression with the measured potency of the drug.
Runs of one system on the same data differ by seed. Intervals: drugs and seeds are drawn with replacement, independently.

python experiments/attribution/recovery.py runs/… --out experiments/attribution/recovery.csv
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

import dadsp
from dadsp.analysis.attribution import AttributionOptions, attribute_genes, potency_functions
from dadsp.analysis.planted_genes import planted_genes, recovery_auroc
from dadsp.evaluation.statistics import interval
from dadsp.files import write_atomically
from dadsp.schema import Domain, FloatArray, Pairs, Screen
from dadsp.seeding import derive_seed

REPLICATES = 5000
PLANTED = ("pathway_sd", "line_sd", "n_source_cells")  # data settings that tell the planted worlds apart


def correlations(screen: Screen, drug: int) -> FloatArray:
    """|Spearman correlation| of each gene's expression with the drug's labels, shape (1, n_genes); 0 if all are capped."""
    responses = screen.responses
    mine = responses.take(responses.drug_idx == drug)
    ranks = rankdata(screen.cells.expression[mine.cell_idx], axis=0)
    potency = rankdata(mine.potency)
    covariance = np.abs((potency - potency.mean()) @ (ranks - ranks.mean(axis=0)))
    found: FloatArray = (covariance / (len(potency) * ranks.std(axis=0) * (potency.std() or 1.0)))[None].astype(np.float32)
    return found


def scores(run: dadsp.Run, seed: int, domain: Domain, n_lines: int, n_drugs: int) -> list[dict[str, object]]:
    """One row per drawn drug of the screen."""
    screen = run.study.source if domain == "source" else run.study.target
    # The draw is the same for all runs, so that systems and seeds are compared on the same drugs.
    random = np.random.default_rng(derive_seed(0, "recovery", domain))
    drugs = np.sort(random.choice(len(screen.drugs), size=min(n_drugs, len(screen.drugs)), replace=False))
    # Kinks of ReLUs make exactness dear; rankings need less.
    options = AttributionOptions(internal_batch=2048, tolerance=0.02)
    rows = []
    for drug in drugs:
        lines = np.sort(random.choice(len(screen.cells), size=min(n_lines, len(screen.cells)), replace=False))
        pairs = Pairs(screen, domain, lines, np.full(len(lines), drug))
        functions = potency_functions(run.model, pairs)
        shuffled = [function.with_shuffled_weights(seed) for function in functions]
        rankings = {
            "attribution": attribute_genes(functions, pairs, run.model.genes, "zero", options).values,
            "shuffled": attribute_genes(shuffled, pairs, run.model.genes, "zero", options).values,
        }
        rankings |= {f"{name}_mean": np.abs(values).mean(axis=0)[None] for name, values in rankings.items()}
        if domain == "source":
            rankings["correlation"] = correlations(screen, int(drug))
        drug_id = screen.drugs.ids[drug]
        for planted, genes in (
            ("of the drug", planted_genes(screen, drug_id)),
            ("of all drugs", frozenset(screen.truth["line_genes"])),
        ):
            found = {name: recovery_auroc(values, run.model.genes, genes).mean() for name, values in rankings.items()}
            rows.append({"domain": domain, "seed": seed, "drug_id": drug_id, "planted": planted, **found})
    return rows


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and 95 % interval of every AUROC, for each system, planted world, screen and kind of genes."""
    found = []
    keys = ["system", *PLANTED, "domain", "planted"]
    for key, rows in table.groupby(keys):
        for ranking in ("attribution", "attribution_mean", "shuffled", "shuffled_mean", "correlation"):
            grid = rows.pivot(index="seed", columns="drug_id", values=ranking).to_numpy(dtype=np.float64)
            if np.isnan(grid).any():
                continue
            random = np.random.default_rng(derive_seed(0, "intervals", *map(str, key), ranking))
            seeds = random.integers(len(grid), size=(REPLICATES, len(grid)))
            drugs = random.integers(grid.shape[1], size=(REPLICATES, grid.shape[1]))
            means = np.array([grid[np.ix_(some, others)].mean() for some, others in zip(seeds, drugs, strict=True)])
            low, high = interval(means)
            found.append((*key, ranking, grid.shape[1], len(grid), grid.mean(), low, high))
    return pd.DataFrame(found, columns=[*keys, "ranking", "drugs", "seeds", "auroc", "low", "high"]).round(3)


def main() -> None:
    """Scores every run and prints the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--lines", type=int, default=10)
    parser.add_argument("--drugs", type=int, default=16)
    parser.add_argument("--out", type=Path, required=True, help="every row; the summary goes beside it, as NAME_summary.csv")
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    for folder in arguments.runs:
        run = dadsp.load(folder)
        facts = run.facts
        identity = {"system": facts["system"], **{name: run.config.data[name] for name in PLANTED}}
        for domain in ("source", "target"):
            for row in scores(run, facts["seed"], domain, arguments.lines, arguments.drugs):
                rows.append({**identity, **row, "data_hash": facts["data_hash"], "git.sha": facts.get("git.sha", "")})
        print(f"{folder.name} done", flush=True)
    table = pd.DataFrame(rows).round(4)
    short = summary(table)
    write_atomically(arguments.out, lambda path: table.to_csv(path, index=False))
    summary_file = arguments.out.with_name(f"{arguments.out.stem}_summary.csv")
    write_atomically(summary_file, lambda path: short.to_csv(path, index=False))
    print(short.to_string(index=False))


if __name__ == "__main__":
    main()
