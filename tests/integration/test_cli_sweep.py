"""``dadsp train -m``: what a sweep keeps, what it does again, and how it ends."""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from dadsp.cli.main import main
from dadsp.configuration.compose import compose, settings_hash
from dadsp.models.base import Predictor, save_model
from dadsp.runs import experiment

SWEEP = ["train", "-m", "data=simulated_tiny", "tracking=none", "sweep=naive", "model=naive_mean,naive_drug_mean"]


def jobs(runs: Path) -> dict[str, Path]:
    """The finished jobs' folders by their system."""
    found = sorted((runs / "sweeps" / "naive").glob("*/metrics.json"))
    return {read(path)["run"]["system"]: path.parent for path in found}


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def written(runs: Path) -> dict[Path, int]:
    return {
        path: path.stat().st_mtime_ns for path in runs.rglob("*") if path.name in ("metrics.json", "predictions.parquet")
    }


def sweep(runs: Path, *overrides: str) -> int:
    return main([*SWEEP, f"runs={runs}", *overrides])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("finished")
    assert sweep(runs) == 0
    return runs


@pytest.fixture
def swept(finished: Path, tmp_path: Path) -> Path:
    """A finished sweep to do things to; results keep their times of writing."""
    return shutil.copytree(finished, tmp_path / "runs")


def test_a_sweep_run_again_skips_its_finished_jobs_and_says_so(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = written(swept)
    assert len(before) == 4
    capsys.readouterr()
    assert sweep(swept, "trainer.threads=1", "--json") == 0
    assert written(swept) == before
    out, said = capsys.readouterr()
    assert said.count("finished before with the same settings, data and code; skipped") == 2
    assert "2 jobs, 0 trained, 2 finished before, 0 failed" in said
    assert {json.loads(line)["run"]["system"] for line in out.splitlines()} == jobs(swept).keys()


def test_an_unfinished_job_goes_on_in_its_folder(swept: Path) -> None:
    first, second = jobs(swept).values()
    expected, kept = read(first / "metrics.json")["systems"], written(second)
    (first / "metrics.json").unlink()
    marked = (first / "split.json").stat().st_mtime_ns
    assert sweep(swept) == 0
    assert read(first / "metrics.json")["systems"] == expected
    assert (first / "split.json").stat().st_mtime_ns == marked
    assert written(second) == kept


@pytest.mark.slow
@pytest.mark.parametrize("made_of", ["data_hash", "code_hash"])
def test_results_of_other_data_or_code_are_moved_aside_and_made_again(
    made_of: str, swept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = jobs(swept)["source mean (capped labels)"]
    identity = read(folder / "identity.json")
    (folder / "identity.json").write_text(json.dumps({**identity, made_of: "other"}))
    assert sweep(swept, "model=naive_mean") == 0
    assert f"made of other {made_of.removesuffix('_hash')}; moved to" in capsys.readouterr().err
    aside = swept / "sweeps" / "superseded" / "naive" / f"{folder.name}.1"
    assert read(aside / "identity.json")[made_of] == "other"
    assert (aside / "metrics.json").exists()
    assert read(folder / "identity.json") == identity
    assert len(jobs(swept)) == 2


def test_a_failing_job_is_named_and_the_others_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(tmp_path, "model=naive_mean", "seed=x,0") == 2
    said = capsys.readouterr().err
    assert "seed='x' is not valid" in said
    last = said.splitlines()[-1]
    assert last.startswith("error: 1 of 2 jobs failed")
    assert "seed=x" in last
    assert "seed=0" not in last
    assert [read(folder / "metrics.json")["run"]["seed"] for folder in jobs(tmp_path).values()] == [0]
    assert not list((tmp_path / "sweeps" / "naive").glob("*seedx*"))


@pytest.mark.slow
def test_a_defect_in_one_job_is_logged_there_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(predictor: Predictor, folder: Path) -> None:
        if predictor.name.startswith("source mean"):
            raise ZeroDivisionError("a defect")
        save_model(predictor, folder)

    monkeypatch.setattr(experiment, "save_model", broken)
    assert sweep(tmp_path) == 2
    assert "1 of 2 jobs failed" in capsys.readouterr().err
    assert list(jobs(tmp_path)) == ["source drug mean (capped labels)"]
    (failed,) = (tmp_path / "sweeps" / "naive").glob("naive_mean_*/train.log")
    assert "ZeroDivisionError: a defect" in failed.read_text()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=naive_mean,naive_men"], "model=naive_men is not a valid choice"),
        (["modle=naive_mean"], "modle is not a known key"),
        (["hydra.launcher._target_=hydra_plugins.nowhere.Launcher"], "hydra/launcher=basic cannot be used"),
        (["runs=null"], "runs"),
    ],
)
def test_a_wrong_sweep_is_exit_2(
    overrides: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sweep(tmp_path, *overrides) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("metrics.json"))


def test_a_key_of_all_its_models_need_not_be_one_of_the_default_model(tmp_path: Path) -> None:
    assert sweep(tmp_path, "model=naive_mean,naive_tissue_drug", "model.labels=raw") == 0
    assert set(jobs(tmp_path)) == {"source mean (raw labels)", "source tissue × drug mean (raw labels)"}
    given = OmegaConf.load(tmp_path / "sweeps" / "naive" / "multirun.yaml").hydra.overrides.task
    assert "model=naive_mean,naive_tissue_drug" in given


@pytest.mark.slow
def test_files_that_no_sweep_wrote_are_left_alone(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = jobs(swept)["source mean (capped labels)"]
    (folder / "identity.json").unlink()
    before = written(swept)
    assert sweep(swept) == 2
    assert "already holds files" in capsys.readouterr().err
    assert written(swept) == before


@cache
def settings(*overrides: str) -> str:
    return settings_hash(compose("config", ["data=simulated_tiny", *overrides]))


@pytest.mark.parametrize(
    "override", ["runs=elsewhere", "tracking=none", "tracking.experiment=mine", "sweep=mine", "trainer.threads=3"]
)
def test_where_and_how_fast_a_job_runs_is_no_part_of_its_settings(override: str) -> None:
    assert settings(override) == settings()


@pytest.mark.parametrize("override", ["seed=1", "model.dropout=0.1", "data.seed=1", "trainer.learning_rate=2e-3"])
def test_whatever_decides_the_result_is_part_of_the_settings(override: str) -> None:
    assert settings(override) != settings()


def test_the_same_settings_reached_two_ways_are_the_same() -> None:
    assert settings("trainer=tiny") == settings("trainer=default", "trainer.max_epochs=2", "trainer.min_blocks=1")
