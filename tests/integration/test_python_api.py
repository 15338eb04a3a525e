"""``import dadsp`` in a notebook: the documented examples, and that they say what the command line says."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dadsp
from dadsp.cli.main import main
from dadsp.errors import ConfigError, DadspError, LoadError, MissingIdsError, SchemaError
from tests.support.documents import ROOT, run_python_blocks
from tests.support.expression import lines_like


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> dadsp.Run:
    """The model that the examples of docs/python.md train, in an empty folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("notebook"))
        trained: dadsp.Run = run_python_blocks("docs/python.md")["run"]
    return trained


def by_command(model: dadsp.Run, folder: Path, **tables: pd.DataFrame) -> pd.DataFrame:
    """What ``dadsp predict`` writes for the same tables."""
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    arguments = [f"{name}={folder / name}.parquet" for name in tables]
    assert main(["predict", f"run={model.folder}", *arguments, f"out={folder / 'out.parquet'}"]) == 0
    return pd.read_parquet(folder / "out.parquet")


def test_importing_dadsp_loads_no_heavy_package() -> None:
    heavy = {"torch", "numpy", "pandas", "hydra", "mlflow", "pydantic"}
    script = f"import sys, dadsp; dir(dadsp); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_listed_and_others_are_no_attributes() -> None:
    assert {"load", "load_study", "load_single_drug", "train"} <= set(dir(dadsp))
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        dadsp.lode  # noqa: B018


def test_loaded_run_holds_what_its_folder_says(model: dadsp.Run) -> None:
    assert model.name == "DADSP-A"
    assert model.settings["seed"] == 1
    assert model.genes == model.study.genes == dadsp.load_study("data=simulated_tiny").genes
    assert len(model.split.test_idx) == len(model.study.target.responses)
    assert model.table["system"].iloc[0] == "DADSP-A"
    assert model.history["stage"].iloc[-1] == "dadsp_a"


def test_predictions_of_known_pairs_are_those_that_were_scored(model: dadsp.Run) -> None:
    test = pd.read_parquet(model.folder / "predictions.parquet").query("split == 'test'")
    predicted = model.predict(test[["cell_id", "drug_id"]])
    assert np.array_equal(predicted["neg_log10_ic50_um"], test["y_pred"].astype(np.float32))


def test_new_lines_and_drugs_are_predicted_as_the_command_does(model: dadsp.Run, tmp_path: Path) -> None:
    lines = lines_like(model.model, 2)
    lines.insert(0, "cell_id", ["N1", "N2"])
    drugs = pd.DataFrame({"drug_id": [11, 12], "smiles": ["CCO", "CCN"]})  # numbers are names too
    pairs = pd.DataFrame({"cell_id": ["N1", "N2", "N2"], "drug_id": [11, 11, 12]})
    expected = by_command(model, tmp_path, pairs=pairs, expression=lines, drugs=drugs)
    pd.testing.assert_frame_equal(model.predict(pairs, lines, drugs), expected)
    pd.testing.assert_frame_equal(model.predict(str(tmp_path / "pairs.parquet"), lines, drugs), expected)


def test_study_is_the_one_the_command_trains_on(model: dadsp.Run) -> None:
    assert dadsp.load_study("data=simulated_tiny").content_hash == model.study.content_hash
    within = dadsp.load_study("data=simulated_tiny", "split=pair")
    assert within.scope == "source"
    assert within.target is within.source


def test_wrong_overrides_are_errors_of_dadsp_never_the_end_of_the_process(model: dadsp.Run) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'simulated_tiny'"):
        dadsp.load_study("data=simulated_tini")
    with pytest.raises(ConfigError, match=r"data\.n_geens"):
        dadsp.load_study("data=simulated_tiny", "data.n_geens=3")
    with pytest.raises(DadspError, match=r"data\.root=nowhere is not a folder"):
        dadsp.load_study("data=gdsc_ccle_panel", "data.root=nowhere")
    with pytest.raises(ConfigError, match="key=value"):
        dadsp.train("-m", "seed=0,1")
    with pytest.raises(ConfigError, match="Did you mean 'dadsp_a'"):
        dadsp.train("model=dadsp_aa")


def test_wrong_tables_are_told_by_their_name(model: dadsp.Run) -> None:
    pairs = pd.DataFrame({"cell_id": ["N1"], "drug_id": ["TD001"]})
    lines = pd.DataFrame({"cell_id": ["N1"], "G00001": [1.0]})
    with pytest.raises(MissingIdsError, match=r"pairs: 1 of 1 pairs name lines that are not known \(e\.g\. N1; row 1\)"):
        model.predict(pairs)
    with pytest.raises(SchemaError, match="pairs has no column 'drug_id'"):
        model.predict(pairs[["cell_id"]])
    with pytest.raises(SchemaError, match="lacks 59 of the model's 60 genes"):
        model.predict(pairs, lines)
    with pytest.raises(SchemaError, match="expression: 1 of 1 values of 'G00001' are not finite numbers"):
        model.predict(pairs, lines.assign(G00001="high"))
    with pytest.raises(SchemaError, match="expression: 1 of 1 values are missing or infinite"):
        model.predict(pairs, lines.assign(G00001=None))
    with pytest.raises(ConfigError, match="Did you mean 'target'"):
        model.predict(pairs, domain="tagret")  # type: ignore[arg-type]


def test_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        dadsp.load(tmp_path / "nowhere")
    with pytest.raises(LoadError, match=r"model\.json"):
        dadsp.load(tmp_path)
    with pytest.raises(ConfigError, match="no run of dadsp single-drug"):
        dadsp.load_single_drug(tmp_path)
