"""A run as an object: what it scored, what its system says of pairs, and what can be found out about it."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from dadsp.data.new_pairs import ALL, Asked, OnUnknown
from dadsp.data.new_platform.options import NewPlatformOptions, with_table_of
from dadsp.data.table_files import ENDINGS
from dadsp.data.tables import Frame
from dadsp.errors import LoadError
from dadsp.evaluation.report import comparison
from dadsp.models.base import Predictor
from dadsp.models.prediction import Predicted, predict_new
from dadsp.models.trust.trust import Trust
from dadsp.options import validated
from dadsp.runs.folder import COMPARISON, SCREENS, RunFolder
from dadsp.runs.parts import read_run_data
from dadsp.runs.scoring import Results
from dadsp.schema import Domain, PredictionTable, Screen, Split, Study
from dadsp.served_model import load_screens, save_screens

if TYPE_CHECKING:
    from dadsp.analysis.design import Design
    from dadsp.analysis.embedding import Embedding
    from dadsp.analysis.missing_pairs import Imputation
    from dadsp.runs.explaining import Explained

Table = str | Path | pd.DataFrame
MOST_VALUES = 8_000_000  # of expression kept with a run, 32 MB: more is quicker read where it lies


class Run:
    """A finished run of ``dadsp train`` or ``dadsp.run_experiment``: one system, trained, scored, kept.

    Whatever is not given is read from the folder on first use.

    Args:
        folder: Its folder; None for a run that is in memory alone, of which all the rest is given.
        model: The fitted system.
        study: What it learned from.
        split: Of that study.
        results: What it scored.
        trust: How far to trust it.
    """

    def __init__(
        self,
        folder: RunFolder | None = None,
        *,
        model: Predictor | None = None,
        study: Study | None = None,
        split: Split | None = None,
        results: Results | None = None,
        trust: Trust | None = None,
    ) -> None:
        self._folder, self._results = folder, results
        given = {"model": model, "study": study, "split": split}
        self.__dict__.update({name: value for name, value in given.items() if value is not None})
        if folder is None or trust is not None:
            self.__dict__["trust"] = trust

    def __repr__(self) -> str:
        own = self.table.iloc[0]
        where = self.folder if self.is_kept else "in memory"
        return f"<{self.name}: RMSE {own['rmse']:.3f}, r per drug {own['median_drug_pearson']:.2f}, {where}>"

    @property
    def kept(self) -> RunFolder:
        """Its folder, to read and write.

        Raises:
            LoadError: It is in memory alone.
        """
        if self._folder is None:
            raise LoadError("The run is in memory alone. Give folder= to dadsp.run_experiment.")
        return self._folder

    @property
    def is_kept(self) -> bool:
        """Whether it has a folder, or is in memory alone."""
        return self._folder is not None

    @property
    def folder(self) -> Path:
        """Where it lies.

        Raises:
            LoadError: It is in memory alone.
        """
        return self.kept.path

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Its configuration, nested as in ``config.yaml``."""
        return self.kept.settings

    @cached_property
    def model(self) -> Predictor:
        """The fitted system itself."""
        return self.kept.model()

    @cached_property
    def study(self) -> Study:
        """Its data, read again on first use.

        Raises:
            LoadError: They cannot be read.
        """
        return read_run_data(self.kept)

    @cached_property
    def split(self) -> Split:
        """Which pairs trained, validated and tested.

        Raises:
            LoadError: The file is damaged, or the data have changed since.
        """
        return self.kept.split(self.study)

    @cached_property
    def trust(self) -> Trust | None:
        """How far to trust its predictions (docs/intervals.md); None in runs of earlier versions.

        Raises:
            LoadError: The files are damaged.
        """
        return self.kept.trust()

    @property
    def name(self) -> str:
        """How tables call the system."""
        return self.model.name

    @property
    def genes(self) -> tuple[str, ...]:
        """The genes it reads, in its order; empty where it needs none."""
        return self.model.genes

    @cached_property
    def results(self) -> dict[str, Any]:
        """All scores as plain values, the content of ``metrics.json``."""
        return self._results.to_json() if self._results else self.kept.results

    @property
    def facts(self) -> dict[str, Any]:
        """What identifies the run: system, seed, hashes, versions."""
        return dict(self.results["run"])

    @property
    def saw_target_labels(self) -> bool:
        """Whether labels of the target were used anywhere."""
        own = next(row for row in self.results["systems"] if row["name"] == self.facts["system"])
        return bool(own["saw_target_labels"])

    @cached_property
    def table(self) -> pd.DataFrame:
        """Scores on what was held out: one row per system, this one first, then the naive rows."""
        if self._results:
            return comparison(self._results.rows)
        if not (self.kept / COMPARISON).is_file():
            raise LoadError(f"{self.folder} holds no {COMPARISON}. Check that the run is finished.")
        return self.kept.scores

    @property
    def predictions(self) -> PredictionTable:
        """Of validation and test pairs, with labels and what training had seen of each."""
        return self._results.table if self._results else self.kept.predictions

    @property
    def history(self) -> pd.DataFrame:
        """Metrics of every epoch; empty for systems without epochs."""
        return self.model.history() if self._folder is None else self.kept.history

    def predict(
        self,
        pairs: Table | None = None,
        expression: Table | None = None,
        drugs: Table | Sequence[str] | None = None,
        *,
        lines: Table | Sequence[str] | None = None,
        domain: Domain = "target",
        on_unknown: OnUnknown = "error",
        new_platform: dict[str, Any] | NewPlatformOptions | None = None,
        calibrate: Table | None = None,
    ) -> pd.DataFrame:
        """Potency of each pair, and how far to trust it: what ``dadsp predict`` writes.

        Args:
            pairs: Columns cell_id, drug_id; a table in memory or a file. None predicts every line with every drug.
            expression: New lines × genes, or genes × lines. None takes the run's own lines of ``domain``.
            drugs: New drugs: columns drug_id, smiles. None takes the run's own. Without ``pairs`` also ``"all"`` or names.
            lines: Without ``pairs``: ``"all"``, names, or a table with a column cell_id.
            domain: Which screen's platform measured the expression.
            on_unknown: ``"drop"`` leaves out pairs of unknown lines or drugs, ``"error"`` refuses them.
            new_platform: Keys of ``new_platform`` in ``conf/predict.yaml``: scale, align, max_missing, gene_table.
            calibrate: A few labels of the assay to be predicted: columns cell_id, drug_id, neg_log10_ic50_um or ic50_um.

        Returns:
            Columns cell_id, drug_id, neg_log10_ic50_um (−log10 IC50(µM)), ic50_um; then name of the drug, intervals, what
            was seen in training, verdict, ranks (docs/predict.md); imputation_variance where genes were imputed.

        Raises:
            DadspError: An option is no choice, or a table cannot be used.
        """
        return self.predicted(
            pairs,
            expression,
            drugs,
            lines=lines,
            domain=domain,
            on_unknown=on_unknown,
            new_platform=new_platform,
            calibrate=calibrate,
        ).frame

    def predicted(
        self,
        pairs: Table | None,
        expression: Table | None,
        drugs: Table | Sequence[str] | None,
        *,
        lines: Table | Sequence[str] | None = None,
        domain: Domain,
        on_unknown: OnUnknown,
        new_platform: dict[str, Any] | NewPlatformOptions | None = None,
        calibrate: Table | None = None,
    ) -> Predicted:
        """The same with notes on what was left out, and on what was done to expression."""
        platform = validated(NewPlatformOptions, new_platform or {}, "new_platform")
        return predict_new(
            self.model,
            None if pairs is None else readable(pairs, "pairs"),
            expression=None if expression is None else readable(expression, "expression"),
            drugs=asked_for(drugs, "drugs", table_only=pairs is not None),
            lines=asked_for(lines, "lines"),
            known=self._screens,
            domain=domain,
            on_unknown=on_unknown,
            new_platform=with_table_of(platform, self.settings.get("data", {})) if self.is_kept else platform,
            trust=self.trust,
            calibrate=None if calibrate is None else readable(calibrate, "calibrate"),
        )

    def _screens(self) -> tuple[Screen, Screen]:
        if "study" not in self.__dict__ and self.is_kept and (self.kept / SCREENS).is_dir():
            return load_screens(self.model, self.kept / SCREENS)
        try:
            return self.study.source, self.study.target
        except LoadError as error:
            raise LoadError(f"{error} Or give expression= and drugs=.") from error

    def pack(self, out: str | Path, **options: Any) -> dict[str, Any]:
        """Writes its model into one file to hand on, which ``dadsp.load_packed`` opens; gives the file's card.

        Args:
            out: The file.
            options: expression, licence, use, as ``dadsp pack`` takes them.

        Raises:
            LoadError: The run's data are not at hand.
        """
        from dadsp.runs.packed import pack  # which builds on runs

        return pack(self, Path(out), **options)

    def impute(self, **options: Any) -> "Imputation":
        """What the system says of the pairs that nobody measured: ``pairs``, ``ranking`` of drugs, ``coverage``, ``facts``.

        Args:
            options: Keys of ``dadsp impute``: domain, drugs, alpha, percentile, seed …

        Raises:
            ConfigError: An option is no choice, or too few lines were held out.
        """
        from dadsp.analysis.missing_pairs import ImputeOptions, impute  # seconds of imports that predicting does without

        return impute(self.model, self.study, self.split, validated(ImputeOptions, options, ""), self.trust)

    def design(self, **options: Any) -> "Design":
        """Which pairs to measure next: ``pairs`` in the order of choice with their wells, ``facts``.

        Args:
            options: Keys of ``dadsp design``: budget, per_line, per_drug, about …

        Raises:
            ConfigError: An option is no choice, or nothing may be chosen.
            MissingIdsError: A line or drug is not known.
        """
        from dadsp.analysis.design import DesignOptions, design  # as above

        chosen = validated(DesignOptions, options, "")
        return design(self.model, self.study.target if chosen.domain == "target" else self.study.source, chosen)

    def embed(self, **options: Any) -> "Embedding":
        """Both screens' lines before and after training: ``coordinates``, ``measures``, ``facts``.

        Args:
            options: Keys of ``dadsp embed``: neighbours, permutations, seed …

        Raises:
            ConfigError: An option is no choice, or the system has no feature space.
        """
        from dadsp.analysis.embedding import EmbedOptions, embed  # as above

        return embed(self.model, self.study, validated(EmbedOptions, options, ""))

    def explain(self, drug: str, runs: Sequence["Run"] = (), **options: Any) -> "Explained":
        """Which genes, and which atoms of the drug, predictions rest on, and how surely.

        Args:
            drug: Id or name of a drug of either screen.
            runs: The same system on the same data with other seeds, to see how stable the genes are.
            options: Keys of ``dadsp explain``: lines, most_sensitive, domain, gene_sets, top …

        Raises:
            ConfigError: An option is no choice.
            MissingIdsError: The drug, or a line, is not known.
        """
        from dadsp.runs.explaining import explain_run  # pulls in captum

        return explain_run(self, {"drug": drug, **options}, list(runs))


def asked_for(given: "Table | Sequence[str] | None", name: str, table_only: bool = False) -> Asked:
    """Lines or drugs as a user gives them: ``"all"``, names, or a table in memory or a file.

    Args:
        given: A text that is no file, and does not end like one, is a name.
        name: What messages call a table in memory.
        table_only: Whether any text is a file, and nothing but a table will do.
    """
    if given is None or isinstance(given, pd.DataFrame | Path):
        return None if given is None else readable(given, name)
    if not isinstance(given, str):
        return list(given)
    if (table_only and given != ALL) or Path(given).suffix in ENDINGS or (given != ALL and Path(given).is_file()):
        return Path(given)
    return given


def keep_screens(folder: RunFolder, model: Predictor, study: Study) -> None:
    """Keeps lines and drugs with the run where they are small, so that predicting need not read the labels again.

    They stay on this machine: tracking is not handed them.
    """
    if len(model.genes) * (len(study.source.cells) + len(study.target.cells)) <= MOST_VALUES:
        save_screens(model, study, folder / SCREENS)


def readable(table: Table, name: str) -> Path | Frame:
    """A table in memory under the name that messages give it, or the path of a file."""
    return Frame(name, table) if isinstance(table, pd.DataFrame) else Path(table)
