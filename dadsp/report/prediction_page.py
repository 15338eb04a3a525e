"""Predictions as a page: for each line its drugs ranked, with intervals and how far to trust them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dadsp.report.document import Block, Document, Facts, Figure, Figures, Section, Table, Text
from dadsp.report.words import LONG, MISSING, decimal, note_line, number, percent

Draw = Callable[[pd.DataFrame, bool], bytes]
MOST_LINES, MOST_ROWS = 20, 8_500  # that a page shows, so that it can be mailed
FIRST = 3  # drugs that the answer names
READING = (
    "Potency is −log10 of the IC50 in µM: higher is more sensitive. Intervals are for a label as the source's assay would "
    "report it.",
    "Inside, intervals for 90 % held 88 % or more of what was held out; at the edge they were tested and held less; "
    "outside, nothing so far from the training set was tested.",
    "A line's percentile: how many % of the lines named beside it are predicted less sensitive to the same drug.",
)


def prediction_page(
    frame: pd.DataFrame,
    system: str,
    notes: Sequence[Mapping[str, Any]],
    trust: Mapping[str, Any] | None,
    draw: Draw,
    called: Mapping[str, str],
) -> Document:
    """The line of the most potent prediction, then a section for each of the first lines.

    They are ``MOST_LINES``, or fewer with ``MOST_ROWS`` predictions together, but one at least.

    Args:
        frame: As ``dadsp predict`` writes it.
        system: Who predicted.
        notes: What was left out, found by name, or must be known.
        trust: ``Trust.facts``; None where the run has no calibration.
        draw: A PNG of the drugs of one line, from its rows; narrow or not.
        called: What people call the lines, by id.
    """
    lines = list(frame["cell_id"].unique())
    told = [note_line(note) for note in notes]
    groups = dict(list(frame[frame["cell_id"].isin(lines[:MOST_LINES])].groupby("cell_id", sort=False)))
    fit = np.cumsum([len(rows) for rows in groups.values()]) <= MOST_ROWS
    groups = {name: rows for at, (name, rows) in enumerate(groups.items()) if fit[at] or at == 0}
    if len(lines) > len(groups):
        told.append(f"lines without a section of their own, all of which are in the table: {len(lines) - len(groups):,}")
    sections = [_answer(frame, called, draw), _trusting(trust)]
    sections += [_line(called.get(str(name), str(name)), rows, draw) for name, rows in groups.items()]
    title = f"{system}: {len(frame):,} predictions, {len(lines):,} lines, {frame['drug_id'].nunique():,} drugs"
    return Document(title, told, sections)


def _answer(frame: pd.DataFrame, called: Mapping[str, str], draw: Draw) -> Section:
    most = str(frame["cell_id"].iloc[int(frame["neg_log10_ic50_um"].to_numpy().argmax())])
    rows, name, n_lines = _ranked(frame[frame["cell_id"] == most]), called.get(most, most), frame["cell_id"].nunique()
    first = "; ".join(_with_interval(row) for row in rows.head(FIRST).to_dict("records"))
    if n_lines == 1:
        question, told = f"Which drugs is {name} most sensitive to?", [f"By predicted IC50: {first}."]
    else:
        question = "Which drugs are the lines most sensitive to?"
        told = [f"{name} has the lowest predicted IC50 of {n_lines:,} lines: {first}."]
    if "verdict" in frame:
        inside, edge, outside = (f"{(frame['verdict'] == verdict).sum():,}" for verdict in ("inside", "edge", "outside"))
        told.append(
            f"Of {len(frame):,} predictions {inside} lie inside, where intervals held, {edge} at the edge, {outside} "
            "outside of all that was tested."
        )
    words = f"The first drugs of {name} by predicted potency, with intervals for 50 and 90 %; its table holds the numbers."
    return Section(question, [Text(told), Figures([Figure(f"First drugs of {name}", draw(rows, True), ".png", words)])])


def _with_interval(row: Mapping[Any, Any]) -> str:
    ends = _ends(row)
    told = [
        "no 90 % interval" if ends == MISSING else f"90 % interval {ends}",
        *([row["verdict"]] if "verdict" in row else []),
    ]
    return f"{row['drug_name']} {row['ic50_um']:.3g} µM ({', '.join(told)})"


def _trusting(trust: Mapping[str, Any] | None) -> Section:
    blocks: list[Block] = [Text(READING, as_list=True)]
    if trust is None:
        blocks.append(
            Text(["This run was made before intervals were calibrated. Train it again for intervals and verdicts."])
        )
        return Section("How far to trust this", blocks)
    counts, screens = trust["held_out"], trust["screens"]
    method = {
        "cross_fit": f"the system, fitted again on five folds of {screens['source']}, erred on what each held out: "
        f"{counts['lines']:,} lines, {counts['drugs']:,} drugs, {counts['pairs']:,} pairs",
        "held_out_lines": f"the system erred on {counts['lines']:,} held-out lines of {screens['source']}; of drugs that "
        "never trained nothing is claimed",
    }[trust["method"]]
    blocks.append(Facts([("Intervals come from", f"how {method}")]))
    rows = []
    for part in ("source", "target"):
        for row in trust["coverage"].get(part, ()):
            if row["verdict"] == "all":
                held = [percent(row["coverage_50"]), percent(row["coverage_90"]), decimal(row["width_90"], 2)]
                rows.append([f"{screens[part]}, {row['stratum']}", f"{row['groups']:,}", f"{row['pairs']:,}", *held])
    if rows:
        headings = ["Held out", "Groups", "Pairs", "50 % hold", "90 % hold", "Width of 90 %"]
        blocks.append(Table("How often intervals held labels that calibrated none of them", headings, rows))
        own, other = screens["source"], screens["target"]
        blocks.append(Text([f"{own}: each fold by the other four. {other}: what its laboratory adds is in no interval."]))
    return Section("How far to trust this", blocks)


def _ranked(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values(["rank_in_cell", "drug_id"], kind="stable")


def _line(name: str, rows: pd.DataFrame, draw: Draw) -> Section:
    rows = _ranked(rows)
    first = ", ".join(rows["drug_name"].head(3))
    words = f"The drugs of {name} ranked by predicted potency, with intervals for 50 and 90 %. First: {first}."
    blocks: list[Block] = [Figures([Figure(f"Drugs of {name}", draw(rows, False), ".png", words)])]
    if "cell_seen" in rows:
        own = rows.iloc[0]
        distance = "–" if pd.isna(own["line_distance"]) else decimal(float(own["line_distance"]), 2)
        seen = "the line has labels in training" if own["cell_seen"] else "the line has no label in training"
        blocks.insert(0, Facts([("Line", f"{seen}; distance to the nearest training line {distance}")]))
    headings = ["Drug", "Rank", "IC50, µM", "90 % interval, µM", "In training", "Similarity", "Verdict", "Line's percentile"]
    table = [_row(row) for row in rows.to_dict("records")]
    blocks.append(Table(f"All {len(rows):,} drugs", headings, table, folded=len(rows) > LONG))
    return Section(name, blocks)


def _row(row: Mapping[Any, Any]) -> list[str]:
    percentile = row["percentile_in_drug"]
    seen = row.get("drug_seen")
    return [
        _drug(row),
        str(row["rank_in_cell"]),
        f"{row['ic50_um']:.3g}",
        _ends(row),
        MISSING if seen is None else "yes" if seen else "no",
        number(float(row.get("drug_similarity", "nan")), 2),
        str(row.get("verdict", MISSING)),
        MISSING if pd.isna(percentile) else f"{percentile:.0f} of {row['percentile_among']}",
    ]


def _drug(row: Mapping[Any, Any]) -> str:
    return str(row["drug_name"] if row["drug_name"] == row["drug_id"] else f"{row['drug_name']} ({row['drug_id']})")


def _ends(row: Mapping[Any, Any]) -> str:
    """Of the 90 % interval, in µM."""
    ends = [float(row.get(end, "nan")) for end in ("high_90", "low_90")]
    return MISSING if pd.isna(ends).any() else " to ".join(f"{10.0**-end:.3g}" for end in ends)
