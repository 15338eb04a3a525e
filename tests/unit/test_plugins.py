"""Who may have code of others imported: the user alone."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dadsp import plugins
from dadsp.building import build, names_of, registered
from dadsp.configuration.compose import compose, plain, settings_hash
from dadsp.configuration.folder import conf_folder
from dadsp.errors import ConfigError, LoadError
from dadsp.evaluation.metric import METRICS
from dadsp.models.base import load_model
from dadsp.provenance import code_hash, packages_hash
from dadsp.runs.folder import RunFolder
from dadsp.runs.identity import identity
from dadsp.schema import Study
from tests.support.guestlab import PARTS
from tests.support.guestlab.metrics import WITHIN_TENFOLD
from tests.support.guests import forget_plugins, install, no_plugins


@pytest.fixture(autouse=True)
def guestlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(plugins.VARIABLE, raising=False)
    install(tmp_path / "site", monkeypatch, guestlab="tests.support.guestlab:register_all", broken="tests.support.nothing")
    with no_plugins():
        yield


@pytest.mark.parametrize("kind", PARTS)
def test_what_a_plugin_registers_is_built_once_it_is_in_use(kind: str) -> None:
    assert registered(kind, PARTS[kind]) is None
    plugins.use("guestlab")
    found = registered(kind, PARTS[kind])
    assert found is not None
    assert f"{found.__module__}.{found.__qualname__}" == PARTS[kind]
    assert PARTS[kind] in names_of(kind)


def test_a_class_is_only_found_under_its_own_kind() -> None:
    plugins.use("guestlab")
    assert registered("drug_features", PARTS["model"]) is None
    with pytest.raises(ConfigError, match="is none that dadsp builds here"):
        build({"_target_": PARTS["model"]}, "drug_features")


def test_a_class_of_others_is_refused_with_a_hint_at_plugins() -> None:
    with pytest.raises(ConfigError, match=r"What others wrote comes with a plug-in: plugins=\[NAME\]"):
        build({"_target_": PARTS["model"]}, "model")


def test_a_module_may_be_the_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other_site").mkdir()
    (tmp_path / "other_site" / "guest_module.py").write_text(
        "from dadsp.plugins import register\n\nclass System: ...\n\nregister('model', System)\n"
    )
    install(tmp_path / "other_site", monkeypatch, module="guest_module")
    plugins.use("module")
    assert registered("model", "guest_module.System") is sys.modules["guest_module"].System


@pytest.mark.parametrize("given", ["plugins=[guestlab]", "plugins=guestlab", "plugins=['guestlab']", None])
def test_the_command_or_the_environment_brings_a_plugin_into_use(given: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if given is None:
        monkeypatch.setenv(plugins.VARIABLE, "guestlab")
    config = compose("config", ["model=guest_ridge", "drug_features=maccs", *([given] if given else [])])
    assert config.plugins == ["guestlab"]
    assert config.model._target_ == PARTS["model"]
    assert type(build(config.model.drug_features, "drug_features")).__name__ == "MaccsKeys"
    assert plugins.versions() == {"version.plugin.guestlab": "guestlab-dist 1.2"}


def test_without_a_plugin_its_choices_are_unknown_and_nothing_is_stated() -> None:
    with pytest.raises(ConfigError, match="model=guest_ridge is not a valid choice"):
        compose("config", ["model=guest_ridge"])
    assert compose("config", []).plugins == []


def test_a_choice_of_a_plugin_does_not_take_the_place_of_one_of_dadsp(tmp_path: Path) -> None:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "linear.yaml").write_text("_target_: os.mkdir\n")
    own = compose("config", ["model=linear"]).model
    plugins.register("conf", tmp_path / "conf")
    assert compose("config", ["model=linear"]).model == own


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("guestlap", r"'guestlap' is not installed here\. Install the package .*Did you mean 'guestlab'"),
        ("broken", r"'broken' \(tests\.support\.nothing\) fails: ModuleNotFoundError"),
    ],
)
def test_a_plugin_that_cannot_be_had_says_how_to_get_it(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plugins.use(name)
    assert plugins.used() == ()


def test_one_name_offered_by_two_packages_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "second", monkeypatch, guestlab="os:getcwd")
    (tmp_path / "second" / "guestlab_dist-1.2.dist-info").rename(tmp_path / "second" / "other-1.dist-info")
    (tmp_path / "second" / "other-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    with pytest.raises(ConfigError, match="Two packages offer a plug-in 'guestlab'"):
        plugins.use("guestlab")


@pytest.mark.parametrize(
    ("kind", "what", "message"),
    [
        ("modle", "mylab.System", "Did you mean 'model'"),
        ("model", "dadsp.models.systems.naive.Naive", "no class or function at the top of a module of its own"),
        ("model", "System", "no class or function at the top of a module of its own"),
        ("model", lambda: None, "no class or function at the top of a module of its own"),
        ("conf", "/no/such/folder", "is no folder"),
    ],
)
def test_what_cannot_be_registered_is_refused(kind: str, what: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plugins.register(kind, what)


def test_a_registered_name_that_leads_nowhere_is_an_error_of_the_plugin() -> None:
    plugins.register("model", "tests.support.guestlab.ridge.Nothing")
    with pytest.raises(ConfigError, match=r"ridge\.Nothing cannot be imported \(.*no attribute 'Nothing'\)"):
        registered("model", "tests.support.guestlab.ridge.Nothing")


def test_a_metric_goes_to_the_metrics() -> None:
    assert WITHIN_TENFOLD.name not in METRICS
    plugins.use("guestlab")
    assert METRICS[WITHIN_TENFOLD.name] is WITHIN_TENFOLD


# Identity

OWN_LAB = """from dadsp.plugins import register
from tests.support.guestlab.studies import two_plates

def study(seed):  # of the lab
    return two_plates(seed)

register("data", study)
"""


def own_lab(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str = OWN_LAB, release: str = "1.2") -> None:
    """The plug-in in a fresh process, with this code."""
    forget_plugins()
    packages_hash.cache_clear()
    sys.modules.pop("own_lab", None)
    if not folder.exists():
        install(folder, monkeypatch, own_lab="own_lab")
    metadata = f"Metadata-Version: 2.1\nName: guestlab-dist\nVersion: {release}\n"
    (folder / "guestlab_dist-1.2.dist-info" / "METADATA").write_text(metadata)
    (folder / "own_lab.py").write_text(source)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # written twice within a second, it would be taken for the same
    importlib.invalidate_caches()
    plugins.use("own_lab")


def test_identity_without_something_of_a_guest_is_that_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose("config", ["data=simulated_tiny", "model=linear"])
    folder, study = settings_hash(config), simulated()
    before = {"settings": folder, "data_hash": study.content_hash, "code_hash": code_hash()}
    assert identity(folder, plain(config), study) == before
    own_lab(tmp_path / "lab", monkeypatch)
    again = compose("config", ["data=simulated_tiny", "model=linear"])
    assert again.plugins == ["own_lab"]
    assert identity(settings_hash(again), plain(again), study) == before


def test_identity_follows_what_the_code_of_a_guest_does_and_its_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"data": {"_target_": "own_lab.study", "seed": 0}}
    variants: dict[str, tuple[str, str]] = {
        "same": (OWN_LAB, "1.2"),
        "explained": (OWN_LAB.replace("of the lab", "of our lab"), "1.2"),
        "changed": (OWN_LAB.replace("two_plates(seed)", "two_plates(seed + 1)"), "1.2"),
        "released": (OWN_LAB, "1.3"),
    }
    found = {}
    for name, (source, release) in variants.items():
        own_lab(tmp_path / "lab", monkeypatch, source, release)
        found[name] = plugins.identity(settings)["plugins_hash"]
    assert found["same"] == found["explained"]
    assert len(set(found.values())) == 3


def test_a_cache_is_made_anew_when_the_code_of_a_guest_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = {"_target_": "dadsp.data.cache.cached_study", "folder": str(tmp_path / "cache")}
    node |= {"study": {"_target_": "own_lab.study", "seed": 0}}  # type: ignore[dict-item]
    found = []
    for source in (OWN_LAB, OWN_LAB, OWN_LAB.replace("two_plates(seed)", "two_plates(seed + 1)")):
        own_lab(tmp_path / "lab", monkeypatch, source)
        study = build(node, "data")
        found.append((study.content_hash, (tmp_path / "cache" / "manifest.json").stat().st_mtime_ns))
    assert found[0] == found[1]
    assert found[2][0] != found[0][0]


def simulated() -> Study:
    study: Study = build(plain(compose("config", ["data=simulated_tiny"]).data), "data")
    return study


# Files


class Imported(Exception):
    """Something was imported on a file's word."""


@pytest.fixture
def no_import(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(point: object) -> None:
        raise Imported(point)

    monkeypatch.setattr(plugins, "_load", refuse)


@pytest.mark.usefixtures("no_import")
@pytest.mark.parametrize(
    "stated", [["guestlab"], ["nothing"], ["os"], [], None, "guestlab", [["guestlab"]], {"_target_": "os.mkdir"}]
)
def test_no_file_has_a_plugin_imported(stated: object, tmp_path: Path) -> None:
    config = {"plugins": stated, "model": {"_target_": PARTS["model"]}}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    with pytest.raises(LoadError, match=r"plug-in|plugins is no list of names"):
        RunFolder(tmp_path).buildable_settings()
    facts = {"format": "dadsp-model", "version": 1, "system": PARTS["model"], "plugins": stated}
    (tmp_path / "model.json").write_text(json.dumps(facts))
    (tmp_path / "weights.safetensors").write_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(LoadError, match=r"plug-in|plugins is no list of names|is no dadsp system"):
        load_model(tmp_path)


@pytest.mark.usefixtures("no_import")
def test_no_configuration_folder_has_a_plugin_imported(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "planted.yaml").write_text("# @package _global_\nplugins: [guestlab]\n")
    config = compose("config", [f"hydra.searchpath=['file://{tmp_path}']", "experiment=planted"])
    assert config.plugins == []


def test_a_file_of_a_plugin_says_how_to_allow_it_and_how_to_get_it() -> None:
    with pytest.raises(LoadError, match=r"add plugins=\[guestlab\] to the command .* or set DADSP_PLUGINS=guestlab"):
        plugins.require(["guestlab"], "run/config.yaml")
    with pytest.raises(LoadError, match=r"Install gone \(as its authors say; often pip install NAME\)"):
        plugins.require(["gone"], "run/config.yaml")
    plugins.use("guestlab")
    plugins.require(["guestlab"], "run/config.yaml")


def test_the_environment_allows_what_a_file_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.VARIABLE, "guestlab")
    plugins.require(["guestlab"], "run/config.yaml")
    assert plugins.used() == ("guestlab",)


def test_guests_are_forgotten_between_tests() -> None:
    plugins.use("guestlab")
    forget_plugins()
    assert plugins.conf_folders() == ()
    assert registered("model", PARTS["model"]) is None
    assert (conf_folder() / "config.yaml").is_file()
