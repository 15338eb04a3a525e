"""Scoring a fitted system beside the naive rows, writing the run folder, printing what it holds."""

import json
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from dadsp.data.describe import describe
from dadsp.evaluation.figures import loss_curves, per_drug_bars, predicted_vs_measured
from dadsp.evaluation.metrics import evaluate
from dadsp.evaluation.naive_predictions import FILE as NAIVE
from dadsp.evaluation.naive_predictions import naive_frame
from dadsp.evaluation.report import Kind, Row, comparison, read_comparison, render, skill_of, to_json
from dadsp.evaluation.scores import scores_of
from dadsp.evaluation.statistics import bootstrap_pearson, interval
from dadsp.files import read_json, write_atomically, write_json
from dadsp.models.base import Predictor, predict_split
from dadsp.models.systems.naive import LabelLookup, Naive, naive_rows
from dadsp.schema import Note, Pairs, PredictionTable, ResponsePanel, Screen, Split, Study
from dadsp.written_tables import write_csv

R_REPLICATES = 1000  # bootstrap draws for the interval of r per drug


@dataclass(frozen=True, eq=False)
class Results:
    """One scored run.

    Attributes:
        rows: The system first, then the naive predictors, scored on the test pairs.
        table: The system's predictions for validation and test pairs.
        facts: What identifies the run: system, seed, command, hashes, versions.
        naive: Test predictions of the naive predictors by name.
    """

    rows: list[Row]
    table: PredictionTable
    facts: dict[str, Any]
    naive: Mapping[str, PredictionTable] = field(default_factory=dict)


def row_name(predictor: Predictor, study: Study) -> str:
    """How tables call a system: where source and target are one screen, its name says which and what that lets in."""
    name = predictor.name
    if study.scope == "source":
        return name.replace("oracle target ", "oracle source ", 1) if isinstance(predictor, Naive) else name
    if study.scope == "target_oracle" and not name.startswith("oracle target "):
        own = f"target {name.removeprefix('source ')}" if isinstance(predictor, Naive) else name
        return f"{own} (oracle: trained on target labels)"
    return name


def _kind(predictor: Predictor, study: Study) -> Kind:
    if not isinstance(predictor, Naive):
        return "model"
    if predictor.sees_target_labels:
        return "naive_oracle"
    return "naive_target" if study.trained_on == "target" else "naive_source"


def score(model: Predictor, study: Study, split: Split, facts: dict[str, Any]) -> Results:
    """The system and every naive predictor on the same test pairs; ``facts`` identify the run.

    The model bears the name that ``row_name`` gave it.
    """
    table = predict_split(model, study, split)
    scored: list[tuple[str, Predictor, PredictionTable]] = [(model.name, model, table.where(table.frame["split"] == "test"))]
    for naive in naive_rows(study):
        name = row_name(naive.fit(study, split), study)
        if name != model.name:  # otherwise the system itself is this naive row
            scored.append((name, naive, predict_split(naive, study, split, parts=("test",))))
    samples = bootstrap_pearson([tested for _, _, tested in scored], R_REPLICATES, seed=0)
    responses = study.target.responses.take(split.test_idx)
    pairs = Pairs(study.target, "target", responses.cell_idx, responses.drug_idx)
    rows = [
        Row(
            name,
            _kind(predictor, study),
            evaluate(tested),
            r_interval=interval(drawn),
            yardstick=not isinstance(predictor, LabelLookup),
            note=predictor.note(pairs) if isinstance(predictor, Naive) else "",
        )
        for (name, predictor, tested), drawn in zip(scored, samples.T, strict=True)
    ]
    naive_tables = {name: tested for name, _, tested in scored[1:]}
    return Results(rows, table, {"system": model.name, **facts}, naive_tables)


def write_results(folder: Path, results: Results, model: Predictor, study: Study) -> None:
    """Writes predictions, comparison, history, figures and, last, ``metrics.json``."""
    frame = results.table.frame
    write_atomically(folder / "predictions.parquet", lambda path: frame.to_parquet(path, index=False))
    write_atomically(folder / NAIVE, partial(naive_frame(results.naive).to_parquet, index=False))
    write_atomically(folder / "comparison.csv", partial(write_csv, comparison(results.rows)))
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
        write_atomically(folder / "history.csv", partial(write_csv, history))
        main = history[history["stage"] == history["stage"].iloc[-1]].drop(columns="stage").dropna(axis=1, how="all")
        judged = [name for name in main.columns if name.startswith("val/")]
        alive = main[main["collapsed"].isna()] if "collapsed" in main else main
        best_epoch = int(alive.loc[alive[judged[0]].idxmin(), "epoch"]) if judged else None
        loss_curves(main, figures / "loss_curves.png", best_epoch)
    notes = {screen.name: [asdict(note) for note in screen.notes] for screen in (study.source, study.target)}
    write_json(folder / "data_notes.json", notes)
    write_json(folder / "data_facts.json", {**describe(study), "drug_names": names, **model.input_facts()})
    write_json(folder / "metrics.json", {"run": results.facts, **to_json(results.rows)})


def kept_files(folder: Path) -> list[Path]:
    """The files and folders of a scored run that tracking should keep, its model last."""
    names = ["config.yaml", "split.json", "data_facts.json", "data_notes.json", "predictions.parquet", NAIVE]
    names += ["comparison.csv", "history.csv", "metrics.json", "figures", "model"]
    return [folder / name for name in names if (folder / name).exists()]


def final_metrics(folder: Path) -> dict[str, float]:
    """The flat final metrics of a scored run, as tracking takes them; NaN where undefined."""
    results = load_results(folder)
    facts, systems = results["run"], {system["name"]: system for system in results["systems"]}
    own, tested = systems.pop(facts["system"]), f"test/{_tested_on(facts)}"
    table = read_comparison(folder / "comparison.csv").set_index("system").loc[facts["system"]]
    # JSON holds the numbers to the last digit, and pandas may read those of a CSV file with an error in it.
    scores = {score.name: own["pooled"].get(score.name, table[score.name]) for score in scores_of("tracking")}
    scores["skill"] = own["skill"]["value"]
    naive = {f"naive/{name}/rmse": system["pooled"]["rmse"] for name, system in systems.items()}
    found = {f"{tested}/{name}": value for name, value in scores.items()} | naive
    return {name: math.nan if value is None else float(value) for name, value in found.items()}


def read_history(folder: Path) -> list[tuple[str, int, dict[str, float]]]:
    """Stage, epoch and metrics of every epoch of a scored run, in their order."""
    if not (folder / "history.csv").exists():
        return []
    frame = pd.read_csv(folder / "history.csv", float_precision="round_trip")
    records = frame.drop(columns="collapsed", errors="ignore").to_dict("records")
    return [(str(record.pop("stage")), int(record.pop("epoch")), record) for record in records]  # type: ignore[misc]


def _tested_on(facts: dict[str, Any]) -> str:
    return "source" if facts.get("split_scope") == "source" else "target"


def console() -> Console:
    """Standard output; 120 columns where it is not a terminal, whose width would be guessed too small."""
    return Console(width=None if sys.stdout.isatty() else 120)


def print_facts(study: Study, split: Split, system: str) -> None:
    """What is about to be learned from what."""
    screens = {study.trained_on: study.source, study.tested_on: study.target}
    for role, screen in screens.items():
        print(
            f"{role}: {screen.name}, {len(screen.cells):,} lines, {len(screen.drugs):,} drugs, "
            f"{len(screen.responses):,} pairs, {screen.responses.censored.mean():.1%} at the cap"
        )
    print_notes(screens.values())
    _print_notes("split", split.notes)
    print(
        f"{len(study.genes):,} shared genes; {split.kind} split: {system} trains on {len(split.train_idx):,} "
        f"{study.trained_on} pairs, validates on {len(split.val_idx):,}, is tested on {len(split.test_idx):,} "
        f"{study.tested_on} pairs\n",
        flush=True,
    )


def print_notes(screens: Iterable[Screen | ResponsePanel]) -> None:
    """What reading left out, merged or clipped."""
    for screen in screens:
        _print_notes(screen.name, screen.notes)


def _print_notes(where: str, notes: Iterable[Note]) -> None:
    for note in notes:
        print(f"{where}: {note.what}: {note.count:,}" + (f" ({note.examples})" if note.examples else ""))


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
    frame = read_comparison(folder / "comparison.csv")
    facts = results["run"]
    console().print(render(frame, f"{facts['system']}, seed {facts['seed']}: {_tested_on(facts)} test pairs"))
    print(f"run folder  {folder}")
    print(f"figures     {folder / 'figures'}")
    if tracking_uri:
        how = tracking_uri if tracking_uri.startswith("http") else f"mlflow ui --backend-store-uri {tracking_uri}"
        print(f"MLflow      {how}")
