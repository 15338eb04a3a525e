"""How much CPU a command takes before it does anything; run with -s to see the seconds."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from dadsp.cli.main import main
from dadsp.configuration.folder import conf_folder

pytestmark = pytest.mark.slow


def cpu_seconds(words: list[str], folder: Path) -> float:
    """Of the second of two calls: the first leaves the bytecode."""
    environment = {**os.environ, "PYTHONPATH": str(conf_folder().parent)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "dadsp", *words]
    taken = []
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return taken[-1]


@pytest.mark.parametrize(
    "words",
    [["--help"], ["train", "--help"], ["list", "model"], ["train", "--cfg", "job"], ["train", "model.dropuot=1"]],
    ids=" ".join,
)
def test_help_and_mistakes_answer_at_once(words: list[str], tmp_path: Path) -> None:
    seconds = cpu_seconds(words, tmp_path)
    sys.stdout.write(f"{seconds:.2f} s of CPU: dadsp {' '.join(words)}\n")
    assert seconds < 2.5  # 0.2 to 1.4 on the machine where this was written


def test_three_pairs_are_predicted_soon(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert main(["train", "data=simulated_tiny", "model=pairwise_gp", "tracking=none", f"hydra.run.dir={run}"]) == 0
    tested = pd.read_parquet(run / "predictions.parquet").query("split == 'test'").head(3)
    tested[["cell_id", "drug_id"]].to_csv(tmp_path / "pairs.csv", index=False)
    seconds = cpu_seconds(["predict", f"run={run}", "pairs=pairs.csv"], tmp_path)
    sys.stdout.write(f"{seconds:.2f} s of CPU: dadsp predict of three pairs by the pairwise GP\n")
    assert (tmp_path / "predictions.csv").is_file()
    assert seconds < 6  # 3 s on the machine where this was written
