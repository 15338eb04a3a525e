"""Scoring a fitted system beside the naive rows, and writing what came of it into the run folder."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import pandas as pd

from dadsp.data.cross_checks import cross_checks
from dadsp.data.describe import describe
from dadsp.evaluation.metrics import evaluate
from dadsp.evaluation.naive_predictions import naive_frame
from dadsp.evaluation.report import Kind, Row, comparison, skill_of, to_json
from dadsp.evaluation.statistics import bootstrap_pearson, interval
from dadsp.files import write_atomically, write_json
from dadsp.models.base import Predictor, predict_split
from dadsp.models.calibrated import Calibrated
from dadsp.models.systems.naive import GivenLabels, LabelLookup, Naive, naive_rows
from dadsp.runs.folder import COMPARISON, DATA_FACTS, DATA_NOTES, FIGURES, HISTORY, NAIVE, PREDICTIONS, RunFolder
from dadsp.schema import Pairs, PredictionTable, Split, Study
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

    def to_json(self) -> dict[str, Any]:
        """The content of ``metrics.json``."""
        return {"run": self.facts, **to_json(self.rows)}


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
    if isinstance(predictor, Calibrated):
        return "calibrated"
    if isinstance(predictor, GivenLabels):
        return "naive_calibrated"
    if not isinstance(predictor, Naive):
        return "model"
    if predictor.sees_target_labels:
        return "naive_oracle"
    return "naive_target" if study.trained_on == "target" else "naive_source"


def score(model: Predictor, study: Study, split: Split, facts: Mapping[str, Any]) -> Results:
    """The system and every naive predictor on the same test pairs; ``facts`` identify the run.

    The model bears the name that ``row_name`` gave it.
    """
    table = predict_split(model, study, split)
    scored: list[tuple[str, Predictor, PredictionTable]] = [(model.name, model, table.where(table.frame["split"] == "test"))]
    if isinstance(model, Calibrated):  # beside itself without the given labels, and these without it
        means = GivenLabels.of(study, split)
        scored += [(each.name, each, predict_split(each, study, split, parts=("test",))) for each in (model.inner, means)]
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
    naive_tables = {name: tested for name, predictor, tested in scored[1:] if isinstance(predictor, Naive)}
    return Results(rows, table, {"system": model.name, **facts}, naive_tables)


def write_results(folder: RunFolder, results: Results, model: Predictor, study: Study) -> None:
    """Writes predictions, comparison, history, figures and, last, ``metrics.json``."""
    frame = results.table.frame
    write_atomically(folder / PREDICTIONS, lambda path: frame.to_parquet(path, index=False))
    write_atomically(folder / NAIVE, partial(naive_frame(results.naive).to_parquet, index=False))
    write_atomically(folder / COMPARISON, partial(write_csv, comparison(results.rows)))
    history = model.history()
    if len(history):
        write_atomically(folder / HISTORY, partial(write_csv, history))
    names = dict(zip(study.target.drugs.ids, study.target.drugs.names, strict=True))
    _draw(folder, results, model, study, names)
    notes = {screen.name: [asdict(note) for note in screen.notes] for screen in (study.source, study.target)}
    alarms = [asdict(check.note) for check in cross_checks(study, labels=False) if check.verdict == "suspicious"]
    if alarms:
        notes["cross-checks"] = alarms
    write_json(folder / DATA_NOTES, notes)
    write_json(folder / DATA_FACTS, {**describe(study), "drug_names": names, **model.input_facts()})
    folder.write_results(results.to_json())


def _draw(folder: RunFolder, results: Results, model: Predictor, study: Study, names: Mapping[str, str]) -> None:
    from dadsp.evaluation.figures import loss_curves, per_drug_bars, predicted_vs_measured  # pulls in matplotlib

    figures = folder / FIGURES
    test = results.table.where(results.table.frame["split"] == "test")
    predicted_vs_measured(test, figures / "predicted_vs_measured.png", f"{model.name} on {study.target.name}")
    best = skill_of(results.rows[0], results.rows).against
    naive = next(row for row in results.rows if row.name == best)
    per_drug_bars(
        results.rows[0].evaluation,
        naive.evaluation,
        figures / "per_drug_rmse.png",
        model_name=model.name,
        naive_name=naive.name,
        drug_names=dict(names),
    )
    history = model.history()
    if len(history):
        main = history[history["stage"] == history["stage"].iloc[-1]].drop(columns="stage").dropna(axis=1, how="all")
        loss_curves(main, figures / "loss_curves.png", _best_epoch(main))


def _best_epoch(main: pd.DataFrame) -> int | None:
    """The epoch, from 0, of the least validation error before the output collapsed; None without one.

    Of several errors the last chose the weights.
    """
    validated = [name for name in main.columns if name.startswith("val/")]
    if not validated:
        return None
    alive = main[main["collapsed"].isna()] if "collapsed" in main else main
    return int(alive["epoch"].iloc[int(alive[validated[-1]].argmin())]) if len(alive) else None
