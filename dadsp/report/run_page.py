"""A finished run as sections of a page: its data, split, results, training, configuration and provenance."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dadsp.evaluation.compare_figures import standing
from dadsp.evaluation.report import caption
from dadsp.evaluation.statistics import bootstrap_rmse, interval
from dadsp.report.data_sections import data_section, split_section
from dadsp.report.document import Block, Facts, Figure, Figures, Listing, Section, Table, Text
from dadsp.report.reported_run import PASSWORD, ReportedRun
from dadsp.report.result_tables import lines_table, per_drug_table, r_context, result_rows, seen_table, strata_table
from dadsp.report.verdict import R, beside_naive, best_row, verdict
from dadsp.report.words import MISSING, decimal, percent
from dadsp.runs.folder import RunFolder, complete
from dadsp.runs.scoring import R_REPLICATES


def run_sections(run: ReportedRun) -> list[Section]:
    """All sections of a page about one run; the last two are configuration and provenance.

    Raises:
        LoadError: The files hold other things than a run does.
    """
    with complete(run.folder):
        return [
            _summary_section(run),
            data_section(run),
            split_section(run),
            _results_section(run),
            _training_section(run),
            Section("Configuration", [Listing("The complete configuration (config.yaml)", run.config)]),
            Section("Provenance", [Facts(_provenance(run))]),
        ]


def short_section(run: ReportedRun, title: str) -> Section:
    """One run among others: what it scored, and where it comes from."""
    with complete(run.folder):
        shown = Table("Beside naive rows", *result_rows(run), best_row(run.comparison, run.system, "rmse"), folded=True)
        return Section(title, [*verdict(run.comparison, run.system), Text(_summary(run)), Facts(_provenance(run)), shown])


def _summary_section(run: ReportedRun) -> Section:
    """The verdict and a picture of it first."""
    rows = run.comparison.assign(**_rmse_intervals(run))
    potency, lines = (beside_naive(rows, run.system, score) for score in ("rmse", R))
    drawn = standing(potency, lines, run.unit)
    picture = Figures([Figure(drawn.title, drawn.svg.encode(), ".svg", drawn.description)])
    return Section("Summary", [*verdict(rows, run.system), picture, Text(_summary(run))])


def _rmse_intervals(run: ReportedRun) -> dict[str, "pd.Series[float]"]:
    """95 % intervals of each row's RMSE and of the run's less the row's, as columns; NaN where no predictions were kept."""
    tables = RunFolder(run.folder).test_tables()
    samples = bootstrap_rmse(list(tables.values()), R_REPLICATES, seed=0)
    drawn = dict(zip(tables, samples.T, strict=True))
    columns = {"rmse": drawn, "rmse_gap": {name: drawn[run.system] - row for name, row in drawn.items()}}
    systems = run.comparison["system"]
    return {
        f"{column}_{end}": systems.map({name: interval(row)[at] for name, row in rows.items()})
        for column, rows in columns.items()
        for at, end in enumerate(("low", "high"))
    }


def _summary(run: ReportedRun) -> list[str]:
    own, (_, target) = run.own, run.screens
    pooled, skill = own["pooled"], own["skill"]
    capped = f"; {percent(pooled['n_censored'] / pooled['n'])} of them are at the cap" if pooled["n_censored"] else ""
    lines = [
        f"{run.system} predicts {pooled['n']:,} tested pairs of {target} with RMSE {decimal(pooled['rmse'])} and R² "
        f"{decimal(pooled['r2'])}, pooled, in {run.unit}{capped}. "
        f"Among the lines of one drug, Pearson r is {decimal(own['per_drug_median']['median']['pearson'])} in the median"
        f"{r_context(own)}."
    ]
    if skill["vs"] and skill["vs"] != run.system:
        lines.append(
            f"Against the best mean of labels that saw no more of them ({skill['vs']}) its skill is "
            f"{decimal(skill['value'])}: 1 − MSE / MSE of that row."
        )
    if own["saw_target_labels"]:
        lines.append("† Oracle: it saw labels of the target screen, and is no fair rival to systems that did not.")
    return lines


def _results_section(run: ReportedRun) -> Section:
    said = Text(caption(run.comparison, page=True), as_list=True)
    blocks: list[Block] = [Table("All systems", *result_rows(run), best_row(run.comparison, run.system, "rmse")), said]
    drawn = _figures(run, exclude=("loss_curves",))
    blocks += [Figures(drawn)] if drawn else []
    blocks += [lines_table(run.comparison, run.system), strata_table(run), seen_table(run), per_drug_table(run)]
    return Section("Results", blocks)


def _training_section(run: ReportedRun) -> Section:
    if run.history is None:
        return Section("Training", [Text(["This system is not trained in epochs."])])
    rows = []
    for stage, epochs in run.history.groupby("stage", sort=False):
        losses, validated = (_columns(epochs, prefix) for prefix in ("train/loss", "val/"))
        loss = epochs[losses[0]].dropna() if losses else pd.Series(dtype=float)
        best = epochs.sort_values(validated[-1], kind="stable").iloc[0] if validated else None
        rows.append(
            [
                str(stage),
                str(len(epochs)),
                *((decimal(loss.iloc[0]), decimal(loss.iloc[-1])) if len(loss) else (MISSING, MISSING)),
                MISSING if best is None else f"{validated[-1]}: {decimal(best[validated[-1]])} in epoch {best['epoch'] + 1}",
            ]
        )
    headings = ["Stage", "Epochs", "First loss", "Last loss", "Lowest on validation"]
    blocks: list[Block] = [Table("Stages of training", headings, rows)]
    if curves := _figures(run, only=("loss_curves",)):
        blocks.append(Figures(curves))
    return Section("Training", blocks)


def _columns(epochs: pd.DataFrame, prefix: str) -> list[str]:
    return [name for name in map(str, epochs) if name.startswith(prefix) and epochs[name].notna().any()]


def _figures(run: ReportedRun, exclude: Sequence[str] = (), only: Sequence[str] = ()) -> list[Figure]:
    """Those of the run folder with what they show."""
    own, naive = run.own, run.own["skill"]["vs"] or "a naive row"
    strata, pooled = own["strata"], own["pooled"]
    stage = "" if run.history is None else f" of stage {run.history['stage'].iloc[-1]}"
    words = {
        "predicted_vs_measured": (
            "Predicted against measured potency",
            f"Predicted against measured {run.unit} of {pooled['n']:,} tested pairs, counted in hexagons around the line "
            f"where both are equal; beside each panel a histogram for pairs at the cap ({pooled['n_censored']:,}). "
            f"Drugs seen in training, left: RMSE {decimal(strata['drug_seen']['rmse'])}; unseen, right: "
            f"{decimal(strata['drug_unseen']['rmse'])}.",
        ),
        "per_drug_rmse": (
            "RMSE within each drug",
            f"Bars of the RMSE within each of {len(own['per_drug'])} drugs for {run.system} and for {naive}, ordered by the "
            "difference; the table of drugs holds the numbers.",
        ),
        "loss_curves": (
            "Training curves",
            f"Losses, RMSE on validation and, where there is one, the domain discriminator over the epochs{stage}; "
            "the table of stages holds first, last and lowest values.",
        ),
    }
    found = []
    for name in sorted(run.figures, key=lambda name: list(words).index(Path(name).stem) if Path(name).stem in words else 9):
        stem, suffix, content = Path(name).stem, Path(name).suffix, run.figures[name]
        if stem not in exclude and (not only or stem in only):
            title, description = words.get(stem, (stem.replace("_", " "), f"The picture {name} of the run folder."))
            found.append(Figure(title, content, suffix, description))
    return found


def _provenance(run: ReportedRun) -> list[tuple[str, str]]:
    facts = run.results["run"]
    rest = {
        key: value for key, value in facts.items() if key not in ("system", "command") and not key.startswith("version.")
    }
    versions = [f"{key.removeprefix('version.')} {value}" for key, value in facts.items() if key.startswith("version.")]
    names = {"git.sha": "commit", "split_scope": "screens of the split", "cpu.instructions": "processor instructions"}
    shown = {
        "command": facts["command"],
        **{names.get(key, key.replace("_", " ")): str(value) for key, value in rest.items()},
        "versions": ", ".join(versions),
        "times": f"{run.times[0]} to {run.times[1]} (first and last line of the log)" if run.times else "",
        "MLflow run": " in ".join(PASSWORD.sub("…", run.tracked[key]) for key in ("run_id", "uri") if run.tracked.get(key)),
        "folder": str(run.folder),
    }
    return [(name[:1].upper() + name[1:], value) for name, value in shown.items() if value]
