"""What a run learned from and was tested on, as sections of a page: its screens and its split."""

from collections.abc import Mapping
from typing import Any

from dadsp.report.document import Block, Section, Table, Text
from dadsp.report.reported_run import ReportedRun
from dadsp.report.words import MISSING, decimal, note_line, number, percent
from dadsp.splits.groups import PLURAL
from dadsp.splits.integrity import PROMISES

PARTS = {"train_idx": "Training", "val_idx": "Validation", "test_idx": "Test"}


def data_section(run: ReportedRun) -> Section:
    """What the screens hold, and what was read, dropped and clipped."""
    blocks: list[Block] = []
    if run.data:
        blocks += _screens(run.data, run.scope, run.unit)
    else:
        told = "This run was made before counts of whole screens were kept; the table of the split says what was scored."
        blocks.append(Text([told]))
    lines = [f"{name}: {note_line(note)}" for name, notes in run.notes.items() for note in notes]
    if lines:
        blocks += [Text(["Reading the data left out, merged or clipped:"]), Text(lines, as_list=True)]
    elif run.notes:
        blocks.append(Text(["Reading the data left nothing out."]))
    return Section("Data", blocks)


def _screens(data: Mapping[str, Any], scope: str, unit: str) -> list[Block]:
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
    for words, name in ((f"Labels, {unit}", "labels"), ("Expression", "expression")):
        rows.append([f"{words}: min to max", *(_range(data[role][name]) for role in roles)])
    origins = [data[role].get("origins") or {} for role in roles]  # runs of earlier versions have none
    if any(origins):
        shown = ["; ".join(f"{count:,} {name}" for name, count in found.items()) or MISSING for found in origins]
        rows.append(["Labels come from", *shown])
    rows.append(["Hash of the content", *(str(data[role]["content_hash"])[:8] for role in roles)])
    headings = [f"{data[role]['name']} ({role})" if scope == "across" else data[role]["name"] for role in roles]
    blocks: list[Block] = [Table("Screens", ["Property", *headings], rows), Text([f"{data['n_genes']:,} genes."])]
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
        blocks.append(Text([note_line(note) for note in notes], as_list=True))
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


def _range(values: Mapping[str, float] | None) -> str:
    return MISSING if values is None else f"{number(values['min'], 2)} to {number(values['max'], 2)}"
