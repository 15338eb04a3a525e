"""The folder of a run: what each file is called, what it holds, and how far the run has come.

The folder is the truth. It is scored when ``metrics.json`` is there, which is written last of all that a reader needs; it is
finished when its tracking run is closed too and no training states are left. A process killed in between has the rest caught
up from the folder, without training again.
"""

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from dadsp import plugins
from dadsp.building import check
from dadsp.errors import ConfigError, DadspError, LoadError, examples
from dadsp.evaluation.naive_predictions import lacking, read_naive, scored_again
from dadsp.evaluation.report import read_comparison
from dadsp.files import read_json, write_json, write_text
from dadsp.models.base import Predictor, load_model
from dadsp.models.trust.trust import Trust, load_trust
from dadsp.plain_yaml import plain_yaml, read_plain_yaml
from dadsp.schema import PredictionTable, Split, Study
from dadsp.splits.store import load_split

FORMAT = 1  # of the folder, as metrics.json states it; folders without a number are of format 0
CONFIG, RUN, RESULTS, IDENTITY = "config.yaml", "run.json", "metrics.json", "identity.json"
SPLIT, PREDICTIONS, NAIVE = "split.json", "predictions.parquet", "naive.parquet"
COMPARISON, HISTORY = "comparison.csv", "history.csv"
DATA_FACTS, DATA_NOTES, FIGURES, MODEL, STUDY = "data_facts.json", "data_notes.json", "figures", "model", "study"
TRUST, SCREENS = "trust", "screens"
DRUGS = "drugs"  # of a run of dadsp single-drug: a folder for each drug
STATES = ("checkpoints", "states")  # folders of training states
READ_BY_OTHERS = (CONFIG, RESULTS, PREDICTIONS, COMPARISON, SPLIT)  # what a comparison needs of a run
USED_BY_OTHERS = (NAIVE, DATA_FACTS, DATA_NOTES, HISTORY)  # what comparisons and reports use where a run has it
KEPT = (CONFIG, SPLIT, DATA_FACTS, DATA_NOTES, PREDICTIONS, NAIVE, COMPARISON, HISTORY, RESULTS, FIGURES, TRUST, MODEL)
PICTURES = (".png", ".svg")
TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.MULTILINE)

State = Literal["begun", "finished"]


class RunFolder:
    """One run folder; reads and writes each part of it.

    Args:
        path: The folder, there or not yet.
        results: The file that is written last of all results.
    """

    def __init__(self, path: str | Path, results: str = RESULTS) -> None:
        self.path = Path(path)
        self._results = self.path / results

    def __repr__(self) -> str:
        return f"<{self.state} run in {self.path}>"

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    # How far it has come

    @property
    def scored(self) -> bool:
        """Whether the results are there."""
        return self._results.is_file()

    def scored_at(self) -> float:
        """When the results were written, seconds since the epoch."""
        return self._results.stat().st_mtime

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: results written, tracking closed, training states removed.

        A run whose store was closed but refused entries is finished, so that a dead server does not open a sweep's jobs
        again for ever; ``unsent`` tells such runs. Runs of older versions, and those that are not tracked, are finished with
        their results.
        """
        states = any((self.path / name).exists() for name in STATES)
        return self.scored and not states and self.tracking.get("tracked", True)

    @property
    def state(self) -> State:
        """``"finished"`` or, with anything left to do, ``"begun"``."""
        return "finished" if self.finished else "begun"

    @property
    def unsent(self) -> bool:
        """Whether the store failed to take entries of the run."""
        return bool(self.tracking.get("unsent", False))

    @property
    def tracking(self) -> dict[str, Any]:
        """What ``run.json`` says: command, id and store of the tracking run; empty where there is none."""
        return dict(read_json(self.path / RUN)) if (self.path / RUN).exists() else {}

    def note_tracking(self, facts: Mapping[str, Any]) -> None:
        """Writes ``run.json``."""
        write_json(self.path / RUN, dict(facts))

    def remove_states(self) -> None:
        """Removes training states, which a run with results needs no more."""
        for name in STATES:
            shutil.rmtree(self.path / name, ignore_errors=True)

    # What it is made of

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration of the run as plain values.

        The file may come from elsewhere: nothing in it is resolved. A run writes its configuration with every interpolation
        resolved, so that one in the file is no work of dadsp.

        Raises:
            LoadError: It cannot be read, or holds interpolations.
        """
        path = self.path / CONFIG
        try:
            settings = read_plain_yaml(path)
        except OSError as error:
            raise LoadError(f"{path} cannot be read ({error.strerror or error}).") from error
        if not isinstance(settings, dict):
            raise LoadError(f"{path} is not a configuration. Train again.")
        found = list(_interpolations(settings))
        if found:
            raise LoadError(
                f"{path} holds {len(found)} interpolations (e.g. {examples(found)}), which no run writes. Train again."
            )
        return settings

    def buildable_settings(self) -> dict[str, Any]:
        """The same, to build from: what it names is checked first, wherever it stands.

        Raises:
            LoadError: It cannot be read, needs a plug-in that is not in use, or names what dadsp does not build there.
        """
        settings = self.settings
        plugins.require(settings.get("plugins"), self.path / CONFIG)
        try:
            check(settings, "")
        except ConfigError as error:
            raise LoadError(f"{self.path / CONFIG}: {error}") from None
        model = self.path / MODEL / "model.json"
        if model.is_file():
            _tell_drugs_by(read_json(model).get("drug_identity", "exact"), settings.get("data"))
        return settings

    def keep_settings(self, settings: Mapping[str, Any]) -> None:
        """Writes ``config.yaml``."""
        write_text(self.path / CONFIG, plain_yaml(dict(settings)))

    def split(self, study: Study) -> Split:
        """Which pairs train, validate and test.

        Raises:
            LoadError: The file is damaged, or made for other data.
        """
        return load_split(self.path / SPLIT, study)

    # What came of it

    @property
    def results(self) -> dict[str, Any]:
        """What ``metrics.json`` holds.

        Raises:
            LoadError: It is absent or damaged, or a newer version of dadsp wrote it.
        """
        results: Any = read_json(self._results)
        written = results.get("format", 0) if isinstance(results, dict) else 0
        if not isinstance(written, int) or written > FORMAT:
            raise LoadError(
                f"{self._results} is of format {written}, and this version reads up to {FORMAT}. Install a newer dadsp."
            )
        found: dict[str, Any] = results
        return found

    def write_results(self, content: Mapping[str, Any]) -> None:
        """Writes ``metrics.json``: last, since a folder that has it holds all else."""
        write_json(self._results, {"format": FORMAT, **content})

    @property
    def comparison(self) -> pd.DataFrame:
        """Scores of the system and of the naive rows, as they were written; NaN in columns that are newer."""
        return read_comparison(self.path / COMPARISON)

    @property
    def scores(self) -> pd.DataFrame:
        """The same, with scores that are newer computed from the predictions that were kept."""
        names = self.newer_scores()
        return scored_again(self.comparison, self.test_tables(), names) if names else self.comparison

    def newer_scores(self) -> list[str]:
        """Scores that the comparison was written without."""
        return lacking(self.path / COMPARISON)

    @property
    def predictions(self) -> PredictionTable:
        """Of validation and test pairs."""
        return PredictionTable(pd.read_parquet(self.path / PREDICTIONS))

    @property
    def naive_predictions(self) -> Mapping[str, PredictionTable]:
        """Test predictions of the naive rows by name; empty in runs of format 0, which kept none."""
        return read_naive(self.path / NAIVE)

    def test_tables(self) -> dict[str, PredictionTable]:
        """Test predictions of the system and of those naive rows whose predictions were kept, by name."""
        own = self.predictions
        return {**self.naive_predictions, self.results["run"]["system"]: own.where(own.frame["split"] == "test")}

    @property
    def history(self) -> pd.DataFrame:
        """Metrics of every epoch, column ``stage`` among them; empty for systems without epochs."""
        path = self.path / HISTORY
        return pd.read_csv(path) if path.is_file() else pd.DataFrame()

    @property
    def data_facts(self) -> dict[str, Any]:
        """What ``describe`` said of the study, names of drugs, alignment; empty in runs older than that file."""
        return dict(self._read_if_there(DATA_FACTS))

    @property
    def data_notes(self) -> dict[str, Any]:
        """What reading left out, merged or clipped, by screen."""
        return dict(self._read_if_there(DATA_NOTES))

    @property
    def split_facts(self) -> dict[str, Any]:
        """What ``split.json`` holds, row numbers counted."""
        rows = read_json(self.path / SPLIT)
        return {name: len(value) if name.endswith("_idx") else value for name, value in rows.items()}

    def model(self) -> Predictor:
        """The fitted system; its files run no code.

        Raises:
            LoadError: It is absent or damaged.
        """
        return load_model(self.path / MODEL)

    def trust(self) -> Trust | None:
        """How far to trust the system; None in runs of earlier versions, and where training was told not to ask.

        Raises:
            LoadError: The files are damaged.
        """
        return load_trust(self.path / TRUST)

    def figures(self, inside: str = FIGURES) -> dict[str, bytes]:
        """Pictures by file name; none where there is no such folder."""
        folder = self.path / inside
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
        return {path.name: path.read_bytes() for path in paths if path.suffix in PICTURES}

    def times(self, log: str = "train.log") -> tuple[str, str] | None:
        """First and last time in the log; None without one."""
        path = self.path / log
        times = TIME.findall(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else []
        return (times[0], times[-1]) if times else None

    def kept_files(self, names: Iterable[str] = KEPT) -> list[Path]:
        """The files and folders that tracking should keep, those that are there; the model last."""
        return [self.path / name for name in names if (self.path / name).exists()]

    def trained(self, key: str) -> "RunFolder":
        """The same folder, if ``dadsp train`` finished a run in it.

        Raises:
            ConfigError: There is no such folder, no finished run in it, or one of another verb; names the ``key`` that gave
                it.
        """
        if not self.scored or not (self.path / MODEL).is_dir():
            raise ConfigError(f"{key}={self.path} holds no finished run. Give a run folder of dadsp train.")
        return self

    def _read_if_there(self, name: str) -> Any:
        return read_json(self.path / name) if (self.path / name).exists() else {}


def is_single_drug(folder: Path) -> bool:
    """Whether a run folder is one of ``dadsp single-drug``."""
    return (folder / DRUGS).is_dir()


@contextmanager
def complete(folder: Path, what: str = "run", remedy: str = "Train it again, or leave it out.") -> Iterator[None]:
    """Reads files of a run, or ``what`` else a folder holds, in its block; whatever is wrong with them becomes one error.

    Raises:
        LoadError: Something failed in the block.
    """
    try:
        yield
    except DadspError:
        raise
    except Exception as error:  # absent keys and columns, YAML, Parquet and OS errors: each has its own class
        raise LoadError(f"{folder} does not hold a complete {what} ({error!r}). {remedy}") from error


def _tell_drugs_by(identity: str, node: Any) -> None:
    """States the rule by which a run's model tells drugs, in settings that leave it out: the default was another once."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if key == "drugs" and isinstance(value, dict):
            value.setdefault("identity", identity)
        else:
            _tell_drugs_by(identity, value)


def _interpolations(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _interpolations(str(key))
            yield from _interpolations(value)
    elif isinstance(node, list):
        for value in node:
            yield from _interpolations(value)
    elif isinstance(node, str) and "${" in node:
        yield node
