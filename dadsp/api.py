"""dadsp from Python: everything the command line does, with objects (docs/python.md).

Overrides are those of the command line. Nothing here ends the process: what is wrong is a ``DadspError``.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pandas as pd

from dadsp.building import build
from dadsp.configuration.compose import compose, compose_run, plain
from dadsp.data.sources.frames import screen_of_frames
from dadsp.data.study import make_study
from dadsp.errors import ConfigError
from dadsp.evaluation.compare import Comparison
from dadsp.models.base import FitContext, Predictor
from dadsp.options import validated
from dadsp.report.document import write_document
from dadsp.report.run_report import run_report
from dadsp.runs import experiment
from dadsp.runs import run as runs_run
from dadsp.runs.collection import ComparisonOptions, compare_runs, finished_run, gather
from dadsp.runs.folder import RunFolder, is_single_drug
from dadsp.runs.identity import sole_process
from dadsp.runs.job import KEYS, Job, going_on, logged_to, new_folder
from dadsp.runs.job import train as train_job
from dadsp.runs.packed import PackedModel, unpack
from dadsp.runs.parts import forget_studies
from dadsp.runs.parts import load_study as study_of_settings
from dadsp.runs.predict_single_drug import SingleDrugRun
from dadsp.runs.tracked import TrackingOptions
from dadsp.runs.tuning import Choices, Range, Tuned, tune
from dadsp.schema import Screen, Split, Study

__all__ = [
    "Choices",
    "FitContext",
    "PackedModel",
    "Range",
    "Run",
    "SingleDrugRun",
    "TrackingOptions",
    "Tuned",
    "compare",
    "load",
    "load_packed",
    "load_single_drug",
    "load_study",
    "model",
    "run_experiment",
    "screen",
    "split",
    "study",
    "train",
    "tune",
]


class Run(runs_run.Run):
    """A run in Python: what it scored, its system, what can be found out about it, and a page that can be mailed."""

    @classmethod
    def of(cls, run: runs_run.Run) -> "Run":
        """The same run."""
        again = cls()
        again.__dict__.update(run.__dict__)
        return again

    def report(self, out: str | Path | None = None, form: Literal["html", "md"] = "html") -> Path:
        """Writes a page about the run with what was found out about it, as ``dadsp report run=`` does.

        Args:
            out: The file; None writes ``report.html`` (or ``.md``) into the run folder.
            form: ``"html"``, one file with its figures; ``"md"`` with a folder of figures beside it.

        Returns:
            Where it lies.

        Raises:
            LoadError: The run is in memory alone, or a file of it is damaged.
        """
        path = Path(out) if out else self.kept / f"report.{form}"
        document, _ = run_report(self.kept)
        write_document(document, form, path)
        return path


def load_study(*overrides: str) -> Study:
    """The study that ``dadsp train`` with the same overrides would see.

    Args:
        overrides: As on the command line, e.g. ``"data=gdsc_ccle_panel"``, ``"data.root=files"``.

    Raises:
        ConfigError: A key or value is unknown.
        DadspError: The data cannot be read.
    """
    forget_studies()
    config = compose("config", list(overrides))
    return study_of_settings({"data": plain(config.data), "split": plain(config.split)}, None)


def screen(
    name: str,
    *,
    expression: pd.DataFrame,
    responses: pd.DataFrame,
    drugs: pd.DataFrame,
    cells: pd.DataFrame | None = None,
    **options: Any,
) -> Screen:
    """A screen from data frames, with the checks that files get (docs/python.md).

    Args:
        name: Display name.
        expression: One row per line: column cell_id, then one column per gene.
        responses: One row per measured pair: cell_id, drug_id, value; relation (``>`` where the IC50 was not reached) and
            top_dose (µM) where known.
        drugs: One row per drug: drug_id, smiles; name and target where known.
        cells: One row per line: cell_id; link_id (identity across screens), tissue where known.
        options: Of the responses: measure (``"ic50"``), unit (``"um"`` for IC50), cap, replicates …, as in docs/data.md.

    Raises:
        DadspError: A frame lacks a column, or a value cannot be used; the message names the frame.
    """
    return screen_of_frames(name, expression, responses, drugs, cells, options)


def study(source: Screen, target: Screen, **options: Any) -> Study:
    """A study over the genes both screens measured.

    Args:
        source: Screen whose labels train.
        target: Screen whose labels are held out.
        options: label_cap, on_missing_structure, on_different_measures, min_genes, repair_genes; see
            ``dadsp.data.study.make_study``.

    Raises:
        DadspError: The screens do not go together.
    """
    return make_study(source, target, **options)


def split(study: Study, name: str = "cross_screen", seed: int = 0, **options: Any) -> Split:
    """Which pairs train, validate and test.

    Args:
        study: Its ``scope`` must fit: splits inside one screen take ``study.within("source")``.
        name: A choice of config group ``split``.
        seed: Of the draw.
        options: Keys of that choice.

    Raises:
        ConfigError: There is no such choice or key.
    """
    node = plain(compose("config", [f"split={name}"]).split)
    made: Split = build({**node, **options}, "split", study=study, seed=seed)
    return made


def model(name: str, *overrides: str, **options: Any) -> Predictor:
    """A system, not yet fitted.

    Args:
        name: A choice of config group ``model``, e.g. ``"pairwise_gp"``.
        overrides: As on the command line, e.g. ``"trainer.max_epochs=5"``, ``"alignment=bridge"``.
        options: Keys of ``model``.

    Raises:
        ConfigError: There is no such choice or key, or a value is impossible.
    """
    node = plain(compose("config", [f"model={name}", *overrides]).model)
    made: Predictor = build({**node, **options}, "model")
    return made


def run_experiment(
    study: Study,
    split: Split,
    model: Predictor,
    folder: str | Path | None = None,
    tracker: TrackingOptions | None = None,
    context: FitContext | None = None,
) -> Run:
    """Fits ``model``, scores it beside the naive rows, and keeps all of it in ``folder``; see ``runs.experiment``."""
    return Run.of(experiment.run_experiment(study, split, model, folder, tracker, context))


run_experiment.__doc__ = experiment.run_experiment.__doc__


def train(*overrides: str) -> Run:
    """A new run as ``dadsp train`` makes it, or the one that ``"resume=<run folder>"`` finishes.

    Args:
        overrides: Those of ``dadsp train``; sweeps (``-m``) are for the command line.

    Raises:
        ConfigError: A key or value is unknown.
        DadspError: The data cannot be read, or training failed.
    """
    if options := [text for text in overrides if text.startswith("-")]:
        raise ConfigError(f"{options[0]} is for the command line. Give overrides alone: key=value.")
    if resumed := [text.removeprefix("resume=") for text in overrides if text.startswith("resume=")]:
        if len(overrides) > 1:
            raise ConfigError("A resumed run keeps its own configuration. Give resume= alone.")
        place = RunFolder(resumed[0])
        with sole_process(place.path):
            job = going_on(place, KEYS, tracked=True)
            if job is not None:
                with logged_to(place / "train.log"):
                    train_job(job, FitContext(), lambda study, split, system: None)
        return load(place.path)
    forget_studies()
    config, folder = compose_run("config", list(overrides))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with sole_process(folder), new_folder(RunFolder(folder), "train", "train.log"), logged_to(folder / "train.log"):
        job = Job(plain(config), RunFolder(folder), shlex.join(["dadsp", "train", *overrides]))
        run, _ = train_job(job, FitContext(), lambda study, split, system: None)
    return Run.of(run)


def compare(
    runs: "Sequence[runs_run.Run | str | Path] | str",
    *,
    uri: str | None = None,
    **how: Any,
) -> Comparison:
    """Runs on one test side by side: ``table`` has means, intervals, paired differences and ranks, naive rows below.

    Args:
        runs: Runs, run folders or folders of them; or the name of an MLflow experiment.
        uri: Tracking store of an experiment.
        how: Fields of ``ComparisonOptions``: reference, expected, replicates, seed.

    Raises:
        ConfigError: There is no finished run, or they hold several tests (other data or another split).
    """
    options = validated(ComparisonOptions, how, "")
    given = [runs] if isinstance(runs, str) else list(runs)
    places = [str(each) for each in given if not isinstance(each, runs_run.Run)]
    finished = [finished_run(each) for each in given if isinstance(each, runs_run.Run)]
    notes: list[str] = []
    with TemporaryDirectory() as scratch:
        if places:
            more, notes = gather("runs", places, uri, Path(scratch))
            finished += more
        found = compare_runs(finished, notes, options)
    if len(found) > 1:
        titles = "; ".join(each.title for each in found)
        raise ConfigError(f"The runs hold {len(found)} different tests ({titles}). Compare those of one at a time.")
    return found[0]


def load_packed(path: str | Path) -> PackedModel:
    """A model that ``dadsp pack`` put into a file; it predicts, and runs no code from the file.

    Raises:
        LoadError: There is no such file, or it is damaged.
    """
    return unpack(Path(path))


def load(folder: str | Path) -> Run:
    """A finished run of ``dadsp train``; runs no code from its files.

    Raises:
        ConfigError: There is no such folder, or it is one of ``dadsp single-drug``.
        LoadError: It holds no model, or a damaged one.
    """
    if is_single_drug(Path(folder)):
        raise ConfigError(f"{folder} is a run of dadsp single-drug. Open it with dadsp.load_single_drug.")
    run = Run(RunFolder(_existing(folder, "train")))
    _ = run.model
    return run


def load_single_drug(folder: str | Path) -> SingleDrugRun:
    """The networks of a finished run of ``dadsp single-drug``; their files run no code.

    Raises:
        ConfigError: There is no such folder, or it is one of another verb.
    """
    if not is_single_drug(_existing(folder, "single-drug")):
        raise ConfigError(f"{folder} is no run of dadsp single-drug. Open runs of dadsp train with dadsp.load.")
    return SingleDrugRun(Path(folder))


def _existing(folder: str | Path, verb: str) -> Path:
    if not Path(folder).is_dir():
        raise ConfigError(f"{folder} is not a folder. Give a run folder of dadsp {verb}.")
    return Path(folder)
