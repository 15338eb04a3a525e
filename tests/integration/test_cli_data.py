"""``dadsp data``: what is described is what is there; simulated files read back to the same study."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from dadsp.cli.configuration import build, compose
from dadsp.cli.main import main
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
