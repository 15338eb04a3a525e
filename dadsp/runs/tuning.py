"""Searching settings that predict held-out lines of the source best. No trial can see a target label.

Any number of processes can search in one folder; a search that was stopped goes on as if it had not been.
"""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
import pandas as pd
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from pydantic import Field, StrictBool, StrictFloat, StrictInt
from pydantic.dataclasses import dataclass

from dadsp.errors import ConfigError, DadspError, DivergenceError, LoadError
from dadsp.evaluation.metric import Score
from dadsp.evaluation.metrics import evaluate
from dadsp.evaluation.scores import SCORES, ordered
from dadsp.models.base import FitContext, Predictor, predict_split
from dadsp.options import STRICT, validated
from dadsp.schema import Split, Study
from dadsp.seeding import derive_seed

PLACE_OF_SCORES = "val/source/"  # what scores of the source's validation pairs are called
TUNABLE = ("model.", "trainer.", "drug_features.")  # the study and its split are read once
PLACE = "place"  # attribute of a trial: its place in the search, from 0; it seeds the sampler
KILLED = "killed"  # attribute of the search: numbers of trials whose process died; their places are given out again
EPOCHS = "epochs"  # attribute of a trial: how many it trained, where the score is not one that training reports
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True, config=STRICT)
class SearchOptions:
    """How long and how to search.

    Attributes:
        trials: How many are begun in all, over all calls.
        random_trials: Trials drawn at random before the sampler learns from them, and ended before any is pruned.
        prune: Whether to stop a trial whose best score so far is worse than the median of the others at the same epoch; no
            trial is stopped by a score that training does not report after each epoch.
        score: What is to be as good as it can over the source's validation pairs: a column of ``comparison.csv``.
    """

    trials: StrictInt = Field(default=20, ge=1)
    random_trials: StrictInt = Field(default=8, ge=1)
    prune: StrictBool = True
    score: str = "rmse"

    def __post_init__(self) -> None:
        ordered(self.score)


@dataclass(frozen=True, config=STRICT)
class Range:
    """Numbers from ``low`` to ``high``, whole ones where both ends are; drawn on a logarithmic scale where ``log``."""

    low: StrictInt | StrictFloat
    high: StrictInt | StrictFloat
    log: StrictBool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError("low must be less than high, and greater than 0 where log is true")

    def draw(self, trial: optuna.Trial, key: str) -> Any:
        """The trial's value."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(key, self.low, self.high, log=self.log)
        return trial.suggest_float(key, self.low, self.high, log=self.log)


@dataclass(frozen=True, config=STRICT)
class Choices:
    """One of some values, lists among them."""

    choices: list[Any] = Field(min_length=1)

    def draw(self, trial: optuna.Trial, key: str) -> Any:
        """The trial's value.

        Raises:
            LoadError: The record holds another one for it, which somebody else wrote.
        """
        texts = [json.dumps(choice) for choice in self.choices]
        text = trial.suggest_categorical(key, texts)
        if text not in texts:
            raise LoadError(
                f"The record of trials holds {key}={text}, which tune.space does not offer. Search in a new folder."
            )
        return json.loads(text)


Space = Mapping[str, Range | Choices]


def parameters(space: Mapping[str, Any], prefix: str = "") -> dict[str, Range | Choices]:
    """The leaves of a nested space by their dotted keys.

    Raises:
        ConfigError: A leaf is neither a range nor choices, or its key is not one that can be tuned.
    """
    found: dict[str, Range | Choices] = {}
    for name, node in space.items():
        key = f"{prefix}{name}"
        if not isinstance(node, Mapping):
            raise ConfigError(f"tune.space.{key}={node!r} is no range. Give {{low, high, log}} or {{choices}}.")
        if not node.keys() & {"low", "high", "choices"}:
            found |= parameters(node, f"{key}.")
        elif key.startswith(TUNABLE):
            kind: type[Range | Choices] = Choices if "choices" in node else Range
            found[key] = validated(kind, dict(node), f"tune.space.{key}")
        else:
            raise ConfigError(f"tune.space.{key} cannot be tuned. Valid are keys below {', '.join(TUNABLE)}")
    return found


class Search:
    """The trials of one folder, on which any number of processes can work.

    Args:
        folder: Keeps the record of trials.
        make: The system with the values of a trial, not yet fitted.
        options: Length of the search.
        space: What to vary.
        study: Whose target labels no trial is given.
        split: Of that study; its validation pairs score.
        seed: Of every trial's training, and of the sampler.
        tell: Is told in a line how each trial ended.

    Raises:
        ConfigError: The split trains on target labels.

    A process holds a lock for the trial it runs. The system gives it back when the process dies, so that a running trial
    whose lock is free was killed; another one takes its place.
    """

    def __init__(
        self,
        folder: Path,
        make: Callable[[Mapping[str, Any]], Predictor],
        options: SearchOptions,
        space: Space,
        study: Study,
        split: Split,
        seed: int,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        if study.trained_on == "target":
            raise ConfigError("This split trains on target labels, and tune chooses without them. Choose another split.")
        self.make, self.options, self.space, self.split, self.seed, self.tell = make, options, space, split, seed, tell
        self.study = study.without_target_labels()
        self._locks = folder / ".locks"
        self._locks.mkdir(parents=True, exist_ok=True)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # A journal takes a trial in a tenth of the time of an SQL store and needs no tables that two processes could make
        # at once. Its own lock would outlive a killed process by 30 s.
        lock: Any = self._lock("journal")
        storage = JournalStorage(JournalFileBackend(str(folder / "trials.journal"), lock))
        pruner = optuna.pruners.MedianPruner(options.random_trials) if options.prune else optuna.pruners.NopPruner()
        self.score = ordered(options.score)
        self.record = optuna.create_study(
            storage=storage,
            study_name="tune",
            pruner=pruner,
            direction="maximize" if self.score.direction == "higher" else "minimize",
            load_if_exists=True,
        )
        searched = self.record.user_attrs.get("score", "rmse")
        if searched != options.score and self.record.get_trials(deepcopy=False):
            raise ConfigError(f"{folder} was searched by {searched}. Search by {options.score} in a new folder.")
        self.record.set_user_attr("score", options.score)

    def _lock(self, name: object) -> FileLock:
        return FileLock(self._locks / f"{name}.lock")

    def work(self) -> None:
        """Runs trials until as many as wanted have been begun."""
        while begun := self._begin():
            trial, lock, values = begun
            try:
                self._run(trial, values)
            finally:
                lock.release()

    def _begin(self) -> tuple[optuna.Trial, FileLock, dict[str, Any]] | None:
        with self._lock("begin"):
            self._mark_killed()
            taken = {trial.user_attrs.get(PLACE) for trial in self.trials(*TrialState)}
            place = next((place for place in range(self.options.trials) if place not in taken), None)
            if place is None:
                return None
            # Seeded by place, not by process: a search that was stopped goes on as if it had not been.
            seed = derive_seed(self.seed, "tune", place) % 2**32
            self.record.sampler = optuna.samplers.TPESampler(n_startup_trials=self.options.random_trials, seed=seed)
            trial = self.record.ask()
            lock = self._lock(trial.number)
            lock.acquire()
            trial.set_user_attr(PLACE, place)
            return trial, lock, {key: spread.draw(trial, key) for key, spread in self.space.items()}

    def _mark_killed(self) -> None:
        for trial in self.trials(TrialState.RUNNING):
            lock = self._lock(trial.number)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            self.record.set_user_attr(KILLED, [*self._killed(), trial.number])
            self.record.tell(trial.number, state=TrialState.FAIL)
            lock.release()

    def _killed(self) -> list[int]:
        numbers: list[int] = self.record.user_attrs.get(KILLED, [])
        return numbers

    def trials(self, *states: TrialState) -> list[optuna.trial.FrozenTrial]:
        """The trials in these states that were not killed, in the order of their places."""
        killed = self._killed()
        found = [trial for trial in self.record.get_trials(states=states) if trial.number not in killed]
        return sorted(found, key=lambda trial: trial.user_attrs.get(PLACE, trial.number))

    def _run(self, trial: optuna.Trial, values: dict[str, Any]) -> None:
        try:
            score = self._score(trial, values)
            if math.isnan(score):
                self.record.tell(trial, state=TrialState.FAIL)
                ending = f"failed: {PLACE_OF_SCORES}{self.score.name} is undefined"
            else:
                self.record.tell(trial, score)
                ending = f"{PLACE_OF_SCORES}{self.score.name} {score:.4f}"
        except optuna.TrialPruned:
            self.record.tell(trial, state=TrialState.PRUNED)
            ending = "pruned"
        except DivergenceError as error:
            self.record.tell(trial, state=TrialState.FAIL)
            ending = f"failed: {error}"
        shown = "  ".join(f"{key}={json.dumps(value)}" for key, value in values.items())
        self.tell(f"trial {trial.user_attrs[PLACE] + 1}  {ending}  {shown}")

    def _score(self, trial: optuna.Trial, values: dict[str, Any]) -> float:
        """The score of the source's validation pairs."""
        model = self.make(values)
        if model.sees_target_labels:
            raise ConfigError(f"{model.name} sees target labels, and tune chooses without them. Choose another model.")
        scores: list[float] = []
        best = max if self.score.direction == "higher" else min
        name, n_epochs = f"{PLACE_OF_SCORES}{self.score.name}", 0

        def on_epoch(stage: str, epoch: int, metrics: dict[str, float]) -> None:
            nonlocal n_epochs
            n_epochs += f"{PLACE_OF_SCORES}rmse" in metrics
            if name in metrics:
                scores.append(metrics[name])
                trial.report(best(scores), step=len(scores))  # the weights of the best epoch are the ones kept
                if trial.should_prune():
                    raise optuna.TrialPruned

        with redirect_stdout(sys.stderr):
            model.fit(self.study, self.split, FitContext(self.seed, None, on_epoch))
        if not scores:
            trial.set_user_attr(EPOCHS, n_epochs)
        return self.score.value(evaluate(predict_split(model, self.study, self.split, parts=("val",))))

    def found(self) -> "Tuned":
        """The best of the ended trials, and all of them."""
        return tuned(self.trials(*ENDED), self.score)


@plain_dataclass(frozen=True, eq=False)
class Tuned:
    """What a search found.

    Attributes:
        best: Values of the best trial, by key; None where no trial came to an end.
        score: Its score of the source's validation pairs; NaN where there is none.
        trial: Its number, from 1; 0 where there is none.
        trials: One row per trial: trial, state, the score (``column``), epochs, and a column for each key, values as JSON.
        by: What was searched by.
    """

    best: dict[str, Any] | None
    score: float
    trial: int
    trials: pd.DataFrame
    by: Score = SCORES["rmse"]

    def __repr__(self) -> str:
        score = f"{self.by.heading} {self.score:.4f}"
        return f"<best of {len(self.trials)} trials: {score} on held-out source lines, {self.best}>"

    @property
    def column(self) -> str:
        """What the score is called among the trials."""
        return f"{PLACE_OF_SCORES}{self.by.name}"

    def ranked(self) -> pd.DataFrame:
        """The trials, the best first."""
        return self.trials.sort_values(self.column, ascending=self.by.direction != "higher", kind="stable")

    def records(self) -> list[dict[str, Any]]:
        """The trials as plain values: trial, state, score, epochs, and ``values`` by key."""
        fixed = ["trial", "state", self.column, "epochs"]
        return [
            {name: None if row[name] != row[name] else row[name] for name in fixed}
            | {"values": {key: json.loads(row[key]) for key in row if key not in fixed and row[key] == row[key]}}
            for row in self.trials.to_dict("records")
        ]


def tune(
    study: Study,
    split: Split,
    make: Callable[[Mapping[str, Any]], Predictor],
    space: Space,
    *,
    seed: int = 0,
    folder: str | Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
    **options: Any,
) -> Tuned:
    """Searches ``space`` for the values whose system predicts held-out source lines best.

    Args:
        study: What to learn from; no trial is given a label of its target.
        split: Of that study.
        make: The system with the values of a trial, by key, e.g. ``lambda values: PairwiseGp(**values)``.
        space: A ``Range`` or ``Choices`` for each key.
        seed: Of every trial and of the sampler.
        folder: Keeps the trials, so that the same call goes on with them; None keeps none.
        tell: Is told in a line how each trial ended.
        options: Fields of ``SearchOptions``.

    Raises:
        ConfigError: An option is impossible, or the split trains on target labels.
        DadspError: No trial came to an end.
    """
    chosen = validated(SearchOptions, options, "tune")
    with TemporaryDirectory() as scratch:
        search = Search(Path(folder or scratch), make, chosen, space, study, split, seed, tell)
        search.work()
        found = search.found()
    if found.best is None:
        raise DadspError(f"None of the {len(found.trials)} trials came to an end. Narrow the space.")
    return found


def tuned(trials: Sequence[optuna.trial.FrozenTrial], by: Score) -> Tuned:
    """The best of ended trials, and all of them as a table."""
    column = f"{PLACE_OF_SCORES}{by.name}"
    rows = [
        {
            "trial": number,
            "state": trial.state.name.lower(),
            column: trial.value if trial.state is TrialState.COMPLETE else None,
            "epochs": trial.user_attrs.get(EPOCHS, len(trial.intermediate_values)),
            **{key: json.dumps(_plain(value)) for key, value in trial.params.items()},
        }
        for number, trial in enumerate(trials, start=1)
    ]
    frame = pd.DataFrame(rows).astype({column: float})
    if frame[column].isna().all():
        return Tuned(None, math.nan, 0, frame, by)
    row = int(frame[column].argmax() if by.direction == "higher" else frame[column].argmin())
    best = {key: _plain(value) for key, value in trials[row].params.items()}
    return Tuned(best, float(frame[column].iloc[row]), int(frame["trial"].iloc[row]), frame, by)


def _plain(value: Any) -> Any:
    """A parameter as the configuration takes it; choices are stored as JSON."""
    return json.loads(value) if isinstance(value, str) else value
