"""All drugs and repeats in one frame, and the tables of the paper made from it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

LABELS = {
    "network": "network",
    "network_compressed": "network, compressed",
    "elastic_net": "elastic net",
    "random_forest": "random forest",
    "svr": "SVR",
    "ann": "simple ANN",
    "mean": "mean",
}
PERCENTILES = ("minimum", "25 %", "mean", "median", "75 %", "maximum")
SUMMARISED = (
    "mse", "r2", "pearson", "accuracy", "balanced_accuracy", "kappa", "train_s", "predict_ms_per_line", "size_bytes",
    "causal_recall", "causal_recall_by_chance",
)  # fmt: skip
ORACLE = "oracle selection"


def results_frame(results: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One row per drug, repeat, method, gene set and scope, with its ``system``: the label the tables use.

    Columns: drug_id, repeat, split_hash, n_train, n_test, threshold_scope, system, saw_test_labels (in selection), and all
    scalars that a repeat's result holds on a method. Systems that saw test labels carry ``oracle`` in their label.
    """
    records = []
    for result in results:
        shared = {name: result[name] for name in ("drug_id", "repeat", "split_hash", "n_train", "n_test", "threshold_scope")}
        for row in result["rows"]:
            leaks = row["selection_scope"] == "all_oracle"
            grown = "grown " if row.get("architecture") == "growth" else ""
            label = ", ".join(
                [grown + LABELS[row["method"]]]
                + (["all genes"] if row["gene_set"] == "all" and row["method"] != "mean" else [])
                + ([ORACLE] if leaks else [])
            )
            scalars = {name: value for name, value in row.items() if not isinstance(value, list | dict)}
            seconds = row["selection_s"] + row["search_s"] + row["fit_s"]
            records.append({**shared, "system": label, "saw_test_labels": leaks, **scalars, "train_s": seconds})
    return pd.DataFrame.from_records(records)


def mse_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean squared error per drug and system, averaged over the repeats (Table I): drugs in rows, last row their mean."""
    table = per_drug(frame, "mse")
    table.loc["mean"] = table.mean()
    return table


def accuracy_table(frame: pd.DataFrame) -> pd.DataFrame:
    """How the 3-class accuracy of each system (rows) is distributed over the drugs: ``PERCENTILES`` in columns (Table II).

    A drug's accuracy is the mean over its repeats; drugs without classes are left out. The last column counts the others.
    """
    accuracy = per_drug(frame, "accuracy")
    columns = [accuracy.min(), accuracy.quantile(0.25), accuracy.mean(), accuracy.median(), accuracy.quantile(0.75)]
    return pd.concat([*columns, accuracy.max(), accuracy.count()], axis=1, keys=[*PERCENTILES, "drugs"])


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per system, means over drugs of each drug's mean over repeats.

    Columns: saw_test_labels, drugs (how many), mse, mse_over_mean (its ratio to the mean predictor's, averaged over drugs),
    r2, pearson, accuracy, balanced_accuracy, kappa, train_s (selection, search and fit of one model), predict_ms_per_line,
    size_bytes; with planted genes also causal_recall and causal_recall_by_chance.
    """
    names = [name for name in SUMMARISED if name in frame]
    numbers = frame.assign(**{name: pd.to_numeric(frame[name]) for name in names})
    table = numbers.groupby(["system", "drug_id"])[names].mean().groupby("system").mean()
    if LABELS["mean"] in table.index:
        mse = per_drug(frame, "mse")
        table.insert(1, "mse_over_mean", mse.div(mse[LABELS["mean"]], axis=0).mean())
    table.insert(0, "drugs", per_drug(frame, "mse").count())
    table.insert(0, "saw_test_labels", frame.groupby("system")["saw_test_labels"].first())
    return table.loc[systems(frame)]


def leak_table(frame: pd.DataFrame) -> pd.DataFrame:
    """What selecting genes on all lines, test lines included, is worth to each method.

    Returns:
        One row per method that ran in both scopes: ``honest`` and ``oracle`` MSE (means over drugs), their ``difference``
        with the standard error of its mean over drugs, and ``drugs``, how many.
    """
    mse, rows = per_drug(frame, "mse"), dict[str, list[float]]()
    for system in mse.columns:
        leaking = f"{system}, {ORACLE}"
        if leaking in mse:
            both = mse[[system, leaking]].dropna()
            difference = both[leaking] - both[system]
            error = float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else float("nan")
            rows[system] = [both[system].mean(), both[leaking].mean(), difference.mean(), error, len(both)]
    columns = ["honest", "oracle", "difference", "standard_error", "drugs"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def systems(frame: pd.DataFrame) -> list[str]:
    """The systems in the order of tables: honest before oracle, each as ``LABELS`` has them."""
    known = frame[["system", "method", "gene_set", "saw_test_labels"]].drop_duplicates()
    place = known["method"].map(list(LABELS).index)
    ordered = known.assign(place=place).sort_values(["saw_test_labels", "place", "gene_set"], ascending=[True, True, False])
    return list(ordered["system"])


def per_drug(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    """Means over repeats: drugs in rows, systems in columns; NaN where undefined."""
    numbers = frame.assign(**{value: pd.to_numeric(frame[value])})
    return numbers.pivot_table(index="drug_id", columns="system", values=value, aggfunc="mean", dropna=False)[systems(frame)]


def confusions(results: Sequence[dict[str, Any]]) -> dict[str, list[list[int]]]:
    """Counts of measured (rows) by predicted (columns) classes of each system, over all drugs and repeats with classes."""
    counts: dict[str, Any] = {}
    for result in results:
        for system, row in zip(results_frame([result])["system"], result["rows"], strict=True):
            if row["confusion"] is not None:
                counts[system] = counts.get(system, 0) + np.array(row["confusion"])
    return {system: matrix.tolist() for system, matrix in counts.items()}
