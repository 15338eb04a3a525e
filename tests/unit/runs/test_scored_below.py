"""Scored run folders below others, for the scripts that collect results."""

from pathlib import Path

import pandas as pd
import pytest

from dadsp.errors import ConfigError, LoadError
from dadsp.files import write_json
from dadsp.runs.collection import own_row, row_identity, scored_below
from dadsp.runs.folder import COMPARISON, DATA_FACTS, RESULTS, RunFolder
from dadsp.runs.identity import SUPERSEDED


def test_finished_folders_are_found_at_any_depth_but_not_those_that_a_sweep_replaced(tmp_path: Path) -> None:
    for name in ("a", "sweep/b", f"sweep/{SUPERSEDED}/c"):
        write_json(tmp_path / name / RESULTS, {})
    (tmp_path / "unfinished").mkdir()
    assert {folder.path.name for folder in scored_below([tmp_path])} == {"a", "b"}
    with pytest.raises(ConfigError, match="no finished run"):
        scored_below([tmp_path / "unfinished"])


def test_own_row_is_the_systems_and_a_naive_run_or_a_damaged_one_is_one_error(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(LoadError, match="does not hold a complete run"):
        own_row(folder)
    naive = pd.DataFrame([{"system": "source mean", "kind": "naive_source", "rmse": 0.9}])
    naive.to_csv(tmp_path / COMPARISON, index=False)
    with pytest.raises(ConfigError, match="a run of a naive predictor"):
        own_row(folder)
    own = pd.DataFrame([{"system": "SLA", "kind": "model", "rmse": 0.6}])
    pd.concat([naive, own]).to_csv(tmp_path / COMPARISON, index=False)
    assert own_row(folder)["system"] == "SLA"


def test_a_row_says_where_it_comes_from_and_not_where_its_folder_lay(tmp_path: Path) -> None:
    run = {
        "seed": 3,
        "cpu.instructions": "AVX2",
        "command": "dadsp train seed=3 runs=/home/me/runs model=sla",
        "data_hash": "d",
        "split_hash": "s",
    }
    write_json(tmp_path / RESULTS, {"run": run})
    write_json(tmp_path / DATA_FACTS, {"source": {"name": "A"}, "target": {"name": "B"}})
    found = row_identity(RunFolder(tmp_path))
    assert (found["study"], found["alignment"], found["seed"]) == ("A → B", "none", 3)
    assert found["cpu.instructions"] == "AVX2"
    assert found["command"] == "dadsp train seed=3 model=sla"
