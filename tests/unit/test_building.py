"""What a configuration may build."""

import inspect
import pkgutil
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

import dadsp.data
import dadsp.drugs
import dadsp.models
from dadsp.building import REGISTERED, build, check, registered
from dadsp.configuration.folder import conf_folder
from dadsp.data.alignment.base import Alignment
from dadsp.data.alignment.bridge import Auto
from dadsp.data.sources.response_file import ResponseFile
from dadsp.data.sources.tidy_files import CellFile, DrugFile, ExpressionFile
from dadsp.drugs.features import DrugFeatures
from dadsp.drugs.morgan import Morgan
from dadsp.errors import ConfigError, LoadError
from dadsp.models.base import Predictor
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.models.systems.naive import Naive
from dadsp.runs.folder import RunFolder
from tests.support.planted import planted_configs, targets

KINDS: dict[str, type] = {
    "model": Predictor,
    "drug_features": DrugFeatures,
    "alignment": Alignment,
    "expression": ExpressionFile,
    "responses": ResponseFile,
    "drugs": DrugFile,
    "cells": CellFile,
}
MODEL = {"_target_": "dadsp.models.systems.naive.Naive", "effects": "mean"}
CONFIG: dict[str, Any] = {
    "model": MODEL,
    "data": {"_target_": "dadsp.data.sources.simulated.simulated_study", "seed": 1},
    "split": {"_target_": "dadsp.splits.cross_screen.cross_screen", "val_fraction": 0.1},
    "trainer": {"max_epochs": 2},
    "tracking": {"enabled": False},
    "seed": 0,
}


def concrete(kind: type) -> set[str]:
    """Every class of dadsp below ``kind``, itself among them, that can be made."""
    found, waiting = set(), [kind]
    while waiting:
        each = waiting.pop()
        waiting += each.__subclasses__()
        if not inspect.isabstract(each) and not each.__name__.startswith("_") and each.__module__.startswith("dadsp."):
            found.add(f"{each.__module__}.{each.__qualname__}")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_class_of_a_kind_is_registered_and_nothing_else(kind: str) -> None:
    for package in (dadsp.models, dadsp.drugs, dadsp.data):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    assert set(REGISTERED[kind]) == concrete(KINDS[kind])


@pytest.mark.parametrize(("kind", "target"), [(kind, name) for kind, names in REGISTERED.items() for name in names])
def test_every_registered_name_is_that_of_what_it_builds(kind: str, target: str) -> None:
    found: Any = registered(kind, target)
    assert f"{found.__module__}.{found.__qualname__}" == target


def test_every_target_of_the_shipped_configuration_is_registered() -> None:
    known = {name for names in REGISTERED.values() for name in names}
    for path in conf_folder().rglob("*.yaml"):
        for name in _targets(yaml.safe_load(path.read_text(encoding="utf-8"))):
            assert name in known or name.startswith("hydra_plugins."), path


def _targets(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["_target_"]] if "_target_" in node else []
        return own + [name for value in node.values() for name in _targets(value)]
    return [name for value in node for name in _targets(value)] if isinstance(node, list) else []


def test_parts_are_built_before_the_whole() -> None:
    node = {
        "_target_": "dadsp.models.systems.dadsp_a.DadspA",
        "drug_features": {"_target_": "dadsp.drugs.morgan.Morgan", "bits": 64},
        "alignment": {"_target_": "dadsp.data.alignment.bridge.Auto"},
    }
    model = build(node, "model")
    assert isinstance(model, DadspA)
    assert model.drug_features == Morgan(bits=64)
    assert isinstance(model.alignment, Auto)


def test_a_study_behind_a_cache_is_built_when_the_cache_asks() -> None:
    later = build(CONFIG["data"] | {"_partial_": True, "_convert_": "all"}, "study")  # as older versions wrote it
    assert isinstance(later, partial)
    assert later.keywords == {"seed": 1}


@pytest.mark.parametrize(
    ("node", "where", "message"),
    [
        ({"effects": "mean"}, "model", "model has no _target_"),
        (None, "model", "model has no _target_"),
        (
            {**MODEL, "_target_": "dadsp.models.systems.naive.Nave"},
            "model",
            "Did you mean 'dadsp.models.systems.naive.Naive'",
        ),
        ({**MODEL, "_target_": ["dadsp.models.systems.naive.Naive"]}, "model", "is none that dadsp builds here"),
        ({"_target_": "dadsp.drugs.morgan.Morgan"}, "model", "is none that dadsp builds here"),
        (MODEL, "data.source.name", "nothing is built at this place"),
        ({**MODEL, "effect": "mean"}, "model", "model.effect is not a known key. Did you mean 'effects'"),
        ({**MODEL, "_recursive_": False}, "model", "model._recursive_ has no use here"),
        ({**MODEL, "_partial_": True}, "model", "model._partial_ has no use here"),
        ({**MODEL, "_convert_": "none"}, "model", "model._convert_ has no use here"),
        ({"_target_": "dadsp.splits.store.saved"}, "split", "split.path is required. Set it: split.path=…"),
    ],
)
def test_what_is_not_built_says_why(node: Any, where: str, message: str) -> None:
    passed = {"study": None, "seed": 0} if where == "split" else {}
    with pytest.raises(ConfigError, match=message.replace(".", r"\.").replace("[", r"\[")):
        build(node, where, **passed)


def test_a_wrong_part_is_found_before_the_right_one_beside_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(Naive, "__init__", lambda self, **options: made.append(options))
    with pytest.raises(ConfigError, match=r"model\.labels\.0\._target_=os\.mkdir: nothing is built"):
        build({**MODEL, "labels": [{"_target_": "os.mkdir"}]}, "model")
    assert made == []


def test_a_whole_configuration_may_lack_what_is_passed_later() -> None:
    check(CONFIG, "")


@pytest.mark.parametrize("number", range(30))
def test_no_planted_target_of_a_run_folder_is_read_as_anything_but_an_error(number: int, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    node = targets(canary)[number]
    texts = dict(planted_configs(CONFIG, node))
    assert len(texts) > 70
    for form, text in texts.items():
        (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(LoadError):
            RunFolder(tmp_path).buildable_settings()
        assert not canary.exists(), form


def test_the_planted_targets_would_work_if_they_were_called(tmp_path: Path) -> None:
    """The fuzz is worth nothing if its targets are harmless."""
    working = 0
    for number in range(30):
        canary = tmp_path / f"canary{number}"
        _call(targets(canary)[number])
        working += canary.exists()
    assert working >= 25


def _call(node: dict[str, Any]) -> Any:
    """Resolves and calls as an unguarded loader would."""
    arguments = dict(node)
    path = str(arguments.pop("_target_")).split(".")
    given = [_call(each) if isinstance(each, dict) else each for each in arguments.pop("_args_", [])]
    try:
        result = _resolved(path)(*given, **arguments)
        for finish in ("wait", "close"):
            if hasattr(result, finish):
                getattr(result, finish)()
    except Exception:  # not every one works in every version
        return None
    return result


def _resolved(path: list[str]) -> Any:
    for length in range(len(path) - 1, 0, -1):
        try:
            found: Any = import_module(".".join(path[:length]))
        except ImportError:
            continue
        for part in path[length:]:
            found = getattr(found, part)
        return found
    raise ImportError(path)


@pytest.mark.parametrize("old", ["dadsp.models.naive.Naive", "dadsp.models.systems.naive.Naive"])
def test_names_of_earlier_versions_still_build(old: str) -> None:
    assert type(build({**MODEL, "_target_": old}, "model")).__module__ == "dadsp.models.systems.naive"
