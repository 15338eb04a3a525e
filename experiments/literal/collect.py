"""results.csv from runs of paper_literal and authors_code, and the README's tables from it.

    python experiments/literal/collect.py runs/sweeps/paper_literal [more sweep folders] [--out experiments/literal] [--add]

results.csv: one row per run with the reading of the paper (its experiment), what else was changed, the kept epoch, how often
the discriminator named the domain rightly in the last epoch (empty in rows collected before it was kept) and the standard
deviation of the test predictions (0 where the output has saturated), and the naive rows of each seed. Tables: mean
± standard deviation over seeds; differences are paired by seed, with 95 % t intervals.
"""

import argparse
import re
import shlex
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dadsp.cli.script import end
from dadsp.errors import SchemaError, examples
from dadsp.evaluation.statistics import mean_interval
from dadsp.files import write_atomically
from dadsp.runs.collection import row_identity, scored_below
from dadsp.runs.folder import RunFolder, complete

R = "median_drug_pearson"
SCORES = ("rmse", "r2", R, "rmse_drug_seen", "rmse_drug_unseen", "pearson", "skill")
SYSTEM = ["reading", "changed", "kind", "system"]
SILENT = (
    "experiment",
    "model",
    "seed",
    "sweep",
    "tracking",
    "trainer.threads",
)  # what a row says elsewhere, or of no account


def main() -> None:
    """Writes results.csv and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("experiments/literal"))
    parser.add_argument("--add", action="store_true", help="to the rows that are there; the same run is replaced")
    arguments = parser.parse_args()
    place = arguments.out / "results.csv"
    found = pd.concat([whole_rows(folder) for folder in scored_below(arguments.sweeps)], ignore_index=True)
    rows = pd.concat([earlier(place, list(found)), found], ignore_index=True) if arguments.add else found
    rows = rows.drop_duplicates([*SYSTEM, "seed"], keep="last").sort_values([*SYSTEM, "seed"], ignore_index=True)
    write_atomically(place, lambda path: rows.round(4).to_csv(path, index=False))
    for (reading, changed), part in rows.groupby(["reading", "changed"]):
        print(f"\n**{reading}{' ' if changed else ''}{changed}**\n\n{table(part)}")
    print(f"\n**One deviation at a time**\n\n{deviations(rows)}")
    print(f"\n**Systems, paired by seed**\n\n{between(rows)}")


def earlier(place: Path, columns: list[str]) -> pd.DataFrame:
    """Rows of an earlier call.

    Raises:
        SchemaError: No table of these columns is there.
    """
    try:
        rows = pd.read_csv(place).fillna({"changed": ""})
    except (OSError, ValueError) as error:
        raise SchemaError(f"{place} cannot be read as a CSV file: {error}. Leave out --add to write it anew.") from error
    if missing := [name for name in columns if name not in rows]:
        raise SchemaError(
            f"{place} lacks {len(missing)} columns (e.g. {examples(missing)}). Leave out --add to write it anew."
        )
    return rows


def whole_rows(folder: RunFolder) -> pd.DataFrame:
    """Rows of one run, or one error where it is damaged."""
    with complete(folder.path):
        return rows_of(folder)


def rows_of(folder: RunFolder) -> pd.DataFrame:
    """The system's row of one run, and its naive rows."""
    identity, scores = row_identity(folder), folder.comparison
    given = dict(part.split("=", 1) for part in shlex.split(identity["command"])[2:])
    changed = " ".join(f"{key}={value}" for key, value in sorted(given.items()) if key not in SILENT)
    model = scores["kind"] == "model"
    history = pd.read_csv(folder / "history.csv")
    last = history[history["stage"] == history["stage"].iloc[-1]].reset_index(drop=True)
    kept = [name for name in last.columns if name.startswith("val/") and last[name].notna().any()]
    predicted = pd.read_parquet(folder / "predictions.parquet")
    found: dict[str, Any] = {
        "reading": given.get("experiment", ""),
        "epochs": len(last),
        "kept_epoch": last[kept[-1]].idxmin() + 1 if kept else np.nan,
        "domain_accuracy": last["train/domain_accuracy"].iloc[-1] if "train/domain_accuracy" in last else np.nan,
        "prediction_sd": predicted.loc[predicted["split"] == "test", "y_pred"].std(),
        **{name: value for name, value in identity.items() if name not in ("study", "alignment")},
    }
    table = scores[["system", "kind", *SCORES]].assign(changed=changed, **found)
    only = ["epochs", "kept_epoch", "domain_accuracy", "prediction_sd", "command"]
    table[only] = table[only].where(model, axis=0)
    return table[[*SYSTEM, *SCORES, *(name for name in found if name != "reading")]]


def table(rows: pd.DataFrame) -> str:
    """Markdown, a row per system."""
    titles = "system | seeds | RMSE | R² | r per drug | RMSE drug seen / unseen | skill | spread of predictions | epoch kept"
    lines = [f"| {titles} |", "|---" * (titles.count("|") + 1) + "|"]
    order = rows.assign(last=rows["kind"] != "model").sort_values(["last", "system"], kind="stable")
    for system, part in order.groupby("system", sort=False):
        cells = [
            *(_mean(part[name], digits) for name, digits in (("rmse", 3), ("r2", 2), (R, 2))),
            " / ".join(f"{part[f'rmse_drug_{which}'].mean():.3f}".replace("nan", "–") for which in ("seen", "unseen")),
            *(_mean(part[name], digits) for name, digits in (("skill", 2), ("prediction_sd", 2))),
            " ".join(f"{epoch:g}" for epoch in part["kept_epoch"].dropna()),
        ]
        lines.append(f"| {system} | {part['seed'].count() or ''} | {' | '.join(cells)} |")
    return _markdown(lines)


def deviations(rows: pd.DataFrame) -> str:
    """Markdown, a row per system and change of a reading: its scores, and those less the unchanged ones, paired by seed."""
    models = rows[rows["kind"] == "model"].set_index("seed")
    lines = [
        "| changed | system | seeds | RMSE | − unchanged | R² | r per drug | − unchanged | epoch kept |",
        "|---" * 9 + "|",
    ]
    for (reading, changed, system), part in models.groupby(["reading", "changed", "system"]):
        plain = models[(models["reading"] == reading) & (models["changed"] == "") & (models["system"] == system)]
        less = (part[["rmse", R]] - plain[["rmse", R]]).dropna(how="all")
        if not changed or "split." in changed or less.empty:  # another split is another test, not a deviation
            continue
        seeds, kept = (" ".join(f"{value:g}" for value in values) for values in (part.index, part["kept_epoch"].dropna()))
        rmse, r = (f"{_mean(part[name], digits)} | {_less(less[name], digits)}" for name, digits in (("rmse", 3), (R, 2)))
        lines.append(f"| {changed} | {system} | {seeds} | {rmse} | {_mean(part['r2'], 2)} | {r} | {kept} |")
    return _markdown(lines)


def between(rows: pd.DataFrame) -> str:
    """Markdown, a row per two systems of a reading and change: how much they differ, paired by seed."""
    models = rows[rows["kind"] == "model"]
    lines = ["| reading | changed | systems | seeds | RMSE | r per drug |", "|---" * 6 + "|"]
    for (reading, changed), part in models.groupby(["reading", "changed"]):
        wide = part.pivot(index="seed", columns="system", values=["rmse", R])
        for one, other in combinations(wide["rmse"].columns, 2):
            less = wide.xs(one, axis=1, level=1).sub(wide.xs(other, axis=1, level=1)).dropna()
            if len(less) > 1:
                seeds, found = " ".join(map(str, less.index)), f"{_less(less['rmse'], 3)} | {_less(less[R], 2)}"
                lines.append(f"| {reading} | {changed} | {one} − {other} | {seeds} | {found} |")
    return _markdown(lines)


def _less(values: "pd.Series[float]", digits: int) -> str:
    mean, low, high = mean_interval(values.to_numpy())
    return f"{mean:+.{digits}f}" + (f" [{low:.{digits}f}, {high:.{digits}f}]" if len(values) > 1 else "")


def _markdown(lines: list[str]) -> str:
    return re.sub(r"(?<!\w)-(?=\d)", "−", "\n".join(lines))


def _mean(scores: "pd.Series[float]", digits: int) -> str:
    if scores.isna().all():
        return "–"
    spread = f" ± {scores.std():.{digits}f}" if len(scores) > 1 else ""
    return f"{scores.mean():.{digits}f}{spread}"


if __name__ == "__main__":
    raise SystemExit(end(main))
