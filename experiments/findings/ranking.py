"""Is a ranking of unmeasured pairs more than the mean of each drug's measured labels?

    python experiments/findings/ranking.py --run RUN IMPUTED [--run …] --out experiments/findings/ranking.csv

RUN is a run folder, IMPUTED the folder of ``dadsp impute domain=source``. Held-out lines are those of the source that
trained nothing; intervals draw these lines with replacement.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from dadsp.cli.script import end
from dadsp.files import write_atomically
from dadsp.runs.collection import row_identity
from dadsp.runs.folder import RunFolder, complete
from dadsp.runs.run import Run

ENDS, DRAWS = 10, 2000


def drug_means(run: Run, rows: np.ndarray) -> "pd.Series[float]":
    """Mean −log10 IC50(µM) of each drug of the source over the given responses."""
    source = run.study.source
    labels = source.responses.take(rows)
    return pd.Series(labels.potency).groupby(np.array(source.drugs.ids)[labels.drug_idx]).mean()


def row_of(run: Run, imputed: Path) -> dict:
    """One row: the ranking beside the drug means, and the error on held-out lines beside theirs."""
    ranking = pd.read_csv(imputed / "drug_ranking.csv", dtype={"drug_id": str})
    predicted = -np.log10(ranking.set_index("drug_id")["median_ic50_um"])
    measured = drug_means(run, np.arange(len(run.study.source.responses))).reindex(predicted.index)
    by_mean = measured.sort_values(ascending=False, kind="stable").index
    held_out = run.predictions.frame.query("split == 'val'")
    mean = held_out["drug_id"].map(drug_means(run, run.split.train_idx))
    errors = pd.DataFrame(
        {"model": (held_out["y_true"] - held_out["y_pred"]) ** 2, "mean": (held_out["y_true"] - mean) ** 2}
    )
    lines = errors.assign(n=1.0).groupby(held_out["cell_id"].astype(str)).sum().to_numpy()
    random = np.random.default_rng(0)
    draws = np.array([gain(lines[random.integers(len(lines), size=len(lines))]) for _ in range(DRAWS)])
    coverage = pd.read_csv(imputed / "coverage.csv").set_index("nominal").loc[0.9]
    low, high = np.quantile(draws, [0.025, 0.975])
    return {
        "system": run.name,
        **row_identity(RunFolder(run.folder)),
        "missing_pairs": int(ranking["n_pairs"].sum()),
        "drugs": len(ranking),
        "spearman_with_drug_mean": predicted.corr(measured, method="spearman"),
        "lowest_in_common": len(set(predicted.index[:ENDS]) & set(by_mean[:ENDS])),
        "highest_in_common": len(set(predicted.index[-ENDS:]) & set(by_mean[-ENDS:])),
        "held_out_lines": len(lines),
        "rmse": float(np.sqrt(lines[:, 0].sum() / lines[:, 2].sum())),
        "rmse_drug_mean": float(np.sqrt(lines[:, 1].sum() / lines[:, 2].sum())),
        "rmse_minus_drug_mean": gain(lines),
        "low": low,
        "high": high,
        "coverage_90": coverage["source"],
        "coverage_90_low": coverage["source_low"],
        "coverage_90_high": coverage["source_high"],
        "coverage_90_target": coverage["target"],
    }


def gain(lines: np.ndarray) -> float:
    """RMSE of the model minus that of the drug means, from sums of squared errors of lines and their pairs."""
    model, mean, n = lines.sum(axis=0)
    return float(np.sqrt(model / n) - np.sqrt(mean / n))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs=2, action="append", type=Path, required=True, metavar=("RUN", "IMPUTED"))
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    rows = []
    for place, imputed in given.run:
        run = Run(RunFolder(place))
        with complete(imputed, "result of dadsp impute", "Write it again."):
            rows.append(row_of(run, imputed))
    table = pd.DataFrame(rows)
    write_atomically(given.out, lambda path: table.to_csv(path, index=False, float_format="%.4g"))
    print(table.drop(columns=["command", "git.sha", "data_hash", "split_hash"]).T.to_string())


if __name__ == "__main__":
    raise SystemExit(end(main))
