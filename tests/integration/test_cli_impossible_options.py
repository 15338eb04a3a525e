"""Options that are nothing, empty, negative or of another kind: one clear line and exit code 2, before any work."""

from pathlib import Path

import pytest

from dadsp.cli.main import main

NOTHING = ("null", "''", "[]", "-1")
TRAIN = ("train", "experiment=smoke", "tracking=none")
SINGLE_DRUG = ("single-drug", "panel=simulated_tiny", "tracking=none")
TUNE = ("tune", "experiment=smoke", "tracking=none")

PLACES = [
    (*verb, f"{key}={value}")
    for value in NOTHING
    for verb, key in [
        (("predict", "pairs=pairs.csv"), "run"),
        (("impute",), "run"),
        (("embed",), "run"),
        (("explain", "drug=x"), "run"),
        (("compare",), "runs"),
        (("report",), "run"),
        (("report",), "experiment"),
    ]
]
CHOICES = [("train", f"{group}=null") for group in ("experiment", "data", "model", "split", "trainer", "tracking")]
TRAINING = [
    "seed=null",
    "seed=''",
    "runs=null",
    "runs=''",
    "model.name=''",
    "model.name=null",
    "model.encoder_widths=[0]",
    "model.encoder_widths=[]",
    "trainer.threads=100000",
    "trainer.batch_size=0",
    "trainer.patience=-1",
    "trainer.learning_rate=nonsense",
    "split.val_fraction=2",
]
SINGLE = [
    "panel=null",
    "protocol=null",
    "selection=null",
    "network=null",
    "drug=null",
    "drug=[]",
    "protocol.methods=[]",
    "protocol.test_fraction=2",
    "network.fixed_widths=[0]",
    "network.batch_size=0",
    "selection.step=2.5",
]
SEARCH = ["tune=null", "tune.space={}", "tune.space=null", "tune.trials=0", "tune.trials=-1", "tune.workers=null"]


@pytest.mark.parametrize(
    "command",
    [
        *PLACES,
        *CHOICES,
        *((*TRAIN, option) for option in TRAINING),
        *((*SINGLE_DRUG, option) for option in SINGLE),
        *((*TUNE, option) for option in SEARCH),
    ],
    ids=lambda command: f"{command[0]} {command[-1]}",
)
def test_a_value_without_sense_is_one_line_and_exit_2(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(list(command)) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1, printed
    assert printed.startswith("error: ")
    assert "unexpected" not in printed
    assert not list(tmp_path.rglob("metrics.json"))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_key_below_a_group_that_is_null_is_not_called_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SINGLE_DRUG, "compression=null", "compression.bits=3"]) == 2
    printed = capsys.readouterr().err
    assert "not a known key" not in printed
    assert "compression.bits is a key of another choice" in printed
