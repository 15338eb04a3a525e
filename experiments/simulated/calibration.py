"""How near the simulated screens come to the measured panel: the table of docs/simulated.md, over seeds of the simulation.

python experiments/simulated/calibration.py --seeds 30 --out experiments/simulated/results.csv
"""

import argparse
from pathlib import Path

import pandas as pd

from dadsp.configuration.compose import build, compose
from dadsp.data.describe import describe
from dadsp.evaluation.metrics import evaluate
from dadsp.files import write_atomically
from dadsp.models.base import predict_split
from dadsp.models.systems.naive import naive_rows
from dadsp.provenance import environment_tags
from dadsp.schema import Study
from dadsp.splits.cross_screen import cross_screen


def facts(study: Study) -> dict[str, float]:
    """The facts of one study, source labels as measured."""
    told, raw, split = describe(study), study.raw_source_potency, cross_screen(study, seed=0)
    numbers = {
        "source mean": raw.mean(),
        "source sd": raw.std(),
        "source lowest": raw.min(),
        "source highest": raw.max(),
        "target mean": told["target"]["labels"]["mean"],
        "target sd": told["target"]["labels"]["sd"],
        "target share at the cap": told["target"]["censored_share"],
        "same pair, r": told["overlap"]["source_label_as_prediction"]["raw"]["r"],
        "same pair, rmse": told["overlap"]["source_label_as_prediction"]["raw"]["rmse"],
    }
    for naive in naive_rows(study):
        scores = evaluate(predict_split(naive.fit(study, split), study, split, parts=("test",))).pooled
        numbers |= {f"{naive.name}, rmse": scores.rmse, f"{naive.name}, r2": scores.r2}
    return {name: float(value) for name, value in numbers.items()}


def main() -> None:
    """Prints mean and standard deviation of every fact over seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    # Few genes suffice: labels know only the activities of pathways.
    settings = ["data=simulated_paper", "data.n_genes=250"]
    draws = [facts(build(compose("config", [*settings, f"data.seed={n}"]).data, "data")) for n in range(arguments.seeds)]
    table = pd.DataFrame(draws).agg(["mean", "std"]).T.round(4).rename_axis("fact").reset_index()
    print(table.to_string(index=False))
    if arguments.out:
        command = f"python experiments/simulated/calibration.py --seeds {arguments.seeds}"
        sha = environment_tags().get("git.sha", "")
        table = table.assign(seeds=f"0-{arguments.seeds - 1}", command=command, **{"git.sha": sha})
        write_atomically(arguments.out, lambda path: table.to_csv(path, index=False))


if __name__ == "__main__":
    main()
