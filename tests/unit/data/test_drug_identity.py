"""Drugs told by their parents or as written: across screens, in sources, in caches, models, runs and users' tables."""

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dadsp.configuration.compose import compose, settings_hash
from dadsp.data.cache import cached_study, keep_study, kept_study, why_rebuild
from dadsp.data.combine import combined
from dadsp.data.describe import describe
from dadsp.data.drug_tables import told_drugs
from dadsp.data.matching import Pool
from dadsp.data.new_pairs import read_pairs
from dadsp.data.sources.tidy import tidy_study
from dadsp.data.table_files import Frame
from dadsp.errors import ConfigError
from dadsp.files import read_json, write_json
from dadsp.models.base import load_model, save_model
from dadsp.models.systems.naive import Naive
from dadsp.plain_yaml import plain_yaml
from dadsp.runs.folder import RunFolder
from dadsp.schema import Drugs, Identity, Screen
from dadsp.served_model import load_screens, save_screens
from dadsp.splits.cross_screen import cross_screen
from tests.support.raw_files import edit, write_panel
from tests.support.studies import small_screen, small_study

ERLOTINIB = "COCCOc1cc2ncnc(Nc3cccc(C#C)c3)c2cc1OCCOC"
SALT = f"{ERLOTINIB}.Cl"


def screen_of(name: str, smiles: list[str], identity: Identity) -> Screen:
    screen = small_screen(name, n_cells=6, n_drugs=len(smiles), n_genes=3, seed=1, links=6)
    ids = tuple(f"{name}-{row}" for row in range(len(smiles)))
    return replace(screen, drugs=told_drugs(ids, ids, tuple(smiles), (None,) * len(ids), identity))


def panel_with_salt(root: Path) -> dict[str, Any]:
    """Both screens hold pyridine, the source as its hydrochloride."""
    options = write_panel(root)
    edit(root / "source" / "drugs.csv", "c1ccccc1", "c1ccncc1.Cl")
    edit(root / "target" / "drugs.csv", "c1ccccc1", "Cc1ccccc1")
    return options


def test_by_default_a_salt_and_its_parent_are_one_drug_across_screens_and_features_keep_the_salt(tmp_path: Path) -> None:
    study = tidy_study(**panel_with_salt(tmp_path))
    assert study.source.drugs.identity == study.target.drugs.identity == "parent"
    assert describe(study)["overlap"]["labelled_target_drugs"] == 2  # ethanol and pyridine
    assert "c1ccncc1.Cl" in study.source.drugs.smiles


@pytest.mark.parametrize("screen", ["source", "target"])
def test_screens_that_tell_drugs_by_different_rules_are_refused(tmp_path: Path, screen: str) -> None:
    options = panel_with_salt(tmp_path)
    options[screen]["drugs"]["identity"] = "exact"
    rules = "SRC by exact, TGT by parent" if screen == "source" else "SRC by parent, TGT by exact"
    with pytest.raises(ConfigError, match=rf"{rules}.*Set drugs\.identity alike in all of them"):
        tidy_study(**options)


def test_told_as_written_they_are_two_and_the_hash_is_that_of_earlier_versions(tmp_path: Path) -> None:
    options = panel_with_salt(tmp_path)
    parent = tidy_study(**options)
    for side in ("source", "target"):
        options[side]["drugs"]["identity"] = "exact"
    exact = tidy_study(**options)
    assert describe(exact)["overlap"]["labelled_target_drugs"] == 1
    assert exact.content_hash != parent.content_hash
    without = write_panel(tmp_path / "plain")  # no salt in it: both rules are one
    written = {
        side: without[side] | {"drugs": without[side]["drugs"] | {"identity": "exact"}} for side in ("source", "target")
    }
    assert tidy_study(**without).content_hash == tidy_study(**without | written).content_hash


def test_sources_merge_a_salt_and_its_parent_and_refuse_two_rules() -> None:
    one, other = screen_of("A", [ERLOTINIB, "CCO"], "parent"), screen_of("B", [SALT, "CCN"], "parent")
    other = replace(other, cells=one.cells)
    joined = combined([one, other], "prefer")
    assert joined.drugs.smiles == (ERLOTINIB, "CCO", "CCN")
    assert joined.drugs.identity == "parent"
    assert ("drugs under several names taken as one", "A-0 = B-0") in {(note.what, note.examples) for note in joined.notes}
    with pytest.raises(ConfigError, match="A by parent, B by exact"):
        combined([one, replace(other, drugs=screen_of("B", [SALT, "CCN"], "exact").drugs)], "prefer")


def test_a_cache_keeps_the_rule(tmp_path: Path) -> None:
    options = panel_with_salt(tmp_path)
    made = cached_study(tmp_path / "cache", functools.partial(tidy_study, **options))
    for study in (made, cached_study(tmp_path / "cache", functools.partial(tidy_study, **options))):
        assert study.source.drugs.parents == (None, "c1ccncc1", None)
        assert study.target.drugs.parents == (None, None, None)


@pytest.mark.parametrize(("identity", "found"), [("parent", 0), ("exact", -1)])
def test_a_structure_in_place_of_a_name_is_looked_up_by_the_runs_rule(identity: Identity, found: int) -> None:
    pool = Pool.of([screen_of("A", [ERLOTINIB, "CCO"], identity)])
    assert pool.match([SALT]).rows.tolist() == [found]
    joined, _ = pool.with_structures([SALT])
    assert joined.drugs.identity == identity


@pytest.mark.parametrize("identity", ["parent", "exact"])
@pytest.mark.parametrize("known", [True, False])
def test_a_table_with_the_hydrochloride_is_the_runs_drug_under_its_rule(identity: Identity, known: bool) -> None:
    screen = screen_of("A", [ERLOTINIB, "CCO"], identity)
    lines = pd.DataFrame(screen.cells.expression.astype(np.float64), columns=screen.genes)
    lines.insert(0, "cell_id", list(screen.cells.ids))
    pairs, _, notes = read_pairs(
        Frame("pairs", pd.DataFrame({"cell_id": screen.cells.ids[:1], "drug_id": ["mine"]})),
        expression=Frame("lines", lines),
        drugs=Frame("drugs", pd.DataFrame({"drug_id": ["mine"], "smiles": [f"{SALT} |$;;$|"]})),
        known=[screen] if known else [],
        domain="target",
        identity=identity,
    )
    assert (pairs.screen.drug_keys[0] == screen.drug_keys[0]) == (identity == "parent")
    assert pairs.screen.drugs.smiles == (SALT,)
    assert [note.what for note in notes] == ["SMILES read without a CXSMILES extension"]


def test_a_model_and_its_screens_remember_the_rule(tmp_path: Path) -> None:
    study = small_study()
    told: dict[str, Any] = {
        side: replace(
            screen,
            drugs=told_drugs(screen.drugs.ids, screen.drugs.names, screen.drugs.smiles, screen.drugs.targets, "parent"),
        )
        for side, screen in (("source", study.source), ("target", study.target))
    }
    by_parent = replace(study, **told)
    for each, identity in ((study, "exact"), (by_parent, "parent")):
        model = Naive("drug_mean").fit(each, cross_screen(each, seed=0, val_fraction=0.2))
        save_model(model, tmp_path / identity / "model")
        save_screens(model, each, tmp_path / identity)
        loaded = load_model(tmp_path / identity / "model")
        assert loaded.drug_identity == identity
        assert [screen.drugs.identity for screen in load_screens(loaded, tmp_path / identity)] == [identity, identity]


@pytest.mark.parametrize(("said", "rule"), [({}, "exact"), ({"drug_identity": "parent"}, "parent")])
def test_settings_of_a_run_that_leave_the_rule_out_take_that_of_its_model(
    tmp_path: Path, said: dict[str, str], rule: str
) -> None:
    screen = {"drugs": {"path": "x.csv"}}
    data = {
        "_target_": "dadsp.data.sources.tidy.tidy_study",
        "sources": {"a": screen},
        "target": {"drugs": {"identity": "exact"}},
    }
    (tmp_path / "config.yaml").write_text(plain_yaml({"data": data}))
    assert "identity" not in RunFolder(tmp_path).buildable_settings()["data"]["sources"]["a"]["drugs"]
    (tmp_path / "model").mkdir()
    write_json(tmp_path / "model" / "model.json", said)
    found = RunFolder(tmp_path).buildable_settings()["data"]
    assert found["sources"]["a"]["drugs"]["identity"] == rule
    assert found["target"]["drugs"]["identity"] == "exact"


def test_settings_that_state_the_first_rule_are_those_of_before() -> None:
    node = "data.sources.gdsc2.drugs"
    stated = compose("config", ["data=gdsc12_ccle"])
    left_out = compose(
        "config", ["data=gdsc12_ccle", *(f"~data.{side}.drugs.identity" for side in ("sources.gdsc2", "target"))]
    )
    other = compose("config", ["data=gdsc12_ccle", f"{node}.identity=parent"])
    assert settings_hash(stated) == settings_hash(left_out) != settings_hash(other)


def test_rows_of_a_table_and_joined_tables_keep_the_rule() -> None:
    drugs = told_drugs(("a", "b"), ("a", "b"), (SALT, "CCO"), (None, None), "parent")
    assert drugs.take([1, 0]).told_by == ("CCO", "C#Cc1cccc(Nc2ncnc3cc(OCCOC)c(OCCOC)cc23)c1")
    assert drugs.take([]).identity == "parent"
    assert Drugs.joined(drugs, drugs.take([0])).parents == (*(drugs.parents or ()), (drugs.parents or ())[0])
    exact = told_drugs(("a",), ("a",), (SALT,), (None,), "exact")
    assert exact.take([0]).identity == Drugs.joined(exact, exact).identity == "exact"


def test_a_study_made_in_memory_by_an_earlier_version_opens_and_a_cache_of_raw_files_is_made_anew(tmp_path: Path) -> None:
    study = small_study()
    keep_study(study, tmp_path / "kept")
    options = panel_with_salt(tmp_path)
    read = functools.partial(tidy_study, **options)
    cached_study(tmp_path / "cache", read)
    for name in ("kept", "cache"):
        manifest = read_json(tmp_path / name / "manifest.json")
        write_json(tmp_path / name / "manifest.json", manifest | {"format": 2})
    assert kept_study(tmp_path / "kept", "S", "T").content_hash == study.content_hash
    assert why_rebuild(tmp_path / "cache", read) == "the cache is of another format"
