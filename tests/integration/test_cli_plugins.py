"""A guest's system, drug representation, split, alignment and reader, from training to comparison on the command line."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml

import dadsp
from dadsp import plugins
from dadsp.cli.main import main
from dadsp.errors import LoadError
from tests.support.guestlab import PARTS
from tests.support.guests import forget_plugins, install, no_plugins

GUESTS = ["drug_features=maccs", "split=every_second_pair", "alignment=median", "plugins=[guestlab]"]
SMALL = ["model.encoder_widths=[8,4]", "model.pretraining=null", "trainer=tiny"]


@pytest.fixture(autouse=True)
def guestlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(plugins.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    install(tmp_path / "site", monkeypatch, guestlab="tests.support.guestlab:register_all")
    with no_plugins():
        yield


def command(*arguments: str) -> int:
    """As a process of its own would run it: no plug-in is in use at first."""
    forget_plugins()
    return main(list(arguments))


def train(name: str, *arguments: str) -> Path:
    given = ["data=simulated_tiny", "tracking=none", f"hydra.run.dir=runs/{name}", *GUESTS, *arguments]
    assert command("train", *given) == 0
    return Path("runs") / name


def test_guests_train_load_predict_and_compare(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    guest = train("guest", "model=guest_ridge")
    train("coral", "model=deep_coral", *SMALL)
    assert yaml.safe_load((guest / "config.yaml").read_text())["plugins"] == ["guestlab"]
    facts = json.loads((guest / "model" / "model.json").read_text())
    assert (facts["system"], facts["plugins"]) == (PARTS["model"], ["guestlab"])
    tested = pd.read_parquet(guest / "predictions.parquet").query("split == 'test'").head(3)
    tested[["cell_id", "drug_id"]].to_csv("pairs.csv", index=False)
    capsys.readouterr()

    for run in ("guest", "coral"):
        again = ["predict", f"run=runs/{run}", "pairs=pairs.csv", f"out={run}.csv"]
        assert command(*again) == 2
        said = capsys.readouterr().err
        assert "was made with 1 plug-in(s) not in use here: guestlab" in said
        assert "add plugins=[guestlab] to the command" in said
        assert command(*again, "plugins=[guestlab]") == 0
        trained = pd.read_parquet(Path("runs") / run / "predictions.parquet").query("split == 'test'").head(3)
        assert pd.read_csv(f"{run}.csv")["neg_log10_ic50_um"].tolist() == pytest.approx(trained["y_pred"].tolist(), abs=1e-5)

    monkeypatch.setenv(plugins.VARIABLE, "guestlab")
    assert command("predict", "run=runs/guest", "pairs=pairs.csv", "out=by_environment.csv") == 0
    assert Path("by_environment.csv").read_bytes() == Path("guest.csv").read_bytes()
    assert command("impute", "run=runs/coral", "alpha=0.4") == 0
    monkeypatch.delenv(plugins.VARIABLE)

    capsys.readouterr()
    assert command("compare", "runs=runs", "replicates=100", "--json") == 0  # reads numbers, and needs no code of guests
    table = pd.read_csv("comparison/compare.csv")
    assert {"ridge of a guest", "Deep CORAL"} <= set(table["system"])
    assert not [name for name in table.columns if "within_tenfold" in str(name)]
    assert command("compare", "runs=runs", "replicates=100", "out=with_metric", "plugins=[guestlab]") == 0
    assert pd.read_csv("with_metric/compare.csv")["within_tenfold"].between(0, 1).all()


def test_guests_are_resumed_and_loaded_from_python(capsys: pytest.CaptureFixture[str]) -> None:
    run = train("guest", "model=guest_ridge")
    (run / "metrics.json").unlink()  # as if it had been killed
    assert command("train", f"resume={run}") == 2
    assert "plugins=[guestlab]" in capsys.readouterr().err
    assert command("train", f"resume={run}", "plugins=[guestlab]") == 0
    assert (run / "metrics.json").is_file()
    forget_plugins()
    with pytest.raises(LoadError, match=r"dadsp\.plugins\.use"):
        dadsp.load(run)
    plugins.use("guestlab")
    assert dadsp.load(run).name == "ridge of a guest"


def test_a_sweep_takes_plugins_along(capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ["-m", "data=simulated_tiny", "tracking=none", "model=guest_ridge", *GUESTS, "seed=0,1"]
    assert command("train", *sweep) == 0
    assert len(list(Path("runs/sweeps").rglob("metrics.json"))) == 2
    capsys.readouterr()
    assert command("train", *sweep) == 0
    assert capsys.readouterr().err.count("skipped") == 2


def test_a_guest_reads_expression() -> None:
    assert command("data", "simulate", "data=simulated_tiny", "out=files") == 0
    files = ["--config-dir", "files/conf", "data=simulated_files", "data.root=files"]
    rounded = ["+data.source.expression.digits=0", f"+data.source.expression._target_={PARTS['expression']}"]
    assert command("data", "describe", *files, *rounded) == 2
    given = [*files, *rounded, "tracking=none", "model=naive_drug_mean", "plugins=[guestlab]", "hydra.run.dir=runs/rounded"]
    assert command("train", *given) == 0
    notes = Path("runs/rounded/data_notes.json").read_text()
    assert "values rounded" in notes
