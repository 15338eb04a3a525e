"""A model as one file: it predicts as its run does, elsewhere; a changed file is refused."""

import json
import zipfile
from pathlib import Path

import mlflow
import pandas as pd
import pytest

import dadsp
from dadsp.cli.main import main
from dadsp.errors import DadspError, LoadError
from dadsp.runs import packed
from dadsp.runs.packed import unpack


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "run"
    train = ["train", "data=simulated_tiny", "model=pairwise_gp", "calibration.labels_per_drug=2", "tracking=none"]
    assert main([*train, f"hydra.run.dir={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def file(run: Path) -> Path:
    out = run.parent / "model.dadsp"
    assert main(["pack", f"run={run}", f"out={out}"]) == 0
    return out


def test_a_packed_model_predicts_as_its_run(run: Path, file: Path, tmp_path: Path) -> None:
    for name, place in (("run", run), ("file", file)):
        assert main(["predict", f"run={place}", "drugs=all", f"out={tmp_path / name}.csv"]) == 0
    assert (tmp_path / "run.csv").read_bytes() == (tmp_path / "file.csv").read_bytes()
    model = dadsp.load_packed(file)
    pairs = pd.read_csv(tmp_path / "run.csv")[["cell_id", "drug_id"]].head(3)
    expected = dadsp.load(run).predict(pairs)
    pd.testing.assert_frame_equal(model.predict(pairs), expected)
    with pytest.raises(LoadError, match="holds no run"):
        _ = model.study
    saved = tmp_path / "mlflow"
    mlflow.pyfunc.save_model(saved, loader_module="dadsp.runs.packed", data_path=str(file), pip_requirements=[])
    pd.testing.assert_frame_equal(mlflow.pyfunc.load_model(str(saved)).predict(pairs), expected)


def test_its_card_says_what_it_is_and_holds_no_label(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = dadsp.load_packed(file).card
    assert card["system"] == "pairwise GP + 2 target labels per drug"
    assert card["data"]["target"]["lines"] == 24
    assert card["saw_target_labels"] is True
    assert card["scores"]["rmse"] > 0
    assert "Not for patients" in card["intended_use"]
    assert "owners' terms" in card["licence_of_data"]
    assert "command" not in card["made_by"]
    with zipfile.ZipFile(file) as archive:
        assert set(archive.namelist()) <= packed.MAY_HOLD
        assert b"potency" not in archive.read("screens.json")


def test_a_model_can_leave_its_lines_behind(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bare.dadsp"
    capsys.readouterr()
    assert main(["pack", f"run={run}", f"out={out}", "expression=false", "licence=ours", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["card"]["licence_of_data"] == "ours"
    assert told["card"]["data"]["holds_expression"] is False
    assert main(["predict", f"run={out}", "drugs=all", f"out={tmp_path / 'out.csv'}"]) == 2
    assert not (tmp_path / "out.csv").exists()


def changed(file: Path, out: Path, **entries: bytes | None) -> Path:
    """A copy of the archive with other contents (None: without) of some entries."""
    with zipfile.ZipFile(file) as given, zipfile.ZipFile(out, "w") as made:
        for name in given.namelist():
            content = entries.pop(name, given.read(name))
            if content is not None:
                made.writestr(name, content)
        for name, content in entries.items():
            made.writestr(name, content or b"")
    return out


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"model/weights.safetensors": b"other"}, "has not the checksum"),
        ({"card.json": b"{}"}, "has not the checksum"),
        ({"../evil.py": b"import os"}, "1 files that no packed model has"),
        ({"model/evil.pkl": b"x"}, "1 files that no packed model has"),
        ({"screens.json": None}, "lacks screens.json"),
        ({"manifest.json": b"[]"}, "no packed model of version 1"),
        ({"manifest.json": b"{"}, "damaged"),
    ],
)
def test_a_changed_file_is_refused(
    file: Path, entries: dict[str, bytes | None], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = changed(file, tmp_path / "bad.dadsp", **entries)
    capsys.readouterr()
    assert main(["predict", f"run={bad}", "drugs=all", f"out={tmp_path / 'out.csv'}"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert words in line
    assert not list(tmp_path.glob("**/evil*"))


def test_what_is_no_archive_or_too_large_is_refused(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.dadsp").write_text("no archive")
    with pytest.raises(LoadError, match="is no packed model, or damaged"):
        unpack(tmp_path / "text.dadsp")
    (tmp_path / "cut.dadsp").write_bytes(file.read_bytes()[:-200])
    with pytest.raises(LoadError, match="is no packed model, or damaged"):
        unpack(tmp_path / "cut.dadsp")
    monkeypatch.setattr(packed, "LARGEST", 1000)
    with pytest.raises(LoadError, match="Do not use it"):
        unpack(file)
    with pytest.raises(DadspError):
        unpack(tmp_path / "absent.dadsp")


def test_a_name_without_its_ending_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", f"run={run}", f"out={tmp_path / 'model.zip'}"]) == 2
    assert "must name a file that ends in .dadsp" in capsys.readouterr().err
