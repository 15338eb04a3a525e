"""How well attributions find planted genes: AUROC of their size on simulated screens, over lines, drugs and training seeds.

For each run and drug, some lines of each screen are drawn and explained. Per line, |attribution| ranks the genes; the AUROC
of the drug's causal genes is averaged over lines. Beside it stand the same with shuffled weights (chance), the genes behind
general sensitivity, both together (all that drive the potency of a pair), and what needs no model: |Spearman correlation| of
expression with the source's measured potency.
Intervals: drugs and seeds are drawn with replacement, independently of each other.

dadsp train data=simulated seed=0 (… 4)
python experiments/attribution/recovery.py runs/…simulated_seed* --out experiments/attribution/recovery.csv
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from dadsp.analysis.attribution import AttributionOptions, attribute_genes, potency_functions
from dadsp.analysis.planted_genes import planted_genes, recovery_auroc
from dadsp.cli.finished_run import FinishedRun, open_run
from dadsp.cli.results import load_results
from dadsp.evaluation.statistics import interval
from dadsp.files import write_atomically
from dadsp.schema import Domain, FloatArray, Pairs, Screen
from dadsp.seeding import derive_seed

REPLICATES = 5000


def correlations(screen: Screen, drug: int) -> FloatArray:
    """|Spearman correlation| of each gene's expression with the drug's labels, shape (1, n_genes); 0 if all are capped."""
    responses = screen.responses
    mine = responses.take(responses.drug_idx == drug)
    ranks = rankdata(screen.cells.expression[mine.cell_idx], axis=0)
    potency = rankdata(mine.potency)
    covariance = np.abs((potency - potency.mean()) @ (ranks - ranks.mean(axis=0)))
    found: FloatArray = (covariance / (len(potency) * ranks.std(axis=0) * (potency.std() or 1.0)))[None].astype(np.float32)
    return found


def scores(run: FinishedRun, seed: int, domain: Domain, n_lines: int) -> list[dict[str, object]]:
    """One row per drug of the screen."""
    screen = run.study.source if domain == "source" else run.study.target
    random = np.random.default_rng(derive_seed(seed, domain))
    options = AttributionOptions(internal_batch=2048)
    genes, rows = run.model.genes, []
    general = frozenset(screen.truth["line_genes"])
    for drug, drug_id in enumerate(screen.drugs.ids):
        lines = np.sort(random.choice(len(screen.cells), size=min(n_lines, len(screen.cells)), replace=False))
        pairs = Pairs(screen, domain, lines, np.full(len(lines), drug))
        functions = potency_functions(run.model, pairs)
        planted = planted_genes(screen, drug_id)
        row: dict[str, object] = {"domain": domain, "seed": seed, "drug_id": drug_id, "lines": len(lines)}
        for baseline in ("zero", "random_lines") if domain == "target" else ("zero",):
            values = attribute_genes(functions, pairs, genes, baseline, options).values
            row[f"auroc_{baseline}"] = recovery_auroc(values, genes, planted).mean()
            if baseline == "zero":
                row["auroc_mean_over_lines"] = recovery_auroc(np.abs(values).mean(axis=0)[None], genes, planted)[0]
                row["auroc_general_genes"] = recovery_auroc(values, genes, general).mean()
                row["auroc_drug_and_general"] = recovery_auroc(values, genes, planted | general).mean()
        shuffled = [function.with_shuffled_weights(seed) for function in functions]
        values = attribute_genes(shuffled, pairs, genes, "zero", options).values
        row["auroc_shuffled"] = recovery_auroc(values, genes, planted).mean()
        if domain == "source":
            row["auroc_correlation"] = recovery_auroc(correlations(screen, drug), genes, planted)[0]
        rows.append(row)
    return rows


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and 95 % interval of every AUROC, for each screen."""
    found = []
    for domain, rows in table.groupby("domain"):
        for column in [name for name in table.columns if name.startswith("auroc_") and rows[name].notna().all()]:
            grid = rows.pivot(index="seed", columns="drug_id", values=column).to_numpy(dtype=np.float64)
            random = np.random.default_rng(derive_seed(0, "intervals", str(domain), column))
            seeds = random.integers(len(grid), size=(REPLICATES, len(grid)))
            drugs = random.integers(grid.shape[1], size=(REPLICATES, grid.shape[1]))
            means = np.array([grid[np.ix_(some, others)].mean() for some, others in zip(seeds, drugs, strict=True)])
            low, high = interval(means)
            found.append((domain, column.removeprefix("auroc_"), grid.shape[1], len(grid), grid.mean(), low, high))
    return pd.DataFrame(found, columns=["domain", "ranking", "drugs", "seeds", "auroc", "low", "high"]).round(3)


def main() -> None:
    """Scores every run and prints the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--lines", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rows = []
    for folder in arguments.runs:
        run, facts = open_run(folder), load_results(folder)["run"]
        for domain in ("source", "target"):
            rows += [
                {"system": facts["system"], "commit": facts.get("git.sha", ""), **row}
                for row in scores(run, facts["seed"], domain, arguments.lines)
            ]
        print(f"{folder.name} done", flush=True)
    table = pd.DataFrame(rows).round(4)
    write_atomically(arguments.out, lambda path: table.to_csv(path, index=False))
    print(summary(table).to_string(index=False))


if __name__ == "__main__":
    main()
