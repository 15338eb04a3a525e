"""How much CPU a command takes before it does anything; run with -s to see the seconds."""

import gc
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
    assert seconds < 2.5  # 0.2 to 1.2 on the machine where this was written


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Words that name a study in files, as a user has them; three of its pairs lie beside it."""
    folder = tmp_path_factory.mktemp("study") / "files"
    assert main(["data", "simulate", "data=simulated_tiny", f"out={folder}"]) == 0
    pairs = pd.read_csv(folder / "target" / "responses.csv", usecols=["cell_id", "drug_id"]).head(3)
    pairs.to_csv(folder / "pairs.csv", index=False)
    return ["--config-dir", f"{folder}/conf", "data=simulated_files", f"data.root={folder}"]


# What a process has imported when it ends, and whether it looked for garbage until then.
PREDICT = """
import gc, sys
from dadsp.cli.main import main
sys.argv = ["dadsp", "predict", *sys.argv[1:]]
code = main()
print("imported", code, gc.isenabled(), *sorted(sys.modules), file=sys.stderr)
"""
NEVER = {"pytorch_lightning", "torchmetrics", "sklearn", "scipy.optimize", "scipy.stats", "scipy.sparse"}
NEVER |= {"matplotlib", "mlflow", "optuna", "captum"}


@pytest.mark.parametrize(
    ("system", "others", "most"),
    [
        (["model=dadsp_a", "experiment=smoke"], {"scipy"}, 6.5),  # of 3.2 s torch takes 2.4
        (["model=linear", "model.features=pca"], {"scipy"}, 6.5),
        (["model=pairwise_gp"], {"torch", "scipy.linalg"}, 3.5),
    ],
    ids=["dadsp_a", "linear", "pairwise_gp"],
)
def test_three_pairs_are_predicted_soon(
    system: list[str], others: set[str], most: float, data: list[str], tmp_path: Path
) -> None:
    run, pairs = tmp_path / "run", f"{data[-1].partition('=')[2]}/pairs.csv"
    assert main(["train", *data, *system, "tracking=none", f"hydra.run.dir={run}"]) == 0
    words = [f"run={run}", f"pairs={pairs}"]
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(conf_folder().parent)},
        check=True,
    )
    said, code, collects, *imported = done.stderr.splitlines()[-1].split()
    assert (said, code, collects) == ("imported", "0", "False")
    assert (NEVER | others) & set(imported) == set()
    assert len(pd.read_csv(tmp_path / "predictions.csv")) == 3
    seconds = cpu_seconds(["predict", *words], tmp_path)
    sys.stdout.write(f"{seconds:.2f} s of CPU: dadsp predict of three pairs, {system[0]}\n")
    assert seconds < most  # twice what it took where this was written


def test_a_process_that_goes_on_looks_for_garbage(tmp_path: Path) -> None:
    assert main(["predict", f"run={tmp_path}", "pairs=none.csv"]) == 2
    assert gc.isenabled()
