"""``dadsp train`` from the command line to the run folder."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.metrics import r2_score, root_mean_squared_error

from dadsp.cli.main import main
from dadsp.cli.train import Teller
from dadsp.models.base import StageLength
from tests.support.drawing import drawn

SMOKE = ["train", "experiment=smoke"]
FILES = {
    "comparison.csv",
    "config.yaml",
    "data_facts.json",
    "data_notes.json",
    "figures",
    "history.csv",
    "metrics.json",
    "model",
    "naive.parquet",
    "predictions.parquet",
    "screens",
    "split.json",
    "run.json",
    "trust",
}


def train(tmp_path: Path, *overrides: str, verb: list[str] = SMOKE) -> int:
    return main([*verb, f"runs={tmp_path / 'runs'}", *overrides])


def folder_of(tmp_path: Path) -> Path:
    return next(path.parent for path in (tmp_path / "runs").glob("*/metrics.json"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp_path = tmp_path_factory.mktemp("finished")
    with drawn():
        assert train(tmp_path) == 0
    return folder_of(tmp_path)


def metrics(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return content


def test_run_folder_holds_everything_and_no_leftover(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} - {"train.log"} == FILES
    assert {path.name for path in (finished / "model").iterdir()} == {"model.json", "weights.safetensors"}
    assert {path.name for path in (finished / "figures").iterdir()} == {
        "loss_curves.png",
        "per_drug_rmse.png",
        "predicted_vs_measured.png",
    }


def test_reported_scores_are_those_of_the_written_predictions(finished: Path) -> None:
    table = pd.read_parquet(finished / "predictions.parquet")
    test = table[table["split"] == "test"]
    pooled = metrics(finished)["systems"][0]["pooled"]
    assert pooled["rmse"] == pytest.approx(root_mean_squared_error(test["y_true"], test["y_pred"]))
    assert pooled["r2"] == pytest.approx(r2_score(test["y_true"], test["y_pred"]))
    assert set(table["domain"]) == {"source", "target"}
    assert test["censored"].any()


def test_table_carries_naive_rows_marked_by_what_they_saw(finished: Path) -> None:
    systems = {row["name"]: row for row in metrics(finished)["systems"]}
    for effect in ("mean", "drug mean", "cell mean", "drug + cell"):
        assert not systems[f"source {effect} (capped labels)"]["saw_target_labels"]
        assert not systems[f"source {effect} (raw labels)"]["saw_target_labels"]
        assert systems[f"oracle target {effect}"]["saw_target_labels"]


def test_results_name_command_seed_and_hashes(finished: Path) -> None:
    run = metrics(finished)["run"]
    assert run["seed"] == 0
    assert run["command"] == f"dadsp train experiment=smoke runs={finished.parent}"
    assert {"git.sha", "data_hash", "split_hash"} <= set(run)
    assert json.loads((finished / "split.json").read_text())["split_hash"] == run["split_hash"]


def test_mlflow_holds_params_epochs_scores_tags_and_artifacts(finished: Path) -> None:
    tracking = json.loads((finished / "run.json").read_text())
    client = MlflowClient(tracking_uri=tracking["uri"])
    run = client.get_run(tracking["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["model.gamma"] == "10.0"
    pooled = metrics(finished)["systems"][0]["pooled"]
    assert run.data.metrics["test/target/rmse"] == pytest.approx(pooled["rmse"])
    assert run.data.metrics["test/target/r2"] == pytest.approx(pooled["r2"])
    assert len(client.get_metric_history(run.info.run_id, "val/source/rmse")) == 3
    rival = metrics(finished)["systems"][1:]
    fair = [row for row in rival if row["kind"] == "naive_source"]
    least = min(fair, key=lambda row: row["pooled"]["rmse"])
    assert run.data.metrics["compare/rmse"] == run.data.metrics["test/target/rmse"]
    assert run.data.metrics["compare/best_naive_rmse"] == pytest.approx(least["pooled"]["rmse"])
    assert run.data.metrics["compare/best_naive_r2"] == pytest.approx(least["pooled"]["r2"])
    names = sorted(run.data.metrics)
    assert names[0].startswith("compare/")
    stages = [name for name in names if "sae_" in name]
    assert stages == names[-len(stages) :]
    assert len(client.get_metric_history(run.info.run_id, "z_stage/sae_stack/train/loss")) == 2
    assert run.data.tags["system"] == "DADSP-A"
    assert run.data.tags["study"] == "simulated source → simulated target"
    assert run.data.tags["data_hash"] == metrics(finished)["run"]["data_hash"]
    stored = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"metrics.json", "predictions.parquet", "figures", "config.yaml"} <= stored
    (model,) = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    assert model.name == "model"


def test_where_runs_stand_side_by_side_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, "model=naive_mean", verb=["train", "data=simulated_tiny"]) == 0
    printed = capsys.readouterr().out
    known = json.loads((folder_of(tmp_path) / "run.json").read_text())
    (place,) = re.findall(r"side by side: (\S+)", printed)
    assert place == f"http://127.0.0.1:5000/#/experiments/{known['experiment_id']}/runs?compareRunsMode=CHART"
    assert MlflowClient(tracking_uri=known["uri"]).get_experiment(known["experiment_id"]).name == "dadsp"
    assert f"mlflow ui --backend-store-uri {known['uri']}" in printed


def test_same_seed_gives_bit_identical_metrics(finished: Path, tmp_path: Path) -> None:
    assert train(tmp_path, "tracking=none") == 0
    first, again = metrics(finished), metrics(folder_of(tmp_path))
    assert first["systems"] == again["systems"]
    assert first["run"]["split_hash"] == again["run"]["split_hash"]
    ours, theirs = (pd.read_parquet(folder / "predictions.parquet") for folder in (finished, folder_of(tmp_path)))
    assert np.array_equal(ours["y_pred"], theirs["y_pred"])


def test_json_output_is_json_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, "--json", "tracking=none", "model=naive_mean", verb=["train", "data=simulated_tiny"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["systems"][0]["name"] == "source mean (capped labels)"
    assert Path(printed["folder"]) == folder_of(tmp_path)


def test_resuming_a_finished_run_shows_its_table(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished / "metrics.json").stat().st_mtime_ns
    assert main(["train", f"resume={finished}"]) == 0
    assert "DADSP-A" in capsys.readouterr().out
    assert (finished / "metrics.json").stat().st_mtime_ns == before


def test_multirun_trains_every_combination(tmp_path: Path) -> None:
    sweep = ["train", "-m", "data=simulated_tiny", "model=naive_mean,naive_drug_mean", "seed=0,1"]
    assert train(tmp_path, "tracking=none", verb=sweep) == 0
    found = [metrics(path.parent) for path in (tmp_path / "runs").rglob("metrics.json")]
    assert len(found) == 4
    assert {(run["systems"][0]["name"], run["run"]["seed"]) for run in found} == {
        (f"source {effect} (capped labels)", seed) for effect in ("mean", "drug mean") for seed in (0, 1)
    }


def test_cfg_prints_the_configuration_and_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, "--cfg", "job") == 0
    assert "encoder_widths" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["modle=dadsp_a"], r"modle.* Did you mean 'model'"),
        (["model=dadsp_aa"], r"model=dadsp_aa is not a valid choice\. Did you mean 'dadsp_a'"),
        (["model.gama=3"], r"model\.gama is not a known key\. Did you mean 'model\.gamma'"),
        (["+model.gama=3"], r"model\.gama is not a known key\. Did you mean 'gamma'"),
        (["+extra=3"], "extra is not a known key"),
        (["model.gamma=steep"], "model.gamma='steep' is not valid"),
        (["model.encoder_activation=rleu"], "Did you mean 'relu'"),
        (["trainer.max_epochs=0"], "trainer.max_epochs=0 is not valid"),
        (["split.val_fraction=1.5"], "split.val_fraction=1.5 is not valid: input should be less than 1"),
        (["split.val_fraction=abc"], "split.val_fraction='abc' is not valid"),
        (["seed=abc"], "seed='abc' is not valid"),
        (["runs=null"], "runs"),
        (["tracking.enabled=maybe"], "tracking.enabled"),
        (["~tracking"], "tracking is required"),
        (["++resume=runs/x"], "resume must stand alone"),
        (["model.name=source mean"], "would pass for a naive row"),
        (["model._target_=dadsp.models.systems.naive.Nave"], r"Did you mean 'dadsp\.models\.systems\.naive\.Naive'"),
        (["+split.fraction=0.5"], r"split\.fraction is not a known key"),
        (["drug_features.bits=4"], r"model\.drug_features\.bits=4 is not valid"),
        (["model._target_=os.system"], "is none that dadsp builds here"),
        (["model.x=[1"], r"\[1"),
        (["data=own_csv"], "data.source.name is required"),
        (["data=gdsc_ccle_panel", "data.root=nowhere"], "nowhere is not a folder"),
        (["resume=nowhere", "seed=1"], "Leave it out"),
        (["tracking.uri=http://127.0.0.1:9"], "127.0.0.1:9"),
    ],
)
def test_wrong_configuration_is_one_line_and_exit_2(
    overrides: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "data=simulated_tiny", f"runs={tmp_path / 'runs'}", *overrides]) == 2
    printed = capsys.readouterr()
    assert re.search(message, printed.err)
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err
    assert not list((tmp_path / "runs").glob("*seed*")) if (tmp_path / "runs").exists() else True
    assert not (tmp_path / "None").exists()


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="max_epochs"):
        main(["train", "data=simulated_tiny", f"runs={tmp_path}", "trainer.max_epochs=0", "--debug"])


def test_unwritable_runs_folder_is_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main([*SMOKE, f"runs={tmp_path / 'file'}"]) == 2
    assert "file" in capsys.readouterr().err


def test_help_lists_every_verb_and_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in ("train", "predict", "data"))
    assert main(["--version"]) == 0
    assert re.fullmatch(r"dadsp \d+\.\d+\.\d+\n", capsys.readouterr().out)
    assert main(["trian"]) == 2
    assert "Did you mean 'train'" in capsys.readouterr().err


def test_a_folder_with_files_is_refused_and_left_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    for wrong in ("seed=1", "data.label_cap=foo"):
        assert train(tmp_path, f"hydra.run.dir={tmp_path / 'mine'}", wrong) == 2
        assert "already holds files" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_naive_system_has_no_skill_over_itself(tmp_path: Path) -> None:
    assert train(tmp_path, "tracking=none", "model=naive_drug_mean", verb=["train", "data=simulated_tiny"]) == 0
    systems = metrics(folder_of(tmp_path))["systems"]
    own = next(row for row in systems if row["name"] == "source drug mean (capped labels)")
    assert own["skill"] == {"value": 0.0, "vs": own["name"], "reason": ""}
    assert len(systems) == 15


def test_run_resumes_from_another_folder_with_its_own_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*SMOKE, "runs=here"]) == 0
    folder = next((tmp_path / "here").glob("*/metrics.json")).parent
    expected = metrics(folder)["systems"]
    (folder / "metrics.json").unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["train", f"resume=../here/{folder.name}"]) == 0
    assert metrics(folder)["systems"] == expected == metrics(finished)["systems"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_run_under_an_alignment_states_it_and_its_lines(tmp_path: Path) -> None:
    assert (
        train(tmp_path, "alignment=bridge", "model=linear", "model.features=raw", "data=simulated_tiny", verb=["train"]) == 0
    )
    folder = folder_of(tmp_path)
    stated = json.loads((folder / "data_facts.json").read_text())["alignment"]
    assert stated == json.loads((folder / "model" / "model.json").read_text())["alignment"]
    assert stated["kind"] == "bridge"
    assert stated["n_shared"] == 14


@pytest.mark.parametrize("model", ["naive_drug_mean", "pairwise_gp"])
def test_an_experiment_with_keys_that_the_model_lacks_is_named_with_a_command_that_runs(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, f"model={model}", "tracking=none") == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: experiment=smoke sets keys that model={model} does not take: model.encoder_widths, ")
    assert printed.count("\n") == 1
    removed = re.findall(r"~\S+", printed)
    assert len(removed) == 4
    assert train(tmp_path, f"model={model}", "tracking=none", *removed) == 0


def test_a_key_that_the_user_misspelt_is_not_blamed_on_the_experiment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, "model=source_only", "+model.drouput=0.1") == 2
    printed = capsys.readouterr().err
    assert "model.drouput is not a known key. Did you mean 'dropout'" in printed
    assert "experiment" not in printed


def test_an_experiment_whose_key_refers_to_one_that_the_model_lacks_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, "model=line_network", verb=["train", "experiment=adaptation"]) == 2
    printed = capsys.readouterr().err
    assert "experiment=adaptation sets keys that model=line_network does not take: model.name." in printed
    assert printed.count("\n") == 1


def test_epochs_are_told_of_how_many_in_which_unit_and_which_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, "tracking=none", "trainer.max_epochs=30", "trainer.patience=1") == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dadsp_a  ")]
    history = pd.read_csv(folder_of(tmp_path) / "history.csv").query("stage == 'dadsp_a'")
    assert [line.split()[2] for line in told[:-1]] == [f"{epoch + 1}/30" for epoch in history["epoch"]]
    for unit in ("train/mse", "(scaled labels)", "val/source/rmse", "(labels)"):
        assert unit in told[0]
    kept = int(history["val/source/rmse"].argmin()) + 1
    assert told[-1] == f"dadsp_a  ended early, after epoch {len(history)}/30; epoch {kept} is kept"


def test_time_left_is_told_of_the_stage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([100.0, 110.0, 120.0])
    monkeypatch.setattr("dadsp.cli.train.time.monotonic", lambda: next(times))
    teller = Teller()
    teller.on_stage("stage", StageLength(20))
    for epoch in (4, 5):  # gone on with after four
        teller.on_epoch("stage", epoch, {"val/source/rmse": 0.5})
    told = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[-1] for line in told] == ["2 min left at most", "2 min left at most"]
    assert told[0].startswith("stage  epoch 5/20  val/source/rmse 0.5000 (labels)")
