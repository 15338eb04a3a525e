"""``dadsp embed`` on one small run."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from dadsp.cli.main import main

QUICK = ["permutations=19", "neighbours=4"]


def trained(folder: Path) -> Path:
    assert main(["train", "experiment=smoke", "tracking=none", f"runs={folder}"]) == 0
    return next(path.parent for path in folder.glob("*/metrics.json"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("embed") / "runs")


def test_lines_are_mapped_written_and_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", f"run={run}", *QUICK]) == 0
    printed = capsys.readouterr().out
    out = run / "embed"
    assert sorted(path.name for path in out.iterdir()) == ["coordinates.csv", "embed.json", "maps.png", "measures.csv"]
    facts = json.loads((out / "embed.json").read_text())
    coordinates, measures = pd.read_csv(out / "coordinates.csv"), pd.read_csv(out / "measures.csv")
    assert len(coordinates) == facts["n_source_lines"] + facts["n_target_lines"] == 64
    assert set(measures["measure"]) == set(facts["measures"])
    assert facts["n_shared_lines"] == 14
    assert "Proxy A-distance" in printed
    assert facts["verdict"]["sentence"] in " ".join(printed.split())
    assert facts["verdict"]["passed"] == (not facts["verdict"]["failed"])
    assert "Rank of a target line's own source line" in printed


def test_json_repeats_with_its_seed(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["embed", f"run={run}", *QUICK, "--json"]
    told = []
    for name in ("first", "second"):
        assert main([*arguments, f"out={tmp_path / name}"]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0]["measures"] == told[1]["measures"]
    assert (tmp_path / "first" / "coordinates.csv").read_bytes() == (tmp_path / "second" / "coordinates.csv").read_bytes()


def test_bad_input_is_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused([f"run={tmp_path / 'nowhere'}"], r"holds no finished run", capsys)
    refused([f"run={run}", "neighbours=0"], r"neighbours=0 is not valid", capsys)
    refused([f"run={run}", "neighbors=3"], r"neighbors is not a known key.*'neighbours'", capsys)


def test_system_without_encoder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("train", "data=simulated_tiny", "model=naive_mean", "tracking=none", f"runs={tmp_path}")
    assert main(list(arguments)) == 0
    folder = next(path.parent for path in tmp_path.glob("*/metrics.json"))
    capsys.readouterr()
    refused([f"run={folder}"], r"has no gene encoder", capsys)


def refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", *arguments]) == 2
    printed = capsys.readouterr().err
    assert re.search(message, printed), printed
    assert printed.count("\n") == 1
