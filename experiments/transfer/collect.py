"""results.csv and summary.csv from the finished runs of experiment=transfer.

    python experiments/transfer/collect.py runs/sweeps/transfer [more sweep folders] [--out experiments/transfer] [--add]

results.csv: one row per run, and the naive rows once per study and overlap (those of the first run, which they came with).
summary.csv: mean ± standard deviation over seeds; systems of the sweep that have no run in a cell stand there with 0 runs.
Seconds are not recorded by a run; they are the time between the files config.yaml, written just before training, and
model/model.json, written just after: wall time of fitting, with whatever else the machine did, and with the pause where a
run was resumed.
"""

import argparse
import re
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from dadsp.cli.script import end
from dadsp.configuration.compose import compose
from dadsp.configuration.folder import conf_folder
from dadsp.errors import ConfigError
from dadsp.files import write_atomically
from dadsp.runs.collection import row_identity, scored_below
from dadsp.runs.folder import RunFolder, complete

STUDIES = ("gdsc12_ccle", "gdsc12_ccle_auc", "gdsc12_ctrp")
OVERLAPS = ("keep", "drop_lines", "drop_drugs")
IDENTITY = ("seed", "command", "git.sha", "data_hash", "split_hash")
R = "median_drug_pearson"
SCORES = (
    *("n", "rmse", "rmse_drug_seen", "rmse_drug_unseen", "r2", R, f"{R}_low", f"{R}_high", f"{R}_unprofiled"),
    *("ceiling", "share_of_ceiling", "median_drug_precision_10", "pearson_drug_line_removed", "coverage_90"),
)
CELL = ["study", "overlap"]
SYSTEM = [*CELL, "kind", "system", "alignment"]


def main() -> None:
    """Writes both tables and says what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("experiments/transfer"))
    parser.add_argument("--add", action="store_true", help="to the rows that are there; the same run is replaced")
    parser.add_argument("--experiment", default="transfer", help="whose systems are expected: a choice of experiment=")
    arguments = parser.parse_args()
    results = collected(arguments.sweeps, arguments.out / "results.csv" if arguments.add else None)
    summary = summarised(results, expected_systems(arguments.experiment))
    for name, table in (("results", results), ("summary", summary)):
        write_atomically(arguments.out / f"{name}.csv", lambda path, table=table: table.round(4).to_csv(path, index=False))
    missing = summary[summary["runs"] == 0]
    print(f"{(results['kind'] == 'model').sum()} runs; {len(missing)} of the sweep's cells have none")
    for cell, part in missing.groupby(CELL, sort=False):
        print(f"  {' '.join(cell)}: {', '.join(part['system'])}")


def collected(sweeps: list[Path], earlier: Path | None) -> pd.DataFrame:
    """Rows of all finished runs below the folders; of runs equal but for their code or default settings the newest.

    Args:
        sweeps: Folders.
        earlier: Table whose rows come before them; None for none.
    """
    done = scored_below(sweeps)
    before = [] if earlier is None else [pd.read_csv(earlier).fillna({"note": "", "alignment": ""})]
    rows = pd.concat([*before, *(whole_rows(folder) for folder in done)], ignore_index=True)
    models = rows[rows["kind"] == "model"]
    repeated = models.duplicated([*SYSTEM, "seed"], keep="last")
    if repeated.any():
        print(f"{repeated.sum()} runs were repeated later; the newest stand")
    naive = rows[rows["kind"] != "model"].drop_duplicates([*CELL, "system"])
    studies = {name: place for place, name in enumerate(STUDIES)}
    kinds = {name: place for place, name in enumerate(("model", "naive_source", "naive_target", "naive_oracle"))}
    order = {name: place for place, name in enumerate(OVERLAPS)}

    def key(column: "pd.Series[Any]") -> "pd.Series[Any]":
        known = {"study": studies, "overlap": order, "kind": kinds}.get(str(column.name))
        return column if known is None else column.map(known)

    return pd.concat([models[~repeated], naive]).sort_values([*SYSTEM, "seed"], key=key, kind="stable", ignore_index=True)


def whole_rows(folder: RunFolder) -> pd.DataFrame:
    """Rows of one run, or one error where it is damaged."""
    with complete(folder.path):
        return rows_of(folder)


def rows_of(folder: RunFolder) -> pd.DataFrame:
    """All rows of one run's table with what identifies the run; naive rows take no seconds."""
    identity, table = row_identity(folder), folder.comparison
    config: Any = OmegaConf.load(folder / "config.yaml")
    study = re.search(rf"_({'|'.join(sorted(STUDIES, key=len, reverse=True))})_seed", folder.path.name)
    if study is None:
        raise ConfigError(
            f"{folder.path}: not of one of the studies {', '.join(STUDIES)}. Name only sweeps of experiment=transfer."
        )
    models = table["kind"] == "model"
    seconds = (folder / "model" / "model.json").stat().st_mtime - (folder / "config.yaml").stat().st_mtime
    return table[["system", "kind", *SCORES, "note"]].assign(
        study=study[1],
        overlap=config.split.overlap,
        alignment=models.map({True: identity["alignment"], False: ""}),
        **{name: identity[name] for name in IDENTITY},
        train_seconds=models.map({True: seconds}),
    )[[*SYSTEM, *IDENTITY, *SCORES, "train_seconds", "note"]]


def summarised(results: pd.DataFrame, expected: list[str]) -> pd.DataFrame:
    """One row per system of each study and overlap; interval ends are means of the runs' own."""
    grouped = results.groupby(SYSTEM, sort=False)
    scores = [name for name in (*SCORES, "train_seconds") if name != "n"]
    ends = [f"{R}_low", f"{R}_high"]
    table = grouped.agg(runs=("seed", "size"), seeds=("seed", lambda seeds: " ".join(map(str, seeds))), n=("n", "first"))
    table = table.join(grouped[scores].mean()).join(grouped[scores].std().drop(columns=ends).add_suffix("_sd"))
    table = table.reset_index()
    # A name may say more than the configuration's, as in "LightGBM on PCA".
    plain = table["system"].str.replace(r"( on (PCA|raw expression)| \(Nyström.*\))$", "", regex=True)
    names = dict(zip(plain, table["system"], strict=True))
    found = set(table[[*CELL, "system"]].itertuples(index=False, name=None))
    absent = [
        {"study": study, "overlap": overlap, "kind": "model", "system": system, "alignment": "", "runs": 0, "seeds": ""}
        for study in STUDIES
        for overlap in OVERLAPS
        for system in (names.get(name, name) for name in expected)
        if (study, overlap, system) not in found
    ]
    return pd.concat([table, pd.DataFrame(absent)], ignore_index=True) if absent else table


def expected_systems(experiment: str) -> list[str]:
    """Names of the systems that the experiment sweeps over."""
    sweep: Any = OmegaConf.load(conf_folder() / "experiment" / f"{experiment}.yaml")
    models = sweep.hydra.sweeper.params.model.split(",")
    return [str(compose("config", [f"experiment={experiment}", f"model={model}"]).model.name) for model in models]


if __name__ == "__main__":
    raise SystemExit(end(main))
