"""A run killed in the middle of an epoch goes on to the metrics of an uninterrupted one."""

import json
from pathlib import Path
from typing import Any

import pytest

from dadsp.cli.main import main
from tests.support.processes import interrupted_at, killed_in_an_epoch

pytestmark = pytest.mark.slow

COMMAND = [
    *("train", "experiment=smoke", "tracking=none"),
    *(
        "data.n_genes=300",
        "trainer.block_lines=4",
        "trainer.block_drugs=2",
        "trainer.min_blocks=1",
    ),  # more genes than lines: row space
    *("trainer.max_epochs=4", "trainer.patience=null", "model.dropout=0.2", "model.encoder_widths=[64,32,16]"),
    "trainer.threads=1",
    "trainer.checkpoint_every_s=0",
]
MOMENTS = {"in pre-training": ("sae_layer_2", 2), "in an epoch of training": ("dadsp_a", 3)}


def systems(folder: Path) -> Any:
    return json.loads((folder / "metrics.json").read_text())["systems"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    runs = tmp_path_factory.mktemp("whole")
    assert main([*COMMAND, f"runs={runs}"]) == 0
    return systems(next(runs.glob("*seed0")))


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_run_resumes_to_the_same_metrics(moment: str, tmp_path: Path, uninterrupted: Any) -> None:
    killed_in_an_epoch(*MOMENTS[moment], *COMMAND, f"runs={tmp_path}")
    folder = next(tmp_path.glob("*seed0"))
    assert not (folder / "metrics.json").exists()
    assert (folder / "checkpoints").exists()
    assert main(["train", f"resume={folder}"]) == 0
    assert systems(folder) == uninterrupted
    assert not (folder / "checkpoints").exists()


def test_interrupted_run_says_how_to_go_on(tmp_path: Path) -> None:
    code, rest = interrupted_at("dadsp_a  epoch 1/", *COMMAND, "trainer.max_epochs=1000", f"runs={tmp_path}")
    assert code == 130
    assert "resume=" in rest
    assert "Traceback" not in rest
