"""Feature space of small studies before and after training."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dadsp.analysis.embedding import EmbedOptions, Lines, embed, measure, tsne_map, verdict
from dadsp.data.alignment.rank import Rank
from dadsp.errors import ConfigError, SchemaError
from dadsp.models.networks.cross_screen_network import CrossScreenNetwork
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.models.systems.dadsp_b import DadspB
from dadsp.models.systems.naive import Naive
from dadsp.runs.analyses import write_embedding
from dadsp.schema import Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study
from tests.support.systems import LIVELY

OPTIONS = EmbedOptions(neighbours=3, permutations=19)
TRAINING = {"max_epochs": 1, "threads": 1}


def trained(kind: type[CrossScreenNetwork] = DadspA) -> tuple[CrossScreenNetwork, Study]:
    study = small_study()
    return kind(None, TRAINING, **LIVELY).fit(study, cross_screen(study, seed=0)), study


def test_lines_shared_by_both_screens_are_described_and_measured() -> None:
    model, study = trained()
    found = embed(model, study, OPTIONS)
    assert found.coordinates["cell_id"].tolist() == [*study.source.cells.ids, *study.target.cells.ids]
    assert found.coordinates["shared"].sum() == 2 * 4
    assert found.facts["n_shared_lines"] == 4
    assert np.isfinite(found.coordinates[["x_before", "y_before", "x_after", "y_after"]].to_numpy()).all()
    names = set(found.measures["measure"])
    assert {"proxy_a_distance", "mmd2", "domain_mixing", "partner_median_rank"} <= names


def test_facts_and_picture_name_the_alignment_under_which_lines_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, titles = small_study(), []
    monkeypatch.setattr("dadsp.analysis.embedding_figures.maps_figure", lambda *of: titles.append(of[-1]))
    for alignment in (None, Rank()):
        model = DadspA(None, TRAINING, alignment=alignment, **LIVELY).fit(study, cross_screen(study, seed=0))
        write_embedding(embed(model, study, OPTIONS), tmp_path)
    assert [title.splitlines()[0] for title in titles] == ["DADSP-A, alignment=none", "DADSP-A, alignment=rank"]
    assert json.loads((tmp_path / "embed.json").read_text())["alignment"] == "rank"


def test_lines_without_partners_have_no_partner_rank() -> None:
    study = small_study(links=0)
    model = DadspA(None, TRAINING, **LIVELY).fit(study, cross_screen(study, seed=0))
    assert "partner_median_rank" not in set(embed(model, study, OPTIONS).measures["measure"])


def test_codes_are_those_of_each_screens_own_encoder() -> None:
    model, study = trained(DadspB)
    assert isinstance(model, DadspB)
    scaled = torch.from_numpy(model.expression_input.scaler.transform(study.target.cells.expression, "target"))
    with torch.no_grad():
        own, source = model.network.target_encoder(scaled).numpy(), model.network.encoder(scaled).numpy()
    codes = model.codes(study.target, "target")
    assert np.array_equal(codes, own)
    assert not np.array_equal(codes, source)


def test_identical_screens_mix_and_partners_are_nearest() -> None:
    study = small_study(n_source=20, links=20)
    points = np.random.default_rng(0).normal(size=(20, 5))
    twice = replace(study, target=replace(study.source, name="TGT"))
    found = measure(np.concatenate([points, points]), Lines.of(twice), OPTIONS)
    assert found["mmd2"][0] == pytest.approx(0, abs=1e-12)
    assert found["proxy_a_distance"][0] == 0
    assert found["partner_nearest_share"][0] == 1
    assert found["domain_mixing"][0] > 1


def test_map_repeats_with_its_seed() -> None:
    features = np.random.default_rng(0).normal(size=(30, 6))
    first = tsne_map(features, OPTIONS)
    assert np.array_equal(first, tsne_map(features, OPTIONS))
    assert first.shape == (30, 2)


def test_model_without_encoder_is_refused() -> None:
    study = small_study()
    with pytest.raises(ConfigError, match="source mean has no gene encoder"):
        embed(Naive("mean").fit(study, cross_screen(study, seed=0)), study, OPTIONS)


def test_collapsed_encoder_is_refused() -> None:
    model, study = trained()
    with torch.no_grad():
        for weight in model.network.encoder.parameters():
            weight.zero_()
    with pytest.raises(SchemaError, match="same code"):
        embed(model, study, OPTIONS)


def test_run_inside_one_screen_is_refused() -> None:
    model, study = trained()
    with pytest.raises(ConfigError, match="compares two screens"):
        embed(model, study.within("source"), OPTIONS)


def judged(**measures: tuple[float | None, float | None]) -> dict[str, Any]:
    found = {name: {"before": before, "after": after} for name, (before, after) in measures.items()}
    return verdict({"measures": found, "n_source_lines": 1000})


KEPT = {
    "proxy_a_distance": (0.0, 0.09),
    "tissue_agreement_target_to_source": (0.40, 0.36),
    "tissue_agreement_target": (0.5, 0.1),
    "partner_median_rank": (1.0, 11.0),
}


def test_training_that_keeps_what_lines_are_passes() -> None:
    found = judged(**KEPT)
    assert found["passed"]
    assert found["failed"] == []
    assert found["sentence"].startswith("Passed: ")
    assert "proxy A-distance of the screens 0.00 before, 0.09 after" in found["sentence"]
    assert "rank of a line's own partner 1 before, 11 after of 1,000" in found["sentence"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("proxy_a_distance", (0.0, 0.11)),
        ("tissue_agreement_target_to_source", (0.40, 0.34)),
        ("partner_median_rank", (1.0, 12.0)),
    ],
)
def test_training_fails_by_each_measure_that_gets_worse(name: str, values: tuple[float, float]) -> None:
    found = judged(**{**KEPT, name: values})
    assert not found["passed"]
    assert found["failed"] == [name]
    assert found["sentence"].startswith("FAILED: ")
    assert "; kept: " in found["sentence"]


def test_tissues_of_the_target_stand_in_and_unknown_measures_are_left_out() -> None:
    assert judged(**KEPT | {"tissue_agreement_target_to_source": (None, None)})["failed"] == ["tissue_agreement_target"]
    assert judged(proxy_a_distance=(1.0, 0.2))["sentence"] == (
        "Passed: training made none of these worse: proxy A-distance of the screens 1.00 before, 0.20 after."
    )
