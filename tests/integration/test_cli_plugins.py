"""A guest's system, drug representation, split, alignment and reader, from training to comparison on the command line."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml
from joblib.externals.loky import get_reusable_executor  # type: ignore[import-untyped]

import dadsp
from dadsp import plugins
from dadsp.cli.main import main
from dadsp.errors import LoadError
from dadsp.runs.tuning import Search
from dadsp.singledrug import figures
from tests.support.documents import ROOT
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
    capsys.readouterr()
    assert command("impute", "run=runs/coral", "alpha=0.4") == 0
    assert "tenfold" in capsys.readouterr().out  # a column of the back-test
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


SWEEP = ["-m", "tracking=none", "model=guest_ridge", *GUESTS]


def test_a_sweep_takes_plugins_along(capsys: pytest.CaptureFixture[str]) -> None:
    sweep = [*SWEEP, "data=simulated_tiny", "seed=0,1"]
    assert command("train", *sweep) == 0
    assert len(list(Path("runs/sweeps").rglob("metrics.json"))) == 2
    capsys.readouterr()
    assert command("train", *sweep) == 0
    assert capsys.readouterr().err.count("skipped") == 2


@pytest.mark.slow
def test_workers_of_a_sweep_use_the_plugins_too(capsys: pytest.CaptureFixture[str]) -> None:
    sweep = [*SWEEP, "data=two_plates", "seed=0"]
    try:
        assert command("train", *sweep, "hydra/launcher=parallel") == 0
    finally:
        get_reusable_executor().shutdown(wait=True)
    assert "1 jobs, 1 trained" in capsys.readouterr().err
    assert command("train", *sweep) == 0  # this process finds the same code
    said = capsys.readouterr().err
    assert "1 jobs, 0 trained, 1 finished before" in said, said


def test_a_sweep_trains_again_where_the_code_of_a_guest_has_changed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = [*SWEEP, "data=two_plates", "seed=0"]
    assert command("train", *sweep) == 0
    monkeypatch.setattr(plugins, "packages_hash", lambda packages: f"other code of {sorted(packages)}")
    assert command("train", *sweep) == 0
    assert "made of other plugins; moved to" in capsys.readouterr().err
    (first,), (again,) = (list(Path("runs/sweeps").glob(f"{place}/*/metrics.json")) for place in ("superseded/*", "dadsp"))
    hashes = [json.loads(path.read_text())["run"]["plugins_hash"] for path in (first, again)]
    assert hashes[0] != hashes[1]
    assert json.loads((again.parent / "identity.json").read_text())["plugins_hash"] == hashes[1]


@pytest.mark.slow
def test_helpers_of_a_search_use_the_plugins_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), str(ROOT), str(ROOT / "dadsp/cli/plugins")]))
    monkeypatch.setattr(Search, "work", lambda self: None)  # all trials are left to the helper
    space = ["~tune.space.trainer", "~tune.space.model", "+tune.space.model.penalty={low: 0.1, high: 10.0}"]
    given = ["data=two_plates", "model=guest_ridge", *GUESTS, *space, "tune.trials=2", "tune.workers=2"]
    assert command("tune", *given) == 0
    (trials,) = Path("runs/tune").glob("*/trials.csv")
    assert pd.read_csv(trials)["state"].tolist() == ["complete", "complete"]
    best = json.loads((trials.parent / "best.json").read_text())
    assert "plugins=[guestlab]" in best["command"]


def test_a_guest_brings_the_panel_of_single_drug_models(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for figure in ("mse_per_drug", "accuracy_against_time"):
        monkeypatch.setattr(figures, figure, lambda *given: None)
    small = [
        "protocol.repeats=1",
        "protocol.methods=[mean]",
        "selection.n_genes=12",
        "selection.step=0.5",
        "compression=null",
    ]
    given = ["single-drug", "panel=one_plate", *small, "tracking=none", "hydra.run.dir=runs/single"]
    assert command(*given) == 2
    assert "panel=one_plate is not a valid choice" in capsys.readouterr().err
    assert command(*given, "plugins=[guestlab]") == 0
    facts = json.loads(Path("runs/single/metrics.json").read_text())["run"]
    assert facts["version.plugin.guestlab"] == "guestlab-dist 1.2"
    assert facts["plugins_hash"]
    Path("runs/single/metrics.json").unlink()  # as if it had been killed
    assert command("single-drug", "resume=runs/single") == 2
    assert "add plugins=[guestlab] to the command" in capsys.readouterr().err
    assert command("single-drug", "resume=runs/single", "plugins=[guestlab]") == 0


def test_a_model_of_a_guest_is_served_where_its_plugin_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # so that it ends as it was: mlflow's own setter writes it, too
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    given = ["data=two_plates", "model=guest_ridge", *GUESTS, "hydra.run.dir=runs/guest"]
    assert command("train", *given) == 0
    (artifact,) = Path("runs/mlartifacts").glob("models/*/artifacts")
    assert "guestlab-dist==1.2" in (artifact / "requirements.txt").read_text().split()
    run = dadsp.load("runs/guest")
    expected = run.predict(pd.read_json(artifact / "input_example.json", orient="split"))
    forget_plugins()
    with pytest.raises(LoadError, match=r"plug-in\(s\) not in use here: guestlab\..*set DADSP_PLUGINS=guestlab\.$") as told:
        mlflow.pyfunc.load_model(str(artifact))
    assert "\n" not in str(told.value)
    assert plugins.used() == ()
    monkeypatch.setenv(plugins.VARIABLE, "guestlab")
    served = mlflow.pyfunc.load_model(str(artifact))
    pd.testing.assert_frame_equal(served.predict(served.input_example), expected)


def test_a_guest_reads_expression() -> None:
    assert command("data", "simulate", "data=simulated_tiny", "out=files") == 0
    files = ["--config-dir", "files/conf", "data=simulated_files", "data.root=files"]
    rounded = ["+data.source.expression.digits=0", f"+data.source.expression._target_={PARTS['expression']}"]
    assert command("data", "describe", *files, *rounded) == 2
    given = [*files, *rounded, "tracking=none", "model=naive_drug_mean", "plugins=[guestlab]", "hydra.run.dir=runs/rounded"]
    assert command("train", *given) == 0
    notes = Path("runs/rounded/data_notes.json").read_text()
    assert "values rounded" in notes
