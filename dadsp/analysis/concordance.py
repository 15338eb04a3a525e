"""How far the two screens of a study agree where both measured: labels per drug, expression per gene.

What two laboratories measured of one line and one drug differs, so no model that learns from one of them can be expected to
predict the other's labels much better than the first one's own measurement does. The median correlation per drug is
therefore called the label ceiling. It is not a strict bound: a model that averages over lines can be less noisy.

Reference: Haibe-Kains et al., Nature 2013; Pozdeyev et al., Oncotarget 2016.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from dadsp.data.shared_pairs import measured_in_both
from dadsp.errors import MissingIdsError, examples
from dadsp.schema import Study

Values = NDArray[np.float64]

FEWEST = 10  # shared lines below which a correlation says little
AGREES, PARTLY = 0.6, 0.3  # Pearson r
QUANTILES = {"min": 0.0, "p10": 0.1, "p25": 0.25, "median": 0.5, "p75": 0.75, "p90": 0.9, "max": 1.0}
VERDICTS = {
    "agrees": f"r ≥ {AGREES}",
    "agrees partly": f"r ≥ {PARTLY}",
    "does not agree": f"r < {PARTLY}",
    "all labels alike": "one screen's are constant, r is undefined",
    "too few pairs": f"fewer than {FEWEST} shared lines",
}
N_WORST = 10
COLUMNS = (
    {"drug_id": object, "drug": object, "source_drugs": object, "n": np.int64}
    | dict.fromkeys(("r", "spearman", "rmse", "bias", "r_raw", "censored_target", "censored_source"), np.float64)
    | {"verdict": object}
)


@dataclass(frozen=True, eq=False)
class Concordance:
    """What two screens agree on.

    Attributes:
        drugs: One row per labelled target drug whose structure has source labels, highest ``r`` first: ``drug_id``, ``drug``
            (name in the target), ``source_drugs`` (names in the source), ``n`` (lines in both), ``r``, ``spearman``,
            ``rmse``, ``bias`` (mean of source − target), ``r_raw`` (source labels before clipping), ``censored_target``,
            ``censored_source`` (shares), ``verdict`` (a key of ``VERDICTS``).
        genes: One row per gene, highest ``r`` first: ``gene``, ``r``, ``spearman`` over the lines that both profiled; NaN
            where expression is constant, no rows where there are fewer than ``FEWEST`` lines.
        facts: Counts, thresholds, medians over the drugs with a judged r, quantiles over the genes; JSON-able.
    """

    drugs: pd.DataFrame
    genes: pd.DataFrame
    facts: dict[str, Any]


def concordance(study: Study) -> Concordance:
    """Agreement of the study's two screens on shared lines, by link id, and shared drugs, by structure.

    Raises:
        MissingIdsError: The screens share no line.
    """
    source, target = study.source, study.target
    n_lines = int((study.target_cell_in_source >= 0).sum())
    if not n_lines:
        raise MissingIdsError(_no_shared_line(study))
    both = measured_in_both(study)
    drugs, genes = _drugs(study, both), _genes(study)
    worst = genes.dropna().iloc[::-1].head(N_WORST)
    judged = drugs[drugs["r"].notna() & (drugs["n"] >= FEWEST)]
    labelled = dict.fromkeys(target.drugs.ids[row] for row in np.unique(target.responses.drug_idx))
    name_of = dict(zip(target.drugs.ids, target.drugs.names, strict=True))
    lacking = [name_of[drug] for drug in labelled if drug not in set(drugs["drug_id"])]
    facts = {
        "source": source.name,
        "target": target.name,
        "label_cap": study.label_cap,
        "measures": {"source": source.measure, "target": target.measure},
        "shared_lines": n_lines,
        "shared_drugs": len(drugs),
        "target_drugs_not_in_source": lacking,
        "shared_pairs": len(both),
        "thresholds": VERDICTS,
        "drugs": {
            "judged": len(judged),
            "verdicts": {verdict: int((drugs["verdict"] == verdict).sum()) for verdict in VERDICTS},
            "median": {name: _number(judged[name].median()) for name in ("r", "r_raw", "spearman", "rmse", "bias")},
        },
        "genes": {
            "n": len(study.genes),
            "undefined": len(study.genes) - int(genes["r"].notna().sum()),
            "r": _quantiles(genes["r"]),
            "spearman": _quantiles(genes["spearman"]),
            "worst": dict(zip(worst["gene"], worst["r"].tolist(), strict=True)),
        },
    }
    return Concordance(drugs, genes, facts)


def _no_shared_line(study: Study) -> str:
    screens = (study.source, study.target)
    links = [[link for link in screen.cells.link_ids if link] for screen in screens]
    have = "; ".join(
        f"{len(ids)} of {len(screen.cells)} lines of {screen.name} have a link id"
        + (f" (e.g. {examples(ids)})" if ids else "")
        for screen, ids in zip(screens, links, strict=True)
    )
    return (
        f"{study.source.name} and {study.target.name} share no cell line, so there is nothing to compare: {have}. "
        "Give both screens link ids of one kind."
    )


def _drugs(study: Study, both: pd.DataFrame) -> pd.DataFrame:
    source, target = study.source, study.target
    names: dict[str, list[str]] = {}
    for row in np.unique(source.responses.drug_idx):
        if key := source.drugs.structure_keys[row]:
            names.setdefault(key, []).append(source.drugs.names[row])
    comparable = source.measure == target.measure  # else a difference of labels has no unit
    rows = []
    for drug in np.unique(target.responses.drug_idx):
        key = target.drugs.structure_keys[drug]
        if key is None or key not in names:
            continue
        pairs = both[both["drug"] == drug]
        ours, theirs = pairs["source"].to_numpy(), pairs["target"].to_numpy()
        r = pearson(ours, theirs)
        rows.append(
            {
                "drug_id": target.drugs.ids[drug],
                "drug": target.drugs.names[drug],
                "source_drugs": "; ".join(names[key]),
                "n": len(pairs),
                "r": r,
                "spearman": pearson(rankdata(ours), rankdata(theirs)),
                "rmse": np.sqrt(np.mean((ours - theirs) ** 2)) if comparable and len(pairs) else np.nan,
                "bias": np.mean(ours - theirs) if comparable and len(pairs) else np.nan,
                "r_raw": pearson(pairs["raw"].to_numpy(), theirs),
                "censored_target": pairs["target_censored"].mean() if len(pairs) else np.nan,
                "censored_source": pairs["source_censored"].mean() if len(pairs) else np.nan,
                "verdict": verdict(len(pairs), r),
            }
        )
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
    order = table.assign(few=table["n"] < FEWEST).sort_values(["few", "r"], ascending=[True, False], kind="stable")
    return table.loc[order.index].reset_index(drop=True)  # an r of three lines does not lead the table


def _genes(study: Study) -> pd.DataFrame:
    partner = study.target_cell_in_source
    shared = np.flatnonzero(partner >= 0)
    if len(shared) < FEWEST:
        return pd.DataFrame({"gene": [], "r": np.zeros(0), "spearman": np.zeros(0)})
    ours = study.source.cells.expression[partner[shared]].astype(np.float64)
    theirs = study.target.cells.expression[shared].astype(np.float64)
    table = pd.DataFrame(
        {
            "gene": study.genes,
            "r": pearson(ours, theirs),
            "spearman": pearson(rankdata(ours, axis=0), rankdata(theirs, axis=0)),
        }
    )
    return table.sort_values("r", ascending=False, kind="stable", ignore_index=True)


def pearson(a: Values, b: Values) -> Any:
    """Pearson correlation down the first axis, shape of the rest; NaN for fewer than 3 rows or a constant side."""
    if len(a) < 3:
        return np.full(a.shape[1:], np.nan)[()]
    x, y = a - a.mean(axis=0), b - b.mean(axis=0)
    constant = (np.ptp(a, axis=0) == 0) | (np.ptp(b, axis=0) == 0)
    norm = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    return np.where(constant, np.nan, (x * y).sum(axis=0) / np.where(constant, 1, norm))[()]


def verdict(n: int, r: float) -> str:
    """A key of ``VERDICTS``."""
    if n < FEWEST:
        return "too few pairs"
    if np.isnan(r):
        return "all labels alike"
    return "agrees" if r >= AGREES else "agrees partly" if r >= PARTLY else "does not agree"


def _quantiles(values: pd.Series) -> dict[str, float | None]:
    return {name: _number(float(values.quantile(share))) for name, share in QUANTILES.items()}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
