"""No label of a test pair reaches a system that does not declare it, whoever wrote the system."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from dadsp.configuration.compose import build, compose
from dadsp.configuration.folder import conf_folder
from dadsp.errors import ConfigError, LeakageError
from dadsp.models.base import Arrays, FitContext, Predictor
from dadsp.schema import FloatArray, Pairs, Split, Study, WithheldResponses
from dadsp.splits.cross_screen import cross_screen
from dadsp.splits.within import within
from tests.support.studies import small_study
from tests.support.systems import poisoned

SMALL: dict[str, Any] = {  # in place of what a configuration holds of these keys
    "encoder_widths": [16, 8],
    "encoder_activation": "tanh",
    "activation": "tanh",
    "drug_widths": [8, 8],
    "regressor_widths": [8, 4],
    "discriminator_widths": [6, 4],
    "pretraining": {"layer_epochs": 1, "stack_epochs": 1, "batch_size": 8},
    "folds": 2,
    "n_estimators": 5,
    "min_child_samples": 1,
}
CHOICES = sorted(path.stem for path in (conf_folder() / "model").glob("*.yaml"))


def configured(choice: str, **options: Any) -> Predictor:
    """The system of conf/model/``choice``.yaml, shrunk."""
    given = [
        "trainer=tiny",
        "trainer.threads=1",
        "trainer.device=cpu",
        *(f"{key}={value}" for key, value in options.items()),
    ]
    config = compose("config", [f"model={choice}", *given])
    model: DictConfig = config.model
    for key, value in SMALL.items():
        if OmegaConf.select(model, key) is not None:
            OmegaConf.update(model, key, value, merge=False, force_add=True)
    if "stages" in model:
        OmegaConf.update(model, "stages.adaptation", {"layer_epochs": 1, "batch_size": 4})
    system: Predictor = build(model, "model")
    return system


def predictions(system: Predictor, study: Study) -> list[FloatArray]:
    found = []
    for screen, domain in ((study.source, "source"), (study.target, "target")):
        cells, drugs = (part.ravel() for part in np.indices((len(screen.cells), len(screen.drugs))))
        found.append(system.predict(Pairs(screen, domain, cells, drugs)))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("choice", CHOICES)
def test_target_labels_change_no_prediction_of_any_configured_system_but_of_those_called_oracle(choice: str) -> None:
    study = small_study(n_source=14, n_target=12)
    split = cross_screen(study, seed=0, val_fraction=0.2)
    ours, theirs = (configured(choice).fit(data, split) for data in (study, poisoned(study)))
    same = all(np.array_equal(a, b) for a, b in zip(*(predictions(each, study) for each in (ours, theirs)), strict=True))
    assert same != ours.sees_target_labels
    assert ours.sees_target_labels == ("oracle" in ours.name)


@pytest.mark.parametrize("choice", ["dadsp_a", "dadsp_b", "sla"])
def test_selection_by_target_labels_is_called_oracle(choice: str, study: Study, split: Split) -> None:
    system = configured(choice, **{"model.selection": "target_oracle"})
    assert system.sees_target_labels
    assert "oracle" in system.name
    assert "val/target_oracle/rmse" in system.fit(study, split).history()


def test_labels_of_a_screens_held_out_pairs_change_no_system_trained_inside_it() -> None:
    study = small_study(n_source=14).within("source")
    split = within(study, seed=0, kind="cell_blind", scope="source")
    potency = study.source.responses.potency.copy()
    potency[split.test_idx] = potency[split.test_idx] * -2 + 3
    screen = replace(study.source, responses=replace(study.source.responses, potency=potency))
    other = replace(study, source=screen, target=screen, raw_source_potency=potency)
    ours, theirs = (configured("source_only").fit(data, split) for data in (study, other))
    assert all(np.array_equal(a, b) for a, b in zip(predictions(ours, study), predictions(theirs, study), strict=True))


class Guest(Predictor):
    """A system of somebody else's: a mean of what ``read`` gives it."""

    name = "guest"
    read: Callable[[Study, Split], Any]

    def _fit(self, study: Study, split: Split, context: FitContext) -> None:
        self.mean = float(np.mean(type(self).read(study, split)))

    def predict(self, pairs: Pairs) -> FloatArray:
        return np.full(len(pairs), self.mean, dtype=np.float32)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        return {}, {}

    @classmethod
    def from_state(cls, facts: dict[str, Any], arrays: Arrays) -> Self:
        return cls()


def cheating(read: Callable[[Study, Split], Any]) -> Guest:
    guest: Guest = type("Cheat", (Guest,), {"read": staticmethod(read)})()
    return guest


@pytest.mark.parametrize(
    "read",
    [
        lambda study, split: study.target.responses.potency,
        lambda study, split: study.target.responses.take(np.arange(3)).potency,
        lambda study, split: study.target.responses.cell_idx,
        lambda study, split: len(study.target.responses),
        lambda study, split: replace(study.target, notes=()).responses.censored,
        lambda study, split: study.without_target_labels().target.responses.potency,
    ],
)
@pytest.mark.parametrize("scope", ["across", "target_oracle"])
def test_a_system_that_reads_target_labels_fails_and_is_told_why(read: Callable[[Study, Split], Any], scope: str) -> None:
    study = small_study()
    split = cross_screen(study, seed=0)
    if scope == "target_oracle":
        study = study.within("target")
        split = within(study, seed=0, kind="pair", scope="target_oracle")
    with pytest.raises(LeakageError, match=r"labels of TGT are withheld.*Learn from study\.source; or declare sees_target"):
        cheating(read).fit(study, split)


def test_what_a_system_is_given_holds_labels_of_training_and_validation_pairs_alone(study: Study, split: Split) -> None:
    fewer = replace(split, train_idx=split.train_idx[::-1][3:])  # any order; three rows train nothing
    seen: list[tuple[Study, Split]] = []
    cheating(lambda study, split: seen.append((study, split)) or 0.0).fit(study, fewer)  # type: ignore[func-returns-value]
    ((given, rows),) = seen
    for part in ("train_idx", "val_idx"):
        ours, theirs = given.source.responses.take(getattr(rows, part)), study.source.responses.take(getattr(fewer, part))
        assert all(
            np.array_equal(getattr(ours, name), getattr(theirs, name)) for name in ("potency", "cell_idx", "drug_idx")
        )
        assert np.array_equal(given.raw_source_potency[getattr(rows, part)], ours.potency)
    assert len(given.source.responses) == len(fewer.train_idx) + len(fewer.val_idx) == len(study.source.responses) - 3
    assert not len(rows.test_idx)
    assert np.array_equal(rows.adapt_cell_idx, fewer.adapt_cell_idx)
    assert given.target.cells is study.target.cells


def test_truth_of_simulated_screens_is_not_handed_to_a_system(study: Study, split: Split) -> None:
    told = replace(study, source=replace(study.source, truth={"a": 1}), target=replace(study.target, truth={"a": 1}))
    cheating(lambda study, split: len(study.source.truth) + len(study.target.truth)).fit(told, split)
    assert told.target.truth
    assert cheating(lambda study, split: len(study.target.truth)).fit(told, split).mean == 0


def test_a_system_that_declares_it_sees_the_labels_gets_them_and_must_be_called_oracle(study: Study, split: Split) -> None:
    class Oracle(Guest):
        name = "oracle mean"
        sees_target_labels = True

        @staticmethod
        def read(study: Study, split: Split) -> Any:
            return study.target.responses.take(split.test_idx).potency

    assert Oracle().fit(study, split).mean == pytest.approx(float(study.target.responses.potency.mean()))
    Oracle.name = "best mean"
    with pytest.raises(ConfigError, match="Put 'oracle' into its name"):
        Oracle().fit(study, split)


def test_fit_itself_cannot_be_replaced() -> None:
    with pytest.raises(TypeError, match="Override _fit"):
        type("Cheat", (Guest,), {"fit": lambda self, study, split, context=None: self})


def test_withheld_responses_can_be_copied_and_shown(study: Study) -> None:
    withheld = study.without_target_labels().target.responses
    for twin in (copy.deepcopy(withheld), copy.copy(withheld)):
        assert isinstance(twin, WithheldResponses)
        assert repr(twin) == "WithheldResponses('TGT')"
        assert not hasattr(twin, "anything else")
        with pytest.raises(LeakageError):
            len(twin)
