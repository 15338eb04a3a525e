"""Many runs of many systems on one test: means over runs, intervals, paired differences, ranks, the paper's numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dadsp.errors import ConfigError, nearest
from dadsp.evaluation.grouped_pairs import Values
from dadsp.evaluation.metrics import Evaluation, evaluate, null_if_nan
from dadsp.evaluation.scores import PROFILED, SCORES, SIDES
from dadsp.evaluation.statistics import Ranks, bootstrap_pearson, bootstrap_rmse, interval, rank_systems
from dadsp.schema import PredictionTable

SHOWN_STRATA = (*SIDES, *PROFILED)
R = "median_drug_pearson"
DIFFERENCES = {"rmse": "difference", R: "r_difference"}  # what the table calls the difference from the reference


def compared_scores() -> list[str]:
    """Names of the scores that a comparison holds, as its tables order them."""
    return [score.name for score in SCORES.values() if "compare" in score.tables]


SYSTEMS = ("calibrated", "model")  # kinds of rows that are no naive ones (``dadsp.evaluation.report.Row``)


@dataclass(frozen=True, eq=False)
class Run:
    """One finished run of one system.

    Attributes:
        system: What tells it from the other systems of the comparison.
        replicate: What its repetitions differ in, e.g. ``"seed 0"``; runs of one replicate are paired.
        saw_target_labels: Whether labels of the target screen were used anywhere.
        table: Its test predictions.
        kind: One of ``SYSTEMS``, or ``"naive_source"``.
    """

    system: str
    replicate: str
    saw_target_labels: bool
    table: PredictionTable
    kind: str = "model"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Systems side by side.

    Attributes:
        title: Which data and which test.
        reference: The system that differences refer to.
        table: One row per system, the best RMSE first, then the naive rows, of which those whose predictions are known and
            that saw source labels alone have intervals and differences too. Columns: system, kind, saw_target_labels, runs;
            the mean over runs of each of ``compared_scores`` with its sample standard deviation in ``…_sd``; rmse_low and
            rmse_high, the bootstrap interval of the mean RMSE, median_drug_pearson_low and …_high that of r per drug;
            difference (mean RMSE minus the reference's, paired by replicate) with difference_sd, difference_low,
            difference_high, and the same of r per drug as r_difference …, from the same draws; mean_rank; paper_rmse,
            paper_r2. NaN where there is no value.
        scores: One row per run and per naive row of a replicate: system, kind, replicate, saw_target_labels and each of
            ``compared_scores``.
        ranks: None with fewer than two systems.
        facts: Counts: pairs, lines, drugs of the tests, and bootstrap replicates.
    """

    title: str
    reference: str
    table: pd.DataFrame
    scores: pd.DataFrame
    ranks: Ranks | None
    facts: dict[str, int]

    @property
    def best_fair(self) -> str | None:
        """The row of least RMSE, system or naive, that saw no label of the target screen; None where all did."""
        table = self.table
        fair = table[table["kind"].isin(("model", "naive_source")) & ~table["saw_target_labels"].astype(bool)]
        fair = fair[fair["rmse"].notna()]
        return None if fair.empty else str(fair.nsmallest(1, "rmse")["system"].iloc[0])

    @property
    def against_naive(self) -> dict[str, Any] | None:
        """The reference against the naive row of least RMSE that saw source labels alone; None where it is not known.

        Keys: naive, its name; difference, RMSE of the reference minus its, with the 95 % interval from low to high.
        """
        row = best_naive(self.table)
        if row is None or pd.isna(row["difference"]):
            return None
        ends = {"difference": -row["difference"], "low": -row["difference_high"], "high": -row["difference_low"]}
        return {"naive": row["system"]} | {name: float(value) for name, value in ends.items()}

    def to_json(self) -> dict[str, Any]:
        """The same content as plain values, null where there is none."""
        ranks = self.ranks
        return {
            "title": self.title,
            "reference": self.reference,
            "facts": self.facts,
            "best_fair": self.best_fair,
            "against_naive": self.against_naive,
            "systems": _records(self.table),
            "runs": _records(self.scores),
            "ranks": ranks
            and {
                "mean": ranks.mean,
                "n_drugs": ranks.n_blocks,
                "critical_difference": ranks.critical_difference,
                "level": ranks.level,
                "friedman_p": null_if_nan(ranks.p_value),
                "cliques": [list(clique) for clique in ranks.cliques],
            },
        }


def best_naive(table: pd.DataFrame) -> "pd.Series[Any] | None":
    """The row of a comparison with the least RMSE among the naive ones that saw source labels alone; None without any."""
    naive = table[(table["kind"] == "naive_source") & table["rmse"].notna()]
    return None if naive.empty else naive.nsmallest(1, "rmse").iloc[0]


def compare(
    runs: Sequence[Run],
    title: str,
    *,
    naive: pd.DataFrame | None = None,
    naive_runs: Sequence[Run] = (),
    expected: pd.DataFrame | None = None,
    reference: str | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> Comparison:
    """The comparison of one or more runs that were tested on the same pairs, replicate by replicate.

    Args:
        runs: At most one for each system and replicate.
        title: Which data and which test.
        naive: Scores of naive rows: system, kind, saw_target_labels, replicate and ``compared_scores``;
            those that are absent become NaN.
        naive_runs: Predictions of naive rows among them, replicate by replicate, for intervals and paired differences.
        expected: Published numbers: system, and rmse or r2 or both.
        reference: The system that differences refer to; None takes the best RMSE among those that saw no target label.
        replicates: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        ConfigError: Runs of one replicate were tested on different pairs, or no run is of the reference.
    """
    evaluations = [evaluate(run.table) for run in runs]
    _check_pairs(runs, evaluations)
    scores = pd.DataFrame([_scores(run, evaluation) for run, evaluation in zip(runs, evaluations, strict=True)])
    mean = scores.groupby("system")["rmse"].mean()
    reference = reference or _best(scores, mean)
    if reference not in mean.index:
        raise ConfigError(f"reference={reference} is none of the systems compared. {nearest(reference, mean.index)}")
    naive_runs = [run for run in naive_runs if run.system not in mean.index]
    tables = [run.table for run in (*runs, *naive_runs)]
    samples = {"rmse": bootstrap_rmse(tables, replicates, seed), R: bootstrap_pearson(tables, replicates, seed)}
    ranks = _ranks(runs, evaluations)
    if naive is not None:
        naive = naive[~naive["system"].isin(mean.index)]
        scores = pd.concat([scores, naive.reindex(columns=scores.columns)], ignore_index=True)
    table = _summary(scores).merge(_bootstrapped([*runs, *naive_runs], samples, scores, reference), on="system", how="left")
    table["mean_rank"] = table["system"].map(ranks.mean if ranks else {}).astype(float)
    for name in ("rmse", "r2"):
        known = (
            {} if expected is None or name not in expected else dict(zip(expected["system"], expected[name], strict=True))
        )
        table[f"paper_{name}"] = table["system"].map(known).astype(float)
    frames = pd.concat([run.table.frame[["cell_id", "drug_id"]] for run in runs]).drop_duplicates()
    facts = {"pairs": len(frames), "lines": frames["cell_id"].nunique(), "drugs": frames["drug_id"].nunique()}
    return Comparison(title, reference, table, scores, ranks, {**facts, "bootstrap_replicates": replicates})


def _check_pairs(runs: Sequence[Run], evaluations: Sequence[Evaluation]) -> None:
    first: dict[str, tuple[Run, str]] = {}
    for run, evaluation in zip(runs, evaluations, strict=True):
        known, key = first.setdefault(run.replicate, (run, evaluation.pairs_key))
        if key != evaluation.pairs_key:
            sizes = f"{known.system}: {len(known.table):,} pairs; {run.system}: {len(run.table):,} pairs"
            raise ConfigError(
                f"Runs of {run.replicate} were tested on different pairs or labels ({sizes}). "
                "Compare only runs of the same split: give their folders apart."
            )


def _scores(run: Run, evaluation: Evaluation) -> dict[str, Any]:
    told = {"system": run.system, "kind": run.kind, "saw_target_labels": run.saw_target_labels, "replicate": run.replicate}
    return told | {name: SCORES[name].value(evaluation) for name in compared_scores()}


def _best(scores: pd.DataFrame, mean: "pd.Series[float]") -> str:
    honest = scores.loc[~scores["saw_target_labels"].astype(bool), "system"].unique()
    return str((mean[honest] if len(honest) else mean).idxmin())


def _summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean and sample standard deviation of each score over a system's runs: systems by RMSE, then naive rows as given."""
    systems = scores.groupby("system", sort=False)
    table = systems[["kind", "saw_target_labels"]].first().assign(runs=systems.size())
    names = compared_scores()
    table = table.join(systems[names].mean()).join(systems[names].std().add_suffix("_sd"))
    is_model = table["kind"].isin(SYSTEMS)
    return pd.concat([table[is_model].sort_values("rmse", kind="stable"), table[~is_model]]).reset_index()


def _bootstrapped(runs: Sequence[Run], samples: Mapping[str, Values], scores: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Intervals of each system's mean scores, and differences from the reference over the replicates both have."""
    column = {(run.system, run.replicate): position for position, run in enumerate(runs)}
    known = {name: scores.set_index(["system", "replicate"])[name].to_dict() for name in samples}
    of_reference = {replicate: position for (system, replicate), position in column.items() if system == reference}
    rows = []
    for system in dict.fromkeys(run.system for run in runs):
        own = {replicate: position for (name, replicate), position in column.items() if name == system}
        shared = [(position, of_reference[replicate]) for replicate, position in own.items() if replicate in of_reference]
        row: dict[str, Any] = {"system": system}
        for name, drawn in samples.items():
            row |= _ends(name, interval(drawn[:, list(own.values())].mean(axis=1)))
            if system != reference and shared:
                ours, theirs = (list(positions) for positions in zip(*shared, strict=True))
                values = np.array(
                    [known[name][runs[position].system, runs[position].replicate] for position in (*ours, *theirs)]
                )
                gaps = pd.Series(values[: len(ours)] - values[len(ours) :])
                gap = DIFFERENCES[name]
                row |= {gap: gaps.mean(), f"{gap}_sd": gaps.std()}
                row |= _ends(gap, interval((drawn[:, ours] - drawn[:, theirs]).mean(axis=1)))
        rows.append(row)
    intervals = [f"{name}_{end}" for name in samples for end in ("low", "high")]
    gaps_of = [f"{DIFFERENCES[name]}{end}" for name in samples for end in ("", "_sd", "_low", "_high")]
    return pd.DataFrame(rows, columns=["system", *intervals, *gaps_of])


def _ends(name: str, of: tuple[float, float]) -> dict[str, float]:
    return dict(zip((f"{name}_low", f"{name}_high"), of, strict=True))


def _ranks(runs: Sequence[Run], evaluations: Sequence[Evaluation]) -> Ranks | None:
    """Ranks within each drug by RMSE, averaged over a system's runs; drugs that some system lacks are left out."""
    per_drug = pd.concat(
        evaluation.per_drug[["drug_id", "rmse"]].assign(system=run.system)
        for run, evaluation in zip(runs, evaluations, strict=True)
    )
    blocks = per_drug.pivot_table(index="drug_id", columns="system", values="rmse").dropna()
    return rank_systems(blocks) if blocks.shape[1] > 1 and len(blocks) else None


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    plain = frame.astype(object)
    return [{str(name): value for name, value in row.items()} for row in plain.where(plain.notna(), None).to_dict("records")]
