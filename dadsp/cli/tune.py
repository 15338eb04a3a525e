"""``dadsp tune``: settings that predict held-out lines of the source best. No trial can see a target label."""

import copy
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pydantic import Field, StrictBool, StrictInt
from pydantic.dataclasses import dataclass
from rich.table import Table

from dadsp.cli.begin import again, check_keys
from dadsp.cli.console import console, tell
from dadsp.configuration.compose import build, plain, settings_hash
from dadsp.errors import ConfigError, DadspError
from dadsp.files import write_atomically, write_json
from dadsp.models.base import Predictor
from dadsp.options import STRICT, validated
from dadsp.runs.folder import RunFolder
from dadsp.runs.identity import claim, identity, sole_process
from dadsp.runs.job import KEYS, RunOptions
from dadsp.runs.parts import load_study
from dadsp.runs.tuning import Search, SearchOptions, Tuned, parameters
from dadsp.schema import Split
from dadsp.written_tables import write_csv

SHOWN = 10


@dataclass(frozen=True, config=STRICT)
class TuneOptions:
    """Config node ``tune``.

    Attributes:
        prune: Whether to stop a trial whose best score so far is worse than the median of the others at the same epoch.
        space: Nested like the configuration; its leaves are ``Range`` or ``Choices``.
        score: What is to be as good as it can over the source's validation pairs.
        trials: How many are begun in all, over all calls.
        workers: Processes on this machine.
        random_trials: Trials drawn at random before the sampler learns from them, and ended before any is pruned.
    """

    prune: StrictBool
    space: dict[str, Any] = Field(min_length=1)
    score: str = Field(min_length=1)
    trials: StrictInt = Field(ge=1)
    workers: StrictInt = Field(ge=1)
    random_trials: StrictInt = Field(ge=1)


def work(config: DictConfig, as_json: bool, arguments: list[str]) -> None:
    """Searches as the configuration says, or goes on with the search of the same arguments."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    check_keys(config, (*KEYS, "tune"), "tune")
    validated(RunOptions, {key: config[key] for key in ("seed", "runs")}, "")
    options = validated(TuneOptions, plain(config.tune), "tune")
    how = SearchOptions(options.trials, options.random_trials, options.prune, options.score)
    space = parameters(options.space)
    study = load_study(plain(config), folder)
    if study.trained_on == "target":  # before anything is built or written
        raise ConfigError("This split trains on target labels, and tune chooses without them. Choose another split.")
    split: Split = build(config.split, "split", study=study, seed=config.seed)
    with sole_process(folder, job=True, wait=tell):
        claim(RunFolder(folder), identity(settings_hash(config), plain(config), study), tell)
    search = Search(folder, partial(_model, config), how, space, study, split, int(config.seed), tell)
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
    with sole_process(folder, job=True, wait=tell):  # a killed helper's temporary files go, no living one's
        _report(folder, search.found(), again("train", arguments, without="tune."), as_json)


def _model(config: DictConfig, values: Mapping[str, Any]) -> Predictor:
    """The system with these values at their keys of the configuration."""
    changed = copy.deepcopy(config)
    for key, value in values.items():
        OmegaConf.update(changed, key, value, merge=False)
    model: Predictor = build(changed.model, "model")
    return model


def _report(folder: Path, found: Tuned, command: list[str], as_json: bool) -> None:
    """Writes and prints the trials and the command that trains with the best values."""
    frame = found.trials
    write_atomically(folder / "trials.csv", partial(write_csv, frame))
    if found.best is None:
        raise DadspError(f"None of the {len(frame)} trials came to an end (see {folder / 'trials.csv'}). Narrow tune.space.")
    overrides = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in found.best.items()]
    best = {
        "trial": found.trial,
        "score": found.score,
        "overrides": overrides,
        "command": shlex.join([*command, *overrides]),
    }
    write_json(folder / "best.json", best)
    if as_json:
        print(json.dumps({"folder": str(folder), "best": best, "trials": found.records()}, allow_nan=False))
        return
    ranked = found.ranked()
    table = Table(title=f"{min(SHOWN, len(frame))} best of {len(frame)} trials, by source validation", title_justify="left")
    for name in frame.columns:
        table.add_column(name.rpartition(".")[2], justify="right")
    for _, trial in ranked.head(SHOWN).iterrows():
        table.add_row(*(f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in trial))
    console().print(table)
    print(f"all trials    {folder / 'trials.csv'}")
    print(f"best values   {best['command']}")
