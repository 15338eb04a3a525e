"""``dadsp tune``: settings that predict held-out lines of the source best. No trial can see a target label."""

import copy
import json
import logging
import shlex
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from pydantic import Field, StrictBool, StrictFloat, StrictInt
from pydantic.dataclasses import dataclass
from rich.table import Table

from dadsp.cli.app import run_app
from dadsp.cli.results import console
from dadsp.cli.run_folder import sole_process
from dadsp.cli.runs import RunOptions, check_keys
from dadsp.cli.sweep import claim, identity
from dadsp.cli.train import KEYS
from dadsp.configuration.compose import build, load_study
from dadsp.credentials import without_credentials
from dadsp.errors import ConfigError, DadspError, DivergenceError, LoadError
from dadsp.evaluation.metrics import evaluate
from dadsp.files import write_atomically, write_json
from dadsp.models.base import FitContext, Predictor, predict_split
from dadsp.options import STRICT, validated
from dadsp.schema import Split, Study
from dadsp.seeding import derive_seed
from dadsp.written_tables import write_csv

log = logging.getLogger(__name__)

SCORE = "val/source/rmse"
TUNABLE = ("model.", "trainer.", "drug_features.")  # the study and its split are read once
PLACE = "place"  # attribute of a trial: its place in the search, from 0; it seeds the sampler
KILLED = "killed"  # attribute of the search: numbers of trials whose process died; their places are given out again
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
SHOWN = 10


@dataclass(frozen=True, config=STRICT)
class TuneOptions:
    """Config node ``tune``.

    Attributes:
        prune: Whether to stop a trial whose best score so far is worse than the median of the others at the same epoch.
        space: Nested like the configuration; its leaves are ``Range`` or ``Choices``.
        trials: How many are begun in all, over all calls.
        workers: Processes on this machine.
        random_trials: Trials drawn at random before the sampler learns from them, and ended before any is pruned.
    """

    prune: StrictBool
    space: dict[str, Any] = Field(min_length=1)
    trials: StrictInt = Field(ge=1)
    workers: StrictInt = Field(ge=1)
    random_trials: StrictInt = Field(ge=1)


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


Space = dict[str, Range | Choices]


def run(arguments: list[str], as_json: bool) -> None:
    """Searches as the arguments say, or goes on with the search of the same arguments."""
    for option in ("-m", "--multirun"):
        if option in arguments:
            raise ConfigError(
                f"dadsp tune takes no {option}. Set tune.workers, or start the same command on other machines."
            )
    if any(part.replace(" ", "") == "tune.space={}" for part in arguments):  # Hydra would add nothing to the default space
        raise ConfigError("tune.space={} names nothing to tune. Give ranges or choices, or leave it out.")
    run_app("tune", "tune", arguments, lambda config: _tune(config, arguments, as_json))


def _tune(config: DictConfig, arguments: list[str], as_json: bool) -> None:
    folder = Path(HydraConfig.get().runtime.output_dir)
    check_keys(config, (*KEYS, "tune"), "tune")
    validated(RunOptions, {key: config[key] for key in ("seed", "runs")}, "")
    given: Any = OmegaConf.to_container(config, resolve=True)
    options = validated(TuneOptions, given["tune"], "tune")
    space = parameters(options.space)
    study = load_study(config, folder)
    if study.trained_on == "target":
        raise ConfigError("This split trains on target labels, and tune chooses without them. Choose another split.")
    split: Split = build(config.split, "split", study=study, seed=config.seed)
    with sole_process(folder, job=True, wait=True):
        claim(folder, identity(config, study))
    search = Search(folder, config, options, space, study.without_target_labels(), split)
    helpers = [
        subprocess.Popen([sys.executable, "-m", "dadsp", "tune", *arguments, "tune.workers=1"], stdout=subprocess.DEVNULL)
        for _ in range(options.workers - 1)
    ]
    try:
        search.work()
    except BaseException:
        for helper in helpers:
            helper.terminate()
        raise
    finally:
        for helper in helpers:
            helper.wait()
    search.work()  # what a helper may have left behind
    with sole_process(folder, job=True, wait=True):  # a killed helper's temporary files go, no living one's
        _report(folder, search.trials(*ENDED), as_json)


def parameters(space: Mapping[str, Any], prefix: str = "") -> Space:
    """The leaves of a nested space by their dotted keys.

    Raises:
        ConfigError: A leaf is neither a range nor choices, or its key is not one that can be tuned.
    """
    found: Space = {}
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

    A process holds a lock for the trial it runs. The system gives it back when the process dies, so that a running trial
    whose lock is free was killed; another one takes its place.
    """

    def __init__(
        self, folder: Path, config: DictConfig, options: TuneOptions, space: Space, study: Study, split: Split
    ) -> None:
        self.config, self.options, self.space, self.study, self.split = config, options, space, study, split
        self._locks = folder / ".locks"
        self._locks.mkdir(exist_ok=True)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # A journal takes a trial in a tenth of the time of an SQL store and needs no tables that two processes could make
        # at once. Its own lock would outlive a killed process by 30 s.
        lock: Any = self._lock("journal")
        storage = JournalStorage(JournalFileBackend(str(folder / "trials.journal"), lock))
        pruner = optuna.pruners.MedianPruner(options.random_trials) if options.prune else optuna.pruners.NopPruner()
        self.record = optuna.create_study(storage=storage, study_name="tune", pruner=pruner, load_if_exists=True)

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
            seed = derive_seed(self.config.seed, "tune", place) % 2**32
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
            self.record.tell(trial, score)
            ending = f"{SCORE} {score:.4f}"
        except optuna.TrialPruned:
            self.record.tell(trial, state=TrialState.PRUNED)
            ending = "pruned"
        except DivergenceError as error:
            self.record.tell(trial, state=TrialState.FAIL)
            ending = f"failed: {error}"
        shown = "  ".join(f"{key}={json.dumps(value)}" for key, value in values.items())
        print(f"trial {trial.user_attrs[PLACE] + 1}  {ending}  {shown}", file=sys.stderr, flush=True)

    def _score(self, trial: optuna.Trial, values: dict[str, Any]) -> float:
        """RMSE of the source's validation pairs, −log10 IC50(µM)."""
        config = copy.deepcopy(self.config)
        for key, value in values.items():
            OmegaConf.update(config, key, value, merge=False)
        model: Predictor = build(config.model, "model")
        if model.sees_target_labels:
            raise ConfigError(f"{model.name} sees target labels, and tune chooses without them. Choose another model.")
        scores: list[float] = []

        def on_epoch(stage: str, epoch: int, metrics: dict[str, float]) -> None:
            if SCORE in metrics:
                scores.append(metrics[SCORE])
                trial.report(min(scores), step=len(scores))  # the weights of the best epoch are the ones kept
                if trial.should_prune():
                    raise optuna.TrialPruned

        with redirect_stdout(sys.stderr):
            model.fit(self.study, self.split, FitContext(int(config.seed), None, on_epoch))
        return evaluate(predict_split(model, self.study, self.split, parts=("val",))).pooled.rmse


def _report(folder: Path, trials: list[optuna.trial.FrozenTrial], as_json: bool) -> None:
    """Writes and prints the trials and the command that trains with the best values."""
    rows: list[dict[str, Any]] = [
        {
            "trial": number,
            "state": trial.state.name.lower(),
            SCORE: trial.value if trial.state is TrialState.COMPLETE else None,
            "epochs": len(trial.intermediate_values),
            "values": {key: _plain(value) for key, value in trial.params.items()},
        }
        for number, trial in enumerate(trials, start=1)
    ]
    frame = pd.DataFrame([{**row, **{key: json.dumps(v) for key, v in row["values"].items()}} for row in rows])
    frame = frame.drop(columns="values").astype({SCORE: float})
    write_atomically(folder / "trials.csv", partial(write_csv, frame))
    if frame[SCORE].isna().all():
        raise DadspError(f"None of the {len(frame)} trials came to an end (see {folder / 'trials.csv'}). Narrow tune.space.")
    row = rows[frame[SCORE].argmin()]
    overrides = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in row["values"].items()]
    task = map(without_credentials, HydraConfig.get().overrides.task)
    given = [part for part in task if not part.lstrip("+~").startswith("tune.")]
    best = {
        "trial": row["trial"],
        "score": row[SCORE],
        "overrides": overrides,
        "command": shlex.join(["dadsp", "train", *given, *overrides]),
    }
    write_json(folder / "best.json", best)
    if as_json:
        print(json.dumps({"folder": str(folder), "best": best, "trials": rows}, allow_nan=False))
        return
    ranked = frame.sort_values(SCORE, kind="stable")
    table = Table(title=f"{min(SHOWN, len(frame))} best of {len(frame)} trials, by source validation", title_justify="left")
    for name in frame.columns:
        table.add_column(name.rpartition(".")[2], justify="right")
    for _, trial in ranked.head(SHOWN).iterrows():
        table.add_row(*(f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in trial))
    console().print(table)
    print(f"all trials    {folder / 'trials.csv'}")
    print(f"best values   {best['command']}")


def _plain(value: Any) -> Any:
    """A parameter as the configuration takes it; choices are stored as JSON."""
    return json.loads(value) if isinstance(value, str) else value
