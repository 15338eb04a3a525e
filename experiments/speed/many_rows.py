"""Seconds of ``dadsp predict`` on a million pairs and of ``dadsp compare`` on 300 run folders, in this and another checkout.

Each command runs in a process of its own, start of Python and imports included. Processor seconds stand beside the clock's,
which count other work on the machine too. The run that is compared and the one that predicts are trained here on the tiny
simulated study; copies of it with other seeds, names and noise make the folders: 30 systems × 10 seeds, and 1 × 300.

    python experiments/speed/many_rows.py --before ../checkout_of_before [--out experiments/speed/many_rows.csv]
"""

import argparse
import copy
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from dadsp.files import write_atomically

HERE = Path(__file__).resolve().parents[2]
SHAPES = {"compare 30 systems × 10 seeds": (30, 10), "compare 1 system × 300 seeds": (1, 300)}


def timed(checkout: Path, arguments: list[str]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    subprocess.run([sys.executable, "-m", "dadsp", *arguments], cwd=checkout, env=environment, check=True, stdout=sys.stderr)
    seconds, now = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def write_tables(run: Path, folder: Path) -> list[str]:
    """1,000 lines, 1,000 drugs and all their pairs in a random order, as arguments of ``dadsp predict``."""
    random = np.random.default_rng(0)
    genes = json.loads((run / "model" / "model.json").read_text())["genes"]
    lines = pd.DataFrame(random.normal(5, 1, size=(1000, len(genes))), columns=genes)
    lines.insert(0, "cell_id", [f"line {row}" for row in range(1000)])
    drugs = pd.DataFrame({"drug_id": [f"drug {row}" for row in range(1000)]})
    drugs["smiles"] = ["C" * (1 + row % 30) + "N" * (row % 2) + "O" for row in range(1000)]
    pairs = lines[["cell_id"]].merge(drugs[["drug_id"]], how="cross").sample(frac=1, random_state=0)
    for name, table in {"expression": lines, "drugs": drugs, "pairs": pairs}.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return [f"run={run}", *(f"{name}={folder / name}.csv" for name in ("expression", "drugs", "pairs"))]


def write_copies(run: Path, folder: Path, n_systems: int, n_seeds: int) -> None:
    """Run folders that count as other systems and replicates."""
    random = np.random.default_rng(0)
    frame, facts = pd.read_parquet(run / "predictions.parquet"), json.loads((run / "metrics.json").read_text())
    own = facts["run"]["system"]
    for system in range(n_systems):
        for seed in range(n_seeds):
            place = folder / f"{system:03d}_{seed:03d}"
            place.mkdir(parents=True)
            for name in ("config.yaml", "comparison.csv", "split.json"):
                shutil.copy(run / name, place / name)
            noise = random.normal(0, 0.05 + 0.005 * system, len(frame))
            frame.assign(y_pred=frame["y_pred"] + noise).to_parquet(place / "predictions.parquet", index=False)
            changed = copy.deepcopy(facts)
            changed["run"] |= {"system": f"{own} {system}", "seed": seed}
            for row in changed["systems"]:
                row["name"] = f"{own} {system}" if row["name"] == own else row["name"]
            (place / "metrics.json").write_text(json.dumps(changed))


def main() -> None:
    """Times both checkouts one after the other and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("experiments/speed/many_rows.csv"))
    arguments = parser.parse_args()
    if not (arguments.before / "dadsp").is_dir():
        parser.error(f"--before {arguments.before} is no checkout of dadsp")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        timed(HERE, ["train", "experiment=smoke", "tracking=none", f"runs={folder}", f"hydra.run.dir={folder / 'run'}"])
        tables = write_tables(folder / "run", folder)
        work = {"predict 1,000,000 pairs": ["predict", *tables, f"out={folder / 'out.csv'}"]}
        for name, (n_systems, n_seeds) in SHAPES.items():
            write_copies(folder / "run", folder / str(n_systems), n_systems, n_seeds)
            work[name] = ["compare", f"runs={folder / str(n_systems)}", f"out={folder / 'comparison'}"]
        for name, command in work.items():
            for which, checkout in (("before", arguments.before.resolve()), ("after", HERE)):
                seconds, processor = timed(checkout, command)
                rows.append({"what": name, "checkout": which, "seconds": round(seconds, 1), "cpu_s": round(processor, 1)})
                print(rows[-1], file=sys.stderr, flush=True)
    frame = pd.DataFrame(rows)
    write_atomically(arguments.out, lambda path: frame.to_csv(path, index=False))


if __name__ == "__main__":
    main()
