"""Designed pairs against random ones and against the same number of each drug, at equal budgets, on measured pairs.

A system fitted without target labels chooses, among the pairs that the target screen has measured, which labels to be given.
It is then calibrated with these, and with as many drawn at random over all pairs, or the same number of each drug. All three
are scored on the pairs that none of them was given. The designed list is one per fit; the others are drawn anew each time.

    python experiments/few_labels/designed.py --study gdsc12_ccle
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import dadsp
from dadsp.analysis.design import errors_of
from dadsp.analysis.greedy_design import choose
from dadsp.files import write_atomically
from dadsp.models.base import Predictor
from dadsp.models.calibrated import Calibrated
from dadsp.provenance import environment_tags
from dadsp.schema import IntArray, Pairs, Study

FOLDER = Path(__file__).parent
BUDGETS = (24, 72, 120, 240)


def designed(model: Predictor, study: Study) -> IntArray:
    """Rows of the target's responses, the best first."""
    screen = study.target
    row = np.full((len(screen.cells), len(screen.drugs)), -1, dtype=np.int64)
    row[screen.responses.cell_idx, screen.responses.drug_idx] = np.arange(len(screen.responses))
    errors, _ = errors_of(model, screen, "target")
    found = choose(errors, row >= 0, (row >= 0).astype(float), max(BUDGETS))
    return row[found.line, found.drug]


def of_each_drug(study: Study, budget: int, random: np.random.Generator) -> IntArray:
    """The same number of each drug at random, what does not divide over drugs drawn at random."""
    drug = study.target.responses.drug_idx
    order = random.permutation(len(drug))
    turn = pd.Series(drug[order]).groupby(drug[order]).cumcount().to_numpy()
    lot = random.permutation(len(study.target.drugs))[drug[order]]
    return order[np.lexsort((lot, turn))][:budget]


def error(model: Predictor, study: Study, given: IntArray, asked: IntArray) -> float:
    """RMSE on the asked rows after calibration with the given ones."""

    def pairs(rows: IntArray) -> Pairs:
        part = study.target.responses.take(rows)
        return Pairs(study.target, "target", part.cell_idx, part.drug_idx)

    labels = study.target.responses.potency
    cap = study.target.cap if study.label_cap == "target" else None
    found = Calibrated.of(model, pairs(given), labels[given], pairs(asked), cap)
    return float(np.sqrt(np.mean((found.predict(pairs(asked)) - labels[asked]) ** 2)))


def rows_of(study: Study, seed: int, draws: int, overrides: list[str]) -> list[dict[str, Any]]:
    """One row per budget, draw and way of choosing."""
    model = dadsp.model("pairwise_gp", *overrides).fit(study, dadsp.split(study, seed=seed))
    best, rows = designed(model, study), []
    for budget in BUDGETS:
        for draw in range(draws):
            random = np.random.default_rng([seed, draw, budget])
            ways = {
                "designed": best[:budget],
                "random": random.permutation(len(study.target.responses))[:budget],
                "same of each drug": of_each_drug(study, budget, random),
            }
            asked = np.setdiff1d(np.arange(len(study.target.responses)), np.concatenate(list(ways.values())))
            found = {way: error(model, study, given, asked) for way, given in ways.items()}
            rows += [{"seed": seed, "budget": budget, "draw": draw, "way": way, "rmse": rmse} for way, rmse in found.items()]
        print(
            f"seed {seed}, {budget} labels: {pd.DataFrame(rows).groupby(['budget', 'way'])['rmse'].mean()[budget].to_dict()}"
        )
    return rows


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Means, and the difference of the designed pairs from the others with its 95 % interval over draws and fits."""
    random, rows = np.random.default_rng(0), []
    for (study, budget), part in results.groupby(["study", "budget"], sort=False):
        wide = part.pivot_table(index=["seed", "draw"], columns="way", values="rmse")
        row: dict[str, Any] = {"study": study, "budget": budget, "n": len(wide), **wide.mean()}
        for way in ("random", "same of each drug"):
            gap = (wide["designed"] - wide[way]).to_numpy()
            means = gap[random.integers(len(gap), size=(5000, len(gap)))].mean(axis=1)
            low, high = np.quantile(means, [0.025, 0.975])
            row |= {f"designed − {way}": gap.mean(), f"{way}_low": low, f"{way}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    """Adds the rows of one study to both tables, in place of earlier ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", required=True)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--overrides", nargs="*", default=["alignment=bridge"])
    parser.add_argument("--out", type=Path, default=FOLDER)
    given = parser.parse_args()
    study = dadsp.load_study(f"data={given.study}")
    rows = [row for seed in range(given.seeds) for row in rows_of(study, seed, given.draws, given.overrides)]
    made = {"git.sha": environment_tags().get("git.sha"), "data_hash": study.content_hash}
    command = f"python experiments/few_labels/designed.py --study {given.study}"
    found = pd.DataFrame(rows).assign(study=given.study, command=command, **made)
    path = given.out / "designed.csv"
    known = pd.read_csv(path) if path.exists() else found.iloc[:0]
    results = pd.concat([known[known["study"] != given.study], found], ignore_index=True)
    results = results[["study", *(name for name in results if name != "study")]].round(5)
    write_atomically(path, partial(results.to_csv, index=False))
    write_atomically(given.out / "designed_summary.csv", partial(summary(results).round(4).to_csv, index=False))


if __name__ == "__main__":
    main()
