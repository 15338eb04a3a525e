"""Evidence for the defaults of pairwise_gp, from source screens alone: GDSC2 → GDSC1 and back, no label of another screen.

    python experiments/transfer/choices.py [--root DATA] [--out experiments/transfer/choices.csv]

Both screens' labels are clipped at 8 µM, CCLE's highest dose, which is a property of the assay and no label. Parts:
  same lines   drugs of both screens, all lines of the training screen in training
  new lines    the same drugs, 30 % of the lines without any label in training, tested on those; mean of three draws
  new drugs    levels of the drugs that only the other screen holds, from structure
"""

import argparse
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import OmegaConf
from threadpoolctl import threadpool_limits

from dadsp.configuration.compose import build, compose
from dadsp.data.sources.tidy import tidy_screen
from dadsp.data.study import make_study
from dadsp.files import write_atomically
from dadsp.models.cross_screen_predictor import structures
from dadsp.models.kernels.drug_level import DrugLevel
from dadsp.models.kernels.similarity import tanimoto
from dadsp.models.systems.pairwise_gp import PairwiseGp
from dadsp.schema import Pairs, Screen, Split, Study

CAP = -np.log10(8.0)  # −log10 µM
HELD_OUT, DRAWS, MIN_LINES = 0.3, 3, 20
LINES, NOISES = ("linear", "rbf", "mixed"), (0.5, 1.0, 2.0)
POWERS, PENALTIES = (1, 2, 3), (0.03, 0.1, 0.3, 1.0, 3.0)


def main() -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=os.environ.get("DADSP_REAL_DATA"))
    parser.add_argument("--out", type=Path, default=Path("experiments/transfer/choices.csv"))
    arguments = parser.parse_args()
    screens = {name: read(name, arguments.root) for name in ("gdsc2", "gdsc1")}
    rows: list[dict[str, object]] = []
    with threadpool_limits(1):
        for source, target in (("gdsc2", "gdsc1"), ("gdsc1", "gdsc2")):
            study = make_study(screens[source], screens[target], label_cap="target")
            direction = f"{study.source.name} → {study.target.name}"
            rows += [{"direction": direction} | row for row in (*kernels(study), *levels(study))]
    table = pd.DataFrame(rows).round(4)
    write_atomically(arguments.out, lambda path: table.to_csv(path, index=False))


def read(name: str, root: Path) -> Screen:
    """One half of GDSC, as the study reads it, clipped at the cap."""
    node = OmegaConf.to_container(compose("config", ["data=gdsc12_ccle"]).data.sources[name], resolve=True)
    screen = tidy_screen(node, root)
    potency = np.maximum(screen.responses.potency, np.float32(CAP))
    return replace(screen, cap=float(np.float32(CAP)), responses=replace(screen.responses, potency=potency))


def kernels(study: Study) -> Iterator[dict[str, object]]:
    """Every line kernel and noise on drugs that both screens hold."""
    source, target = study.source, study.target
    line, lines = keys(source, "line"), keys(target, "line")
    shared = np.isin(keys(target, "drug"), np.unique(keys(source, "drug")))
    known = np.unique(line)
    draws = [np.random.default_rng(draw).choice(known, round(HELD_OUT * len(known)), replace=False) for draw in range(DRAWS)]
    parts = {
        "same lines": [(np.ones(len(line), dtype=bool), shared & np.isin(lines, known))],
        "new lines": [(~np.isin(line, held_out), shared & np.isin(lines, held_out)) for held_out in draws],
    }
    for part, divisions in parts.items():
        splits = [split_of(study, np.flatnonzero(trains), np.flatnonzero(tests)) for trains, tests in divisions]
        for kind in LINES:
            for noise in NOISES:
                chosen = [f"model.kernel.lines={kind}", f"model.kernel.noise={noise}"]
                config = compose("config", ["model=pairwise_gp", *PLAIN, *chosen]).model
                scores = pd.DataFrame([score(build(config, "model"), study, split) for split in splits])
                spread = {"rmse_sd": scores["rmse"].std(), "r_sd": scores["r"].std()}
                yield {"part": part, "lines": kind, "noise": noise} | scores.mean().to_dict() | spread


def score(system: PairwiseGp, study: Study, split: Split) -> dict[str, float]:
    """Fits the system and compares what it predicts with the other screen's labels."""
    system.fit(study, split)
    truth = study.target.responses.take(split.test_idx)
    predicted = system.predict(Pairs(study.target, "target", truth.cell_idx, truth.drug_idx))
    return of_lines(truth.drug_idx, truth.potency, predicted)


# Both halves hold one expression matrix, so nothing is aligned; nothing is held out, so there is nothing to learn again.
PLAIN = ("model.alignment=null", "model.refit=false", "trainer.threads=1")


def levels(study: Study) -> Iterator[dict[str, object]]:
    """Every power and penalty on drugs that only the other screen holds."""
    source, target = study.source, study.target
    measured = means(source)
    tested = means(target)
    source_keys, target_keys = source.drug_keys, target.drug_keys
    tested = tested[[target_keys[row] not in {source_keys[known] for known in measured.index} for row in tested.index]]
    training, asked = (np.asarray(each.index, dtype=np.int64) for each in (measured, tested))
    features = build(compose("config", ["model=pairwise_gp"]).model, "model").drug_features
    features = features.fit(*structures(source, training))
    known, new = features(*structures(source, training)), features(*structures(target, asked))
    among, to_known = tanimoto(known, known), tanimoto(new, known)
    labels = measured.to_numpy(dtype=np.float64)[None, :]  # a drug's mean stands for its labels
    for power in POWERS:
        for penalty in PENALTIES:
            level = DrugLevel.fit(labels, np.ones(labels.shape, dtype=bool), among, power, penalty)
            found = np.maximum(level(np.zeros(to_known.shape), to_known, power), CAP)
            rmse = float(np.sqrt(np.mean((found - tested.to_numpy()) ** 2)))
            r = float(np.corrcoef(found, tested)[0, 1])
            yield {
                "part": "new drugs",
                "level_power": power,
                "level_penalty": penalty,
                "rmse": rmse,
                "r": r,
                "n_drugs": len(tested),
            }
    plain = float(np.sqrt(np.mean((measured.mean() - tested) ** 2)))
    yield {"part": "new drugs", "lines": "mean of all drugs", "rmse": plain, "n_drugs": len(tested)}


def of_lines(drug: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """RMSE of pairs after each drug's mean error is removed, and the median over drugs of r among its lines."""
    frame = pd.DataFrame({"drug": drug, "y": truth.astype(np.float64), "p": predicted.astype(np.float64)})
    error = frame["p"] - frame["y"]
    error -= error.groupby(frame["drug"]).transform("mean")
    by_drug = [part for _, part in frame.groupby("drug") if len(part) >= MIN_LINES and part["y"].std() > 0]
    r = [np.corrcoef(part["y"], part["p"])[0, 1] for part in by_drug if part["p"].std() > 0]
    return {
        "rmse": float(np.sqrt(np.mean(error**2))),
        "r": float(np.median(r)),
        "n": len(frame),
        "n_drugs": len(r),
    }


def keys(screen: Screen, of: str) -> np.ndarray:
    """Identity of the line or drug of every pair of a screen."""
    names = np.array(screen.line_keys if of == "line" else screen.drug_keys, dtype=object)
    return names[screen.responses.cell_idx if of == "line" else screen.responses.drug_idx].astype(str)


def means(screen: Screen) -> "pd.Series[float]":
    """Mean label of every drug, by its row in the screen."""
    return pd.Series(screen.responses.potency.astype(np.float64)).groupby(screen.responses.drug_idx).mean()


def split_of(study: Study, train: np.ndarray, test: np.ndarray) -> Split:
    """A split without validation pairs."""
    none = np.zeros(0, dtype=np.int64)
    return Split("choices", train, none, test, np.arange(len(study.target.cells)))


if __name__ == "__main__":
    main()
