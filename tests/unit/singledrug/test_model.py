"""Saved single-drug models predict what they predicted, in both forms, and damage is named."""

import json
from pathlib import Path

import numpy as np
import pytest

from dadsp.errors import DadspError, LoadError, MissingIdsError
from dadsp.models.base import FitContext
from dadsp.singledrug.classes import Quartiles
from dadsp.singledrug.compression import CompressionOptions, compress
from dadsp.singledrug.fitting import fit_network
from dadsp.singledrug.growth import GrowthOptions
from dadsp.singledrug.model import SingleDrugModel, load_single_drug, save_single_drug
from dadsp.singledrug.network import NetworkOptions
from dadsp.singledrug.scaling import MinMax

GENES = tuple(f"G{column}" for column in range(8))
OPTIONS = NetworkOptions(architecture="growth", growth=GrowthOptions(max_fits=1), max_epochs=2)
EXPRESSION = np.random.default_rng(0).uniform(2, 9, (40, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SingleDrugModel, SingleDrugModel]:
    folder = tmp_path_factory.mktemp("model")
    scale = MinMax.fit(EXPRESSION)
    x, y = scale.transform(EXPRESSION), EXPRESSION[:, 0] - EXPRESSION[:, 1]
    lines = (x[:30], y[:30], x[30:], y[30:])
    trained = fit_network(*lines, OPTIONS, FitContext(seed=0))
    compressed = compress(trained, *lines, CompressionOptions(rounds=1, max_epochs=1), FitContext(seed=0))
    model, small = (SingleDrugModel("drug", "ActArea", GENES, scale, Quartiles(-1, 1), net) for net in (trained, compressed))
    save_single_drug(model, folder, compressed)
    return folder, model, small


def test_loaded_forms_predict_the_same_bits(saved: tuple[Path, SingleDrugModel, SingleDrugModel]) -> None:
    folder, model, small = saved
    expected = model.predict(EXPRESSION, GENES)
    assert np.array_equal(load_single_drug(folder).predict(EXPRESSION, GENES), expected)
    assert np.array_equal(
        load_single_drug(folder, "compressed").predict(EXPRESSION, GENES), small.predict(EXPRESSION, GENES)
    )


def test_genes_are_found_by_name_among_others(saved: tuple[Path, SingleDrugModel, SingleDrugModel]) -> None:
    folder, model, _ = saved
    order = np.random.default_rng(1).permutation(8)
    shuffled = np.column_stack([np.full(40, 99, np.float32), EXPRESSION[:, order]])
    names = ("OTHER", *(GENES[column] for column in order))
    assert np.array_equal(load_single_drug(folder).predict(shuffled, names), model.predict(EXPRESSION, GENES))


def test_missing_genes_are_named(saved: tuple[Path, SingleDrugModel, SingleDrugModel]) -> None:
    with pytest.raises(MissingIdsError, match=r"lacks 2 of the 8 genes that the model of drug reads \(e\.g\. G6, G7\)"):
        load_single_drug(saved[0]).predict(EXPRESSION[:, :6], GENES[:6])


def test_classes_are_cut_at_the_saved_quartiles(saved: tuple[Path, SingleDrugModel, SingleDrugModel]) -> None:
    model = load_single_drug(saved[0])
    assert model.classes(np.array([-1.0, 0.0, 1.0], np.float32)) == ["resistant", "moderate", "sensitive"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.json", "{}"),
        ("model.json", "no json"),
        ("network.safetensors", "x"),
        ("scale.safetensors", ""),
        ("network.dnn", "x" * 50),
    ],
)
def test_damaged_file_is_an_error_and_never_a_model(
    saved: tuple[Path, SingleDrugModel, SingleDrugModel], tmp_path: Path, name: str, content: str
) -> None:
    for path in saved[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_text(content)
    with pytest.raises(LoadError):
        load_single_drug(tmp_path, "compressed" if name == "network.dnn" else "network")


@pytest.mark.parametrize(("key", "value"), [("genes", ["G0"]), ("options", {"l3": 1}), ("cuts", [1.0])])
def test_facts_that_do_not_fit_are_refused(
    saved: tuple[Path, SingleDrugModel, SingleDrugModel], tmp_path: Path, key: str, value: object
) -> None:
    for path in saved[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    facts = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**facts, key: value}))
    with pytest.raises(DadspError):
        load_single_drug(tmp_path)
