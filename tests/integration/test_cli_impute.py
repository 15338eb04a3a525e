"""``dadsp impute`` on one small run."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dadsp.cli.main import main
from dadsp.cli.places import open_run
from dadsp.schema import Pairs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("impute") / "runs"
    assert main(["train", "experiment=smoke", "tracking=none", "split.val_fraction=0.3", f"runs={runs}"]) == 0
    return next(path.parent for path in runs.glob("*/metrics.json"))


def test_target_pairs_are_predicted_written_and_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["impute", f"run={run}"]) == 0
    printed = capsys.readouterr().out
    out = run / "impute" / "target"
    assert sorted(path.name for path in out.iterdir()) == [
        "back_test.csv",
        "coverage.csv",
        "coverage.png",
        "drug_ranking.csv",
        "drug_ranking.png",
        "impute.json",
        "missing_pairs.csv",
    ]
    facts, pairs = json.loads((out / "impute.json").read_text()), pd.read_csv(out / "missing_pairs.csv")
    assert facts["n_pairs"] == len(pairs)
    for told in (f"{len(pairs)} unmeasured pairs", "held-out", f"{facts['interval']['coverage_target']:.1%}", "Back-test"):
        assert told in printed
    opened = open_run(run)
    screen = opened.study.target
    rows = [pd.Index(ids).get_indexer(pd.Index(pairs[key])) for key, ids in
            (("cell_id", screen.cells.ids), ("drug_id", screen.drugs.ids))]  # fmt: skip
    again = opened.model.predict(Pairs(screen, "target", *rows))
    np.testing.assert_allclose(pairs["neg_log10_ic50_um"], again, atol=1e-6)


def test_source_pairs_go_where_they_are_told_in_the_format_asked_for(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "findings"
    arguments = ["impute", f"run={run}", f"out={out}", "domain=source", "format=parquet", "top=2", "alpha=0.3", "--json"]
    assert main(arguments) == 0
    facts = json.loads(capsys.readouterr().out)
    pairs = pd.read_parquet(out / "missing_pairs.parquet")
    assert facts["out"] == str(out)
    assert facts["n_pairs"] == len(pairs) > 0
    assert facts["interval"]["nominal"] == pytest.approx(0.7)
    assert facts["interval"]["coverage_source"] is not None
    assert pairs["cell_id"].str.startswith(open_run(run).study.source.cells.ids[0][:1]).all()


def test_drugs_of_the_other_screen_are_marked_never_measured(run: Path, tmp_path: Path) -> None:
    assert main(["impute", f"run={run}", f"out={tmp_path}", "drugs=both"]) == 0
    pairs = pd.read_csv(tmp_path / "missing_pairs.csv")
    source = open_run(run).study.source.name
    added = pairs["drug_id"].str.startswith(f"{source}:")
    assert added.any()
    assert (added == ~pairs["drug_measured"]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["alpha=0"], r"alpha=0 is not valid"),
        (["alpha=1"], r"alpha=1 is not valid"),
        (["alpha=0.05"], r"alpha=0\.05 needs 19 held-out lines.* there are 12\. Set alpha to 0\.077"),
        (["domain=tagret"], r"domain='tagret' is not a valid choice.*'target'"),
        (["drugs=all"], r"drugs='all' is not a valid choice"),
        (["top=0"], r"top=0 is not valid"),
        (["percentile=100"], r"percentile=100 is not valid"),
        (["alpa=0.1"], r"alpa is not a known key.*'alpha'"),
    ],
)
def test_impossible_options_are_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    refused([f"run={run}", f"out={tmp_path / 'out'}", *arguments], message, capsys)
    assert not (tmp_path / "out").exists()


def test_run_that_is_none_is_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused([f"run={tmp_path / 'nowhere'}"], r"holds no finished run", capsys)
    refused([], r"run is required", capsys)
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run, unfinished)
    (unfinished / "metrics.json").unlink()
    refused([f"run={unfinished}"], r"holds no finished run", capsys)


def refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["impute", *arguments]) == 2
    printed = capsys.readouterr().err
    assert re.search(message, printed), printed
    assert printed.count("\n") == 1
