"""Every command prints, and every system scores, what was recorded: a change of behaviour has to be meant."""

from pathlib import Path

import pytest

from tests.support.recorded import FOLDER, differences, machine, run_all

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # all commands run in one fixture
NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return run_all(tmp_path_factory.mktemp("recorded"))


def test_every_record_is_of_a_command_and_every_command_has_one(found: dict[str, str]) -> None:
    assert sorted(found) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_output_is_as_recorded(name: str, found: dict[str, str]) -> None:
    """To the last bit with the processor and the libraries of the record; elsewhere sums may be rounded otherwise."""
    recorded = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    tolerance = 0.0 if (FOLDER / "machine.json").read_text(encoding="utf-8") == machine() else 5e-3
    assert differences(recorded, found[name], tolerance, tolerance) == []


def test_a_changed_number_and_a_changed_word_are_seen() -> None:
    assert differences("RMSE 0.501 of A", "RMSE 0.502 of A", 0, 0) == ["0.501 → 0.502"]
    assert differences("RMSE 0.501 of A", "RMSE 0.501 of B", 1, 1) == ["- RMSE 0.501 of A\n+ RMSE 0.501 of B"]
    assert differences("RMSE 0.501 of A", "RMSE 0.502 of A", 0, 0.01) == []
    assert Path(FOLDER / "train.txt").stat().st_size > 10_000
