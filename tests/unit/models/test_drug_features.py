"""A network with each drug representation: fitted on training drugs alone, able to learn, the same after reloading."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dadsp.drugs.features import DrugFeatures
from dadsp.drugs.graphs import MolecularGraph
from dadsp.drugs.morgan import Morgan
from dadsp.drugs.similarity import SimilarityProfile
from dadsp.drugs.smiles_tokens import SmilesTokens
from dadsp.drugs.structures import structure_keys
from dadsp.models.base import load_model, predict_split, save_model
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.schema import Drugs, Screen, Split, Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study

REPRESENTATIONS = {
    "morgan": Morgan(bits=64),
    "ssp": SimilarityProfile(bits=64),
    "cnn": SmilesTokens(filters=(8, 6), outputs=6),
    "gcn": MolecularGraph(max_atoms=8, widths=(16, 16)),
    "cnn_published": SmilesTokens(filters=(8, 6), outputs=6, kernels_over="matrix"),
    "gcn_published": MolecularGraph(max_atoms=8, widths=(16,), read_out="dense", outputs=16),
}
SMALL: dict[str, Any] = {
    "encoder_widths": (32, 16),
    "encoder_activation": "tanh",
    "activation": "tanh",
    "drug_widths": (8, 8),
    "regressor_widths": (32, 16),
    "adversarial_weight": 0.0,
    "pretraining": None,
}


@pytest.fixture
def study() -> Study:
    return small_study()


@pytest.fixture
def split(study: Study) -> Split:
    """32 training pairs."""
    split = cross_screen(study, seed=0, val_fraction=0.2)
    return replace(split, train_idx=split.train_idx[:32])


def fitted(study: Study, split: Split, features: DrugFeatures, epochs: int = 2) -> DadspA:
    training = {"max_epochs": epochs, "min_blocks": 1, "learning_rate": 0.01, "patience": None}
    return DadspA(features, training, **SMALL).fit(study, split)


def with_smiles(screen: Screen, smiles: tuple[str, ...]) -> Screen:
    drugs: Drugs = replace(screen.drugs, smiles=smiles, structure_keys=structure_keys(smiles, smiles))
    return replace(screen, drugs=drugs)


@pytest.mark.parametrize("kind", ["ssp", "cnn", "gcn", "cnn_published", "gcn_published"])  # Morgan: tests of DADSP-A
def test_overfits_32_pairs(study: Study, split: Split, kind: str) -> None:
    model = fitted(study, split, REPRESENTATIONS[kind], epochs=200)
    potency = study.source.responses.take(split.train_idx).potency
    variance = float(np.var(model.labels.transform(potency)))
    assert model.history()["train/mse"].min() < 0.05 * variance  # at this learning rate some steps go wrong


@pytest.mark.parametrize("kind", REPRESENTATIONS)
def test_reloaded_model_predicts_the_same_for_known_and_new_drugs(
    study: Study, split: Split, tmp_path: Path, kind: str
) -> None:
    model = fitted(study, split, REPRESENTATIONS[kind])
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    new = replace(study, target=with_smiles(study.target, ("BrC(Br)C", "C" * 12, "[nH]1cccc1", "CC#N")))
    for known in (study, new):
        expected, found = (predict_split(m, known, split).frame["y_pred"].to_numpy() for m in (model, again))
        assert np.array_equal(expected, found)
        assert np.ptp(expected) > 0


@pytest.mark.parametrize("kind", REPRESENTATIONS)
def test_drugs_outside_training_change_neither_features_nor_weights(study: Study, split: Split, kind: str) -> None:
    train_idx = split.train_idx[study.source.responses.drug_idx[split.train_idx] != 3]
    split = replace(split, train_idx=train_idx, val_idx=train_idx)  # validation chooses the epoch, so it has no other drug
    smiles = study.source.drugs.smiles
    other = Study(
        with_smiles(study.source, (*smiles[:3], "FC(F)(F)Br", *smiles[4:])),  # type: ignore[arg-type]
        with_smiles(study.target, ("BrC(Br)C", "C" * 30, "[nH]1cccc1", "CC#N")),
        "none",
        study.raw_source_potency,
    )
    models = [fitted(each, split, REPRESENTATIONS[kind]) for each in (study, other)]
    assert models[0].fitted_features == models[1].fitted_features
    weights = [model.network.state_dict() for model in models]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_what_a_representation_cannot_express_is_warned_of_and_saved(
    study: Study, split: Split, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = replace(study, target=with_smiles(study.target, ("BrCCO", "CCO", "CCN", "CCBr")))
    model = fitted(study, split, REPRESENTATIONS["cnn"])
    save_model(model, tmp_path)
    note = {
        "screen": "TGT",
        "what": "SMILES tokens the model does not know, left out",
        "count": 2,
        "examples": "Br",
    }
    assert json.loads((tmp_path / "model.json").read_text())["drug_notes"] == [note]
    assert load_model(tmp_path).state()[0]["drug_notes"] == [note]
    with caplog.at_level(logging.WARNING):
        predict_split(model, study, split, parts=("test",))
    assert "TGT: SMILES tokens the model does not know, left out: 2 (Br)" in caplog.text


def test_refitting_takes_the_new_training_drugs(study: Study, split: Split) -> None:
    model = fitted(study, split, SimilarityProfile(bits=64))
    fewer = replace(split, train_idx=split.train_idx[study.source.responses.drug_idx[split.train_idx] < 2])
    assert model.fitted_features.width == 5
    assert model.fit(study, fewer).fitted_features.width == 2
