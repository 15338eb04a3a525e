"""Which adaptation a choice without target labels takes, and what it costs against the best: scorers.csv and chosen.csv.

    python experiments/lines/scorers.py runs/sweeps/lines [more folders] [--skada] [--out experiments/lines]

Candidates are no adaptation, adversary, MMD and CORAL with their weights, for the line network and for the published one;
what lacks some of the others' seeds is left out. Scorers read squared errors of held-out source lines, expression and
codes; less is better. Forms: "error" per pair, "unexplained" after each drug's mean (which line), in units of the labels'.
  source        held-out source lines as they are; source_unexplained is what line networks choose their epoch by
  importance    weighted by p_target/p_source of the line, from its expression as the system sees it: the 50 leading
                principal components of training source lines and target lines, logistic classifier
  dev           deep embedded validation: the same from the network's own codes, with a control variate
  a_distance    proxy A-distance of the codes, no error at all
  skada         skada's ImportanceWeightedScorer as it is (kernel densities, here of 5 components), with --skada
Beside them: never adapting, and a choice at random. scorers.csv: one row per run and scorer. chosen.csv: what each scorer
chooses, seed by seed and by its mean over seeds, and its regret: how far r and RMSE on the target stay behind the best.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy import stats
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.decomposition import PCA

from dadsp.analysis.domain_distance import proxy_a_distance
from dadsp.cli.script import end
from dadsp.errors import ConfigError
from dadsp.evaluation.label_free import (
    deep_embedded_validation,
    density_ratio,
    effective_sample_size,
    line_errors,
    weighted_mean,
)
from dadsp.files import write_atomically
from dadsp.runs.collection import own_row, row_identity, scored_below
from dadsp.runs.folder import RunFolder, complete
from dadsp.runs.run import Run

R = "median_drug_pearson"
COMPONENTS, KDE_COMPONENTS = 50, 5
FOLDS = 5
GROUP = ["study", "shift", "overlap", "alignment", "network"]
CANDIDATE = ["adaptation", "weight"]


def main() -> None:
    """Writes both tables and prints what was chosen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders, or folders of them")
    parser.add_argument("--skada", action="store_true", help="also skada's scorer")
    parser.add_argument("--out", type=Path, default=Path("experiments/lines"))
    arguments = parser.parse_args()
    if arguments.skada:
        skada_scorer()
    found = [folder for place in arguments.runs for folder in scored_below([place])]
    known = [(folder, of) for folder in found if (of := candidate(folder)) is not None]
    if not known:
        raise ConfigError(f"None of {len(found)} runs is of a line network or the published one. Name runs of those.")
    if len(known) < len(found):
        print(f"{len(found) - len(known)} of {len(found)} runs are of other systems and left out.", file=sys.stderr)
    known.sort(key=lambda each: str(each[0].settings["data"]))  # runs on the same data read them once
    rows: list[dict[str, Any]] = []
    for number, (folder, of) in enumerate(known, start=1):
        print(f"{number} of {len(known)} runs: {folder.path.name}", file=sys.stderr)
        with complete(folder.path):
            row = {**row_identity(folder), **of, **target_scores(folder)}
            rows += [{**row, **score} for score in scores(Run(folder), arguments.skada)]
    table = pd.DataFrame(rows)
    again = table.duplicated([*GROUP, *CANDIDATE, "seed", "scorer"], keep="last")
    if again.any():
        print(f"{again.sum()} rows are of runs that were repeated later; the newest stand.", file=sys.stderr)
    table = table[~again].sort_values([*GROUP, *CANDIDATE, "seed"], kind="stable")
    chosen = pd.DataFrame([row for key, part in table.groupby(GROUP, dropna=False) for row in choices(key, part)])
    tables = {"scorers": table, "chosen": chosen}
    for name, each in tables.items():
        if len(each):
            write_atomically(arguments.out / f"{name}.csv", lambda path, each=each: each.round(4).to_csv(path, index=False))
    if chosen.empty:
        raise ConfigError("No test has two candidates with a seed in common to choose from. Name runs of other weights too.")
    print(markdown(chosen))


def candidate(folder: RunFolder) -> dict[str, Any] | None:
    """Which network a run is of, and how it was adapted; None for other systems and splits."""
    with complete(folder.path):
        settings = folder.settings
        model, split = settings["model"], settings["split"]
        kind = str(model["_target_"]).rpartition(".")[2]
        if split.get("scope", "across") != "across" or model.get("selection") == "target_oracle":
            return None
        if kind == "LineNetworkSystem":
            network = "published" if model["head"] == "published" else "line network"
            adaptation, weight = model["adaptation"], float(model["adaptation_weight"])
        elif kind == "DadspA" and model["pretraining"] is not None and model["target_sampling"] == "independent":
            network, adaptation, weight = "published", "adversary", float(model["adversarial_weight"])
        else:
            return None
        if adaptation == "none" or weight == 0:
            adaptation, weight = "none", 0.0
        shift = settings["data"].get("batch_sd", np.nan) if "simulated" in row_identity(folder)["study"] else np.nan
        overlap = split.get("overlap", "keep")
    return {"shift": shift, "overlap": overlap, "network": network, "adaptation": adaptation, "weight": weight}


def target_scores(folder: RunFolder) -> dict[str, float]:
    """Of the run's system on the target; r where all predictions of every drug are alike is 0: they rank no line."""
    model = own_row(folder)
    return {"rmse": float(model["rmse"]), "r": float(np.nan_to_num(model[R]))}


def scores(run: Run, with_skada: bool) -> Iterator[dict[str, Any]]:
    """Every scorer's row of a run; only expression is read of the target."""
    study, split, model = run.study, run.split, run.model
    seed = int(run.facts["seed"])
    train = np.unique(study.source.responses.cell_idx[split.train_idx])
    target = np.unique(split.adapt_cell_idx)
    held_out = study.source.responses.take(split.val_idx)
    lines, line = np.unique(held_out.cell_idx, return_inverse=True)
    keys = np.array([*np.array(study.source.line_keys)[train], *np.array(study.target.line_keys)[target]])
    _, groups = np.unique(keys, return_inverse=True)

    frame = run.predictions.frame
    frame = frame[frame["split"] == "val"]
    truth, predicted = frame["y_true"].to_numpy(), frame["y_pred"].to_numpy()
    squares = (truth - predicted) ** 2

    source, other = model.scaled_expression(study.source, "source"), model.scaled_expression(study.target, "target")
    n = min(COMPONENTS, len(keys) - 1, source.shape[1])
    seen = PCA(n, random_state=0).fit(np.concatenate([source[train], other[target]]))
    source, other = seen.transform(source), seen.transform(other)
    of_expression = density_ratio(source[train], other[target], groups, source[lines], seed)
    codes, target_codes = model.codes(study.source, "source"), model.codes(study.target, "target")
    of_codes = density_ratio(codes[train], target_codes[target], groups, codes[lines], seed)

    estimates = {"source": (np.ones(len(lines)), weighted_mean), "importance": (of_expression, weighted_mean)}
    for name, (weights, estimate) in {**estimates, "dev": (of_codes, deep_embedded_validation)}.items():
        known = {"lines": len(lines), "effective_lines": effective_sample_size(weights), "mean_weight": weights.mean()}
        of_pairs = weights[line]
        within = line_errors(truth, predicted, held_out.drug_idx, of_pairs)
        unexplained = estimate(within.error, of_pairs) / estimate(within.label, of_pairs)
        yield {"scorer": f"{name}_error", "score": estimate(squares, of_pairs), **known}
        yield {"scorer": f"{name}_unexplained", "score": unexplained, **known}
    joined = np.concatenate([codes[train], target_codes[target]]).astype(np.float64)
    is_target = np.repeat([False, True], [len(train), len(target)])
    yield {"scorer": "a_distance", "score": proxy_a_distance(joined, is_target, groups, FOLDS, seed)}
    if with_skada:
        spread = np.sqrt(seen.explained_variance_)
        parts = (each[:, :KDE_COMPONENTS] / spread[:KDE_COMPONENTS] for each in (source[lines], other[target]))
        yield {"scorer": "skada_error", "lines": len(lines)} | skada(*parts, np.bincount(line, squares), np.bincount(line))


def skada_scorer() -> Any:
    """skada's class; it asks that scikit-learn routes metadata, which it must not do for the rest of this script."""
    try:
        with config_context():
            from skada.metrics import ImportanceWeightedScorer
    except ImportError as error:
        raise ConfigError(f"--skada needs the library skada ({error}). Install it: pip install skada.") from None
    return ImportanceWeightedScorer


class HeldOutLines(RegressorMixin, BaseEstimator):
    """What skada scores: a fitted regressor whose squared errors of each held-out line are known."""

    __metadata_request__score: ClassVar = {"sample_weight": True}

    def __init__(self, squares: Any = None, pairs: Any = None) -> None:
        self.squares, self.pairs = squares, pairs

    def fit(self, features: Any, labels: Any) -> "HeldOutLines":
        return self

    def score(self, features: Any, labels: Any, sample_weight: Any = None, **_: Any) -> float:
        """Minus the weighted mean over pairs; a line's pairs all have its weight."""
        self.effective_lines_ = effective_sample_size(sample_weight)
        return -weighted_mean(self.squares / self.pairs, sample_weight * self.pairs)


def skada(lines: Any, target: Any, squares: Any, pairs: Any) -> dict[str, float]:
    """Squared error per pair under skada's weights of the held-out lines, and how many lines carry them."""
    with config_context(enable_metadata_routing=True):
        domain = np.repeat([1, -2], [len(lines), len(target)])
        features, labels = np.concatenate([lines, target]), np.zeros(len(domain))
        known = HeldOutLines(squares, pairs)
        score = -float(skada_scorer()()._score(None, known, features, labels, sample_domain=domain))
    return {"score": score, "effective_lines": known.effective_lines_}


def choices(key: tuple[Any, ...], table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """What each scorer chooses in one test of one network, and its regret; of equal scores the smallest weight."""
    order = table[[*CANDIDATE]].drop_duplicates().sort_values(CANDIDATE[::-1])
    index = pd.MultiIndex.from_frame(order)

    def by_seed(column: str, scorer: str) -> pd.DataFrame:
        rows = table[table["scorer"] == scorer]
        return rows.pivot(index=CANDIDATE, columns="seed", values=column).reindex(index)

    r, rmse = (by_seed(name, "source_error") for name in ("r", "rmse"))
    complete, seeds = fullest(r.notna())
    if complete.sum() < 2:
        print(f"{', '.join(map(str, key))}: one candidate, nothing to choose.", file=sys.stderr)
        return
    scorers = table["scorer"].unique()
    rules = {name: by_seed("score", name) for name in scorers}
    if (index.get_level_values("adaptation") == "none")[complete].any():
        rules["never adapt"] = (r * 0).add(index.get_level_values("adaptation") != "none", axis=0)
    rules |= {"at random": r * 0, "best r on the target": -r, "best RMSE on the target": rmse}
    r, rmse = (each.loc[complete, seeds] for each in (r, rmse))
    seeds = np.arange(r.shape[1])
    for name, rule in rules.items():
        score = rule.loc[complete, r.columns].to_numpy()
        ranks = name in scorers and (np.ptp(score, axis=0) > 0).all()
        agreement = [stats.spearmanr(-score[:, seed], r.iloc[:, seed]).statistic if ranks else np.nan for seed in seeds]
        for how in ("seed by seed", "mean over seeds"):
            scored = score if how == "seed by seed" else np.repeat(score.mean(axis=1, keepdims=True), len(seeds), axis=1)
            places = scored.argmin(axis=0)
            row = {**dict(zip(GROUP, key, strict=True)), "scorer": name, "how": how, "seeds": len(seeds)}
            row |= {"candidates": len(r), "chosen": named(r.index[places]) if name != "at random" else ""}
            for column, values, sign in (("r", r.to_numpy(), 1), ("rmse", rmse.to_numpy(), -1)):
                own = values.mean(axis=0) if name == "at random" else values[places, seeds]
                on_average = values[(sign * values.mean(axis=1)).argmax()]
                best = (sign * values).max(axis=0) if how == "seed by seed" else sign * on_average
                regret = best - sign * own
                row |= {column: own.mean(), f"regret_{column}": regret.mean()}
                row[f"regret_{column}_sd"] = regret.std(ddof=1) if len(seeds) > 1 else np.nan
            yield {**row, "agreement": np.mean(agreement)}


def fullest(ran: pd.DataFrame) -> tuple["pd.Series[bool]", list[int]]:
    """The candidates, and the seeds that all of them ran with, that make the largest table together."""
    order = list(ran.sum().sort_values(ascending=False, kind="stable").index)
    complete = {n: ran[order[:n]].all(axis=1) for n in range(1, len(order) + 1)}
    n = max(complete, key=lambda n: n * complete[n].sum())
    return complete[n], sorted(order[:n])


def named(chosen: pd.MultiIndex) -> str:
    """Candidates and how often each was chosen."""
    words = pd.Series([adaptation if adaptation == "none" else f"{adaptation} {weight:g}" for adaptation, weight in chosen])
    return ", ".join(f"{word} ×{count}" for word, count in words.value_counts().items())


def markdown(chosen: pd.DataFrame) -> str:
    """A table for each test and network."""
    columns = ["scorer", "chosen seed by seed", "r", "RMSE", "regret in r", "regret in RMSE", "by the mean over seeds"]
    columns += ["its regret in r", "in RMSE", "agreement"]
    lines = []
    for key, part in chosen.groupby(GROUP, dropna=False, sort=False):
        of, first = dict(zip(GROUP, key, strict=True)), part.iloc[0]
        shift = f", shift {of['shift']:g}" if of["shift"] == of["shift"] else ""
        test = f"{of['network']}, {of['study']}{shift}, alignment {of['alignment']}, lines {of['overlap']}"
        lines += ["", f"**{test}: {first['candidates']} candidates, {first['seeds']} seeds**", ""]
        lines += [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
        for one, mean in zip(part[::2].itertuples(), part[1::2].itertuples(), strict=True):
            cells = [one.scorer, one.chosen, f"{one.r:.2f}", f"{one.rmse:.3f}"]
            cells += [f"{one.regret_r:.2f} ± {one.regret_r_sd:.2f}", f"{one.regret_rmse:.3f} ± {one.regret_rmse_sd:.3f}"]
            cells += [mean.chosen.partition(" ×")[0], f"{mean.regret_r:.2f}", f"{mean.regret_rmse:.3f}"]
            cells.append("" if np.isnan(one.agreement) else f"{one.agreement:.2f}")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(end(main))
