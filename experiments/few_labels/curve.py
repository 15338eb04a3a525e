"""What k labels per drug of the new assay are worth: RMSE on all other pairs, over random draws of the labels.

Each system is fitted once without any target label, then calibrated with k = 0, 1, 2, … labels of every drug and scored on
the pairs left. Draws nest: the labels of k are among those of more. ``mean of labels`` predicts each drug's mean of the k
labels and no more. results.csv has a row per system, k and draw; summary.csv their means with 95 % intervals over draws.

    python experiments/few_labels/curve.py --study gdsc12_ccle --model pairwise_gp alignment=bridge
"""

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import dadsp
from dadsp.evaluation.metrics import evaluate
from dadsp.evaluation.scores import SCORES
from dadsp.files import write_atomically
from dadsp.models.base import Predictor, predict_split
from dadsp.models.calibrated import calibrated
from dadsp.models.systems.naive import GivenLabels
from dadsp.provenance import environment_tags
from dadsp.schema import PredictionTable, Split, Study
from dadsp.splits.calibration import with_calibration

FOLDER = Path(__file__).parent
COUNTS = (0, 1, 2, 3, 5, 10, 20)


def scores(table: PredictionTable) -> dict[str, Any]:
    """What is kept of a table of test predictions."""
    frame, found = table.frame, evaluate(table)
    inside = (frame["y_true"] >= frame["y_low"]) & (frame["y_true"] <= frame["y_high"])
    known = bool(frame["y_low"].notna().all())
    return {
        "n": len(frame),
        **{
            name: SCORES[name].value(found) for name in ("rmse", "rmse_drug_seen", "rmse_drug_unseen", "median_drug_pearson")
        },
        "coverage_90": float(inside.mean()) if known else np.nan,
        "coverage_90_seen": float(inside[frame["drug_seen"]].mean()) if known else np.nan,
        "coverage_90_unseen": float(inside[~frame["drug_seen"]].mean()) if known else np.nan,
        "width_90": float((frame["y_high"] - frame["y_low"]).mean()),
    }


def rows_of(model: Predictor, study: Study, split: Split, counts: Sequence[int], draws: int) -> list[dict[str, Any]]:
    """One row for each k and draw, and for each of them one of the means of the labels."""
    rows = []
    for k in counts:
        for draw in range(draws if k else 1):
            given = with_calibration(study, split, {"labels_per_drug": k, "draw": draw})
            start = time.process_time()
            each = calibrated(model, study, given)
            found = scores(predict_split(each, study, given, ("test",)))
            told = {"k": k, "draw": draw, "n_labels": len(given.calibrate_idx), "seconds": time.process_time() - start}
            rows.append({"system": model.name, **told, **found})
            if k:
                means = scores(predict_split(GivenLabels.of(study, given), study, given, ("test",)))
                rows.append({"system": "mean of labels", **told, "seconds": 0.0, **means})
        print(f"{model.name}: k = {k}: RMSE {np.mean([row['rmse'] for row in rows if row['k'] == k][::2]):.3f}", flush=True)
    return rows


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Mean over draws, standard deviation, and the 95 % interval of the mean from 5,000 bootstrap draws."""
    random = np.random.default_rng(0)
    rows = []
    for (study, system, k), part in results.groupby(["study", "system", "k"], sort=False):
        row = {"study": study, "system": system, "k": k, "draws": len(part)}
        for name in ("rmse", "rmse_drug_seen", "rmse_drug_unseen", "median_drug_pearson", "coverage_90", "width_90"):
            values = part[name].to_numpy()
            means = values[random.integers(len(values), size=(5000, len(values)))].mean(axis=1)
            ends = np.quantile(means, [0.025, 0.975]) if len(values) > 1 else (np.nan, np.nan)
            row |= {name: values.mean(), f"{name}_sd": values.std(ddof=1) if len(values) > 1 else np.nan}
            row |= {f"{name}_low": ends[0], f"{name}_high": ends[1]}
        row |= {f"coverage_90_{word}": part[f"coverage_90_{word}"].mean() for word in ("seen", "unseen")}
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    """Adds the rows of one system on one study to both tables, in place of earlier ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", required=True)
    parser.add_argument("--model", nargs="+", required=True, help="a system and overrides of its settings")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--out", type=Path, default=FOLDER)
    given = parser.parse_args()
    study = dadsp.load_study(f"data={given.study}")
    split = dadsp.split(study, seed=0)
    model = dadsp.model(*given.model).fit(study, split)
    tags = environment_tags()
    made = {"seed": 0, "git.sha": tags.get("git.sha"), "data_hash": study.content_hash, "split_hash": split.content_hash}
    command = f"python experiments/few_labels/curve.py --study {given.study} --model {' '.join(given.model)}"
    found = pd.DataFrame(rows_of(model, study, split, given.counts, given.draws)).assign(
        study=given.study, command=command, **made
    )
    path = given.out / "results.csv"
    known = pd.read_csv(path) if path.exists() else found.iloc[:0]
    keys = ["study", "system", "k"]
    again = pd.MultiIndex.from_frame(known[keys]).isin(pd.MultiIndex.from_frame(found[keys]))
    results = pd.concat([known[~again], found], ignore_index=True)
    results = results[["study", *(name for name in results if name != "study")]].round(5)
    write_atomically(path, partial(results.to_csv, index=False))
    write_atomically(given.out / "summary.csv", partial(summary(results).round(4).to_csv, index=False))


if __name__ == "__main__":
    main()
