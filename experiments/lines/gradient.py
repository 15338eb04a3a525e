"""gradient.csv: where the adversary's gradient goes on the planted shift, what codes lose by it, what would spare them.

    python experiments/lines/gradient.py            # what gradient.csv lacks, and the picture: 5 s of a core for a run
    python experiments/lines/gradient.py --cases none adversary --shifts 3 --seeds 0 --out /tmp/gradient.csv
    python experiments/lines/gradient.py --draw     # summary and picture of the gradient.csv there is

The networks are those of ``experiment=adaptation_lines`` (line network) and ``experiment=adaptation`` (published). A case
(``gradient_cases.py``) changes the screens, the alignment, or what the discriminator is shown; its hooks
(``gradient_watch.py``) are here and nowhere in the product.

gradient.csv: one row per case, shift, seed, measure and epoch (none: of the weights that were kept). gradient_runs.csv: of
each case, shift and seed the keys, commit and hashes of data and split; what a case does beyond its keys, its name says.
gradient_summary.csv: means over seeds, and the difference to the same screens without adaptation, paired by seed, with
95 % t intervals.
"""

import argparse
import logging
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from gradient_cases import CASES, N_DIRECTIONS, SHIFTS, BiologysScale, Case, Planted, Values, planted_in
from gradient_picture import draw
from gradient_watch import WatchedStage, centred, energy, moved_by
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from dadsp.analysis.domain_distance import proxy_a_distance
from dadsp.building import build
from dadsp.cli.script import end
from dadsp.configuration.compose import compose, plain
from dadsp.errors import ConfigError
from dadsp.evaluation.metrics import evaluate
from dadsp.files import write_atomically
from dadsp.models.base import FitContext, predict_split
from dadsp.models.networks.cross_screen_network import CrossScreenNetwork
from dadsp.models.stages import dadsp_a
from dadsp.nets.feed_forward import first_linear
from dadsp.provenance import environment_tags
from dadsp.schema import Screen, Split, Study

COLUMNS = ["case", "shift", "seed", "epoch", "measure", "value"]
SEEDS = range(5)


def kept(model: CrossScreenNetwork, study: Study, split: Split, planted: Planted, seed: int) -> dict[str, float]:
    """What the codes of the kept weights hold of lines and of the screens."""
    source, target = model.codes(study.source, "source"), model.codes(study.target, "target")
    trains = np.unique(study.source.responses.cell_idx[split.train_idx])
    held_out = np.unique(study.source.responses.cell_idx[split.val_idx])
    keys = study.source.drug_keys
    in_target = [row for row, key in enumerate(study.target.drug_keys) if key in keys]
    shared = [keys.index(study.target.drug_keys[row]) for row in in_target]
    of_source, of_target = (centred(screen.truth["potency"].astype(np.float64)) for screen in (study.source, study.target))
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 5, 13)))
    inside = cross_val_predict(ridge, target, of_target, cv=KFold(5, shuffle=True, random_state=seed))
    across = ridge.fit(source[trains], of_source[np.ix_(trains, shared)]).predict(target)
    found = ridge.fit(source[trains], of_source[trains]).predict(source[held_out])
    domain, line = np.repeat([False, True], [len(source), len(target)]), lines_of(study)
    both = np.concatenate([source, target]).astype(np.float64)
    weights = first_linear(model.members[0].encoder).weight.detach().numpy().astype(np.float64)
    inputs = [model.scaled_expression(study.source, "source")[trains], model.scaled_expression(study.target, "target")]
    along = moved_by(inputs[1], planted.activity)
    return {
        "first-layer weights along planted": energy(weights @ along) / energy(weights),
        "source expression along planted": energy(centred(inputs[0]) @ along) / energy(centred(inputs[0])),
        "target expression along planted": energy(centred(inputs[1]) @ along) / energy(centred(inputs[1])),
        "potency in codes: held-out source lines": 1 - energy(of_source[held_out] - found) / energy(of_source[held_out]),
        "potency in codes: target lines": 1 - energy(of_target - inside) / energy(of_target),
        "potency in codes: source to target, r": median_r(of_target[:, in_target], across),
        "A-distance: linear": proxy_a_distance(both, domain, line, 5, seed),
        "A-distance: kernel": kernel_a_distance(both, domain, line, seed),
        "spread of target codes / source codes": float(np.sqrt(target.var(axis=0).sum() / source[trains].var(axis=0).sum())),
        "share of source codes' energy that differs among lines": energy(centred(source)) / energy(source),
        "planted in target codes": energy(planted.activity.T @ centred(target)) / energy(centred(target)),
    }


def kernel_a_distance(features: Values, is_target: NDArray[np.bool_], line: NDArray[np.int64], seed: int) -> float:
    """``proxy_a_distance`` with a support vector machine, which also tells spreads apart."""
    told = cross_val_predict(
        make_pipeline(StandardScaler(), SVC(class_weight="balanced")),
        *(features, is_target),
        groups=line,
        cv=StratifiedGroupKFold(5, shuffle=True, random_state=seed),
    )
    errors = [(told != is_target)[is_target == which].mean() for which in (False, True)]
    return float(2 * (1 - 2 * min(np.mean(errors), 0.5)))


def lines_of(study: Study) -> NDArray[np.int64]:
    """Number of the line of each source row, then of each target row; equal for the same line."""
    return pd.factorize(np.array([*study.source.cells.link_ids, *study.target.cells.link_ids]))[0].astype(np.int64)


def median_r(truth: Values, predicted: Values) -> float:
    """Median over drugs of Pearson r among lines; 0 for a drug whose predictions are all alike."""
    rs = [np.corrcoef(a, b)[0, 1] if b.std() > 1e-9 else 0.0 for a, b in zip(truth.T, predicted.T, strict=True)]
    return float(np.median(rs))


def potency_patterns(screen: Screen) -> Values:
    """Over its lines, the patterns in which true potency varies most among them, orthonormal, shape (n_lines, 3)."""
    return np.linalg.svd(centred(screen.truth["potency"]), full_matrices=False)[0][:, :N_DIRECTIONS]


def without(study: Study, planted: Planted) -> Study:
    """The study with the planted directions taken out of the expression of both screens."""

    def cleared(screen: Screen) -> Screen:
        x = screen.cells.expression.astype(np.float64)
        left = x - centred(x) @ planted.genes.T @ planted.genes
        return replace(screen, cells=replace(screen.cells, expression=left.astype(np.float32)))

    return replace(study, source=cleared(study.source), target=cleared(study.target))


def measured(case: Case, shift: float, seed: int) -> tuple[dict[str, Any], list[tuple[int | None, str, float]]]:
    """Trains one network: what identifies the run, and (epoch or None, measure, value)."""
    overrides = [f"experiment={case.experiment}", *case.overrides, f"data.batch_sd={shift}", f"seed={seed}"]
    if not any(each.startswith("alignment=") for each in overrides):
        overrides.append("alignment=none")
    config = compose("config", overrides)
    settings: dict[str, Any] = plain(config.data)
    study, planted = build(settings, "data"), planted_in(tuple(sorted({**settings, "batch_sd": None}.items())))
    if case.without_programs:
        study = without(study, planted)
    split = build(plain(config.split), "split", study=study, seed=seed)
    model = build(plain(config.model), "model")
    if case.biologys_scale:
        model.alignment = BiologysScale(planted.clean)
    looked: dict[int, dict[str, float]] = {}
    trains = np.unique(study.source.responses.cell_idx[split.train_idx])
    patterns = np.linalg.qr(potency_patterns(study.source)[trains])[0], potency_patterns(study.target)
    stage = partial(WatchedStage, case=case, planted=planted, patterns=patterns, looked=looked)
    with mock.patch.object(dadsp_a, "DadspStage", stage):
        model.fit(study, split, FitContext(seed=seed))
    rows: list[tuple[int | None, str, float]] = []
    for epoch, values in looked.items():
        rows += [(epoch, measure, value) for measure, value in values.items()]
    scores = evaluate(predict_split(model, study, split, parts=("test",)))
    history = model.history()
    last = {"RMSE": scores.value("pooled", "rmse"), "r per drug": scores.value("median_drug", "pearson")}
    if "val/source/unexplained" in history:
        last["unexplained, held-out source lines"] = float(history["val/source/unexplained"].min())
    if "train/domain_accuracy" in history:
        last["domain accuracy in training, last epoch"] = float(history["train/domain_accuracy"].iloc[-1])
    rows += [(None, measure, value) for measure, value in (last | kept(model, study, split, planted, seed)).items()]
    sha = environment_tags().get("git.sha")
    return {
        "keys": " ".join(overrides),
        "git.sha": sha,
        "data_hash": study.content_hash,
        "split_hash": split.content_hash,
    }, rows


def measure(cases: list[Case], shifts: list[float], seeds: list[int], out: Path) -> None:
    """Adds to the tables at ``out`` every run that they lack, each once it is measured."""
    runs = _beside(out, "runs")
    told = pd.read_csv(runs).to_dict("records") if runs.exists() else []
    results = pd.read_csv(out) if out.exists() else pd.DataFrame(columns=COLUMNS)
    there = {(one["case"], one["shift"], one["seed"]) for one in told}
    for case in cases:
        for shift, seed in product(sorted({*case.shifts} & {*shifts}), seeds):
            if (case.name, shift, seed) in there:
                continue
            identity, rows = measured(case, shift, seed)
            more = pd.DataFrame([(case.name, shift, seed, *each) for each in rows], columns=COLUMNS).round(5)
            results = pd.concat([results, more]) if len(results) else more
            told.append({"case": case.name, "shift": shift, "seed": seed, **identity})
            write_atomically(out, partial(results.to_csv, index=False))
            write_atomically(runs, partial(pd.DataFrame(told).to_csv, index=False))
            r = more.loc[more["measure"] == "r per drug", "value"].item()
            print(f"{case.name}, shift {shift:g}, seed {seed}: r per drug {r:.3f}", flush=True)


def _beside(out: Path, name: str) -> Path:
    return out.with_name(f"{out.stem}_{name}.csv")


def summarised(results: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds and paired differences to the case without adaptation, each with half a 95 % t interval."""
    beside = {case.name: case.beside for case in CASES}
    key = ["shift", "seed", "epoch", "measure"]
    results = results.assign(epoch=results["epoch"].fillna(0).astype(int), beside=results["case"].map(beside))
    plain_runs = results.rename(columns={"case": "beside", "value": "plain"})[["plain", *key]].assign(beside=results["case"])
    both = results.merge(plain_runs, how="left", on=["beside", *key])
    both["minus_none"] = both["value"] - both["plain"]
    grouped = both.groupby(["case", "shift", "epoch", "measure"], sort=False)
    told = grouped.agg(runs=("seed", "size"), mean=("value", "mean"), minus_none=("minus_none", "mean"))
    factor = stats.t.ppf(0.975, told["runs"] - 1)
    told["half"], told["minus_none_half"] = grouped["value"].sem() * factor, grouped["minus_none"].sem() * factor
    return told.reset_index()[["case", "shift", "epoch", "measure", "runs", "mean", "half", "minus_none", "minus_none_half"]]


def main() -> None:
    """Measures, unless only asked to draw; writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=[case.name for case in CASES], default=[case.name for case in CASES])
    parser.add_argument("--shifts", nargs="+", type=float, default=list(SHIFTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--out", type=Path, default=Path("experiments/lines/gradient.csv"))
    parser.add_argument("--draw", action="store_true")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    if not arguments.draw:
        cases = [case for case in CASES if case.name in arguments.cases]
        measure(cases, arguments.shifts, arguments.seeds, arguments.out)
    if not arguments.out.exists():
        raise ConfigError(f"{arguments.out} does not exist. Run without --draw to measure it first.")
    results = pd.read_csv(arguments.out)
    summary = summarised(results)
    write_atomically(_beside(arguments.out, "summary"), lambda path: summary.round(4).to_csv(path, index=False))
    draw(summary, len(SEEDS), arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    raise SystemExit(end(main))
