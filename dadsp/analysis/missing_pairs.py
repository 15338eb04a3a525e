"""All pairs of a screen that nobody measured: predicted potency, how far to trust it, and which drugs come out strongest.

Labels of the target screen are read in one place only, to score what was predicted without them.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from dataclasses import dataclass as plain_dataclass
from time import perf_counter
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp.analysis.applicability import FLAGS, Applicability, applicability, calibrated
from dadsp.analysis.back_test import Scored, back_test, drug_scores, error_facts
from dadsp.analysis.conformal import Values, coverage_curve
from dadsp.analysis.interval_widths import Widths
from dadsp.errors import ConfigError, SchemaError
from dadsp.evaluation.metrics import null_if_nan
from dadsp.models.base import Part, Predictor, learned_split, seen_in_training
from dadsp.models.trust.trust import Trust
from dadsp.options import STRICT
from dadsp.schema import BoolArray, Domain, Drugs, IntArray, Pairs, Screen, Split, Study

NEAR_CAP = 0.1  # share of the cap's IC50 within which medians are not told apart


@dataclass(frozen=True, config=STRICT)
class ImputeOptions:
    """Keys of ``conf/impute.yaml`` beside the run and the output.

    Attributes:
        domain: Whose unmeasured pairs.
        drugs: ``"own"`` takes the drugs of that screen; ``"both"`` also those only the other screen holds.
        alpha: Share of labels that the intervals may miss.
        percentile: Of the training set's leave-one-out distances, beyond which a line or drug is outside.
        top: How many drugs of each end of the ranking the figure shows.
        format: Of the table of pairs.
        seed: Of the halvings that measure coverage on the source.
    """

    domain: Domain = "target"
    drugs: Literal["own", "both"] = "own"
    alpha: float = Field(default=0.1, gt=0, lt=1)
    percentile: float = Field(default=95.0, gt=0, lt=100)
    top: int = Field(default=10, ge=1)
    format: Literal["csv", "parquet"] = "csv"
    seed: int = 0


@plain_dataclass(frozen=True, eq=False)
class Imputation:
    """What is said of the unmeasured pairs of one screen.

    Attributes:
        screen: Its lines, and the drugs that were predicted.
        pairs: One row per unmeasured pair. cell_id, drug_id, drug_name; neg_log10_ic50_um and ic50_um, each with _low and
            _high; cell_seen, drug_seen, pair_seen (has training labels, under whatever id); cell_measured, drug_measured
            (has labels in this screen); line_distance, drug_similarity, applicability (``dadsp.analysis.applicability``).
        ranking: One row per drug of ``pairs``, lowest median IC50 first: rank, drug_id, drug_name, n_pairs, median_ic50_um
            and its quartiles over the lines, drug_seen, drug_measured, share_inside; n_scored, rmse and coverage where the
            drug has labels to score by.
        back_test: One row per system, the model first; see ``back_test``.
        coverage: Nominal coverage, and the true one on held-out source lines and on target pairs; see
            ``dadsp.analysis.conformal.coverage_curve``.
        facts: JSON-able summary.
    """

    screen: Screen
    pairs: pd.DataFrame
    ranking: pd.DataFrame
    back_test: pd.DataFrame
    coverage: pd.DataFrame
    facts: dict[str, Any]


def impute(model: Predictor, study: Study, split: Split, options: ImputeOptions, trust: Trust | None = None) -> Imputation:
    """Predictions for the unmeasured pairs, with intervals calibrated on the split's held-out source lines.

    Verdicts are those of ``trust``, the run's calibration, where it has one.

    Raises:
        ConfigError: The run stands inside one screen, or ``alpha`` asks for more held-out lines than there are.
        SchemaError: Every pair is measured.
    """
    if study.scope != "across":
        raise ConfigError("impute needs a run across two screens, and this one's split stands inside one of them.")
    own, other = (study.target, study.source) if options.domain == "target" else (study.source, study.target)
    screen = own if options.drugs == "own" else with_drugs_of(own, other)
    cell_idx, drug_idx = unmeasured(screen)
    if not len(cell_idx):
        raise SchemaError(f"Every pair of {screen.name} is measured, so there is nothing to impute. Set drugs=both.")
    missing = Pairs(screen, options.domain, cell_idx, drug_idx)
    held_out, tested = (Scored.of(part, model, study, split) for part in get_args(Part))
    widths = Widths.of(model, study, split, trust, (held_out, tested), options.alpha)
    start = perf_counter()
    potency, width = widths.predicted(missing, 1 - options.alpha)
    seconds = perf_counter() - start
    learned = learned_split(model, split)
    near = _near(model, study, learned, screen, options, trust)
    pairs = _described(missing, potency, width, near, seen_in_training(study, learned, screen, cell_idx, drug_idx))
    scored = tested if options.domain == "target" else held_out
    n_missing = pairs["drug_id"].value_counts()
    # Held-out lines were predicted before any of them could be learned from, and are as far away as they were then.
    near_scored = near
    if not (learned is split or scored is tested):
        near_scored = _near(widths.earlier, study, split, study.source, replace(options, domain="source"), widths.then)
    rows = back_test(model, study, split, scored, n_missing)
    of_scored = widths.of_scored(1 - options.alpha)[0 if scored is held_out else 1]
    ranking = rank_drugs(pairs).merge(drug_scores(scored, of_scored), on="drug_id", how="left")
    cap = None if study.source.cap is None else 10.0**-study.source.cap
    errors = (held_out.error, held_out.line), (tested.error, tested.line)
    curve = None if trust is None else widths.of_scored
    coverage = coverage_curve(*errors, options.alpha, options.seed, curve)
    never, untrained = (pairs.loc[~pairs[mark], "drug_id"].nunique() for mark in ("drug_measured", "drug_seen"))
    facts = {
        "system": model.name,
        "screen": screen.name,
        "options": asdict(options),
        "n_pairs": len(pairs),
        "n_lines": pairs["cell_id"].nunique(),
        "n_drugs": len(n_missing),
        "n_drugs_never_measured": never,
        "n_drugs_not_trained_on": untrained,
        "prediction_seconds": seconds,
        "training_cap_ic50_um": cap,
        "n_drugs_near_cap": 0 if cap is None else int((ranking["median_ic50_um"] >= (1 - NEAR_CAP) * cap).sum()),
        "interval": _interval_facts(held_out, tested, widths, coverage, options.alpha),
        "applicability": _applicability_facts(near, near_scored, pairs, scored, of_scored),
        "back_test": _plain(rows),
        "share_back_tested": float(n_missing.filter(scored.table.frame["drug_id"].unique()).sum() / len(pairs)),
    }
    return Imputation(screen, pairs, ranking, rows, coverage, facts)


def _near(
    model: Predictor, study: Study, learned: Split, screen: Screen, options: ImputeOptions, trust: Trust | None
) -> Applicability:
    if trust is None:
        return applicability(study, learned, screen, options.domain, options.percentile)
    return calibrated(trust, model, screen, options.domain)


def unmeasured(screen: Screen) -> tuple[IntArray, IntArray]:
    """Rows of lines and of drugs of every pair without a label, each of shape (n_pairs,), line by line."""
    measured = np.zeros((len(screen.cells), len(screen.drugs)), dtype=bool)
    measured[screen.responses.cell_idx, screen.responses.drug_idx] = True
    cell_idx, drug_idx = np.nonzero(~measured)
    return cell_idx, drug_idx


def with_drugs_of(screen: Screen, other: Screen) -> Screen:
    """The screen with the structures only ``other`` holds added to its drugs; their ids say whose they are."""
    known = set(screen.drug_keys)
    rows = [row for row, key in enumerate(other.drug_keys) if key not in known]
    added = other.drugs.take(rows)
    added = replace(added, ids=tuple(f"{other.name}:{name}" for name in added.ids))
    return replace(screen, drugs=Drugs.joined(screen.drugs, added))


def rank_drugs(pairs: pd.DataFrame) -> pd.DataFrame:
    """The drugs by their median predicted IC50 over the lines, lowest first; see ``Imputation.ranking``."""
    groups = pairs.groupby("drug_id", sort=True)
    quartiles = groups["ic50_um"].quantile(np.array([0.25, 0.5, 0.75])).unstack()
    ranking = pd.DataFrame(
        {
            "drug_name": groups["drug_name"].first(),
            "n_pairs": groups.size(),
            "median_ic50_um": quartiles[0.5],
            "lower_quartile_ic50_um": quartiles[0.25],
            "upper_quartile_ic50_um": quartiles[0.75],
            "drug_seen": groups["drug_seen"].first(),
            "drug_measured": groups["drug_measured"].first(),
            "share_inside": groups["applicability"].agg(lambda flags: float((flags == FLAGS[0]).mean())),
        }
    )
    ranking = ranking.sort_values("median_ic50_um", kind="stable").reset_index()
    ranking.insert(0, "rank", np.arange(1, len(ranking) + 1))
    return ranking


def _described(
    pairs: Pairs, potency: Values, width: Values, near: Applicability, seen: tuple[BoolArray, BoolArray, BoolArray]
) -> pd.DataFrame:
    """The columns of ``Imputation.pairs``."""
    screen, cell_idx, drug_idx = pairs.screen, pairs.cell_idx, pairs.drug_idx
    # No label lies below the cap, so an interval loses nothing that ends there.
    lowest = -np.inf if screen.cap is None else screen.cap
    low, high = (np.maximum(potency + shift, lowest) for shift in (-width, width))
    of_drug = {"drug_id": screen.drugs.ids, "drug_name": screen.drugs.names}
    return pd.DataFrame(
        {
            "cell_id": np.array(screen.cells.ids, dtype=object)[cell_idx],
            **{name: np.array(values, dtype=object)[drug_idx] for name, values in of_drug.items()},
            "neg_log10_ic50_um": potency,
            "neg_log10_ic50_um_low": low,
            "neg_log10_ic50_um_high": high,
            "ic50_um": 10.0**-potency,
            "ic50_um_low": 10.0**-high,
            "ic50_um_high": 10.0**-low,
            **dict(zip(("cell_seen", "drug_seen", "pair_seen"), seen, strict=True)),
            "cell_measured": np.isin(cell_idx, screen.responses.cell_idx),
            "drug_measured": np.isin(drug_idx, screen.responses.drug_idx),
            "line_distance": near.line_distance[cell_idx],
            "drug_similarity": near.drug_similarity[drug_idx],
            "applicability": near.flags(cell_idx, drug_idx),
        }
    )


def _interval_facts(
    held_out: Scored, tested: Scored, widths: Widths, coverage: pd.DataFrame, alpha: float
) -> dict[str, Any]:
    width = widths.of_scored(1 - alpha)[1]
    claimed = np.isfinite(width)
    frame, covered = tested.table.frame[claimed], (tested.error <= width)[claimed]
    at = coverage[coverage["nominal"] == 1 - alpha].iloc[0]
    parts = {"drug_seen": frame["drug_seen"], "drug_unseen": ~frame["drug_seen"]}
    parts |= {"capped": frame["censored"], "uncapped": ~frame["censored"]}
    return {
        "nominal": 1 - alpha,
        "by_pair": widths.trust is not None,
        "half_width": null_if_nan(at["half_width"]),
        "ic50_factor": null_if_nan(10.0 ** at["half_width"]),
        "n_calibration_lines": len(np.unique(held_out.line)),
        "n_calibration_pairs": len(held_out.table),
        "coverage_source": null_if_nan(at["source"]),
        "coverage_source_range": [null_if_nan(at["source_low"]), null_if_nan(at["source_high"])],
        "coverage_target": null_if_nan(at["target"]),
        "coverage_target_pairs": float(covered.mean()) if len(covered) else None,
        "coverage_target_parts": {name: float(covered[rows].mean()) for name, rows in parts.items() if rows.any()},
        "n_target_pairs": len(covered),
    }


def _applicability_facts(
    near: Applicability, near_scored: Applicability, pairs: pd.DataFrame, scored: Scored, width: Values
) -> dict[str, Any]:
    """Limits, and under each flag the share of missing pairs and how well measured pairs were predicted."""
    flags, error = near_scored.flags(scored.cell_idx, scored.drug_idx), scored.error
    shares = pairs["applicability"].value_counts(normalize=True)
    return {
        "line_limit": near.line_limit if np.isfinite(near.line_limit) else None,
        "drug_limit": near.drug_limit if np.isfinite(near.drug_limit) else None,
        "flags": {
            flag: {
                "share_of_missing_pairs": float(shares.get(flag, 0.0)),
                **error_facts(error[flags == flag], width[flags == flag]),
            }
            for flag in near.names
        },
    }


def _plain(frame: pd.DataFrame) -> Sequence[dict[str, Any]]:
    return [
        {str(name): null_if_nan(value) if isinstance(value, float) else value for name, value in record.items()}
        for record in frame.to_dict("records")
    ]
