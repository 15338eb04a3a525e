"""Each key of each system in conf/model acts or is told to be idle: on the tiny study, one key after the other is changed.

A key acts if the system then predicts differently, is differently unsure, or errs differently while it learns.
"""

import copy
import dataclasses
from collections.abc import Iterator
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd
import pytest

from dadsp import building
from dadsp.configuration.compose import compose, plain
from dadsp.configuration.folder import conf_folder
from dadsp.errors import ConfigError
from dadsp.models.base import Predictor
from dadsp.models.training.options import TrainingOptions
from dadsp.runs.parts import model_of, read_study, without_effect
from dadsp.schema import Domain, Pairs, Screen, Split, Study

# Keys that say what a system is called, where it trains, how fast, and how often a killed run could go on: what they change
# is a label, or the rounding of sums in another order.
ELSEWHERE = ("name", "device", "devices", "precision", "threads", "checkpoint_every_s")
# Keys that ask for what another choice of the composition does anyway.
AGREES = {("dadsp_a_code", "trainer.batching"): "model.target_sampling=paired draws pairs one by one"}
ONE_VALUE = {("deepdsc1", "model.selection"): "the target's own pairs choose the epoch"}

PRETRAINING = {"layer_epochs": 2, "stack_epochs": 2, "batch_size": 8, "learning_rate": 0.01}
SMALL: dict[str, Any] = {  # in place of what a composition holds of these keys
    "model.encoder_widths": [10, 6],
    "model.encoder_activation": "tanh",  # so few sigmoids or ReLUs may all be dead
    "model.activation": "tanh",
    "model.drug_widths": [6, 6],
    "model.regressor_widths": [6, 4],
    "model.discriminator_widths": [5, 4],
    "model.code_width": 4,
    "model.pretraining": PRETRAINING | {"decoder_activation": "linear", "output_activation": "linear"},
    "model.stages.adaptation.layer_epochs": 2,
    "model.stages.adaptation.batch_size": 8,
    "model.stages.adaptation.learning_rate": 0.01,
    "model.folds": 2,
    "model.components": 40,
    "model.pca_components": 8,
    "model.n_estimators": 12,
    "model.early_stopping_round": 2,
    "model.num_leaves": 4,
    "trainer.max_epochs": 2,
    "trainer.min_blocks": 1,
    "trainer.learning_rate": 0.01,
    "trainer.average_epochs": 1,
    "trainer.device": "cpu",
    "trainer.threads": 1,
}
OTHERS: dict[str, tuple[Any, ...]] = {  # where neither another choice nor about twice the number will do
    "model.pretraining": (SMALL["model.pretraining"],),
    "model.stages.fine_tuning.trains": (["regressor", "drug_branch"],),
    "model.early_stopping_round": (100,),
    "model.max_epochs": (3,),
    "model.val_fraction": (0.5,),
    "model.drug_features.tokens": (["C", "N", "O"],),
    "model.drug_features.length": (9,),
    "model.drug_features.max_atoms": (9,),
    "model.drug_features.reference": (["CCO", "c1ccccc1"],),
    "model.alignment.min_shared": (12,),
    "model.alignment.folds": (2, 3, 10, 14),
    "trainer.block_drugs": (3, 1),
    "trainer.min_blocks": (41,),
    "trainer.perturbation": (1, 2, 3, 4, 5),
    "trainer.patience": (1,),
    "trainer.gradient_clip": (1e-3,),
}
BESIDE: dict[str, dict[str, Any]] = {  # what must hold for a key to act
    "model.pretraining.output_activation": {"model.input_basis": "genes"},
    "model.early_stopping_round": {"model.n_estimators": 100, "model.learning_rate": 0.5},
    "trainer.patience": {"trainer.max_epochs": 12, "trainer.learning_rate": 0.3, "trainer.patience": None},
    "trainer.regression_loss": {"trainer.batching": "pairs"},
}

Settings = dict[str, Any]


class Shown(NamedTuple):
    """What can be seen of a fitted system."""

    arrays: tuple[np.ndarray, ...]
    history: pd.DataFrame

    def equals(self, other: "Shown") -> bool:
        pairs = zip(self.arrays, other.arrays, strict=True)
        return self.history.equals(other.history) and all(np.array_equal(a, b) for a, b in pairs)


@cache
def tiny() -> tuple[Study, Split]:
    """With so many genes that lines span less than all of gene space."""
    settings = plain(compose("config", ["data=simulated_tiny", "data.n_genes=90"]))
    study = read_study(settings)
    return study, building.build(settings["split"], "split", study=study, seed=0)


@cache
def composed(*given: str) -> Settings:
    whole = plain(compose("config", list(given)))
    settings: Settings = {group: whole[group] for group in ("model", "trainer")}
    for key, value in SMALL.items():
        if found(settings, key) is not None:
            settings = changed(settings, key, value)
    return settings


def found(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def changed(settings: Settings, key: str, value: Any) -> Settings:
    settings = copy.deepcopy(settings)
    *above, last = key.split(".")
    found(settings, ".".join(above))[last] = value
    if "training" in settings["model"]:
        settings["model"]["training"] = settings["trainer"]
    return settings


def leaves(settings: Settings, under: str) -> Iterator[str]:
    """Keys below one, but for those of the objects among them, which are groups of their own."""
    for key, value in found(settings, under).items():
        if not isinstance(value, dict):
            yield from () if key in ("_target_", *ELSEWHERE) else (f"{under}.{key}",)
        elif key not in ("training", "drug_features", "alignment"):
            yield from leaves(settings, f"{under}.{key}")


def fitted(settings: Settings) -> tuple[list[str], Shown]:
    """What is told of the composition, and what the system does."""
    study, split = tiny()
    system = model_of(settings)
    told = without_effect(system, settings)
    system.fit(study, split)
    arrays: list[Any] = []
    screens: tuple[tuple[Screen, Domain], ...] = ((study.source, "source"), (study.target, "target"))
    for screen, domain in screens:
        cells, drugs = (part.ravel() for part in np.indices((len(screen.cells), len(screen.drugs))))
        pairs = Pairs(screen, domain, cells, drugs)
        arrays += [*system.predict_with_sd(pairs), *(system.interval(pairs) or ())]
    errors = system.input_facts().get("alignment", {}).get("mean_squared_errors")  # by which its penalty was chosen
    arrays.append(None if errors is None else np.array(errors))
    return told, Shown(tuple(array for array in arrays if array is not None), system.history())


@cache
def base(given: tuple[str, ...], beside: tuple[tuple[str, Any], ...]) -> Shown:
    settings = composed(*given)
    for key, value in beside:
        settings = changed(settings, key, value)
    return fitted(settings)[1]


def verdict(given: tuple[str, ...], key: str) -> str:
    """``acts``, ``told``, ``refused``, or what is wrong with the key."""
    settings, beside = composed(*given), BESIDE.get(key, {})
    for name, value in beside.items():
        settings = changed(settings, name, value)
    values = OTHERS.get(key) or other_values(annotation(model_of(settings), key), found(settings, key))
    written = key.removeprefix("model.") if "drug_features" in key else key  # a group, which the model refers to
    told, refused = False, 0
    for value in values:
        try:
            lines, shown = fitted(changed(settings, key, value))
        except ConfigError:
            refused += 1
            continue
        said = [line for line in lines if f"{written}=" in line.partition("no effect")[0]]
        acts = not shown.equals(base(given, tuple(beside.items())))
        if acts:
            return f"acts, against {said[0]}" if said else "acts"
        told |= bool(said)
    if told:
        return "told"
    return "refused" if values and refused == len(values) else f"does nothing, at {values}"


def annotation(system: Predictor, key: str) -> Any:
    """Type of an option."""
    group, *path = key.split(".")
    owner: Any = TrainingOptions if group == "trainer" else type(getattr(system, "options", None))
    if path[0] in ("drug_features", "alignment"):
        owner = type(getattr(system, path.pop(0)))
    kind: Any = owner
    for part in path:
        options = next((inner for inner in (kind, *get_args(kind)) if dataclasses.is_dataclass(inner)), None)
        kind = get_type_hints(options or type(system).__init__, include_extras=True)[part]
    return kind


def other_values(kind: Any, value: Any) -> list[Any]:
    """Other values of that type, the likeliest to act first."""
    origin, members = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return other_values(members[0], value)
    if origin in (Union, UnionType):
        return [other for member in members if member is not NoneType for other in other_values(member, value)]
    if origin is Literal:
        return [member for member in members if member != value]
    if origin is tuple and isinstance(value[0], float):
        return [[2 * part for part in value]]
    if origin is tuple:
        return [[max(1, value[0] // 2), *value[1:]], value[:-1]] if isinstance(value[0], int) else [value[:-1]]
    if kind is bool:
        return [not value]
    if kind is int:
        return [3 * (value or 1), max(1, (value or 4) // 2)]
    if kind is float:
        return [2 * (value or 0.1), (value or 0.1) / 2]
    return []


def wrong(*given: str, under: tuple[str, ...]) -> dict[str, str]:
    """The keys that are not as they should be, and how they are."""
    keys = [key for part in under for key in leaves(composed(*given), part)]
    assert keys
    return {key: said for key in keys if (said := verdict(given, key)) not in ("acts", "told", "refused")}


SLOW = (pytest.mark.slow, pytest.mark.timeout(900))  # some ten seconds for a network, were nothing else to run


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


QUICK = ("dadsp_a_no_pretrain", "drug_kernel_ridge", "drug_ridge", "lightgbm", "line_network", "naive_mean", "pairwise_gp")


@pytest.mark.parametrize(
    "choice",
    [pytest.param(name, marks=() if name in QUICK else SLOW) for name in choices("model")],
)
def test_each_key_of_model_and_trainer_acts_or_is_told_to_be_idle(choice: str) -> None:
    as_they_should = {key for name, key in AGREES | ONE_VALUE if choice.startswith(name)}
    assert set(wrong(f"model={choice}", under=("model", "trainer"))) == as_they_should


@pytest.mark.parametrize(
    "choice",
    [pytest.param(name, marks=SLOW if name in ("cnn", "gcn") else ()) for name in choices("drug_features")],
)
def test_each_key_of_the_drug_features_acts_or_is_told_to_be_idle(choice: str) -> None:
    given = ("model=dadsp_a_no_pretrain", f"drug_features={choice}")
    assert not wrong(*given, under=("model.drug_features",))


@pytest.mark.parametrize("choice", ["auto", "bridge", "coral", "quantile"])  # the others have none
def test_each_key_of_the_alignment_acts(choice: str) -> None:
    given = ("model=linear", "model.features=pca", f"alignment={choice}")
    assert not wrong(*given, under=("model.alignment",))
