"""Simulated screens of the papers' size look as the measured ones do, and are made in bounded time and memory."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dadsp.data.sources.simulated import simulated_screens
from dadsp.schema import Screen
from tests.support.simulations import config, grid, overlap, simulation

# What was measured on GDSC and CCLE, and how far the mean over a few seeds may lie from it.
MEASURED = {
    "source mean": (-0.85, 0.05),
    "source sd": (1.20, 0.05),
    "source min": (-5.5, 1.0),
    "source max": (4.3, 1.0),
    "target mean": (-0.37, 0.10),
    "target sd": (0.86, 0.12),
    "target capped share": (0.55, 0.01),
    "target drug-mean R²": (0.69, 0.08),
    "target drug-mean RMSE": (0.478, 0.03),
    "target line-mean R²": (0.05, 0.02),
    "target drug + line R²": (0.744, 0.07),
    "source label as prediction, r": (0.70, 0.10),
    "source label as prediction, RMSE": (0.80, 0.08),
    "source drug mean as prediction, RMSE": (0.81, 0.12),
    "capped source drug mean as prediction, RMSE": (0.68, 0.10),
}


def rmse(error: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(error))))


def facts(source: Screen, target: Screen) -> dict[str, float]:
    """The measured facts, of simulated screens."""
    y, labels = (screen.responses.potency.astype(np.float64) for screen in (target, source))
    source_grid, target_grid = grid(source, labels), grid(target, y)
    cell, drug = target.responses.cell_idx, target.responses.drug_idx
    by_drug = np.nanmean(target_grid, axis=0)[drug]
    by_line = np.nanmean(target_grid, axis=1)[cell]
    cells, drugs = overlap(source, target)
    pairs = [source_grid[np.ix_(cells[0], drugs[0])], target_grid[np.ix_(cells[1], drugs[1])]]
    both = ~np.isnan(pairs[0]) & ~np.isnan(pairs[1])
    assert target.cap is not None
    transferred = []
    for values in (source_grid, np.where(np.isnan(source_grid), np.nan, np.maximum(source_grid, target.cap))):
        guess = np.full(len(target.drugs), np.nanmean(values))
        guess[drugs[1]] = np.nanmean(values, axis=0)[drugs[0]]
        transferred.append(rmse(y - guess[drug]))
    numbers = [
        *(labels.mean(), labels.std(), labels.min(), labels.max(), y.mean(), y.std(), target.responses.censored.mean()),
        *(1 - rmse(y - by_drug) ** 2 / y.var(), rmse(y - by_drug), 1 - rmse(y - by_line) ** 2 / y.var()),
        1 - rmse(y - by_drug - by_line + y.mean()) ** 2 / y.var(),
        *(np.corrcoef(pairs[0][both], pairs[1][both])[0, 1], rmse(pairs[0][both] - pairs[1][both])),
        *transferred,
    ]
    return dict(zip(MEASURED, map(float, numbers), strict=True))


@pytest.fixture(scope="module")
def mean_facts() -> dict[str, float]:
    """Means over seeds; few genes suffice, since labels know only the pathway activities."""
    base = simulation("simulated_paper", n_genes=250)
    draws = [facts(*simulated_screens(replace(base, seed=seed))) for seed in range(6)]
    return {name: float(np.mean([draw[name] for draw in draws])) for name in MEASURED}


@pytest.mark.parametrize("name", MEASURED)
def test_labels_of_the_papers_size_agree_with_the_measured(name: str, mean_facts: dict[str, float]) -> None:
    measured, tolerance = MEASURED[name]
    assert mean_facts[name] == pytest.approx(measured, abs=tolerance)


@pytest.mark.slow
def test_the_papers_size_takes_less_than_90_seconds_and_3_gib() -> None:
    program = (
        "import json, resource, sys, time\n"
        "from dadsp.data.sources.simulated import simulated_study\n"
        "start = time.perf_counter()\n"
        "study = simulated_study(**json.loads(sys.argv[1]))\n"
        "seconds = time.perf_counter() - start\n"
        "unit = 1 if sys.platform == 'darwin' else 1024\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30\n"
        "print(len(study.source.responses), len(study.genes), seconds, peak)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(config("simulated_paper"))], capture_output=True, text=True, check=True
    )
    pairs, genes, seconds, peak = map(float, re.findall(r"[\d.]+", done.stdout))
    assert (pairs, genes) == (round(914 * 213 * 0.82), 16017)
    assert seconds < 90
    assert peak < 3
