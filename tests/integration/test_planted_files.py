"""Run folders, models and configuration folders from elsewhere that ask for code to run: none ever does."""

import io
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from dadsp.cli.main import main
from tests.support.planted import planted_configs, targets

TINY = ["data=simulated_tiny", "tracking=none"]
PAIRS = "cell_id,drug_id\nx,y\n"
EVERY_FORM = 30  # config.yaml: each target in every so-manieth place and form; the unit test takes all


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finished")
    assert main(["train", *TINY, "model=linear", f"runs={root}", f"hydra.run.dir={root / 'run'}"]) == 0
    return root / "run"


class Evil:
    """Makes the canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = str(canary)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (self.canary,)


def commands(run: Path, pairs: Path, out: Path) -> dict[str, list[str]]:
    return {
        "impute": ["impute", f"run={run}", f"out={out}"],
        "embed": ["embed", f"run={run}", f"out={out}"],
        "explain": ["explain", f"run={run}", "drug=all", f"out={out}"],
        "predict": ["predict", f"run={run}", f"pairs={pairs}", f"out={out}.csv"],
        "resume": ["train", f"resume={run}"],
        "compare": ["compare", f"runs={run}", f"out={out}"],
        "report": ["report", f"run={run}", f"out={out}"],
    }


def tried(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str] | None = None) -> list[int]:
    """Exit codes of the commands that open the run; none may show a traceback or a defect."""
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(PAIRS)
    codes = []
    for name, arguments in commands(run, pairs, tmp_path / "out").items():
        if names is None or name in names:
            codes.append(main(arguments))
            said = capsys.readouterr().err
            assert "Traceback" not in said, (name, said)
            assert "unexpected" not in said, (name, said)
    return codes


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.slow
@pytest.mark.parametrize("number", range(30))
def test_config_of_a_run_builds_nothing_that_is_planted(
    number: int, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    canary = tmp_path / "canary"
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "metrics.json").rename(run / "metrics.away")  # resume= goes on with unfinished runs only
    forms = list(planted_configs(config, targets(canary)[number]))
    for form, text in forms[number % EVERY_FORM :: EVERY_FORM]:
        (run / "config.yaml").write_text(text)
        assert tried(run, tmp_path, capsys, ["resume"]) == [2], form
        assert not canary.exists(), form
    (run / "metrics.away").rename(run / "metrics.json")
    verb = list(commands(run, tmp_path, tmp_path))[number % 7]
    (code,) = tried(run, tmp_path, capsys, [verb])  # on the last of the forms
    assert code in (0, 2)
    assert not canary.exists()


KEYS = ("system", "drug_features", "alignment", "training", "planted")


@pytest.mark.parametrize("key", KEYS)
def test_model_json_names_no_code(
    key: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], finished: Path
) -> None:
    path, first = run / "model" / "model.json", KEYS.index(key)
    for number, node in enumerate(targets(tmp_path / "canary")[first :: 2 * len(KEYS)]):
        facts = json.loads((finished / "model" / "model.json").read_text())
        facts[key] = node["_target_"] if key == "system" else {**node, "kind": node["_target_"]}
        path.write_text(json.dumps(facts))
        (code,) = tried(run, tmp_path, capsys, [("impute", "predict")[number % 2]])
        assert code in (0, 2)
        assert not (tmp_path / "canary").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["split.json", "metrics.json", "run.json", "data_facts.json", "data_notes.json"])
def test_other_json_files_name_no_code(name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((run / name).read_text()) if (run / name).exists() else {}
    node = targets(tmp_path / "canary")[0]
    planted = {**content, "planted": [node], **node} if isinstance(content, dict) else [node, *content]
    (run / name).write_text(json.dumps(planted))
    for code in tried(run, tmp_path, capsys, ["impute", "report", "resume"]):
        assert code in (0, 2)
    assert not (tmp_path / "canary").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("model/weights.safetensors", "pickle"),
        ("model/weights.safetensors", "torch"),
        ("predictions.parquet", "pickle"),
        ("comparison.csv", "pickle"),
        ("naive.parquet", "pickle"),
        ("split.json", "pickle"),
        ("config.yaml", "pickle"),
    ],
)
def test_no_file_is_unpickled(name: str, form: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    buffer = io.BytesIO()
    if form == "pickle":
        pickle.dump(Evil(tmp_path / "canary"), buffer)
    else:
        torch.save(Evil(tmp_path / "canary"), buffer)
    (run / name).write_bytes(buffer.getvalue())
    assert 2 in tried(run, tmp_path, capsys, ["impute", "compare"])
    assert not (tmp_path / "canary").exists()


@pytest.mark.slow
def test_states_of_a_killed_run_are_not_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    small = ["model.pretraining=null", "model.encoder_widths=[8,4]", "trainer.max_epochs=2", "trainer.min_blocks=1"]
    settings = [*TINY, "model=source_only", *small, "trainer.checkpoint_every_s=0", f"runs={tmp_path}"]
    monkeypatch.setattr("dadsp.runs.experiment.save_model", interrupted)
    assert main(["train", *settings, f"hydra.run.dir={folder}"]) == 130
    states = [path for path in (folder / "checkpoints").rglob("*") if path.is_file()]
    assert states
    for path in states:
        torch.save(Evil(tmp_path / "canary"), path)
    monkeypatch.undo()
    main(["train", f"resume={folder}"])
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "canary").exists()


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


HYDRA = {
    "callbacks": {"x": {"_target_": "os.mkdir", "path": "CANARY"}},
    "launcher": {"init": {"_target_": "os.mkdir", "path": "CANARY"}},
    "sweeper": {"params": {"_target_": "os.mkdir", "path": "CANARY"}},
    "job_logging": {"handlers": {"x": {"class": "os.mkdir", "path": "CANARY"}}},
    "hydra_logging": {"handlers": {"x": {"()": "os.mkdir", "path": "CANARY"}}},
    "job": {"env_set": {"LD_PRELOAD": "CANARY"}},
}


@pytest.mark.parametrize("part", HYDRA)
@pytest.mark.parametrize("multirun", [False, True])
def test_a_configuration_folder_gives_hydra_nothing_to_run(
    part: str, multirun: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = json.loads(json.dumps({"hydra": {part: HYDRA[part]}}).replace("CANARY", str(tmp_path / "canary")))
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "sent.yaml").write_text("# @package _global_\n" + yaml.safe_dump(node))
    arguments = ["train", "--config-dir", str(tmp_path / "conf"), "experiment=sent", *TINY, f"runs={tmp_path}"]
    arguments += ["hydra/launcher=ray", "model=naive_mean"]  # whose part of the configuration takes any key
    assert main([*arguments, *(["-m"] if multirun else [])]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: hydra.")
    assert said.count("\n") == 1
    assert not (tmp_path / "canary").exists()
    assert not list(tmp_path.rglob("metrics.json"))


@pytest.mark.slow
def test_a_job_of_a_sweep_chooses_no_code_either(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "conf" / "data").mkdir(parents=True)
    node = {"class": "os.mkdir", "path": str(tmp_path / "canary")}
    text = yaml.safe_dump({"hydra": {"job_logging": {"handlers": {"x": node}}}})
    (tmp_path / "conf" / "data" / "sent.yaml").write_text("# @package _global_\n" + text)
    arguments = ["--config-dir", str(tmp_path / "conf"), "data=simulated_tiny,sent", "tracking=none", f"runs={tmp_path}"]
    assert main(["train", "-m", *arguments, "model=naive_mean"]) == 2
    assert "names code" in capsys.readouterr().err
    assert not (tmp_path / "canary").exists()


SENT = ("model", "data", "split")


@pytest.mark.slow
@pytest.mark.parametrize("place", SENT)
def test_a_configuration_folder_builds_nothing_foreign(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf" / place).mkdir(parents=True)
    for number, node in enumerate(targets(tmp_path / "canary")[SENT.index(place) :: 2 * len(SENT)]):
        inside = {"_target_": "dadsp.models.systems.naive.Naive", "effects": [node]}
        (tmp_path / "conf" / place / "sent.yaml").write_text(yaml.safe_dump(inside if number % 2 else node))
        arguments = [*TINY, "model=naive_mean", f"{place}=sent", f"runs={tmp_path / 'runs'}"]
        assert main(["train", "--config-dir", str(tmp_path / "conf"), *arguments]) == 2
        assert "Traceback" not in capsys.readouterr().err
        assert not (tmp_path / "canary").exists()


def test_a_configuration_that_never_ends_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "conf" / "data").mkdir(parents=True)
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{c}: &{c} [{', '.join([f'*{b}'] * 9)}]" for b, c in zip("abcdefgh", "bcdefghi", strict=True)]
    (tmp_path / "conf" / "data" / "sent.yaml").write_text("\n".join(lines))
    assert main(["train", "--config-dir", str(tmp_path / "conf"), "data=sent", f"runs={tmp_path}"]) == 2
    assert "grows beyond" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", ["--experimental-rerun", "--experimental", "--config-name", "--config-path", "-cn", "-cp"]
)
def test_options_of_hydra_that_have_no_use_here_are_refused(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.pickle").write_bytes(pickle.dumps(Evil(tmp_path / "canary")))
    assert main(["train", option, str(tmp_path / "config.pickle"), *TINY, f"runs={tmp_path}"]) == 2
    assert capsys.readouterr().err.startswith("error: --")
    assert not (tmp_path / "canary").exists()
