"""Whether a blend of pairwise GP and network beats either: hybrid.csv, and its mean over seeds as Markdown.

    dadsp train -m model=pairwise_gp data=gdsc12_ccle alignment=none,bridge seed=0,1,2 sweep=gp
    python experiments/lines/hybrid.py runs/sweeps/lines runs/sweeps/gp [--out experiments/lines]

Prediction = w·GP + (1 − w)·network. A network meets the GP run of the same data, split and alignment. w is the one in
[0, 1] with the least squared error of held-out source lines after each drug's mean is taken from labels and predictions,
in closed form; no target label chooses it. Beside each alone and the blend stands the best w on the target's r per drug.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dadsp.cli.script import end
from dadsp.errors import ConfigError
from dadsp.evaluation.label_free import blend_weight
from dadsp.evaluation.metrics import evaluate
from dadsp.files import write_atomically
from dadsp.models.networks.which_line import unexplained
from dadsp.runs.collection import row_identity, scored_below
from dadsp.runs.folder import RunFolder, complete
from dadsp.schema import PredictionTable

SAME = ("data_hash", "split_hash", "alignment")
GRID = np.linspace(0, 1, 21)
KEY = ["domain", "split", "cell_id", "drug_id"]
SYSTEM = ["study", "alignment", "system", "weight"]
SCORES = ("rmse", "r", "r_unseen")  # the last over lines without source labels
PARTS = ("gp", "network", "blend", "oracle")


def main() -> None:
    """Writes the table and prints its summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders, or folders of them: networks and pairwise GPs")
    parser.add_argument("--out", type=Path, default=Path("experiments/lines"))
    arguments = parser.parse_args()
    networks: list[tuple[RunFolder, dict[str, Any]]] = []
    processes: dict[tuple[str, ...], RunFolder] = {}
    for folder in (folder for place in arguments.runs for folder in scored_below([place])):
        with complete(folder.path):
            identity = row_identity(folder)
            if folder.settings["model"]["_target_"].endswith(".PairwiseGp"):
                processes[tuple(identity[name] for name in SAME)] = folder
            else:
                networks.append((folder, identity))
    pairs = [(folder, of, gp) for folder, of in networks if (gp := processes.get(tuple(of[name] for name in SAME)))]
    if not pairs:
        raise ConfigError(
            f"None of {len(networks)} runs of networks has one of {len(processes)} runs of pairwise_gp on the same data, "
            "split and alignment. Train it: dadsp train model=pairwise_gp with their data=, alignment= and seed=."
        )
    if len(pairs) < len(networks):
        print(f"{len(networks) - len(pairs)} of {len(networks)} runs have no GP beside them: left out.", file=sys.stderr)
    rows = []
    for number, (folder, identity, gp) in enumerate(pairs, start=1):
        print(f"{number} of {len(pairs)} runs: {folder.path.name}", file=sys.stderr)
        with complete(folder.path):
            rows.append({**identity, "gp_command": row_identity(gp)["command"], **blended(folder, gp)})
    table = pd.DataFrame(rows).sort_values([*SYSTEM, "seed"], ignore_index=True)
    write_atomically(arguments.out / "hybrid.csv", lambda path: table.round(4).to_csv(path, index=False))
    print(markdown(table))


def blended(folder: RunFolder, gp: RunFolder) -> dict[str, Any]:
    """What the blend of two runs scores beside each alone; predictions of held-out source lines choose w."""
    model = folder.settings["model"]
    own, other = (each.predictions.frame.sort_values(KEY, ignore_index=True) for each in (folder, gp))
    if not own[[*KEY, "y_true"]].equals(other[[*KEY, "y_true"]]):
        raise ConfigError(f"{folder.path} and {gp.path} predict different pairs. Train both with one version of dadsp.")
    is_val = (own["split"] == "val").to_numpy()
    val = own[is_val]
    truth, network, process = (each[is_val].to_numpy() for each in (own["y_true"], own["y_pred"], other["y_pred"]))
    drug = pd.factorize(val["drug_id"])[0]
    w = blend_weight(truth, process, network, drug)
    test = other[~is_val].reset_index(
        drop=True
    )  # the GP learns from held-out lines too in the end: new to it is new to both
    predicted, of_gp = own["y_pred"].to_numpy()[~is_val], test["y_pred"].to_numpy()

    def scored(weight: float) -> tuple[float, ...]:
        found = evaluate(PredictionTable(test.assign(y_pred=weight * of_gp + (1 - weight) * predicted)))
        r = np.nan_to_num([found.per_drug_summary.median["pearson"], found.which_line.pearson_unseen])  # 0: ranks no line
        return (found.pooled.rmse, *r)

    grid = [scored(weight) for weight in GRID]
    best = int(np.argmax([r for _, r, _ in grid]))
    row: dict[str, Any] = {"system": folder.results["run"]["system"]}
    row["weight"] = float(model.get("adaptation_weight", model.get("adversarial_weight", 0.0)))
    row["weight"] = 0.0 if model.get("adaptation") == "none" else row["weight"]
    row |= {"w": w, "w_oracle": GRID[best], "w_oracle_rmse": GRID[int(np.argmin([rmse for rmse, _, _ in grid]))]}
    of_parts = {"gp": grid[-1], "network": grid[0], "blend": scored(w), "oracle": grid[best]}
    row |= {f"{score}_{part}": of_parts[part][place] for place, score in enumerate(SCORES) for part in PARTS}
    for part, values in (("gp", process), ("network", network), ("blend", w * process + (1 - w) * network)):
        row[f"val_unexplained_{part}"] = unexplained(truth, values, drug)
    return row


def markdown(table: pd.DataFrame) -> str:
    """Mean over seeds of each test and system, differences paired by seed."""
    columns = ["study", "alignment", "network, weight", "seeds", "w", "r: GP", "network", "blend", "blend − GP", "best w: r"]
    columns += ["r, lines without source labels: GP", "network", "blend"]
    columns += ["RMSE: GP", "network", "blend", "blend − GP", "unexplained, held-out source lines: GP", "network", "blend"]
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for key, part in table.groupby(SYSTEM, sort=False):
        study, alignment, system, weight = key
        mean = part.mean(numeric_only=True)

        def spread(values: "pd.Series[float]", digits: int) -> str:
            return f"{values.mean():.{digits}f} ± {values.std():.{digits}f}"

        cells = [study, alignment, f"{system}, {weight:g}", str(len(part)), spread(part["w"], 2)]
        cells += [f"{mean[f'r_{name}']:.2f}" for name in PARTS[:3]]
        cells += [spread(part["r_blend"] - part["r_gp"], 3), f"{mean['w_oracle']:.2f}: {mean['r_oracle']:.2f}"]
        cells += [f"{mean[f'r_unseen_{name}']:.2f}" for name in PARTS[:3]]
        cells += [f"{mean[f'rmse_{name}']:.3f}" for name in PARTS[:3]] + [spread(part["rmse_blend"] - part["rmse_gp"], 3)]
        cells += [f"{mean[f'val_unexplained_{name}']:.3f}" for name in PARTS[:3]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(end(main))
