"""``dadsp data``: what is described is what is there; simulated files read back to the same study."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from dadsp.cli.main import main
from dadsp.configuration.compose import build, compose
from dadsp.data.sources.tidy import tidy_study
from dadsp.data.tidy_writer import CONFIG_NAME


def test_describe_prints_counts_and_naive_rows_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "describe", "data=simulated_tiny", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    study = build(compose("config", ["data=simulated_tiny"]).data, "data")
    assert facts["content_hash"] == study.content_hash
    assert facts["source"]["pairs"] == len(study.source.responses)
    assert facts["target"]["censored_share"] == pytest.approx(study.target.responses.censored.mean())
    naive = {row["name"]: row for row in facts["naive"]}
    assert naive["oracle target mean"]["rmse"] == pytest.approx(study.target.responses.potency.std(), rel=1e-5)
    error = study.target.responses.potency - study.source.responses.potency.mean()
    assert naive["source mean (capped labels)"]["rmse"] == pytest.approx(float(np.sqrt(np.mean(error**2))), rel=1e-5)


def test_describe_is_readable_in_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "describe", "data=simulated_tiny"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 120
    assert "labels at the cap" in shown
    assert "oracle target drug mean" in shown


def test_concordance_prints_and_writes_what_the_screens_agree_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "agreement"
    assert main(["data", "concordance", "data=simulated_tiny", f"out={out}", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    drugs, genes = (pd.read_csv(out / f"concordance_{name}.csv") for name in ("drugs", "genes"))
    assert printed["shared_lines"] == 14
    assert [row["drug_id"] for row in printed["per_drug"]] == drugs["drug_id"].tolist()
    assert len(drugs) == printed["shared_drugs"] == 4
    judged = drugs[drugs["r"].notna() & (drugs["n"] >= 10)]
    assert len(judged) > 0
    assert printed["drugs"]["median"]["r_raw"] == pytest.approx(judged["r_raw"].median())
    assert len(genes) == printed["genes"]["n"] == 60
    assert printed["genes"]["r"]["median"] == pytest.approx(genes["r"].median())
    facts = json.loads((out / "concordance.json").read_text())
    assert {**facts, "per_drug": printed["per_drug"], "out": str(out)} == printed
    assert (out / "concordance.png").read_bytes().startswith(b"\x89PNG")


def test_concordance_is_readable_in_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "concordance", "data=simulated_tiny"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 120
    for word in ("r unclipped", "Verdict", "median of", "label ceiling", "Spearman", "lowest r"):
        assert word in shown


def test_concordance_of_screens_without_a_shared_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "concordance", "data=simulated_tiny", "data.n_shared_cells=0"]) == 2
    printed = capsys.readouterr().err
    assert "share no cell line" in printed
    assert printed.count("\n") == 1


def test_simulated_files_read_back_to_the_same_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "screens"
    assert main(["data", "simulate", "data=simulated_tiny", f"out={out}", "--json"]) == 0
    study = build(compose("config", ["data=simulated_tiny"]).data, "data")
    assert json.loads(capsys.readouterr().out)["data_hash"] == study.content_hash
    options = yaml.safe_load((out / "conf" / "data" / f"{CONFIG_NAME}.yaml").read_text())
    options = {key: value for key, value in options.items() if not key.startswith("_")} | {"root": str(out)}
    again = tidy_study(**options)
    for ours, theirs in ((study.source, again.source), (study.target, again.target)):
        assert np.array_equal(ours.cells.expression, theirs.cells.expression)
        assert ours.responses.potency == pytest.approx(theirs.responses.potency, abs=1e-6)
        assert np.array_equal(ours.responses.censored, theirs.responses.censored)
        assert ours.line_keys == theirs.line_keys
        assert ours.drug_keys == theirs.drug_keys
    described = ["data", "describe", "--config-dir", str(out / "conf"), f"data={CONFIG_NAME}", f"data.root={out}", "--json"]
    assert main(described) == 0
    assert json.loads(capsys.readouterr().out)["source"]["pairs"] == len(study.source.responses)
    truth = json.loads((out / "source" / "truth.json").read_text())
    assert truth["causal_genes"] == {drug: list(genes) for drug, genes in study.source.truth["causal_genes"].items()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["describ"], "Did you mean 'describe'"),
        (["describe", "data=simulatd"], "Did you mean 'simulated'"),
        (["concordanc"], "Did you mean 'concordance'"),
        (["concordance", "data=simulated_tiny", "out="], "out is given once"),
        (["concordance", "data=simulated_tiny", "--lines"], "--lines is not an option of dadsp data concordance"),
        (["describe", "--jsn"], "--jsn is not an option"),
        (["simulate", "data=simulated_tiny"], "out is required"),
        (["simulate", "data=simulated_tiny", "out=."], "exists already"),
        (["describe", "data=simulated_tiny", "data.n_shared_cells=1000"], "n_shared_cells"),
        (["describe", "data=simulated_tiny", "+data.n_cell=3"], "n_cell is not a known key"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", *arguments]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
