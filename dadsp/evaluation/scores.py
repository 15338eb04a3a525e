"""The numbers of one system that stand in tables of many, under flat names."""

from dadsp.evaluation.metrics import Evaluation

SIDES = ("drug_seen", "drug_unseen", "cell_seen", "cell_unseen", "pair_seen", "pair_unseen")
PROFILED = ("cell_profiled", "cell_unprofiled")  # of lines whose expression the source holds, or not
# Runs recorded before these were thought of lack them.
NEWER = (
    *(f"{name}_{side}" for side in PROFILED for name in ("rmse", "r2")),
    "median_drug_precision_10",
    "ceiling",
    "ceiling_drugs",
    "share_of_ceiling",
    "median_drug_pearson_unprofiled",
    "median_drug_pearson_unseen",
    "pearson_drug_removed",
    "rmse_drug_removed",
    "pearson_drug_line_removed",
    "rmse_drug_line_removed",
    "coverage_90",
    "coverage_90_drug_seen",
    "coverage_90_drug_unseen",
)


def stratum_scores(evaluation: Evaluation) -> dict[str, float]:
    """RMSE and R² of the strata ``SIDES``."""
    return {f"{name}_{side}": getattr(evaluation.strata[side], name) for side in SIDES for name in ("rmse", "r2")}


def newer_scores(evaluation: Evaluation) -> dict[str, float]:
    """The scores ``NEWER``, NaN where undefined."""
    lines, strata = evaluation.which_line, evaluation.strata
    coverage = {"all": "coverage_90", "drug_seen": "coverage_90_drug_seen", "drug_unseen": "coverage_90_drug_unseen"}
    found = {f"{name}_{side}": getattr(strata[side], name) for side in PROFILED for name in ("rmse", "r2")}
    found |= {
        "median_drug_precision_10": lines.precision_10,
        "ceiling": lines.ceiling,
        "ceiling_drugs": lines.ceiling_drugs,
        "share_of_ceiling": lines.share_of_ceiling,
        "median_drug_pearson_unprofiled": lines.pearson_unprofiled,
        "median_drug_pearson_unseen": lines.pearson_unseen,
    }
    found |= {f"{name}_{what}_removed": scores[name] for what, scores in lines.removed.items() for name in scores}
    found |= {name: lines.coverage_90[part] for part, name in coverage.items()}
    return {name: found[name] for name in NEWER}
