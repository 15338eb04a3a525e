"""``dadsp predict`` on the run's own lines and drugs and on new ones."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import dadsp
from dadsp.cli.main import main
from dadsp.runs import prediction_figures
from tests.support.expression import lines_like


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("predict") / "runs"
    assert main(["train", "experiment=smoke", "tracking=none", f"runs={runs}"]) == 0
    return next(path.parent for path in runs.glob("*/metrics.json"))


def write_new(run: Path, folder: Path, *, genes: int | None = None, smiles: str = "CCN") -> list[str]:
    """Files of two new lines, two new drugs and three pairs, as arguments."""
    lines = lines_like(dadsp.load(run).model, 2).iloc[:, :genes]
    lines.insert(0, "cell_id", ["N1", "N2"])
    lines["NOT_A_GENE_OF_THE_MODEL"] = 1.0
    lines.to_csv(folder / "lines.csv", index=False)
    pd.DataFrame({"drug_id": ["D1", "D2"], "smiles": ["CCO", smiles]}).to_csv(folder / "drugs.csv", index=False)
    pairs = pd.DataFrame({"cell_id": ["N1", "N2", "N2"], "drug_id": ["D1", "D1", "D2"]})
    pairs.to_csv(folder / "pairs.csv", index=False)
    return [f"run={run}", *(f"{key}={folder / key}.csv" for key in ("pairs", "drugs")), f"expression={folder / 'lines.csv'}"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_reloaded_model_repeats_the_runs_test_predictions_bit_for_bit(run: Path, tmp_path: Path, suffix: str) -> None:
    test = pd.read_parquet(run / "predictions.parquet").query("split == 'test'")
    test[["cell_id", "drug_id"]].to_csv(tmp_path / "pairs.csv", index=False)
    out = tmp_path / f"out.{suffix}"
    assert main(["predict", f"run={run}", f"pairs={tmp_path / 'pairs.csv'}", f"out={out}"]) == 0
    predicted = pd.read_parquet(out) if suffix == "parquet" else pd.read_csv(out, sep="\t" if suffix == "tsv" else ",")
    assert np.array_equal(predicted["neg_log10_ic50_um"].astype(np.float32), test["y_pred"].astype(np.float32))
    assert predicted["ic50_um"].to_numpy() == pytest.approx(10.0 ** -test["y_pred"].to_numpy(), rel=1e-6)


def test_new_lines_and_drugs_are_predicted(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = write_new(run, tmp_path)
    assert main(["predict", *arguments, f"out={tmp_path / 'out.csv'}", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["pairs"] == 3
    unused = {"what": "genes the model does not know, not used", "count": 1, "examples": "NOT_A_GENE_OF_THE_MODEL"}
    assert facts["notes"][0] == unused
    assert facts["notes"][1]["what"].startswith("pairs without a 90 % interval")  # a network knows none
    assert [note["count"] for note in facts["notes"]] == [1, 3]
    out = pd.read_csv(tmp_path / "out.csv")
    assert out[["cell_id", "drug_id"]].to_numpy().tolist() == [["N1", "D1"], ["N2", "D1"], ["N2", "D2"]]
    assert np.isfinite(out["neg_log10_ic50_um"]).all()


def test_source_drugs_are_known_for_target_lines(run: Path, tmp_path: Path) -> None:
    table = pd.read_parquet(run / "predictions.parquet")
    line = table.query("domain == 'target'")["cell_id"].iloc[0]
    drugs = sorted(set(table.query("domain == 'source'")["drug_id"]) - set(table.query("domain == 'target'")["drug_id"]))
    assert drugs
    pd.DataFrame({"cell_id": line, "drug_id": drugs}).to_csv(tmp_path / "pairs.csv", index=False)
    assert main(["predict", f"run={run}", f"pairs={tmp_path / 'pairs.csv'}", f"out={tmp_path / 'out.csv'}"]) == 0
    assert len(pd.read_csv(tmp_path / "out.csv")) == len(drugs)


def refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", *arguments]) == 2
    printed = capsys.readouterr().err
    assert re.search(message, printed), printed
    assert printed.count("\n") == 1


def test_missing_genes_are_counted_and_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = write_new(run, tmp_path, genes=-7)
    refused([*arguments, f"out={tmp_path / 'out.csv'}"], r"lacks 7 of the model's 60 genes", capsys)
    assert not (tmp_path / "out.csv").exists()


def test_a_foreign_scale_is_repaired_with_a_note_or_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*write_new(run, tmp_path), f"out={tmp_path / 'out.csv'}"]
    assert main(["predict", *arguments]) == 0
    right = pd.read_csv(tmp_path / "out.csv")["neg_log10_ic50_um"].to_numpy()
    lines = pd.read_csv(tmp_path / "lines.csv", index_col=0)
    (2**lines - 1).T.to_csv(tmp_path / "lines.csv")
    capsys.readouterr()
    assert main(["predict", *arguments, "--json"]) == 0
    notes = [note["what"] for note in json.loads(capsys.readouterr().out)["notes"]]
    assert [note for note in notes if "genes × lines" in note]
    assert [note for note in notes if "log2(x + 1)" in note]
    assert pd.read_csv(tmp_path / "out.csv")["neg_log10_ic50_um"].to_numpy() == pytest.approx(right, abs=1e-4)
    refused([*arguments, "new_platform.scale=as_trained"], r"not on the scale of the training lines", capsys)
    refused([*arguments, "new_platform.align=rank"], r"20 at least, and there are 2", capsys)
    refused([*arguments, "new_platform.scale=tmp"], r"Did you mean 'tpm'", capsys)


def test_missing_genes_are_imputed_up_to_a_share(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*write_new(run, tmp_path, genes=-2), f"out={tmp_path / 'out.csv'}"]
    assert main(["predict", *arguments]) == 0
    assert re.search(r"imputed by regression on the others, .*: 2 \(", capsys.readouterr().err)
    assert (pd.read_csv(tmp_path / "out.csv")["imputation_variance"] > 0).all()
    refused([*arguments, "new_platform.max_missing=0"], r"lacks 2 of the model's 60 genes", capsys)


def test_unknown_ids_are_refused_or_dropped_by_choice(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*write_new(run, tmp_path), f"out={tmp_path / 'out.csv'}"]
    with (tmp_path / "pairs.csv").open("a") as pairs:
        pairs.write("N9,D1\nN1,D9\n")
    refused(arguments, r"1 of 5 pairs name lines that are not known \(e\.g\. N9; line 5\).*on_unknown=drop", capsys)
    assert main(["predict", *arguments, "on_unknown=drop"]) == 0
    assert "unknown lines left out: 1 (N9)" in capsys.readouterr().err
    assert len(pd.read_csv(tmp_path / "out.csv")) == 3


def test_bad_smiles_is_refused_or_dropped_by_choice(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*write_new(run, tmp_path, smiles="C1CC"), f"out={tmp_path / 'out.csv'}"]
    refused(arguments, r"1 of 2 SMILES are not valid \(e\.g\. D2: 'C1CC'\)", capsys)
    assert main(["predict", *arguments, "on_unknown=drop"]) == 0
    assert "without a valid SMILES left out: 1 (D2)" in capsys.readouterr().err
    assert len(pd.read_csv(tmp_path / "out.csv")) == 2


def test_wrong_arguments_are_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = write_new(run, tmp_path)
    refused([*arguments, "out=predictions.xls"], r"no known ending", capsys)
    refused([*arguments, "domain=tagret"], "Did you mean 'target'", capsys)
    refused(["pairs=x.csv"], "run is required", capsys)
    refused([*arguments, f"out={tmp_path / 'pairs.csv'}"], "not one of the inputs", capsys)
    refused([*arguments, "out=null"], "must name a new file", capsys)
    refused([f"run={tmp_path / 'nowhere'}", "pairs=x.csv"], "is not a folder", capsys)
    refused([f"run={run}", f"pairs={tmp_path / 'nowhere.csv'}"], "There is no file", capsys)
    (tmp_path / "in_the_way").write_text("")
    refused([*arguments, f"out={tmp_path / 'in_the_way' / 'out.csv'}"], "Cannot write", capsys)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("calibrated") / "runs"
    arguments = ["train", "data=simulated_tiny", "model=drug_kernel_ridge", "tracking=none"]
    assert main([*arguments, f"runs={runs}"]) == 0
    return next(path.parent for path in runs.glob("*/metrics.json"))


def test_all_lines_and_drugs_come_with_intervals_ranks_and_verdicts(calibrated: Path, tmp_path: Path) -> None:
    assert main(["predict", f"run={calibrated}", "drugs=all", f"out={tmp_path / 'out.parquet'}"]) == 0
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert list(found)[:5] == ["cell_id", "drug_id", "neg_log10_ic50_um", "ic50_um", "drug_name"]
    assert len(found) == found["cell_id"].nunique() * found["drug_id"].nunique()
    ends = ["low_90", "low_50", "neg_log10_ic50_um", "high_50", "high_90"]
    sound = found[ends].dropna()
    assert len(sound)
    assert (np.diff(sound.to_numpy(), axis=1) >= -1e-6).all()
    first = found[found["cell_id"] == found["cell_id"].iloc[0]].set_index("rank_in_cell")
    assert first.loc[1, "neg_log10_ic50_um"] == first["neg_log10_ic50_um"].max()
    assert set(found["verdict"]) <= {"inside", "edge", "outside"}
    assert found.loc[~found["drug_seen"], "low_90"].notna().all()  # new drugs were held out, too


def test_one_line_by_its_spelling_has_a_figure_a_page_and_a_place_among_the_runs_lines(
    calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def draw(rows: pd.DataFrame, path: Path, title: str, unit: str, narrow: bool = False) -> None:
        drawn.append((len(rows), path.name, title))
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (900, 900)).save(path)

    monkeypatch.setattr(prediction_figures, "ranked_drugs_figure", draw)
    line = json.loads((calibrated / "screens" / "screens.json").read_text())["target"]["cells"]["ids"][0]
    out, page, figures = tmp_path / "out.csv", tmp_path / "page.html", tmp_path / "figures"
    arguments = [f"run={calibrated}", f"lines=[{line.lower()}]", "drugs=all", f"out={out}"]
    assert main(["predict", *arguments, f"page={page}", f"figures={figures}"]) == 0
    found = pd.read_csv(out)
    assert "cell lines found by their name, however it is spelled: 1" in capsys.readouterr().err
    assert found["percentile_in_drug"].notna().all()
    assert (found["percentile_among"].str.endswith(" lines")).all()
    assert [count for count, _, _ in drawn] == [len(found)] * 3  # of the folder, the first screen and the line's section
    assert (figures / drawn[0][1]).is_file()
    assert all(text in page.read_text() for text in ("How far to trust this", line.lower(), "Verdict"))


def test_a_run_without_calibration_predicts_the_same_and_says_so(
    calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old"
    shutil.copytree(calibrated, old)
    for name in ("trust", "screens"):
        shutil.rmtree(old / name)
    tables = []
    for run in (calibrated, old):
        assert main(["predict", f"run={run}", "drugs=all", f"out={tmp_path / 'out.csv'}"]) == 0
        tables.append(pd.read_csv(tmp_path / "out.csv"))
    columns = ["cell_id", "drug_id", "neg_log10_ic50_um", "ic50_um", "rank_in_drug"]
    pd.testing.assert_frame_equal(tables[0][columns], tables[1][columns])
    assert "low_90" not in tables[1]
    assert "no errors on held-out lines and drugs are at hand" in capsys.readouterr().err


def test_nothing_asked_for_and_impossible_outputs_are_one_line(
    calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused([f"run={calibrated}"], "pairs is required.*drugs=all", capsys)
    refused([f"run={calibrated}", "drugs=all", "page=page.pdf"], "must end in .html", capsys)
    refused([f"run={calibrated}", "drugs=[nobody knows this]"], "drugs that are not known", capsys)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction_figures, "MOST_FIGURES", 2)
        out = f"out={tmp_path / 'out.csv'}"
        refused([f"run={calibrated}", "drugs=all", out, f"figures={tmp_path / 'f'}"], "at most 2 are drawn", capsys)
