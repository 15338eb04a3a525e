"""One results.csv from finished run folders: every row of every run with what identifies it.

python experiments/collect.py --out experiments/main_job/results.csv runs/…_seed0 runs/…_seed1
"""

import argparse
from pathlib import Path

import pandas as pd
import yaml

from dadsp.files import read_json, write_atomically

IDENTITY = ("seed", "command", "git.sha", "data_hash", "split_hash")


def main() -> None:
    """Collects the comparisons of the named runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    tables: list[pd.DataFrame] = []
    for folder in arguments.folders:
        run = read_json(folder / "metrics.json")["run"]
        table = pd.read_csv(folder / "comparison.csv")
        tables.append(table)
        representation = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["drug_features"]["_target_"]
        tables[-1] = tables[-1].assign(drug_features=representation.rpartition(".")[2])
        for name in IDENTITY:
            tables[-1] = tables[-1].assign(**{name: run.get(name)})
    frame = pd.concat(tables, ignore_index=True)
    # Naive rows are the same in all runs of one protocol; the first run's stand for all.
    scores = [name for name in frame if name not in (*IDENTITY, "drug_features")]
    frame = frame[(frame["kind"] == "model") | ~frame.duplicated(scores)]
    order = frame["kind"].map({"model": 0, "naive_source": 1, "naive_target": 2, "naive_oracle": 3})
    frame = (
        frame.assign(order=order)
        .sort_values(["order", "system", "drug_features", "seed"], kind="stable")
        .drop(columns="order")
    )
    numbers = frame.select_dtypes("float").columns
    frame[numbers] = frame[numbers].round(4)
    write_atomically(arguments.out, lambda path: frame.to_csv(path, index=False))


if __name__ == "__main__":
    main()
