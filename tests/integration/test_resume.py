"""A run killed in the middle of an epoch goes on to the metrics of an uninterrupted one."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.interrupts import interrupted_at

pytestmark = pytest.mark.slow

COMMAND = [
    *(sys.executable, "-m", "dadsp", "train", "experiment=smoke", "tracking=none"),
    *(
        "data.n_genes=300",
        "trainer.block_lines=4",
        "trainer.block_drugs=2",
        "trainer.min_blocks=1",
    ),  # more genes than lines: row space
    *("trainer.max_epochs=4", "trainer.patience=null", "model.dropout=0.2", "model.encoder_widths=[1024,512,64]"),
    "trainer.threads=1",
    "trainer.checkpoint_every_s=0",
]
KILL_AFTER = {"in pre-training": "sae_layer_2  epoch 1 ", "in an epoch of training": "dadsp_a  epoch 2 "}


def systems(folder: Path) -> Any:
    return json.loads((folder / "metrics.json").read_text())["systems"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    runs = tmp_path_factory.mktemp("whole")
    subprocess.run([*COMMAND, f"runs={runs}"], check=True, capture_output=True)
    return systems(next(runs.glob("*seed0")))


@pytest.mark.parametrize("moment", KILL_AFTER)
def test_killed_run_resumes_to_the_same_metrics(moment: str, tmp_path: Path, uninterrupted: Any) -> None:
    command = [*COMMAND, f"runs={tmp_path}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(KILL_AFTER[moment]):
                break
        time.sleep(0.15)  # into the next epoch
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    folder = next(tmp_path.glob("*seed0"))
    assert not (folder / "metrics.json").exists()
    subprocess.run([sys.executable, "-m", "dadsp", "train", f"resume={folder}"], check=True, capture_output=True)
    assert systems(folder) == uninterrupted
    assert not (folder / "checkpoints").exists()


def test_interrupted_run_says_how_to_go_on(tmp_path: Path) -> None:
    code, rest = interrupted_at("dadsp_a  epoch 1 ", [*COMMAND, f"runs={tmp_path}"])
    assert code == 130
    assert "resume=" in rest
    assert "Traceback" not in rest
