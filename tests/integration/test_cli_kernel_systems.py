"""The systems of kernels behind every verb: trained, predicted, imputed, explained, reported and served like the others."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dadsp
from dadsp.cli.main import main
from dadsp.served_model import load_served_model, save_served_model

SYSTEMS = ("pairwise_gp", "drug_ridge", "drug_kernel_ridge")
FEW = ["attribution.random_lines=3", "shuffles=2", "other_drugs=2", "top=5"]


@pytest.fixture(scope="module", params=SYSTEMS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of each system on the tiny study."""
    folder = tmp_path_factory.mktemp("kernels") / str(request.param)
    assert main(["train", "data=simulated_tiny", f"model={request.param}", "tracking=none", f"hydra.run.dir={folder}"]) == 0
    return folder


def test_predictions_are_the_same_on_every_way(run: Path, tmp_path: Path) -> None:
    loaded = dadsp.load(run)
    tested = pd.read_parquet(run / "predictions.parquet").query("split == 'test'").head(8)
    pairs = tested[["cell_id", "drug_id"]].reset_index(drop=True)
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    assert main(["predict", f"run={run}", f"pairs={tmp_path / 'pairs.csv'}", f"out={tmp_path / 'out.parquet'}"]) == 0
    predicted = pd.read_parquet(tmp_path / "out.parquet")
    assert np.array_equal(predicted["neg_log10_ic50_um"], tested["y_pred"])
    pd.testing.assert_frame_equal(loaded.predict(pairs), predicted)
    for expression in (True, False):
        place, trust = tmp_path / str(expression), loaded.trust
        save_served_model(loaded.model, loaded.study, place, expression=expression, trust=trust)
    pd.testing.assert_frame_equal(load_served_model(tmp_path / "True").predict(pairs), predicted)
    if not loaded.genes:  # lines whose expression nobody reads may be known by name
        pd.testing.assert_frame_equal(load_served_model(tmp_path / "False").predict(pairs), predicted)


@pytest.mark.parametrize("domain", ["source", "target"])
def test_missing_pairs_are_imputed(run: Path, tmp_path: Path, domain: str) -> None:
    assert main(["impute", f"run={run}", f"domain={domain}", f"out={tmp_path}"]) == 0
    facts = json.loads((tmp_path / "impute.json").read_text())
    missing = pd.read_csv(tmp_path / "missing_pairs.csv", dtype={"drug_id": str})
    assert len(missing) == facts["n_pairs"]
    missing[["cell_id", "drug_id"]].to_csv(tmp_path / "pairs.csv", index=False)
    asked = [f"run={run}", f"domain={domain}", f"pairs={tmp_path / 'pairs.csv'}", f"out={tmp_path / 'out.csv'}"]
    assert main(["predict", *asked]) == 0
    predicted = pd.read_csv(tmp_path / "out.csv")
    for end in ("low", "high"):
        ours, theirs = missing[f"neg_log10_ic50_um_{end}"], predicted[f"{end}_90"]
        assert ours.to_numpy() == pytest.approx(theirs.to_numpy(), abs=1e-4, nan_ok=True)


def test_genes_are_explained_or_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = dadsp.load(run)
    drug = loaded.study.target.drugs.ids[0]
    code = main(["explain", f"run={run}", f"drug={drug}", *FEW, f"out={tmp_path / 'out'}", "--json"])
    told = capsys.readouterr()
    if not loaded.genes:
        assert (code, (tmp_path / "out").exists()) == (2, False)
        assert "drug kernel ridge reads no gene" in told.err
        return
    assert code == 0
    facts = json.loads(told.out)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*facts["files"], "explanation.json"}
    assert "similarities of whole structures" in facts["drug_atoms"]
    assert facts["completeness"]["largest_error"] < 1e-4
    lines = pd.read_csv(tmp_path / "out" / "lines.csv").query("baseline == 'zero'")
    predicted = loaded.predict(pd.DataFrame({"cell_id": lines["cell_id"], "drug_id": drug}))["neg_log10_ic50_um"]
    cap = loaded.study.target.cap
    assert cap is not None
    assert np.maximum(lines["predicted"].to_numpy(), cap) == pytest.approx(predicted.to_numpy(), abs=1e-5)


def test_there_is_no_encoder_to_map_but_a_page_to_read(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", f"run={run}"]) == 2
    assert "has no gene encoder" in (told := capsys.readouterr().err)
    assert told.count("\n") == 1
    assert main(["report", f"run={run}"]) == 0
    assert (run / "report.html").stat().st_size > 0
