"""Scoring a fitted system beside the naive rows, writing the run folder, printing what it holds."""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from dadsp.evaluation.figures import loss_curves, per_drug_bars, predicted_vs_measured
from dadsp.evaluation.metrics import METRICS, evaluate
from dadsp.evaluation.report import Kind, Row, comparison, render, skill_of, to_json
from dadsp.files import read_json, write_atomically, write_json
from dadsp.models.base import Predictor, predict_split
from dadsp.models.naive import Naive, naive_rows
from dadsp.schema import PredictionTable, Screen, Split, Study


@dataclass(frozen=True, eq=False)
class Results:
    """One scored run.

    Attributes:
        rows: The system first, then the naive predictors, scored on the target's test pairs.
        table: The system's predictions for validation and test pairs.
        facts: What identifies the run: system, seed, command, hashes, versions.
        metrics: The system's flat final metrics, for tracking.
    """

    rows: list[Row]
    table: PredictionTable
    facts: dict[str, Any]
    metrics: dict[str, float]


def score(model: Predictor, study: Study, split: Split, facts: dict[str, Any]) -> Results:
    """The system and every naive predictor on the same test pairs; ``facts`` identify the run."""
    table = predict_split(model, study, split)
    test = evaluate(table.where(table.frame["split"] == "test"))
    own_kind: Kind = "model"
    if isinstance(model, Naive):
        own_kind = "naive_oracle" if model.sees_target_labels else "naive_source"
    rows = [Row(model.name, own_kind, test)]
    for naive in naive_rows(study):
        predicted = predict_split(naive.fit(study, split), study, split, parts=("test",))
        if naive.name == model.name:  # the system itself is this naive row
            continue
        rows.append(Row(naive.name, "naive_oracle" if naive.sees_target_labels else "naive_source", evaluate(predicted)))
    pooled = test.pooled.to_json()
    metrics = {f"test/target/{name}": pooled[name] for name in METRICS if pooled[name] is not None}
    metrics["test/target/skill"] = skill_of(rows[0], rows).value
    metrics |= {f"naive/{row.name}/rmse": row.evaluation.pooled.rmse for row in rows[1:]}
    return Results(rows, table, {"system": model.name, **facts}, metrics)


def write_results(folder: Path, results: Results, model: Predictor, study: Study) -> list[Path]:
    """Writes predictions, comparison, history, figures and, last, ``metrics.json``.

    Returns:
        The files and folders that tracking should keep.
    """
    frame = results.table.frame
    write_atomically(folder / "predictions.parquet", lambda path: frame.to_parquet(path, index=False))
    write_atomically(folder / "comparison.csv", lambda path: comparison(results.rows).to_csv(path, index=False))
    history = model.history()
    figures = folder / "figures"
    test = results.table.where(frame["split"] == "test")
    predicted_vs_measured(test, figures / "predicted_vs_measured.png", f"{model.name} on {study.target.name}")
    best = skill_of(results.rows[0], results.rows).against
    naive = next(row for row in results.rows if row.name == best)
    names = dict(zip(study.target.drugs.ids, study.target.drugs.names, strict=True))
    per_drug_bars(
        results.rows[0].evaluation,
        naive.evaluation,
        figures / "per_drug_rmse.png",
        model_name=model.name,
        naive_name=naive.name,
        drug_names=names,
    )
    if len(history):
        write_atomically(folder / "history.csv", lambda path: history.to_csv(path, index=False))
        main = history[history["stage"] == history["stage"].iloc[-1]].drop(columns="stage").dropna(axis=1, how="all")
        judged = [name for name in main.columns if name.startswith("val/")]
        alive = main[main["collapsed"].isna()] if "collapsed" in main else main
        best_epoch = int(alive.loc[alive[judged[0]].idxmin(), "epoch"]) if judged else None
        loss_curves(main, figures / "loss_curves.png", best_epoch)
    write_json(folder / "metrics.json", {"run": results.facts, **to_json(results.rows)})
    kept = ["config.yaml", "split.json", "predictions.parquet", "comparison.csv", "history.csv", "metrics.json"]
    return [folder / name for name in [*kept, "model", "figures"] if (folder / name).exists()]


def console() -> Console:
    """Standard output; 120 columns where it is not a terminal, whose width would be guessed too small."""
    return Console(width=None if sys.stdout.isatty() else 120)


def print_facts(study: Study, split: Split, system: str) -> None:
    """What is about to be learned from what."""
    for role, screen in (("source", study.source), ("target", study.target)):
        print(
            f"{role}: {screen.name}, {len(screen.cells):,} lines, {len(screen.drugs):,} drugs, "
            f"{len(screen.responses):,} pairs, {screen.responses.censored.mean():.1%} at the cap"
        )
    print_notes((study.source, study.target))
    print(
        f"{len(study.genes):,} shared genes; {system} trains on {len(split.train_idx):,} pairs, validates on "
        f"{len(split.val_idx):,} of held-out lines, is tested on {len(split.test_idx):,} target pairs\n",
        flush=True,
    )


def print_notes(screens: Iterable[Screen]) -> None:
    """What reading left out, merged or clipped."""
    for screen in screens:
        for note in screen.notes:
            print(f"{screen.name}: {note.what}: {note.count:,}" + (f" ({note.examples})" if note.examples else ""))


def load_results(folder: Path) -> dict[str, Any]:
    """What ``metrics.json`` of a finished run holds, with its comparison.

    Raises:
        LoadError: The run is not finished or damaged.
    """
    results: dict[str, Any] = read_json(folder / "metrics.json")
    return results


def print_results(results: dict[str, Any], folder: Path, as_json: bool, tracking_uri: str | None = None) -> None:
    """The comparison as a table and where everything lies; or all of it as JSON."""
    if as_json:
        print(json.dumps({"folder": str(folder), "tracking_uri": tracking_uri, **results}, allow_nan=False))
        return
    frame = pd.read_csv(folder / "comparison.csv")
    console().print(render(frame, f"{results['run']['system']}, seed {results['run']['seed']}: target test pairs"))
    print(f"run folder  {folder}")
    print(f"figures     {folder / 'figures'}")
    if tracking_uri:
        how = tracking_uri if tracking_uri.startswith("http") else f"mlflow ui --backend-store-uri {tracking_uri}"
        print(f"MLflow      {how}")
