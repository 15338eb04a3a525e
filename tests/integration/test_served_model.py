"""The model that a run leaves in MLflow: what it holds, and that it says what ``dadsp predict`` says."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import mlflow
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

import dadsp
from dadsp.cli.main import main
from dadsp.errors import LoadError, MissingIdsError, SchemaError
from dadsp.files import read_json, write_json
from dadsp.served_model import _load_pyfunc, example_request, save_served_model
from tests.support.documents import ROOT, run_python_blocks

REGISTERED = ["tracking.register=sensitivity", "tracking.alias=champion"]
START_WITHIN_S = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder of this module; its runs hold two versions of a registered model, the first with the alias."""
    place = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("MLFLOW_TRACKING_URI", "")  # so that it ends as it was: mlflow's own setter writes it, too
        patch.delenv("MLFLOW_TRACKING_URI")
        before = mlflow.get_tracking_uri()
        assert main(["train", "experiment=smoke", *REGISTERED]) == 0
        assert main(["train", "data=simulated_tiny", "model=naive_drug_mean", REGISTERED[0], "tracking.alias=plain"]) == 0
        mlflow.set_tracking_uri("sqlite:///runs/mlflow.db")
        yield place
        mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def run(folder: Path) -> dadsp.Run:
    return dadsp.load(next(folder.glob("runs/*dadsp_a*/metrics.json")).parent)


@pytest.fixture(scope="module")
def artifact(folder: Path) -> Path:
    version = MlflowClient().get_model_version_by_alias("sensitivity", "champion")
    return Path(str(version.source).removeprefix("file://"))


@pytest.fixture(scope="module")
def logged(folder: Path) -> Any:
    return mlflow.pyfunc.load_model("models:/sensitivity@champion")


def new_pairs(run: dadsp.Run) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Pairs of two new lines and two new drugs, their tables, and the same as one request."""
    levels = run.study.target.cells.expression[:2]
    lines = pd.DataFrame(levels, columns=list(run.genes))
    lines.insert(0, "cell_id", ["N1", "N2"])
    drugs = pd.DataFrame({"drug_id": ["D1", "D2"], "smiles": ["CCO", "CCN"]})
    pairs = pd.DataFrame({"cell_id": ["N1", "N2", "N1"], "drug_id": ["D1", "D1", "D2"]})
    first, second = (dict(zip(run.genes, map(float, row), strict=True)) for row in levels)
    came: dict[str, list[Any]] = {"smiles": ["CCO", None, "CCN"], "expression": [first, second, None]}
    request = pairs.assign(**came)
    return pairs, lines, drugs, request


@pytest.mark.parametrize("domain", ["source", "target"])
def test_known_pairs_are_predicted_as_dadsp_predict_does(run: dadsp.Run, logged: Any, tmp_path: Path, domain: str) -> None:
    screen = run.study.source if domain == "source" else run.study.target
    pairs = pd.DataFrame({"cell_id": screen.cells.ids[:6], "drug_id": screen.drugs.ids[:6]})
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    arguments = [f"pairs={tmp_path / 'pairs.csv'}", f"domain={domain}", f"out={tmp_path / 'out.parquet'}"]
    assert main(["predict", f"run={run.folder}", *arguments]) == 0
    expected = pd.read_parquet(tmp_path / "out.parquet")
    pd.testing.assert_frame_equal(logged.predict(pairs, params={"domain": domain}), expected)


def test_new_lines_and_drugs_come_with_the_request(run: dadsp.Run, logged: Any) -> None:
    pairs, lines, drugs, request = new_pairs(run)
    pd.testing.assert_frame_equal(logged.predict(request), run.predict(pairs, lines, drugs))
    with pytest.raises(SchemaError, match="N1 two different expressions"):
        logged.predict(request.assign(expression=[*request["expression"][:2], request["expression"][1]]))
    with pytest.raises(SchemaError, match="1 drugs stand more than once"):
        logged.predict(request.assign(smiles=["CCO", "CCCO", "CCN"]))


def test_signature_example_and_metadata_say_what_the_model_is(run: dadsp.Run, logged: Any) -> None:
    inputs, outputs = logged.metadata.get_input_schema(), logged.metadata.get_output_schema()
    assert inputs.input_names() == ["cell_id", "drug_id", "smiles", "expression"]
    assert inputs.required_input_names() == ["cell_id", "drug_id"]
    answer = logged.predict(logged.input_example)
    assert answer.columns.tolist() == outputs.input_names()
    facts = read_json(run.folder / "metrics.json")["run"]
    kept = {name: facts[name] for name in ("system", "seed", "data_hash", "split_hash")}
    assert logged.metadata.metadata == {**kept, "saw_target_labels": False}
    assert MlflowClient().get_run(logged.metadata.run_id).data.tags["data_hash"] == facts["data_hash"]


def test_artifact_holds_plain_data_and_no_code(artifact: Path) -> None:
    files = {str(path.relative_to(artifact)) for path in artifact.rglob("*") if path.is_file()}
    files -= {"registered_model_meta"}  # mlflow leaves it where it loads a registered model
    data = {f"data/dadsp/{name}" for name in ("model/model.json", "model/weights.safetensors", "screens.json")}
    data |= {f"data/dadsp/{name}" for name in ("expression.safetensors", "trust/trust.json", "trust/trust.safetensors")}
    examples = {"input_example.json", "serving_input_example.json"}
    files -= {"registered_model_meta"}  # mlflow's note of the name and version by which it loaded the model
    assert files == data | examples | {"MLmodel", "requirements.txt", "conda.yaml", "python_env.yaml"}
    flavour = yaml.safe_load((artifact / "MLmodel").read_text())["flavors"]["python_function"]
    assert (flavour["loader_module"], flavour["code"]) == ("dadsp.served_model", None)
    assert f"dadsp=={dadsp.__version__}" in (artifact / "requirements.txt").read_text()


def test_run_address_and_older_versions_load_too(folder: Path, logged: Any) -> None:
    pairs = logged.input_example
    same = mlflow.pyfunc.load_model(f"runs:/{logged.metadata.run_id}/model")
    naive = mlflow.pyfunc.load_model("models:/sensitivity@plain")
    assert naive.metadata.metadata["system"] == "source drug mean (capped labels)"
    assert len(naive.predict(pairs)) == len(pairs)
    pd.testing.assert_frame_equal(same.predict(pairs), logged.predict(pairs))
    assert not (folder / "mlflow.db").exists()  # nothing went to the store that mlflow takes by default


def test_examples_of_the_page_run(folder: Path) -> None:
    run_python_blocks("docs/mlflow.md")


def test_runs_are_still_compared_from_the_store(folder: Path) -> None:
    assert main(["compare", "runs=smoke", "out=compared"]) == 0
    assert "DADSP-A" in (folder / "compared" / "compare.csv").read_text()


def test_lines_that_are_left_out_must_come_with_the_request(run: dadsp.Run, tmp_path: Path) -> None:
    save_served_model(run.model, run.study, tmp_path, expression=False, trust=run.trust)
    model = _load_pyfunc(str(tmp_path))
    kept = "".join((tmp_path / name).read_text() for name in ("screens.json", "model/model.json", "trust/trust.json"))
    cells = [screen.cells for screen in (run.study.source, run.study.target)]
    names = {name for each in cells for name in (*each.ids, *each.link_ids)} - {None}
    assert not [name for name in names if f'"{name}"' in kept]
    pairs, lines, _, request = new_pairs(run)
    known = run.study.target.drugs.ids[0]
    expected = run.predict(pairs.assign(drug_id=known), lines)
    answer = model.predict(request.assign(drug_id=known, smiles=None))
    of_lines = ["line_distance", "verdict"]  # how far a line is from those that are left out is not known
    pd.testing.assert_frame_equal(answer.drop(columns=of_lines), expected.drop(columns=of_lines))
    assert set(answer["verdict"]) <= {"edge", "outside"}
    with pytest.raises(MissingIdsError, match="without its lines' expression"):
        model.predict(pairs)
    made_up = example_request(run.model, run.study, run.split, expression=False)
    assert len(model.predict(made_up)) == len(made_up) == 3


@pytest.mark.parametrize("system", ["os.system", "dadsp.served_model.ServedModel"])
def test_model_that_names_another_class_is_refused(artifact: Path, tmp_path: Path, system: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(artifact, copy)
    file = copy / "data" / "dadsp" / "model" / "model.json"
    write_json(file, read_json(file) | {"system": system})
    with pytest.raises(LoadError, match="is no dadsp system"):
        mlflow.pyfunc.load_model(str(copy))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["register=a/b"], "tracking.register='a/b' is not valid"),
        (["alias=champion"], "Set register"),
        (["register=sensitivity", "alias=v3"], "keeps for versions"),
        (["register=sensitivity", "log_model=false"], "register needs log_model=true"),
    ],
)
def test_impossible_registration_is_refused_before_training(
    folder: Path, capsys: pytest.CaptureFixture[str], settings: list[str], told: str
) -> None:
    assert main(["train", "experiment=smoke", *(f"tracking.{setting}" for setting in settings)]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.slow
def test_server_answers_its_input_example_as_dadsp_predict_does(artifact: Path, run: dadsp.Run, tmp_path: Path) -> None:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(artifact), "--env-manager", "local"]
    settings = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}
    # mlflow starts the server by the name `uvicorn`, which stands beside this interpreter.
    settings["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{settings['PATH']}"
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
            cwd=tmp_path,
            env=settings,
            start_new_session=True,
        )
    try:
        wait_until_healthy(server, f"http://127.0.0.1:{port}/ping", tmp_path / "server.log")
        payload = (artifact / "serving_input_example.json").read_bytes()
        request = Request(f"http://127.0.0.1:{port}/invocations", payload, {"Content-Type": "application/json"})
        with urlopen(request, timeout=60) as answer:
            predictions = pd.DataFrame(json.loads(answer.read())["predictions"])
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(timeout=30)
    split = json.loads(payload)["dataframe_split"]
    expected = run.predict(pd.DataFrame(split["data"], columns=split["columns"]))
    pd.testing.assert_frame_equal(predictions, expected, check_dtype=False, rtol=1e-6)


def wait_until_healthy(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urlopen(address, timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"mlflow models serve did not start:\n{log.read_text()[-2000:]}")
