"""A comparison as text: columns for reading, and the table for the terminal."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from dadsp.evaluation.compare import DIFFERENCES, SHOWN_STRATA, Comparison, R
from dadsp.evaluation.metric import Score
from dadsp.evaluation.scores import scores_of

MISSING = "–"
RMSE, INTERVAL, DIFFERENCE_INTERVAL = "RMSE", "95 % interval", "95 % interval of the difference"
R_PER_DRUG, R_INTERVAL, R_DIFFERENCE_INTERVAL = "r per drug", "95 % interval of r", "95 % interval of the difference in r"
INTERVALS = {"rmse": INTERVAL, R: R_INTERVAL}  # headings of the intervals of a score


def number(value: float, digits: int = 3) -> str:
    """A number for reading, with a true minus; a dash where there is none."""
    return MISSING if np.isnan(value) else f"{value:.{digits}f}".replace("-", "−")


FEW = "‡: given a few target labels, none of which is scored; a rival to its like alone."
CALIBRATED = ("calibrated", "naive_calibrated")  # kinds of rows that were given them


def marked(table: pd.DataFrame) -> list[str]:
    """The systems' names, with ‡ where a few target labels were given, † where they were seen otherwise."""
    given = table["kind"].isin(CALIBRATED) if "kind" in table else np.zeros(len(table), dtype=bool)
    marks = np.where(given, "‡ ", np.where(table["saw_target_labels"].astype(bool), "† ", ""))
    return [f"{mark}{name}" for mark, name in zip(marks, table["system"], strict=True)]


def seen_otherwise(table: pd.DataFrame) -> bool:
    """Whether a row bears a †."""
    return bool((table["saw_target_labels"].astype(bool) & ~table["kind"].isin(CALIBRATED)).any())


def main_columns(comparison: Comparison, *, page: bool = True) -> pd.DataFrame:
    """The comparison as text, one row per system; columns without any value are left out.

    Args:
        comparison: The systems.
        page: Whether the columns are wanted too for which a terminal has no room.
    """
    table = comparison.table
    differences, r_differences = (_mean_and_sd(table, name) for name in DIFFERENCES.values())
    differences[table.index[table["system"] == comparison.reference][0]] = "reference"
    columns = {"Runs": [str(runs) for runs in table["runs"]]}
    for score in _shown(page):
        columns[score.heading] = _cells(table, score)
        if score.name in INTERVALS:
            columns[INTERVALS[score.name]] = _interval(table, score.name)
    columns |= {
        _against(comparison): differences,
        DIFFERENCE_INTERVAL: _interval(table, "difference"),
        _r_against(comparison): r_differences,
        R_DIFFERENCE_INTERVAL: _interval(table, "r_difference"),
        "Mean rank": [number(rank, 2) for rank in table["mean_rank"]],
        "Paper RMSE": [number(value, 2) for value in table["paper_rmse"]],
        "Paper R²": [number(value, 2) for value in table["paper_r2"]],
    }
    return _beside_names(table, columns)


def _shown(page: bool) -> list[Score]:
    return scores_of("systems", "systems_page") if page else scores_of("systems")


def _cells(table: pd.DataFrame, score: Score) -> list[str]:
    if score.percent:
        return [MISSING if np.isnan(share) else number(100 * share, 0) for share in table[score.name]]
    return _mean_and_sd(table, score.name, score.digits)


def strata_columns(comparison: Comparison) -> pd.DataFrame:
    """RMSE by what training had seen of the tested pairs, as text."""
    names = {side: side.replace("cell", "line").replace("_", " ") for side in SHOWN_STRATA}
    columns = {names[side]: _mean_and_sd(comparison.table, f"rmse_{side}") for side in SHOWN_STRATA}
    return _beside_names(comparison.table, columns)


def caption(comparison: Comparison, *, page: bool = True) -> list[str]:
    """What the columns of ``main_columns`` mean."""
    facts, ranks = comparison.facts, comparison.ranks
    lines = [
        "Bold: the least RMSE among systems and naive rows that saw no label of the target screen.",
        "±: standard deviation over runs. r per drug: median over drugs of Pearson r among the lines of one drug.",
        f"Intervals: {facts['bootstrap_replicates']:,} bootstrap draws of lines and of drugs. They speak of these trained "
        "models on other lines and drugs; how much training itself varies is the ±.",
    ]
    lines += against_naive(comparison)
    known = comparison.table.dropna(subset="ceiling")
    if len(known):
        ceiling, n_drugs = known[["ceiling", "ceiling_drugs"]].iloc[0]
        lines.append(
            f"Label ceiling: r {number(ceiling)}, median over {n_drugs:.0f} drugs, between the source's own label of a pair "
            "and the label tested; no system. % of ceiling: a system's r over the same drugs and pairs."
        )
    # What a table of dadsp train explains needs no explanation here.
    lines += [meaning(score) for score in _shown(page) if score.about and "run" not in score.tables]
    if ranks:
        p_value = "" if np.isnan(ranks.p_value) else f" Friedman p = {ranks.p_value:.2g}."
        lines.append(
            f"Mean rank: by RMSE within each of {ranks.n_blocks} drugs, 1 is best. Ranks closer than "
            f"{number(ranks.critical_difference, 2)} cannot be told apart (Nemenyi, {ranks.level:.0%}).{p_value}"
        )
    if comparison.table["kind"].isin(CALIBRATED).any():
        lines.append(FEW)
    if seen_otherwise(comparison.table):
        lines.append("†: saw labels of the target screen, no fair rival to the other rows.")
    return lines


def against_naive(comparison: Comparison) -> list[str]:
    """Whether the reference beats the best naive row, in a sentence; none where that is not known."""
    found = comparison.against_naive
    if found is None:
        return []
    low, high = found["low"], found["high"]
    verdict = "worse" if low > 0 else "better" if high < 0 else "not told apart"
    ends = f"[{number(low)}, {number(high)}]"
    return [
        f"{comparison.reference} against the best naive row, {found['naive']}: RMSE {'+' * (found['difference'] > 0)}"
        f"{number(found['difference'])}, 95 % interval {ends}: {verdict}."
    ]


def meaning(score: Score) -> str:
    """A line of a caption."""
    return f"{score.heading}: {score.about}."


def render(comparison: Comparison) -> Table:
    """The main table for a terminal of 120 columns or more, intervals below what they belong to."""
    text = main_columns(comparison, page=False)
    below = {
        RMSE: INTERVAL,
        R_PER_DRUG: R_INTERVAL,
        _against(comparison): DIFFERENCE_INTERVAL,
        _r_against(comparison): R_DIFFERENCE_INTERVAL,
    }
    for name, interval in below.items():
        if interval in text:
            text[name] += ["" if ends == MISSING else f"\n{ends}" for ends in text.pop(interval)]
    table = Table(
        title=Text(comparison.title),
        caption=Text("\n".join(caption(comparison, page=False))),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title_justify="left",
        caption_justify="left",
    )
    for column in map(str, text):
        # Widths are for numbers: names wrap, and short headings stand in two lines.
        heading = Text("\n".join(column.rsplit(" ", 1)) if len(column) <= len("% of ceiling") else column)
        left = column == "System"
        table.add_column(heading, justify="left" if left else "right", width=24 if left else None)
    kinds = [*comparison.table["kind"], ""]
    for position, values in enumerate(text.itertuples(index=False)):
        # Text, since a name such as "DADSP-A [dropout=0.3]" would be read as markup.
        style = "bold" if comparison.table["system"].iloc[position] == comparison.best_fair else None
        table.add_row(*map(Text, values), style=style, end_section=kinds[position] != kinds[position + 1])
    return table


def _against(comparison: Comparison) -> str:
    return f"RMSE − that of {comparison.reference}"


def _r_against(comparison: Comparison) -> str:
    return f"r − that of {comparison.reference}"


def _beside_names(table: pd.DataFrame, columns: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    filled = {name: values for name, values in columns.items() if any(value != MISSING for value in values)}
    return pd.DataFrame({"System": marked(table), **filled})


def _mean_and_sd(table: pd.DataFrame, name: str, digits: int = 3) -> list[str]:
    pairs = zip(table[name], table[f"{name}_sd"], strict=True)
    # Naive rows may be the same in every run: no spread, as with a single run.
    return [number(mean, digits) + (f" ± {number(sd, digits)}" if sd > 1e-12 else "") for mean, sd in pairs]


def _interval(table: pd.DataFrame, name: str) -> list[str]:
    pairs = zip(table[f"{name}_low"], table[f"{name}_high"], strict=True)
    return [MISSING if np.isnan(low) else f"[{number(low)}, {number(high)}]" for low, high in pairs]
