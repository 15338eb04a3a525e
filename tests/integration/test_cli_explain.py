"""``dadsp explain`` on a tiny finished run: files, figures, checks, choices of lines, and every wrong question."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from sklearn.metrics import roc_auc_score

from dadsp.cli.main import main
from dadsp.configuration.compose import compose
from dadsp.data.sources.simulated import simulated_study
from dadsp.models.base import load_model
from dadsp.schema import Pairs, Study

# Few shuffles and lines, for speed; the smoke run has 60 genes.
TINY = ["attribution.random_lines=3", "shuffles=2", "other_drugs=2", "top=5", "critical_genes=12"]
GMT = "DRIVERS\tplanted\t{drivers}\nOTHERS\tnot\tG00001\tG00002\tG00003\tG00004\tG00005\tNOT_MEASURED\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two finished runs of the same system on the same data, from seeds 0 and 1."""
    folder = tmp_path_factory.mktemp("explain") / "runs"
    for seed in (0, 1):
        assert main(["train", "experiment=smoke", "tracking=none", f"runs={folder}", f"seed={seed}"]) == 0
    first, second = sorted(path.parent for path in folder.glob("*/metrics.json"))
    return first, second


@pytest.fixture(scope="module")
def study() -> Study:
    """The data of the runs."""
    settings = OmegaConf.to_container(compose("config", ["experiment=smoke"]).data)
    assert isinstance(settings, dict)
    return simulated_study(**{str(key): value for key, value in settings.items() if not str(key).startswith("_")})


@pytest.fixture(scope="module")
def explained(
    runs: tuple[Path, Path], study: Study, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A whole explanation and what it printed as JSON."""
    folder = tmp_path_factory.mktemp("explained")
    drug = study.target.drugs.ids[0]
    (folder / "mini.gmt").write_text(GMT.format(drivers="\t".join(study.target.truth["causal_genes"][drug])))
    arguments = [f"run={runs[0]}", f"runs=[{runs[1]}]", f"drug={drug}", f"gene_sets={folder / 'mini.gmt'}"]
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("builtins.print", lambda text, **kwargs: printed.append(text))
        assert main(["explain", *arguments, *TINY, f"out={folder / 'out'}", "--json"]) == 0
    return folder / "out", json.loads(printed[-1])


def test_explanation_leaves_every_table_and_figure_it_names(explained: tuple[Path, dict[str, Any]]) -> None:
    out, facts = explained
    assert {path.name for path in out.iterdir()} == {*facts["files"], "explanation.json"}
    of_genes = {"top_genes.png", "enrichment_mini.png"} if facts["gate"]["open"] else set()
    assert {name for name in facts["files"] if name.endswith(".png")} == {"agreement.png", "drug_atoms.png", *of_genes}
    assert (facts["options"]["top"], facts["options"]["attribution"]["random_lines"]) == (5, 3)
    assert json.loads((out / "explanation.json").read_text()) == {k: v for k, v in facts.items() if k != "folder"}


def test_the_other_drugs_compared_with_are_named(explained: tuple[Path, dict[str, Any]], study: Study) -> None:
    others = explained[1]["other_drugs"]
    assert len(set(others)) == 2
    assert set(others) <= set(study.target.drugs.names[1:])


def test_lines_are_those_of_highest_predicted_potency(
    explained: tuple[Path, dict[str, Any]], runs: tuple[Path, Path], study: Study
) -> None:
    out, facts = explained
    n = len(study.target.cells)
    predicted = load_model(runs[0] / "model").predict(
        Pairs(study.target, "target", np.arange(n), np.zeros(n, dtype=np.int64))
    )
    best = np.argsort(-predicted)[:3]
    assert facts["lines"] == [study.target.cells.ids[row] for row in best]
    lines = pd.read_csv(out / "lines.csv").query("baseline == 'zero'")
    assert lines["predicted"].to_numpy() == pytest.approx(predicted[best], abs=1e-5)


def test_tables_agree_with_each_other_and_add_up(explained: tuple[Path, dict[str, Any]]) -> None:
    out, facts = explained
    every = pd.read_parquet(out / "attributions.parquet")
    lines = pd.read_csv(out / "lines.csv").set_index(["baseline", "cell_id"])
    sums = every.groupby(["baseline", "cell_id"])["attribution"].sum()
    explained_difference = lines["predicted"] - lines["baseline_predicted"]
    assert (sums - explained_difference).abs().max() < facts["completeness"]["tolerance"]
    top = pd.read_csv(out / "top_genes.csv")
    shown = every.query("baseline == 'zero'").set_index(["cell_id", "gene"])["attribution"]
    for name, genes in top.groupby("cell_id"):
        assert genes["gene"].tolist() == shown.loc[name].abs().nlargest(5).index.tolist()
    atoms, bits = pd.read_csv(out / "drug_atoms.csv"), pd.read_csv(out / "drug_bits.csv")
    assert atoms["attribution"].sum() == pytest.approx(bits["attribution"].sum(), abs=1e-5)


def test_agreement_covers_baselines_runs_drugs_and_shuffled_weights(explained: tuple[Path, dict[str, Any]]) -> None:
    out, facts = explained
    rows = pd.read_csv(out / "agreement.csv").groupby(["comparison", "other"]).size()
    assert rows.to_dict() == {
        ("baseline", "mean_line"): 3,
        ("baseline", "random_lines"): 3,
        ("run", "DADSP-A seed 1"): 3,
        ("drug", "other drugs"): 6,
        ("weights", "shuffled"): 6,
    }
    assert facts["randomisation"]["passed"] == (facts["randomisation"]["mean_abs_spearman"] < 0.3)


def test_planted_genes_of_the_simulation_are_scored(explained: tuple[Path, dict[str, Any]], study: Study) -> None:
    out, facts = explained
    planted = study.target.truth["causal_genes"][facts["drug"]["id"]]
    every = pd.read_parquet(out / "attributions.parquet").query("baseline == 'zero'")
    expected = [
        roc_auc_score(genes["gene"].isin(planted), genes["attribution"].abs())
        for _, genes in every.groupby("cell_id", sort=False)
    ]
    assert facts["planted_genes"]["genes"] == len(planted)
    assert facts["planted_genes"]["auroc"] == pytest.approx(np.mean(expected), abs=1e-6)


def test_gate_stands_in_tables_and_facts(explained: tuple[Path, dict[str, Any]]) -> None:
    out, facts = explained
    every, top = pd.read_csv(out / "gate.csv").set_index("gene"), pd.read_csv(out / "top_genes.csv")
    assert len(every) == 60
    assert every.index[every["named"]].tolist() == facts["gate"]["named"]
    assert top["named"].tolist() == every.loc[top["gene"], "named"].tolist()
    assert top["p_null"].tolist() == pytest.approx(every.loc[top["gene"], "p"].tolist())
    assert facts["gate"]["smallest_p"] == pytest.approx(every["p"].min())
    labels = pd.read_parquet(Path(facts["run"]) / "predictions.parquet")
    assert facts["gate"]["held_out"]["labels"] >= (labels["drug_id"] == facts["drug"]["id"]).sum() - 9


def test_model_that_learned_nothing_names_and_draws_no_gene(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "g.gmt").write_text(GMT.format(drivers="\t".join(f"G000{number}" for number in range(20, 30))))
    arguments = ["explain", f"run={runs[0]}", "drug=TD001", *TINY, "gate.equal=1e-9", f"out={tmp_path / 'out'}"]
    assert main([*arguments, f"gene_sets={tmp_path / 'g.gmt'}"]) == 0
    printed = capsys.readouterr().out
    assert "genes          this model ranks no genes for this drug: " in printed
    assert "g: no gene sets, since no genes are ranked" in printed
    assert "G0" not in printed
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"agreement.png", "drug_atoms.png"}
    assert not pd.read_csv(tmp_path / "out" / "top_genes.csv")["named"].any()


def test_enrichment_is_against_the_genes_of_the_study(explained: tuple[Path, dict[str, Any]]) -> None:
    out, facts = explained
    table = pd.read_csv(out / "enrichment_mini.csv")
    assert table["genes_of"].unique().tolist() == ["mean over lines", *facts["lines"]]
    assert (table["background_genes"] == 60).all()
    assert (table["critical_genes"] == 12).all()
    assert set(table.loc[table["gene_set"] == "OTHERS", "outside_background"]) == {1}


def test_gene_sets_are_told_without_empty_brackets(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "g.gmt").write_text(GMT.format(drivers="\t".join(f"G000{number}" for number in range(20, 30))))
    arguments = [
        "explain",
        f"run={runs[0]}",
        "drug=TD001",
        *TINY,
        "gate.alpha=0.99",
        "gate.equal=1",
        f"out={tmp_path / 'out'}",
    ]
    assert main([*arguments, f"gene_sets={tmp_path / 'g.gmt'}"]) == 0
    told = re.findall(r"^  (.*): (\d) with adjusted p < 0\.05(.*)$", capsys.readouterr().out, re.MULTILINE)
    assert len(told) == 1 + 3
    assert all((brackets == "") == (number == "0") for _, number, brackets in told)


def test_named_lines_of_the_source_and_a_drug_by_its_name(
    runs: tuple[Path, Path], study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    name, only_there = next(
        (name, number) for number, name in enumerate(study.source.drugs.names) if name not in study.target.drugs.names
    )
    wanted = [study.source.cells.ids[row] for row in (7, 2)]
    arguments = [f"run={runs[0]}", f"drug='{name.upper()}'", f"lines=[{','.join(wanted)}]", "domain=source", *TINY]
    assert main(["explain", *arguments, "attribution.baselines=[mean_line]"]) == 0
    printed = capsys.readouterr().out
    (folder,) = [path for path in (runs[0] / "explain").iterdir() if study.source.drugs.ids[only_there] in path.name]
    facts = json.loads((folder / "explanation.json").read_text())
    assert (facts["lines"], facts["chosen"], facts["screen"]) == (wanted, "named", "simulated source")
    assert "compared with mean_line" in printed
    assert re.search(r"completeness .* tolerance 0\.001", printed)
    assert f"written to {folder}" in printed


def test_explanation_replaces_the_one_before_and_nothing_else(runs: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (tmp_path / "g.gmt").write_text(GMT.format(drivers="\t".join(f"G000{number}" for number in range(20, 30))))
    arguments = ["explain", f"run={runs[0]}", "drug=TD001", *TINY, f"out={out}"]
    assert main([*arguments, f"gene_sets=[{tmp_path / 'g.gmt'}]"]) == 0
    assert (out / "enrichment_g.csv").exists()
    assert main(arguments) == 0
    assert not (out / "enrichment_g.csv").exists()
    assert (out / "notes.txt").read_text() == "mine"


def test_drug_features_without_atoms_are_skipped_with_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "experiment=smoke", "tracking=none", "drug_features=ssp", "model.pretraining=null"]
    assert main([*train, "trainer.max_epochs=1", f"runs={tmp_path}"]) == 0
    (folder,) = (path.parent for path in tmp_path.glob("*/metrics.json"))
    assert main(["explain", f"run={folder}", "drug=TD001", *TINY]) == 0
    assert "drug atoms     skipped: the run's drug features are no Morgan fingerprints" in capsys.readouterr().out
    assert not list(folder.rglob("drug_atoms*"))


def refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["explain", *arguments]) == 2
    printed = capsys.readouterr().err
    assert re.search(message, printed), printed
    assert printed.count("\n") == 1


def test_wrong_questions_are_one_line(runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = f"run={runs[0]}"
    known = [run, "drug=TD001"]
    refused(["drug=TD001"], "run is required", capsys)
    refused([run], "drug is required", capsys)
    refused([run, "drug=TD01"], r"drug=TD01 is neither id nor name of a drug", capsys)
    refused([*known, "lines=[TC0001,NOBODY]"], r"1 of 2 lines are not in simulated target \(e\.g\. NOBODY\)", capsys)
    refused([*known, "lines=[TC0001]", "most_sensitive=2"], "Give one of them", capsys)
    refused([*known, "lines=[]"], "is empty or names a line twice", capsys)
    refused([*known, "lines=[TC0001,TC0001]"], "is empty or names a line twice", capsys)
    refused([*known, "most_sensitive=0"], "most_sensitive=0 is not valid", capsys)
    refused([*known, "most_sensitive=25"], "has 24 lines", capsys)
    refused([*known, "domain=tagret"], "Did you mean 'target'", capsys)
    refused([*known, "attribution.steps=1"], r"attribution\.steps=1 is not valid", capsys)
    refused([*known, "attribution.max_steps=2", "attribution.steps=2", "attribution.tolerance=1e-12"], "Raise attr", capsys)
    refused([*known, "gate.draws=20"], r"draws=20 can give no p value of alpha=0\.025\. Take 39 or more", capsys)
    refused([*known, f"runs=[{runs[0]}]"], "is the explained run itself", capsys)
    refused([*known, f"runs=[{runs[1]},{runs[1]}]"], "is a second run of DADSP-A seed 1", capsys)
    refused([*known, f"runs=[{tmp_path}]"], r"runs=\S+ holds no finished run", capsys)
    refused([f"run={tmp_path}", "drug=TD001"], r"run=\S+ holds no finished run", capsys)
    refused([*known, f"gene_sets={tmp_path / 'nowhere.gmt'}"], "cannot be read", capsys)
    (tmp_path / "empty.gmt").write_text("")
    refused([*known, f"gene_sets={tmp_path / 'empty.gmt'}"], "holds no gene set", capsys)
    (tmp_path / "bad.gmt").write_text("A B C\n")
    refused([*known, f"gene_sets={tmp_path / 'bad.gmt'}"], "line 1: 'A B C' is no gene set", capsys)
    (tmp_path / "other.gmt").write_text("A\tx\tENSG1\tENSG2\n")
    refused([*known, f"gene_sets={tmp_path / 'other.gmt'}", *TINY], "in the study's nomenclature", capsys)
    refused([*known, f"gene_sets=[{tmp_path / 'bad.gmt'},{tmp_path / 'x' / 'bad.gmt'}]"], "names two files alike", capsys)
    assert not (runs[0] / "explain" / "TD001").exists()


def test_run_that_did_not_finish_or_has_no_gradient_is_refused(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs[0], tmp_path / "killed")
    (tmp_path / "killed" / "metrics.json").unlink()
    refused([f"run={tmp_path / 'killed'}", "drug=TD001"], "holds no finished run", capsys)
    train = ["train", "data=simulated_tiny", "model=naive_drug_mean", "tracking=none", f"runs={tmp_path / 'naive'}"]
    assert main(train) == 0
    (naive,) = (path.parent for path in (tmp_path / "naive").glob("*/metrics.json"))
    refused([f"run={naive}", "drug=TD001"], "has no gradients to integrate", capsys)


def test_runs_on_other_data_are_refused(runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(runs[1], tmp_path / "other")
    metrics = json.loads((tmp_path / "other" / "metrics.json").read_text())
    metrics["run"]["data_hash"] = "another"
    (tmp_path / "other" / "metrics.json").write_text(json.dumps(metrics))
    refused([f"run={runs[0]}", "drug=TD001", f"runs=[{tmp_path / 'other'}]"], "was trained on other data", capsys)
