"""dadsp from Python: studies, training, and the models of finished runs (docs/python.md).

Overrides are those of the command line. Nothing here ends the process: what is wrong is a ``DadspError``.
"""

import io
import json
from contextlib import redirect_stdout
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from dadsp.cli.finished_run import read_run_data, read_settings
from dadsp.configuration.compose import study_of
from dadsp.data.new_pairs import OnUnknown
from dadsp.data.tables import Frame
from dadsp.errors import ConfigError, LoadError
from dadsp.models.base import load_model
from dadsp.models.prediction import Predicted, predict_new
from dadsp.schema import Domain, Screen, Split, Study
from dadsp.splits.store import load_split

if TYPE_CHECKING:
    from dadsp.singledrug.model import Form

Table = str | Path | pd.DataFrame


class LoadedRun:
    """The folder of a finished run."""

    _table = "comparison.csv"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def config(self) -> dict[str, Any]:
        """The run's resolved configuration, nested as in ``config.yaml``."""
        return read_settings(self.folder)

    @property
    def results(self) -> pd.DataFrame:
        """Scores on what was held out: one row per system, the naive rows among them."""
        path = self.folder / self._table
        if not path.is_file():
            raise LoadError(f"{self.folder} holds no {self._table}. Check that the run is finished.")
        return pd.read_csv(path)


class LoadedModel(LoadedRun):
    """The model of a finished run of ``dadsp train``, and what it came from.

    Attributes:
        folder: The run folder.
        predictor: The fitted system itself.
    """

    def __init__(self, folder: Path) -> None:
        """Reads the model; use ``load``."""
        super().__init__(folder)
        self.predictor = load_model(folder / "model")

    def __repr__(self) -> str:
        return f"<{self.name}, {len(self.genes):,} genes, {self.folder}>"

    @property
    def name(self) -> str:
        """How tables call the system."""
        return self.predictor.name

    @property
    def genes(self) -> tuple[str, ...]:
        """The genes it reads, in its order; empty where it needs none."""
        return self.predictor.genes

    @cached_property
    def study(self) -> Study:
        """The run's data, read again on first use.

        Raises:
            LoadError: They cannot be read.
        """
        return read_run_data(self.folder)[1]

    @cached_property
    def split(self) -> Split:
        """Which pairs trained, validated and tested.

        Raises:
            LoadError: The file is damaged, or the data have changed since.
        """
        return load_split(self.folder / "split.json", self.study)

    @property
    def history(self) -> pd.DataFrame:
        """Metrics of every epoch; empty for systems without epochs."""
        path = self.folder / "history.csv"
        return pd.read_csv(path) if path.is_file() else pd.DataFrame()

    def predict(
        self,
        pairs: Table,
        expression: Table | None = None,
        drugs: Table | None = None,
        *,
        domain: Domain = "target",
        on_unknown: OnUnknown = "error",
    ) -> pd.DataFrame:
        """Potency of each pair: what ``dadsp predict`` writes.

        Args:
            pairs: Columns cell_id, drug_id; a table in memory or a file.
            expression: New lines: column cell_id, then one column per gene. None takes the run's own lines of ``domain``.
            drugs: New drugs: columns drug_id, smiles. None takes the run's own drugs.
            domain: Which screen's platform measured the expression.
            on_unknown: ``"drop"`` leaves out pairs of unknown lines or drugs, ``"error"`` refuses them.

        Returns:
            Columns cell_id, drug_id, neg_log10_ic50_um (−log10 IC50(µM)) and ic50_um.

        Raises:
            DadspError: An option is no choice, or a table cannot be used.
        """
        return self.predicted(pairs, expression, drugs, domain=domain, on_unknown=on_unknown).frame

    def predicted(
        self, pairs: Table, expression: Table | None, drugs: Table | None, *, domain: Domain, on_unknown: OnUnknown
    ) -> Predicted:
        """The same with notes on what was left out."""
        return predict_new(
            self.predictor,
            _readable(pairs, "pairs"),
            expression=None if expression is None else _readable(expression, "expression"),
            drugs=None if drugs is None else _readable(drugs, "drugs"),
            known=self._screens,
            domain=domain,
            on_unknown=on_unknown,
        )

    def _screens(self) -> tuple[Screen, Screen]:
        try:
            return self.study.source, self.study.target
        except LoadError as error:
            raise LoadError(f"{error} Or give expression= and drugs=.") from error


class LoadedSingleDrug(LoadedRun):
    """The networks of a finished run of ``dadsp single-drug``, one per drug and repeat.

    Attributes:
        folder: The run folder.
    """

    _table = "summary.csv"

    def predict(
        self,
        pairs: Table,
        expression: Table | None = None,
        *,
        on_unknown: OnUnknown = "error",
        repeat: int = 0,
        form: "Form" = "network",
    ) -> pd.DataFrame:
        """Response and class of each pair: what ``dadsp predict`` writes.

        Args:
            pairs: Columns cell_id, drug_id; a table in memory or a file.
            expression: New lines: column cell_id, then one column per gene. None takes the run's own lines.
            on_unknown: ``"drop"`` leaves out pairs of unknown lines or drugs, ``"error"`` refuses them.
            repeat: Which partition's networks.
            form: ``"network"`` as trained, or ``"compressed"``.

        Returns:
            Columns cell_id, drug_id, response and sensitivity.

        Raises:
            DadspError: An option is no choice, the run holds no such models, or a table cannot be used.
        """
        return self.predicted(pairs, expression, on_unknown=on_unknown, repeat=repeat, form=form).frame

    def predicted(
        self, pairs: Table, expression: Table | None, *, on_unknown: OnUnknown, repeat: int, form: "Form"
    ) -> Predicted:
        """The same with notes on what was left out."""
        from dadsp.cli.predict_single_drug import predict_single_drug  # pulls in scikit-learn

        return predict_single_drug(
            self.folder,
            _readable(pairs, "pairs"),
            expression=None if expression is None else _readable(expression, "expression"),
            on_unknown=on_unknown,
            repeat=repeat,
            form=form,
        )


def load_study(*overrides: str) -> Study:
    """The study that ``dadsp train`` with the same overrides would see.

    Args:
        overrides: As on the command line, e.g. ``"data=gdsc_ccle_panel"``, ``"data.root=files"``.

    Raises:
        ConfigError: A key or value is unknown.
        DadspError: The data cannot be read.
    """
    return study_of(list(overrides))


def train(*overrides: str) -> LoadedModel:
    """The model of a new run, or of the one that ``"resume=<run folder>"`` finishes.

    Args:
        overrides: Those of ``dadsp train``; sweeps (``-m``) are for the command line.

    Raises:
        ConfigError: A key or value is unknown.
        DadspError: The data cannot be read, or training failed.
    """
    from dadsp.cli.train import run  # pulls in mlflow

    options = [text for text in overrides if text.startswith("-")]
    if options:
        raise ConfigError(f"{options[0]} is for the command line. Give overrides alone: key=value.")
    with redirect_stdout(io.StringIO()) as printed:
        run(list(overrides), as_json=True)
    return load(json.loads(printed.getvalue())["folder"])


def load(folder: str | Path) -> LoadedModel:
    """The model of a finished run of ``dadsp train``; runs no code from its files.

    Raises:
        ConfigError: There is no such folder, or it is one of ``dadsp single-drug``.
        LoadError: It holds no model, or a damaged one.
    """
    if (Path(folder) / "drugs").is_dir():
        raise ConfigError(f"{folder} is a run of dadsp single-drug. Open it with dadsp.load_single_drug.")
    return LoadedModel(_existing(folder, "train"))


def load_single_drug(folder: str | Path) -> LoadedSingleDrug:
    """The networks of a finished run of ``dadsp single-drug``; their files run no code.

    Raises:
        ConfigError: There is no such folder, or it is one of another verb.
    """
    if not (_existing(folder, "single-drug") / "drugs").is_dir():
        raise ConfigError(f"{folder} is no run of dadsp single-drug. Open runs of dadsp train with dadsp.load.")
    return LoadedSingleDrug(Path(folder))


def _existing(folder: str | Path, verb: str) -> Path:
    if not Path(folder).is_dir():
        raise ConfigError(f"{folder} is not a folder. Give a run folder of dadsp {verb}.")
    return Path(folder)


def _readable(table: Table, name: str) -> Path | Frame:
    return Frame(name, table) if isinstance(table, pd.DataFrame) else Path(table)
