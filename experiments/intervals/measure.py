"""Do intervals hold? Coverage and width on source folds that calibrated nothing and on the target, by what was seen.

    python experiments/intervals/measure.py [--systems pairwise_gp …] [--studies gdsc12_ccle …] [--seeds 0 1] [--out FOLDER]

Adds the rows of each system, study and seed to results.csv; what stands there already is left alone.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from dadsp.configuration.compose import compose, plain
from dadsp.files import write_atomically
from dadsp.models.base import FitContext
from dadsp.provenance import environment_tags
from dadsp.runs.experiment import run_experiment
from dadsp.runs.parts import load_study, model_of
from dadsp.splits.cross_screen import cross_screen

SYSTEMS: dict[str, tuple[str, ...]] = {
    "pairwise_gp": (),
    "drug_ridge": (),
    "linear": ("model.features=pca",),
    "naive_drug_mean": (),
    "source_only": ("model.pretraining=null", "trainer.max_epochs=8"),
}
STUDIES = ("gdsc12_ccle", "gdsc12_ctrp", "gdsc_ccle_panel")


def main() -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=[name for name in SYSTEMS if name != "source_only"])
    parser.add_argument("--studies", nargs="+", default=STUDIES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    path = arguments.out / "results.csv"
    for data in arguments.studies:
        for system in arguments.systems:
            for seed in arguments.seeds:
                known = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["data", "model", "seed"])
                if ((known["data"] == data) & (known["model"] == system) & (known["seed"] == seed)).any():
                    continue
                with threadpool_limits(1):
                    table = pd.concat([known, measured(data, system, seed)], ignore_index=True)
                write_atomically(path, lambda place, table=table: table.to_csv(place, index=False))


def measured(data: str, system: str, seed: int) -> pd.DataFrame:
    """A row for each screen, stratum and verdict."""
    overrides = [f"data={data}", f"model={system}", *SYSTEMS[system]]
    settings: dict[str, Any] = plain(compose("config", overrides))
    study, model = load_study(settings, None), model_of(settings)
    split = cross_screen(study, seed=seed, **{key: value for key, value in settings["split"].items() if key[0] != "_"})
    start = time.process_time()
    run = run_experiment(study, split, model, context=FitContext(seed=seed))
    seconds = time.process_time() - start
    if run.trust is None:
        raise ValueError(f"{system} has no calibration")
    facts = run.trust.facts
    rows = [{"part": part, **row} for part, found in facts["coverage"].items() for row in found]
    print(f"{data} {system} seed {seed}: {seconds:.0f} s of CPU", flush=True)
    what = {"data": data, "model": system, "overrides": " ".join(overrides), "seed": seed, "method": facts["method"]}
    hashes = {"data_hash": study.content_hash, "split_hash": split.content_hash}
    commit = {"commit": environment_tags().get("git.sha", "")}
    return pd.DataFrame(rows).round(4).assign(**what, cpu_seconds=round(seconds), **hashes, **commit)


if __name__ == "__main__":
    main()
