"""One results.csv and its figures from finished runs of dadsp single-drug, and their tables beside the paper's.

python experiments/single_drug/collect.py --out experiments/single_drug runs/…_single_drug_… runs/…
"""

import argparse
from pathlib import Path

import pandas as pd

from dadsp.files import read_json, write_atomically
from dadsp.singledrug.figures import accuracy_against_time, mse_per_drug
from dadsp.singledrug.report import accuracy_table, leak_table, mse_table, summary

HERE = Path(__file__).parent
IDENTITY = ("seed", "response", "data_hash", "git.sha", "command")
SCORES = ("mse", "r2", "pearson", "accuracy", "balanced_accuracy", "kappa")
TIMES = ("selection_s", "search_s", "fit_s", "train_s", "predict_ms_per_line")
KEPT = (
    *(
        "drug_id",
        "repeat",
        "split_hash",
        "system",
        "method",
        "architecture",
        "gene_set",
        "selection_scope",
        "saw_test_labels",
        "threshold_scope",
    ),
    *("n_train", "n_fit", "n_test", "n_genes", *SCORES, *TIMES, "size_bytes", "causal_recall", "causal_recall_by_chance"),
)


def main() -> None:
    """Collects the named runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    tables = []
    for folder in arguments.folders:
        run, table = read_json(folder / "metrics.json")["run"], pd.read_csv(folder / "results.csv")
        tables.append(table[[name for name in KEPT if name in table]].assign(**{name: run.get(name) for name in IDENTITY}))
    frame = pd.concat(tables, ignore_index=True)
    # A method that stands in two runs (the baselines of a run per architecture) counts once.
    frame = frame.drop_duplicates(["drug_id", "repeat", "system", "seed", "response"])
    numbers = frame.select_dtypes("float").columns
    written = frame.assign(**{name: frame[name].round(5) for name in numbers})
    write_atomically(arguments.out / "results.csv", lambda path: written.to_csv(path, index=False))
    mse_per_drug(frame, frame["response"].iloc[0], arguments.out / "mse_per_drug.png")
    accuracy_against_time(frame, arguments.out / "accuracy_against_time.png")
    expected = pd.read_csv(HERE / "expected.csv")
    print(_beside(mse_table(frame).round(3), expected[expected["table"] == "I"], "drug_id", "Table I: mean squared error"))
    print(_beside(accuracy_table(frame).T.round(3), expected[expected["table"] == "II"], "statistic", "Table II: accuracy"))
    for title, table in (("Means over drugs", summary(frame)), ("Selection with test labels", leak_table(frame))):
        print(f"\n{title}\n\n{_markdown(table.round(3))}")


def _beside(ours: pd.DataFrame, expected: pd.DataFrame, key: str, title: str) -> str:
    """Our table with the paper's columns to its left."""
    paper = expected.pivot_table(index=key, columns="system", values="value").add_prefix("paper: ")
    if "mean" not in paper.index:
        paper.loc["mean"] = paper.mean()
    return f"\n{title}\n\n{_markdown(paper.round(3).join(ours, how='right').reindex(ours.index))}"


def _markdown(frame: pd.DataFrame) -> str:
    rows = [["", *frame.columns], ["---"] * (1 + frame.shape[1])]
    rows += [
        [label, *("–" if pd.isna(value) else value for value in values)]
        for label, values in zip(frame.index, frame.to_numpy(), strict=True)
    ]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


if __name__ == "__main__":
    main()
