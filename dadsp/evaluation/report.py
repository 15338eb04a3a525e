"""Systems side by side: a table for reading, a frame for analysis, JSON for keeping.

A comparison is honest only if it says which rows saw labels of the target screen. The word ``oracle`` in a row's name is
that mark: naive rows fitted on target labels must carry it, so must a model trained or selected by them, and no row that
saw source labels only may.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from dadsp.evaluation.compare_tables import CALIBRATED, FEW, marked, meaning, seen_otherwise
from dadsp.evaluation.metric import Score
from dadsp.evaluation.metrics import Evaluation, null_if_nan, skill
from dadsp.evaluation.scores import SCORES, scores_of

Kind = Literal["calibrated", "model", "naive_calibrated", "naive_source", "naive_target", "naive_oracle"]

_R = "median_drug_pearson"
_INTERVAL = (f"{_R}_low", f"{_R}_high")
_ALWAYS = ("RMSE", "R²", "r per drug", "Skill")  # columns that stand even where no row has a value


@dataclass(frozen=True, eq=False)
class Row:
    """One system in a comparison.

    Attributes:
        name: Display name, unique in its comparison. Contains ``oracle`` where target labels were seen; those of calibrated
            kinds say how many.
        kind: ``"model"``; ``"calibrated"``, one given a few target labels that are not scored, and ``"naive_calibrated"``,
            their means; ``"naive_source"``, a trivial predictor fitted on source labels; ``"naive_target"``, one fitted on
            target labels that are not scored; ``"naive_oracle"``, one fitted on the very labels it is scored on.
        evaluation: Its scores.
        r_interval: 95 % bootstrap interval of the median r per drug (``dadsp.evaluation.statistics``); NaN where unknown.
        yardstick: Whether skill is measured against it, if it is naive. Means are; rows that look labels up are not.
        note: What a reader should know of its predictions, e.g. how many fell back to means.

    Raises:
        ValueError: The kind is unknown, or name and kind disagree about target labels.
    """

    name: str
    kind: Kind
    evaluation: Evaluation
    r_interval: tuple[float, float] = (float("nan"), float("nan"))
    yardstick: bool = True
    note: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"Row '{self.name}' is of unknown kind '{self.kind}'. Valid: {', '.join(get_args(Kind))}.")
        if self.kind in ("naive_target", "naive_oracle") and not self.saw_target_labels:
            raise ValueError(f"Row '{self.name}' saw target labels. Put the word 'oracle' into its name.")
        if self.kind in CALIBRATED and "target label" not in self.name:
            raise ValueError(f"Row '{self.name}' was given target labels. Say in its name how many.")
        if self.kind == "naive_source" and self.saw_target_labels:
            raise ValueError(f"Row '{self.name}' saw source labels only. Take the word 'oracle' out of its name.")

    @property
    def saw_target_labels(self) -> bool:
        """Whether labels of the target screen, or those scored, were used anywhere; told by kind and name."""
        return self.kind in CALIBRATED or "oracle" in self.name.lower()


@dataclass(frozen=True)
class Skill:
    """One system against the best mean of labels like those that trained it.

    Attributes:
        value: 1 − MSE/MSE_naive over all pairs; NaN where undefined.
        against: Name of the naive row, None where there is none over the same pairs.
        reason: Why the value is NaN; empty where it is not.
    """

    value: float
    against: str | None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """The same content with null for an undefined value."""
        return {"value": null_if_nan(self.value), "vs": self.against, "reason": self.reason}


def skill_of(row: Row, rows: Sequence[Row]) -> Skill:
    """Skill of one row against the yardstick of least RMSE among ``rows`` over the same pairs and labels.

    Naive rows fitted on source labels count, and for a row that saw target labels those fitted on target labels not scored,
    or on those that calibrated it.
    """
    key = row.evaluation.pairs_key
    kinds = ("naive_source", "naive_target", "naive_calibrated") if row.saw_target_labels else ("naive_source",)
    naive = [other for other in rows if other.kind in kinds and other.yardstick and other.evaluation.pairs_key == key]
    naive = [other for other in naive if np.isfinite(other.evaluation.pooled.rmse)]
    if not naive:
        return Skill(float("nan"), None, "no naive source row was scored on the same pairs")
    best = min(naive, key=lambda other: other.evaluation.pooled.rmse)
    value = skill(row.evaluation.pooled.rmse, best.evaluation.pooled.rmse)
    return Skill(value, best.name, "" if np.isfinite(value) else "one of the two RMSE is undefined, or the naive one is 0")


def comparison(rows: Sequence[Row]) -> pd.DataFrame:
    """One line per system: models first, then naive source, naive target and naive oracle rows, each in the given order.

    Returns:
        Columns system, kind, saw_target_labels, n; every one of ``dadsp.evaluation.scores.SCORES``; skill and skill_vs (the
        naive row it refers to); median_drug_pearson_low and …_high; note. NaN where undefined.

    Raises:
        ValueError: There is no row, or two bear one name.
    """
    records = []
    for row in _ordered(rows):
        relative = skill_of(row, rows)
        records.append(
            {"system": row.name, "kind": row.kind, "saw_target_labels": row.saw_target_labels, "n": row.evaluation.pooled.n}
            | {score.name: score.value(row.evaluation) for score in SCORES.values()}
            | {"skill": relative.value, "skill_vs": relative.against or ""}
            | dict(zip(_INTERVAL, row.r_interval, strict=True))
            | {"note": row.note}
        )
    return pd.DataFrame.from_records(records)


def read_comparison(path: Path) -> pd.DataFrame:
    """What ``comparison`` gave, from a CSV file; NaN where the version that wrote it knew no such column."""
    frame = pd.read_csv(path)
    words = ["skill_vs", "note"]
    known = (*SCORES, "skill", *_INTERVAL, *words)
    frame = frame.reindex(columns=[*frame.columns, *(name for name in known if name not in frame)])
    # Empty cells of text are read as NaN.
    return frame.assign(**{name: frame[name].astype(object).where(frame[name].notna(), "") for name in words})


def to_json(rows: Sequence[Row]) -> dict[str, Any]:
    """All scores of all systems as plain values, null where undefined: the content of metrics.json.

    Raises:
        ValueError: There is no row, or two bear one name.
    """
    return {"potency_unit": "-log10 IC50(uM)", "systems": [_system(row, rows) for row in _ordered(rows)]}


def render(rows: Sequence[Row] | pd.DataFrame, title: str) -> Table:
    """The comparison as a terminal table for 120 columns or more: models bold, rows that saw target labels dim and marked †.

    Args:
        rows: The systems, or the frame ``comparison`` made of them.
        title: Stands above the table.

    Returns:
        The table; its caption explains the columns and marks, so that it can be read without colour.

    Raises:
        ValueError: There is no row, or two bear one name.
    """
    frame = rows if isinstance(rows, pd.DataFrame) else comparison(rows)
    text = text_columns(frame)
    table = Table(
        title=Text(title),
        caption=Text("\n".join(caption(frame))),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("System", overflow="fold", min_width=12)
    for heading in text.columns[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    kinds = [*frame["kind"], ""]
    for position, cells in enumerate(text.itertuples(index=False)):
        kind = kinds[position]
        style = (
            "bold"
            if kind == "calibrated"
            else "dim"
            if frame["saw_target_labels"].iloc[position]
            else "bold"
            if kind == "model"
            else ""
        )
        # Text, since a name such as "DADSP-A [capped]" would be read as markup.
        table.add_row(*map(Text, cells), style=style, end_section=kind != kinds[position + 1])
    return table


def text_columns(frame: pd.DataFrame, *, page: bool = False) -> pd.DataFrame:
    """What ``comparison`` gave as text for reading, one row per system; † marks rows that saw target labels.

    Args:
        frame: The systems.
        page: Whether the columns are wanted too for which a terminal has no room.

    Returns:
        Headings break into lines where a narrow table needs it.
    """
    text = {"System": marked(frame)}
    if len(set(frame["n"])) > 1:
        text["Pairs"] = [str(n) for n in frame["n"]]
    for score in _shown(page):
        text[score.label] = [_cell(score, float(value)) for value in frame[score.name]]
    text["Skill"] = [_number(float(value)) for value in frame["skill"]]
    ends = zip(*(frame[name] for name in _INTERVAL), strict=True)
    within = [f" [{low:.2f}, {high:.2f}]" if np.isfinite(low) else "" for low, high in ends]
    text[SCORES[_R].label] = [r + ends for r, ends in zip(text[SCORES[_R].label], within, strict=True)]
    # A column that no row has a value in says nothing.
    return pd.DataFrame({name: cells for name, cells in text.items() if set(cells) != {"–"} or name in _ALWAYS})


def _shown(page: bool) -> list[Score]:
    return scores_of("run", "run_page") if page else scores_of("run")


def _ordered(rows: Sequence[Row]) -> list[Row]:
    if not rows:
        raise ValueError("There is no row to compare.")
    names = [row.name for row in rows]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{len(repeated)} names stand for more than one row: {', '.join(repeated)}. Give each its own.")
    return sorted(rows, key=lambda row: get_args(Kind).index(row.kind))


def scores_to_json(scores: Evaluation) -> dict[str, Any]:
    """What ``to_json`` says of one system by itself."""
    return {
        "pooled": scores.pooled.to_json(),
        "censoring": {"uncensored": scores.uncensored.to_json(), "censored": scores.censored.to_json()},
        "strata": {name: metrics.to_json() for name, metrics in scores.strata.items()},
        "per_drug": _records(scores.per_drug),
        "per_drug_median": scores.per_drug_summary.to_json(),
        "per_line_median": scores.per_line_summary.to_json(),
        "which_line": scores.which_line.to_json(),
    }


def _system(row: Row, rows: Sequence[Row]) -> dict[str, Any]:
    scores = scores_to_json(row.evaluation)
    lines = scores.pop("which_line")
    return {
        "name": row.name,
        "kind": row.kind,
        "saw_target_labels": row.saw_target_labels,
        **scores,
        "skill": skill_of(row, rows).to_json(),
        "median_drug_pearson_interval": [null_if_nan(end) for end in row.r_interval],
        "which_line": lines,
        "note": row.note,
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    columns = [
        [None if missing else value for value, missing in zip(column.tolist(), column.isna(), strict=True)]
        for _, column in frame.items()
    ]
    return [dict(zip(map(str, frame.columns), row, strict=True)) for row in zip(*columns, strict=True)]


def _cell(score: Score, value: float) -> str:
    if score.percent:
        return f"{value:.0%}" if np.isfinite(value) else "–"
    return _number(value, score.digits)


def _number(value: float, digits: int = 3) -> str:
    """At most seven characters; a dash where undefined."""
    if not np.isfinite(value):
        return "–"
    if abs(value) < 10:
        return f"{round(value, digits) + 0.0:.{digits}f}"  # adding 0.0 turns −0.000 into 0.000
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0e}"


def caption(frame: pd.DataFrame, *, page: bool = False) -> list[str]:
    """What the columns and marks of ``text_columns`` mean."""
    lines = ["r per drug: median over drugs of Pearson r among the lines of one drug, with 95 % interval.  –: undefined."]
    known = frame[np.isfinite(frame["ceiling"].astype(float))]
    if len(known):
        ceiling, n_drugs = known[["ceiling", "ceiling_drugs"]].iloc[0]
        lines.append(
            f"Label ceiling: r {_number(ceiling)}, median over {n_drugs:.0f} drugs, between the source's own label of a "
            "pair and the label tested. % of ceiling: the system's r over the same drugs and pairs."
        )
    lines += [meaning(score) for score in _shown(page) if score.about and frame[score.name].notna().any()]
    against = sorted(set(frame["skill_vs"]) - {""})
    if against:
        lines.append(f"Skill: 1 − MSE / MSE of the best mean fitted on training labels only ({'; '.join(against)}).")
    else:
        lines.append("Skill is undefined: no mean fitted on training labels only was scored on the same pairs.")
    noted = frame[frame["note"] != ""].groupby("note", sort=False)["system"]
    lines += [f"{'; '.join(names)}: {note}." for note, names in noted]
    if frame["kind"].isin(CALIBRATED).any():
        lines.append(FEW)
    if seen_otherwise(frame):
        lines.append("† oracle: saw labels of the target screen, or the very labels scored; no fair rival to unmarked rows.")
    return lines
