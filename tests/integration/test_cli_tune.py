"""``dadsp tune``: what it searches, what it sees, and that it can be stopped."""

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dadsp.cli.main import main
from dadsp.errors import ConfigError, LeakageError
from dadsp.runs.tuning import Choices, Range, parameters
from tests.support.processes import running
from tests.support.studies import small_study

SMALL = [
    *("model=source_only", "data=simulated_tiny", "trainer=tiny", "~tune.space.model.encoder_widths", "trainer.threads=1"),
    *("model.encoder_widths=[8]", "model.drug_widths=[8]", "model.regressor_widths=[8]", "model.pretraining=null"),
]
COMMAND = [sys.executable, "-m", "dadsp", "tune", *SMALL]


def tune(runs: Path, *overrides: str) -> int:
    return main(["tune", *SMALL, f"runs={runs}", *overrides])


def only(runs: Path, name: str) -> Path:
    (found,) = (runs / "tune").glob(f"*/{name}")
    return found


def trials(runs: Path) -> pd.DataFrame:
    return pd.read_csv(only(runs, "trials.csv"))


def best(runs: Path) -> Any:
    return json.loads(only(runs, "best.json").read_text())


def test_search_ends_in_a_table_and_a_command_that_trains_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(tmp_path, "tune.trials=2", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    table = trials(tmp_path)
    assert list(table["trial"]) == [1, 2]
    assert table["trainer.learning_rate"].between(3e-5, 1e-3).all()
    assert table["model.dropout"].between(0, 0.5).all()
    assert printed["best"] == best(tmp_path)
    assert printed["best"]["score"] == pytest.approx(table["val/source/rmse"].min())
    words = shlex.split(printed["best"]["command"])
    assert words[:2] == ["dadsp", "train"]
    assert not [word for word in words if "tune" in word]
    assert main(["train", *words[2:], "tracking=none"]) == 0
    (folder,) = (path.parent for path in tmp_path.glob("*/metrics.json"))
    rows = pd.read_parquet(folder / "predictions.parquet").query("split == 'val'")
    rmse = float(((rows["y_pred"] - rows["y_true"]) ** 2).mean() ** 0.5)
    assert rmse == pytest.approx(printed["best"]["score"], rel=1e-5)  # the command gives the trial's own model


def test_search_of_the_same_command_goes_on_where_it_stopped(tmp_path: Path) -> None:
    assert tune(tmp_path / "once", "tune.trials=2", "tune.random_trials=1") == 0
    assert tune(tmp_path / "twice", "tune.trials=1", "tune.random_trials=1") == 0
    assert tune(tmp_path / "twice", "tune.trials=2", "tune.random_trials=1") == 0
    pd.testing.assert_frame_equal(trials(tmp_path / "once"), trials(tmp_path / "twice"))


def test_search_by_another_score_takes_the_highest_where_higher_is_better(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["tune.trials=3", "tune.random_trials=3", "tune.prune=false"]
    assert tune(tmp_path / "rmse", *settings) == 0
    capsys.readouterr()
    assert tune(tmp_path / "r2", *settings, "tune.score=r2", "--json") == 0
    printed, by_rmse, by_r2 = json.loads(capsys.readouterr().out), trials(tmp_path / "rmse"), trials(tmp_path / "r2")
    assert printed["best"]["score"] == by_r2["val/source/r2"].max()
    # Both are of the same pairs: R² = 1 − RMSE² / variance of the labels.
    variance = by_rmse["val/source/rmse"] ** 2 / (1 - by_r2["val/source/r2"])
    assert variance.tolist() == pytest.approx([variance[0]] * 3, rel=1e-6)
    assert by_r2["epochs"].tolist() == by_rmse["epochs"].tolist()
    assert best(tmp_path / "r2")["trial"] == best(tmp_path / "rmse")["trial"]


@pytest.fixture
def own_screens(tmp_path: Path) -> Path:
    assert main(["data", "simulate", "data=simulated_tiny", f"out={tmp_path / 'screens'}"]) == 0
    return tmp_path / "screens"


def test_poisoned_target_labels_change_no_trial(own_screens: Path, tmp_path: Path) -> None:
    for poison in (False, True):
        if poison:
            labels = pd.read_csv(own_screens / "target" / "responses.csv")
            labels["neg_log10_ic50_um"] = labels["neg_log10_ic50_um"].to_numpy()[::-1] + 0.5
            labels.to_csv(own_screens / "target" / "responses.csv", index=False)
        screens = [f"--config-dir={own_screens / 'conf'}", "data=simulated_files", f"data.root={own_screens}"]
        assert tune(tmp_path / str(poison), *screens, "tune.trials=2", "tune.random_trials=1") == 0
        named = shlex.split(best(tmp_path / str(poison))["command"])
        assert named[2:4] == ["--config-dir", str(own_screens / "conf")]
    pd.testing.assert_frame_equal(trials(tmp_path / "False"), trials(tmp_path / "True"))


def test_no_target_label_is_left_where_trials_run() -> None:
    study = small_study()
    blinded = study.without_target_labels()
    with pytest.raises(LeakageError):
        blinded.target.responses.potency  # noqa: B018 - reading it is the test
    assert np.array_equal(blinded.source.responses.potency, study.source.responses.potency)
    assert np.isfinite(study.target.responses.potency).all()


def test_a_system_that_sees_target_labels_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune(tmp_path, "model.selection=target_oracle") == 2
    assert "sees target labels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["-m", "seed=0,1"], "takes no -m"),
        (["tune.trails=3"], "Did you mean 'tune.trials'"),
        (["tune.score=rmsee"], "score=rmsee is nothing to search by. Did you mean 'rmse'"),
        (["tune.score=ceiling"], "score=ceiling is nothing to search by"),
        (["tune.space.model.dropout.low=0.9"], "low must be less than high"),
        (["+tune.space.model.drop={low: 0.0, high: 0.5}"], "model.drop is not a known key"),
        (["split=pair", "split.scope=target_oracle"], "trains on target labels"),
    ],
)
def test_a_wrong_search_is_one_line_and_exit_2(
    overrides: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(tmp_path, *overrides) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"model": {"dropout": 0.1}}, "tune.space.model.dropout=0.1 is no range"),
        ({"data": {"seed": {"low": 0, "high": 5}}}, "tune.space.data.seed cannot be tuned"),
        ({"model": {"dropout": {"low": 0.9, "high": 0.5}}}, "low must be less than high"),
        ({"trainer": {"learning_rate": {"low": 0.0, "high": 1.0, "log": True}}}, "greater than 0 where log is true"),
        ({"model": {"activation": {"choices": []}}}, "tune.space.model.activation.choices"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(space: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parameters(space)


def test_a_nested_space_is_read_by_dotted_keys() -> None:
    spread = {"low": 1.0e-4, "high": 1.0, "log": True}
    found = parameters({"model": {"pretraining": {"learning_rate": spread}, "activation": {"choices": ["relu"]}}})
    assert found == {"model.pretraining.learning_rate": Range(1e-4, 1.0, True), "model.activation": Choices(["relu"])}


@pytest.mark.slow
def test_a_search_killed_in_the_middle_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    settings = ["tune.trials=5", "tune.random_trials=2", "trainer.max_epochs=30"]
    assert tune(tmp_path / "whole", *settings) == 0
    with running("tune", *SMALL, *settings, f"runs={tmp_path / 'killed'}") as (process, said):
        for line in said:
            if line.startswith("trial 2 "):  # the third is on its way
                process.kill()
                break
    assert process.exitcode == -signal.SIGKILL
    assert tune(tmp_path / "killed", *settings) == 0
    pd.testing.assert_frame_equal(trials(tmp_path / "whole"), trials(tmp_path / "killed"))


@pytest.mark.slow
def test_two_workers_share_the_trials(tmp_path: Path) -> None:
    settings = ["tune.trials=6", "tune.workers=2", "tune.random_trials=2", f"runs={tmp_path}"]
    done = subprocess.run([*COMMAND, *settings], check=True, capture_output=True, text=True)
    assert list(trials(tmp_path)["trial"]) == [1, 2, 3, 4, 5, 6]
    assert trials(tmp_path)["trainer.learning_rate"].is_unique
    assert done.stderr.count("\ntrial ") + done.stderr.startswith("trial ") == 6


def test_a_hopeless_trial_is_stopped_early(tmp_path: Path) -> None:
    space = ["~tune.space.model", "~tune.space.trainer", "+tune.space.trainer={learning_rate: {choices: [1e-3, 1e-9]}}"]
    small = [part for part in SMALL if not part.startswith("~")]
    settings = ["tune.trials=6", "tune.random_trials=2", "trainer.max_epochs=4", f"runs={tmp_path}"]
    assert main(["tune", *small, *settings, *space]) == 0
    table = trials(tmp_path)
    assert (table["state"] == "pruned").any()
    assert (table.loc[table["state"] == "pruned", "epochs"] < 4).all()
    assert best(tmp_path)["overrides"] == ["trainer.learning_rate=0.001"]
