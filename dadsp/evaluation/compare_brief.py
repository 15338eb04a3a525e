"""A comparison for a first look: one short table, and one sentence that says which system to use."""

from collections.abc import Iterable

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from dadsp.evaluation.compare import DIFFERENCES, SYSTEMS, Comparison, R
from dadsp.evaluation.compare_tables import FEW, MISSING, marked, number

CEILING = "label ceiling"


def brief_columns(comparison: Comparison) -> pd.DataFrame:
    """The systems, the naive source row of least RMSE and the label ceiling, as text."""
    table = comparison.table
    naive = table[table["kind"] == "naive_source"].nsmallest(1, "rmse")
    rows = pd.concat([table[table["kind"].isin(SYSTEMS)], naive])
    ends = zip(rows[f"{R}_low"], rows[f"{R}_high"], strict=True)
    within = ["" if pd.isna(low) else f" [{number(low, 2)}, {number(high, 2)}]" for low, high in ends]
    text = pd.DataFrame(
        {
            "System": marked(rows),
            "Runs": [str(runs) for runs in rows["runs"]],
            "RMSE": [number(value) for value in rows["rmse"]],
            "R²": [number(value, 2) for value in rows["r2"]],
            "r per drug": [number(value, 2) + of for value, of in zip(rows[R], within, strict=True)],
            "% of ceiling": [number(100 * share, 0) for share in rows["share_of_ceiling"]],
        }
    )
    if set(text["Runs"]) == {"1"}:
        del text["Runs"]
    ceilings = table["ceiling"].dropna()
    if len(ceilings):
        of_labels = {"System": CEILING, "r per drug": number(ceilings.iloc[0], 2), "% of ceiling": "100"}
        text = pd.concat([text, pd.DataFrame([of_labels])], ignore_index=True).fillna(MISSING)
    return text


def render_brief(comparison: Comparison) -> Table:
    """The short table for a terminal of 100 columns."""
    text, n_models = brief_columns(comparison), int(comparison.table["kind"].isin(SYSTEMS).sum())
    facts = comparison.facts
    caption = (
        f"{facts['pairs']:,} tested pairs of {facts['lines']:,} lines and {facts['drugs']:,} drugs.  r per drug: how well "
        "the lines of a drug are ranked, median Pearson r over drugs with 95 % interval.  Label ceiling: the source's own "
        "label of a pair in place of a prediction; % of ceiling: r over the pairs that have one."
    )
    if any(name.startswith("†") for name in text["System"]):
        caption += "  †: saw labels of the target screen, no fair rival."
    if any(name.startswith("‡") for name in text["System"]):
        caption += f"  {FEW}"
    table = Table(
        title=Text(comparison.title),
        caption=Text(caption),
        box=SIMPLE_HEAD,
        padding=(0, 2, 0, 0),
        title_justify="left",
        caption_justify="left",
    )
    for column in text:
        table.add_column(Text(str(column)), justify="left" if column == "System" else "right")
    for position, values in enumerate(text.itertuples(index=False)):
        # Text, since a name such as "DADSP-A [dropout=0.3]" would be read as markup.
        table.add_row(*map(Text, values), end_section=position == n_models - 1)
    return table


def advice(comparison: Comparison) -> str:
    """One sentence that says which system to use, from RMSE and r per drug and the intervals of their paired differences.

    The comparison refers to the best RMSE among the systems that saw no target label, as it does by default; where it refers
    to another system, the sentence says how the others stand to that one. A difference counts where its interval excludes
    zero; a naive row of less RMSE counts by its number alone.
    """
    table = comparison.table
    fair = table[(table["kind"] == "model") & ~table["saw_target_labels"].astype(bool)]
    naive = table[table["kind"] == "naive_source"]
    if fair.empty:
        return "None of these systems can be recommended: all saw labels of the target screen."
    chosen = fair[fair["system"] == comparison.reference]
    if chosen.empty or chosen["rmse"].iloc[0] > fair["rmse"].min():
        return _against(comparison.reference, table[table["kind"].isin(SYSTEMS)])
    best = chosen.iloc[0]
    rmse = number(best["rmse"])
    for _, row in naive[naive["rmse"] <= best["rmse"]].nsmallest(1, "rmse").iterrows():
        return (
            f"Use none of these for potency: the naive row '{row['system']}' has RMSE {number(row['rmse'])}, "
            f"{best['system']}, the best system, {rmse}."
        )
    others = fair[fair["system"] != best["system"]]
    doubt = _not_told_apart(naive)
    if others.empty:
        return f"{best['system']} is the only system to choose from; no naive row reaches its RMSE of {rmse}{doubt}."
    gap, r_gap = (DIFFERENCES[name] for name in ("rmse", R))
    tied = others[~(others[f"{gap}_low"] > 0)]
    potency = f"RMSE {rmse}{_standing(tied, others, 'lowest')}"
    above = others[others[f"{r_gap}_low"] > 0].nlargest(1, R)
    for _, row in above.iterrows():
        return (
            f"Use {best['system']} for potency ({potency}), but {row['system']} to rank lines (r per drug "
            f"{number(row[R], 2)} against {number(best[R], 2)}, interval of the difference above zero)"
            f"{_lookup(naive, row)}{doubt}."
        )
    alike = others[others[R].notna() & ~(others[f"{r_gap}_high"] < 0)]  # one without r ranks no lines
    if pd.isna(best[R]):
        ranking = "it does not rank the lines of a drug" + (f"; {_names(alike['system'])} can" if len(alike) else "")
        return f"Use {best['system']}: {potency}; {ranking}{doubt}."
    ranking = f"r per drug {number(best[R], 2)}{_standing(alike, others, 'highest')}"
    equal = others.loc[tied.index.intersection(alike.index), "system"].tolist()
    either = f", or just as well {_names(equal)}" if equal else ""
    return f"Use {best['system']}{either}: {potency}; {ranking}{_lookup(naive, best)}{doubt}."


def _against(reference: str, systems: pd.DataFrame) -> str:
    """How the other systems stand to one that was chosen to be compared with."""
    others, gap = systems[systems["system"] != reference], DIFFERENCES["rmse"]
    lower, higher = others[others[f"{gap}_high"] < 0], others[others[f"{gap}_low"] > 0]
    rest = others.drop(lower.index.union(higher.index))
    told = {"a lower RMSE": lower, "a higher one": higher, "one not told apart from it": rest}
    parts = [f"{words}: {_names(marked(rows))}" for words, rows in told.items() if len(rows)]
    return f"Against {reference}, by whether the interval of the difference excludes zero: {'; '.join(parts)}."


def _standing(tied: pd.DataFrame, others: pd.DataFrame, extreme: str) -> str:
    """How a score stands to those of the other systems, of which ``tied`` cannot be told apart from it."""
    if tied.empty:
        differences = "interval of the difference excludes" if len(others) == 1 else "intervals of the differences exclude"
        return f", the {extreme} ({differences} zero)"
    return f", not told apart from {_names(tied['system'])} (interval of the difference includes zero)"


def _lookup(naive: pd.DataFrame, system: "pd.Series[float]") -> str:
    """A naive row that ranks lines better, which a reader should know of."""
    above = naive[naive[R] > system[R]].nlargest(1, R)
    return "".join(f"; yet the naive row '{row['system']}' reaches {number(row[R], 2)}" for _, row in above.iterrows())


def _not_told_apart(naive: pd.DataFrame) -> str:
    """The best naive row, where the interval of its difference from the best system includes zero."""
    rows = naive.nsmallest(1, "rmse")
    rows = rows[rows[f"{DIFFERENCES['rmse']}_low"] <= 0]
    words = "; yet in RMSE not told apart from the naive row '{}', {} (interval of the difference includes zero)"
    return "".join(words.format(row["system"], number(row["rmse"])) for _, row in rows.iterrows())


def _names(systems: Iterable[str]) -> str:
    *first, last = systems
    return f"{', '.join(first)} and {last}" if first else last
