"""A command as an application of Hydra: composed once, and a sweep however it is asked for."""

from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from dadsp.cli.app import run_app
from dadsp.configuration.guard import GuardedLoader
from dadsp.errors import ConfigError


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is composed, one entry each time."""
    composed: list[str] = []
    load = GuardedLoader.load_configuration

    def noted(self: GuardedLoader, *arguments: Any, **more: Any) -> DictConfig:
        composed.append("once")
        return load(self, *arguments, **more)

    monkeypatch.setattr(GuardedLoader, "load_configuration", noted)
    return composed


def ran(tmp_path: Path, *arguments: str) -> list[tuple[str, int]]:
    """Mode and seed of each job."""
    jobs: list[tuple[str, int]] = []

    def task(config: DictConfig) -> None:
        jobs.append((str(HydraConfig.get().mode), config.seed))

    common = [f"runs={tmp_path / 'runs'}", "tracking=none", "data=simulated_tiny"]
    run_app("train", "config", [*arguments, *common], task)
    return jobs


def test_a_command_is_composed_once(tmp_path: Path, seen: list[str]) -> None:
    assert ran(tmp_path, "seed=3") == [("RunMode.RUN", 3)]
    assert seen == ["once"]


@pytest.mark.parametrize("flag", ["-m", "--multirun", "--multi"])
def test_a_sweep_is_one_by_its_flag(tmp_path: Path, flag: str) -> None:
    assert ran(tmp_path, flag, "seed=1,2") == [("RunMode.MULTIRUN", 1), ("RunMode.MULTIRUN", 2)]


def test_a_sweep_is_one_where_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    text = "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '4,5'}}}\n"
    (tmp_path / "conf" / "experiment" / "both.yaml").write_text(text)
    jobs = ran(tmp_path, "--config-dir", str(tmp_path / "conf"), "experiment=both")
    assert jobs == [("RunMode.MULTIRUN", 4), ("RunMode.MULTIRUN", 5)]


def test_several_values_without_a_flag_are_an_error_and_two_commands_do_not_share_a_composition(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        ran(tmp_path, "seed=1,2")
    assert [ran(tmp_path, f"seed={seed}")[0][1] for seed in (6, 7)] == [6, 7]
