"""A finished run as sections of a page: its data, split, results, training, configuration and provenance."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dadsp.evaluation.compare import STRATA
from dadsp.evaluation.compare_tables import MISSING, number
from dadsp.evaluation.report import caption, text_columns
from dadsp.evaluation.scores import SIDES
from dadsp.report.document import Block, Facts, Figure, Figures, Listing, Section, Table, Text
from dadsp.report.run_lines import lines_table, r_context
from dadsp.runs.collection import REPETITIONS, flat
from dadsp.runs.folder import CONFIG, HISTORY, PREDICTIONS, RunFolder, complete
from dadsp.splits.groups import PLURAL
from dadsp.splits.integrity import PROMISES

PARTS = {"train_idx": "Training", "val_idx": "Validation", "test_idx": "Test"}
LONG = 30  # rows; longer tables open on demand
PASSWORD = re.compile(r"(?<=://)[^/@\s]+(?=@)")
UNIT = "−log10 IC50 (µM)"


@dataclass(frozen=True, eq=False)
class ReportedRun:
    """What a run folder holds, for reading.

    Attributes:
        folder: Where it lies.
        results: What ``metrics.json`` holds.
        config: ``config.yaml``, passwords taken out.
        settings: The same, flat.
        comparison: ``comparison.csv``.
        split: What ``split.json`` holds, row numbers counted.
        predictions: Of validation and test pairs.
        data: What ``dadsp.data.describe`` said of the study, and names of drugs; empty in runs older than that file.
        notes: What reading left out, merged or clipped, by screen.
        history: One row per epoch, None where the system has none.
        tracked: What ``run.json`` holds.
        times: First and last time in the log.
        figures: Of the folder ``figures``.
    """

    folder: Path
    results: Mapping[str, Any]
    config: str
    settings: Mapping[str, str]
    comparison: pd.DataFrame
    split: Mapping[str, Any]
    predictions: pd.DataFrame
    data: Mapping[str, Any]
    notes: Mapping[str, list[dict[str, Any]]]
    history: pd.DataFrame | None
    tracked: Mapping[str, Any]
    times: tuple[str, str] | None
    figures: Mapping[str, bytes]

    @property
    def system(self) -> str:
        """Its name."""
        return str(self.results["run"]["system"])

    @property
    def replicate(self) -> str:
        """Seed, and fold and repeat where the split has them."""
        repeated = [f"{key} {self.settings[f'split.{key}']}" for key in REPETITIONS if f"split.{key}" in self.settings]
        return ", ".join([f"seed {self.results['run']['seed']}", *repeated])

    @property
    def own(self) -> Mapping[str, Any]:
        """Scores of the system itself."""
        return next(row for row in self.results["systems"] if row["name"] == self.system)

    @property
    def scope(self) -> str:
        """On which screens its split stands."""
        return str(self.split.get("scope", "across"))

    @property
    def screens(self) -> tuple[str, str]:
        """Names of the screens that train and test."""
        if self.data:
            return self.data["source"]["name"], self.data["target"]["name"]
        roles = {"source": ("source", "source"), "target_oracle": ("target", "target")}.get(self.scope, ("source", "target"))
        named = [self.settings.get(f"data.{role}.name") for role in roles]
        first, second = named
        return (first or f"the {roles[0]} screen", second or f"the {roles[1]} screen")

    def facts(self) -> dict[str, Any]:
        """The same for machines, without tables of pairs and drugs."""
        kept = ["name", "kind", "saw_target_labels", "pooled", "strata", "per_drug_median", "skill"]
        newer = ("median_drug_pearson_interval", "which_line", "note")  # older runs lack them
        return {
            "folder": str(self.folder),
            "run": self.results["run"],
            "times": self.times,
            "data": {key: value for key, value in self.data.items() if key != "drug_names"},
            "notes": self.notes,
            "split": self.split,
            "systems": [
                {key: row[key] for key in [*kept, *(name for name in newer if name in row)]}
                for row in self.results["systems"]
            ],
            "figures": list(self.figures),
        }


def read_run(folder: Path) -> ReportedRun:
    """The run in ``folder``, without its model and data.

    Raises:
        LoadError: A file is absent or damaged.
    """
    kept = RunFolder(folder)
    with complete(folder):
        run = ReportedRun(
            folder=folder,
            results=kept.results,
            config=PASSWORD.sub("…", (kept / CONFIG).read_text(encoding="utf-8")),
            settings=dict(flat(kept.settings)),
            comparison=kept.comparison,
            split=kept.split_facts,
            predictions=pd.read_parquet(kept / PREDICTIONS),
            data=kept.data_facts,
            notes=kept.data_notes,
            history=kept.history if (kept / HISTORY).exists() else None,
            tracked=kept.tracking,
            times=kept.times(),
            figures=kept.figures(),
        )
        _ = run.own, run.replicate  # what every page shows
        return run


def run_sections(run: ReportedRun) -> list[Section]:
    """All sections of a page about one run; the last two are configuration and provenance.

    Raises:
        LoadError: The files hold other things than a run does.
    """
    with complete(run.folder):
        return [
            Section("Summary", [Text(_summary(run))]),
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
        shown = Table("Beside naive rows", *_result_rows(run), folded=True)
        return Section(title, [Text(_summary(run)), Facts(_provenance(run)), shown])


def data_section(run: ReportedRun) -> Section:
    """What the screens hold, and what was read, dropped and clipped."""
    blocks: list[Block] = []
    if run.data:
        blocks += _screens(run.data, run.scope)
    else:
        told = "This run was made before counts of whole screens were kept; the table of the split says what was scored."
        blocks.append(Text([told]))
    lines = [f"{name}: {_note(note)}" for name, notes in run.notes.items() for note in notes]
    if lines:
        blocks += [Text(["Reading the data left out, merged or clipped:"]), Text(lines, as_list=True)]
    elif run.notes:
        blocks.append(Text(["Reading the data left nothing out."]))
    return Section("Data", blocks)


def _screens(data: Mapping[str, Any], scope: str) -> list[Block]:
    roles = ("source", "target") if scope == "across" else ("source",)
    counts = {
        "Cell lines": "lines",
        "… with labels": "labelled_lines",
        "Drugs": "drugs",
        "… with labels ": "labelled_drugs",
        "Measured pairs": "pairs",
    }
    rows = [[words.strip(), *(f"{data[role][name]:,}" for role in roles)] for words, name in counts.items()]
    shares = {"Measured share of lines × drugs": "grid_share", "Labels at the cap (censored)": "censored_share"}
    rows += [[words, *(percent(data[role][name]) for role in roles)] for words, name in shares.items()]
    caps = [data[role]["cap"] for role in roles]
    rows.append(["Cap, µM", *(MISSING if cap is None else f"{10.0**-cap:.3g}" for cap in caps)])
    for words, name in ((f"Labels, {UNIT}", "labels"), ("Expression", "expression")):
        rows.append([f"{words}: min to max", *(_range(data[role][name]) for role in roles)])
    origins = [data[role].get("origins") or {} for role in roles]  # runs of earlier versions have none
    if any(origins):
        shown = ["; ".join(f"{count:,} {name}" for name, count in found.items()) or MISSING for found in origins]
        rows.append(["Labels come from", *shown])
    rows.append(["Hash of the content", *(str(data[role]["content_hash"])[:8] for role in roles)])
    headings = [f"{data[role]['name']} ({role})" if scope == "across" else data[role]["name"] for role in roles]
    blocks: list[Block] = [Table("Screens", ["", *headings], rows), Text([f"{data['n_genes']:,} genes."])]
    if scope == "across":
        overlap = data["overlap"]
        blocks[-1] = Text(
            [
                f"{data['n_genes']:,} genes stand in both screens, and {overlap['lines']:,} cell lines; "
                f"{overlap['labelled_target_drugs']:,} target drugs have labels in the source too, and {overlap['pairs']:,} "
                f"target pairs were measured there. {_agreement(overlap['source_label_as_prediction'])}"
            ]
        )
    return blocks


def _agreement(scores: Mapping[str, Any]) -> str:
    if scores["rmse"] is None:
        return ""
    return (
        f"Of these, the source's own label predicts the target's with RMSE {decimal(scores['rmse'])} and Pearson r "
        f"{decimal(scores['r'])}: how well two laboratories agree."
    )


def split_section(run: ReportedRun) -> Section:
    """Which pairs train, validate and test, and what they do not share."""
    source, target = run.screens
    kind = str(run.split["kind"])
    scored = run.predictions.groupby("split")
    rows = []
    for part, words in PARTS.items():
        counts = [MISSING] * 3
        if (name := part.removesuffix("_idx")) in scored.groups:
            pairs = scored.get_group(name)
            counts = [
                f"{pairs['cell_id'].nunique():,}",
                f"{pairs['drug_id'].nunique():,}",
                percent(pairs["censored"].mean()),
            ]
        rows.append([words, target if part == "test_idx" else source, f"{run.split[part]:,}", *counts])
    blocks: list[Block] = [
        Text([f"Kind {kind}. {' '.join(_promises(kind, source, target))}"]),
        Table("Parts of the split", ["Part", "Screen", "Pairs", "Lines", "Drugs", "At the cap"], rows),
        Text(
            [f"{run.split['adapt_cell_idx']:,} lines of {target} may lend their expression, without labels, to adaptation."]
        ),
    ]
    if notes := run.split.get("notes"):
        blocks.append(Text([_note(note) for note in notes], as_list=True))
    return Section("Split", blocks)


def _promises(kind: str, source: str, target: str) -> list[str]:
    """What a split of this kind keeps apart, in sentences."""
    promise = PROMISES.get(kind)
    if promise is None:
        return []
    where = f"It stands inside {source}." if promise.within else f"{source} trains and validates, {target} tests."
    outer, inner = (" and ".join(PLURAL[by] for by in groups) for groups in (promise.outer, promise.inner))
    lines = [where, f"Training and validation share no {inner}."]
    if outer:
        lines.append(f"The test shares no {outer} with either.")
    else:
        lines.append("Nothing is kept apart from the test: lines and drugs that both screens hold are tested too.")
    return lines


def _summary(run: ReportedRun) -> list[str]:
    own, (_, target) = run.own, run.screens
    pooled, skill = own["pooled"], own["skill"]
    lines = [
        f"{run.system} predicts {pooled['n']:,} tested pairs of {target} with RMSE {decimal(pooled['rmse'])} and R² "
        f"{decimal(pooled['r2'])}, pooled, in {UNIT}; {percent(pooled['n_censored'] / pooled['n'])} of them are at the cap. "
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
    blocks: list[Block] = [Table("All systems", *_result_rows(run)), Text(caption(run.comparison), as_list=True)]
    blocks += [Figures(_figures(run, exclude=("loss_curves",)))] if run.figures else []
    blocks += [lines_table(run.comparison), _strata(run), _seen(run), _per_drug(run)]
    return Section("Results", blocks)


def _result_rows(run: ReportedRun) -> tuple[list[str], list[list[str]], list[str]]:
    text = text_columns(run.comparison)
    rows = [[name, *(value.replace("-", "−") for value in values)] for name, *values in text.itertuples(index=False)]
    return [str(name).replace("\n", " ") for name in text], rows, run.comparison["kind"].tolist()


def _strata(run: ReportedRun) -> Table:
    own = run.own
    parts = {"all pairs": own["pooled"]} | own["censoring"] | own["strata"]
    rows = [
        [_side(name), f"{scores['n']:,}", f"{scores['n_censored']:,}", *_decimals(scores, ("rmse", "r2", "mae", "pearson"))]
        for name, scores in parts.items()
    ]
    headings = ["Tested pairs", "Pairs", "At the cap", "RMSE", "R²", "MAE", "r"]
    return Table(f"{run.system} by what training had seen of a pair", headings, rows)


def _seen(run: ReportedRun) -> Table:
    text, frame = text_columns(run.comparison), run.comparison
    sides = [f"rmse_{side}" for side in STRATA if side in SIDES or frame[f"rmse_{side}"].notna().any()]
    rows = [
        [system, *(number(value) for value in values)]
        for system, values in zip(text["System"], frame[sides].to_numpy(dtype=float), strict=True)
    ]
    title = "RMSE of all systems by what training had seen"
    headings = ["System", *(_side(side.removeprefix("rmse_")) for side in sides)]
    return Table(title, headings, rows, frame["kind"].tolist())


def _side(name: str) -> str:
    words = {"censored": "at the cap", "uncensored": "not at the cap"}
    return words.get(name, name.replace("cell_", "line_").replace("_drug", ", drug").replace("_", " "))


def _per_drug(run: ReportedRun) -> Table:
    own, naive = run.own, run.own["skill"]["vs"]
    names = run.data.get("drug_names", {})
    others = {
        row["drug_id"]: row["rmse"] for each in run.results["systems"] if each["name"] == naive for row in each["per_drug"]
    }
    rows = [
        [
            names.get(row["drug_id"], row["drug_id"]),
            "yes" if row["drug_seen"] else "no",
            f"{row['n']:,}",
            f"{row['n_censored']:,}",
            decimal(row["rmse"]),
            decimal(others.get(row["drug_id"])),
            *_decimals(row, ("r2", "pearson", "spearman")),
            decimal(row.get("ceiling")),
        ]
        for row in own["per_drug"]
    ]
    headings = [
        "Drug",
        "In training",
        "Pairs",
        "At the cap",
        "RMSE",
        "RMSE, naive",
        "R²",
        "r",
        "ρ",
        "r of the source's label",
    ]
    beside = f", naive: {naive}" if naive else ""
    return Table(f"{run.system} within each drug{beside}", headings, rows, folded=len(rows) > LONG)


def _training_section(run: ReportedRun) -> Section:
    if run.history is None:
        return Section("Training", [Text(["This system is not trained in epochs."])])
    rows = []
    for stage, epochs in run.history.groupby("stage", sort=False):
        losses, judged = (_columns(epochs, prefix) for prefix in ("train/loss", "val/"))
        loss = epochs[losses[0]].dropna() if losses else pd.Series(dtype=float)
        best = epochs.sort_values(judged[0], kind="stable").iloc[0] if judged else None
        rows.append(
            [
                str(stage),
                str(len(epochs)),
                *((decimal(loss.iloc[0]), decimal(loss.iloc[-1])) if len(loss) else (MISSING, MISSING)),
                MISSING if best is None else f"{judged[0]}: {decimal(best[judged[0]])} in epoch {best['epoch']}",
            ]
        )
    headings = ["Stage", "Epochs", "First loss", "Last loss", "Lowest on validation (epochs count from 0)"]
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
            f"Predicted against measured {UNIT} of {pooled['n']:,} tested pairs, counted in hexagons around the line where "
            f"both are equal; beside each panel a histogram of predictions for pairs at the cap ({pooled['n_censored']:,}). "
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
    names = {"git.sha": "commit", "split_scope": "screens of the split"}
    shown = {
        "command": facts["command"],
        **{names.get(key, key.replace("_", " ")): str(value) for key, value in rest.items()},
        "versions": ", ".join(versions),
        "times": f"{run.times[0]} to {run.times[1]} (first and last line of the log)" if run.times else "",
        "MLflow run": " in ".join(PASSWORD.sub("…", run.tracked[key]) for key in ("run_id", "uri") if run.tracked.get(key)),
        "folder": str(run.folder),
    }
    return [(name[:1].upper() + name[1:], value) for name, value in shown.items() if value]


def _note(note: Mapping[str, Any]) -> str:
    return f"{note['what']}: {note['count']:,}" + (f" ({note['examples']})" if note["examples"] else "")


def _range(values: Mapping[str, float] | None) -> str:
    return MISSING if values is None else f"{number(values['min'], 2)} to {number(values['max'], 2)}"


def _decimals(scores: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [decimal(scores[name]) for name in names]


def decimal(value: float | None) -> str:
    """Three digits after the point; a dash where there is no value."""
    return number(float("nan") if value is None else value)


def percent(value: float | None) -> str:
    """A share as percentage; a dash where there is none."""
    return MISSING if value is None or value != value else f"{value:.1%}"
