"""The numbers of one system that stand in tables of many, each an object; and how a metric is added."""

import re
from typing import get_args

from dadsp.errors import ConfigError, nearest
from dadsp.evaluation.metric import (
    MAE,
    METRICS,
    PARTS,
    PEARSON,
    R2,
    R2_ORIGIN,
    RMSE,
    RMSE_CENSORED_AWARE,
    SPEARMAN,
    Metric,
    Score,
    Table,
)
from dadsp.evaluation.which_line import PER_DRUG

SIDES = ("drug_seen", "drug_unseen", "cell_seen", "cell_unseen", "pair_seen", "pair_unseen")
PROFILED = ("cell_profiled", "cell_unprofiled")  # of lines whose expression the source holds, or not
_NAME = re.compile(r"[a-z][a-z0-9_]*")

_DATA: frozenset[Table] = frozenset({"compare", "tracking"})
_LINES: frozenset[Table] = frozenset({*_DATA, "lines"})


def _built_in() -> list[Score]:
    """In the order of the columns of ``comparison.csv``."""
    scores = [
        RMSE.score("pooled", {"run", "systems", "compare", "tracking", "back_test"}, about=""),
        R2.score("pooled", {"run", "systems_page", "compare", "tracking", "back_test"}, place=0, about=""),
        *(metric.score("pooled", {"tracking"}) for metric in (R2_ORIGIN, MAE, PEARSON, SPEARMAN, RMSE_CENSORED_AWARE)),
        RMSE.score("uncensored", set()),
        RMSE.score("median_drug", set()),
        PEARSON.score("median_drug", {"run", "systems", *_LINES, "back_test"}, place=0),
        SPEARMAN.score("median_drug", set()),
    ]
    for side in SIDES:
        shown: set[Table] = {"run", "compare"} if side.startswith("drug") else {"compare"}
        scores += [RMSE.score(side, shown, place=9), R2.score(side, {"compare"})]
    for side in PROFILED:
        scores += [RMSE.score(side, _DATA), R2.score(side, _DATA)]
    return [*scores, *_of_lines()]


def _of_lines() -> list[Score]:
    """What ``dadsp.evaluation.which_line`` says."""
    return [
        Score(
            "median_drug_precision_10",
            "Top\n10 %",
            lambda evaluation: evaluation.which_line.precision_10,
            title="Precision, top 10 %",
            about="of a drug's most sensitive tenth of lines, the share that is also predicted so (precision); median over "
            "drugs, by chance 0.1",
            tables=_LINES | {"run", "systems_page"},
        ),
        Score("ceiling", "Label ceiling", lambda e: e.which_line.ceiling, direction="none", tables=_DATA),
        Score("ceiling_drugs", "Its drugs", lambda e: e.which_line.ceiling_drugs, direction="none", digits=0, tables=_DATA),
        Score(
            "share_of_ceiling",
            "% of\nceiling",
            lambda evaluation: evaluation.which_line.share_of_ceiling,
            title="Share of ceiling",
            percent=True,
            place=1,
            tables=_LINES | {"run", "systems"},
        ),
        Score(
            "median_drug_pearson_unprofiled",
            "r, lines never profiled",
            lambda evaluation: evaluation.which_line.pearson_unprofiled,
            place=3,
            tables=_LINES,
        ),
        Score(
            "median_drug_pearson_unseen",
            "r, lines without training labels",
            lambda evaluation: evaluation.which_line.pearson_unseen,
            place=2,
            tables=_LINES,
        ),
        *(_removed(metric, what) for what in ("drug", "drug_line") for metric in (PEARSON, RMSE)),
        *(_coverage(part) for part in ("all", "drug_seen", "drug_unseen")),
    ]


def _removed(metric: Metric, what: str) -> Score:
    words = {"drug": "drug means removed", "drug_line": "drug and line effects removed"}[what]
    return Score(
        f"{metric.name}_{what}_removed",
        f"{metric.label}, {words}",
        lambda evaluation: evaluation.which_line.removed[what][metric.name],
        direction=metric.direction,
        tables=_LINES,
    )


def _coverage(part: str) -> Score:
    return Score(
        "coverage_90" if part == "all" else f"coverage_90_{part}",
        "Labels inside 90 % interval" + ("" if part == "all" else f", {part.replace('_', ' ')}"),
        lambda evaluation: evaluation.which_line.coverage_90[part],
        direction="none",
        tables=_LINES if part == "all" else _DATA,
    )


SCORES: dict[str, Score] = {score.name: score for score in _built_in()}
# Other columns of tables that hold scores, and attributes of ``Metrics``.
_TAKEN = {
    *("system", "kind", "saw_target_labels", "replicate", "runs", "difference", "skill", "skill_vs", "note"),
    *("cell_id", "cell_seen", "drug_id", "drug_seen", "n", "n_censored", "undefined", *PER_DRUG),
    *("values", "reasons", "to_json"),
}
_ENDINGS = ("_sd", "_low", "_high")  # of columns that say how sure a score is


def scores_of(*tables: Table) -> list[Score]:
    """The scores that a table shows, or any of several that are one on a page, in its order."""
    return sorted((score for score in SCORES.values() if score.tables & {*tables}), key=lambda score: score.place)


def metrics_of(table: Table) -> list[Metric]:
    """The metrics that a table shows, in its order."""
    return sorted((metric for metric in METRICS.values() if table in metric.tables), key=lambda metric: metric.place)


def ordered(name: str) -> Score:
    """The score of this name, of which one value is better than another, so that a search can go by it.

    Raises:
        ConfigError: There is no such score, or neither of two values is better.
    """
    valid = [score.name for score in SCORES.values() if score.direction != "none"]
    if name not in valid:
        raise ConfigError(f"tune.score={name} is nothing to search by. {nearest(name, valid)}")
    return SCORES[name]


def register(metric: Metric) -> None:
    """Adds a metric: from now on whatever is scored, shown or read again has it.

    Args:
        metric: The same object may be registered again, which changes nothing.

    Raises:
        ConfigError: Its name is no name or stands for something else already, or it names unknown parts or tables.
    """
    if METRICS.get(metric.name) is metric:
        return
    for what, given, valid in (("parts", metric.parts, PARTS), ("tables", metric.tables, get_args(Table))):
        if unknown := sorted(set(given) - set(valid)):
            raise ConfigError(f"{what} of the metric {metric.name} cannot be {unknown[0]!r}. {nearest(unknown[0], valid)}")
    if not _NAME.fullmatch(metric.name) or metric.name.endswith(_ENDINGS):
        raise ConfigError(
            f"A metric cannot be called {metric.name!r}. Take lower-case letters, digits and underscores, and no ending "
            f"{', '.join(_ENDINGS)}."
        )
    scores = [metric.score(part) for part in metric.parts]
    taken = [name for name in (metric.name, *(score.name for score in scores)) if name in {*METRICS, *SCORES, *_TAKEN}]
    if taken:
        raise ConfigError(f"There is a score '{taken[0]}' already. Give the metric {metric.name} another name.")
    headings = {score.heading for score in SCORES.values()}
    if shared := [score.heading for score in scores if score.heading in headings]:
        raise ConfigError(f"There is a column '{shared[0]}' already. Give the metric {metric.name} another label.")
    METRICS[metric.name] = metric
    SCORES.update({score.name: score for score in scores})


def unregister(metric: Metric) -> None:
    """Takes a registered metric away again."""
    for score in (metric.score(part) for part in metric.parts):
        SCORES.pop(score.name, None)
    METRICS.pop(metric.name, None)
