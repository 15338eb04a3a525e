"""A run that settings describe, begun or gone on with: what ``dadsp train`` does, and ``dadsp.train`` in Python."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, StrictInt
from pydantic.dataclasses import dataclass

from dadsp.credentials import LeanFormatter, tree_without_credentials
from dadsp.errors import DadspError, LoadError, StorageError, nearest
from dadsp.models.base import FitContext
from dadsp.models.trust.trust import Method
from dadsp.options import STRICT, validated
from dadsp.runs.experiment import Origin, work_in
from dadsp.runs.folder import CONFIG, IDENTITY, RUN, SPLIT, RunFolder
from dadsp.runs.identity import LOCK, Tell, claim, identity
from dadsp.runs.parts import load_study, model_of, split_of, without_effect
from dadsp.runs.run import Run
from dadsp.runs.scoring import row_name
from dadsp.runs.tracked import TrackingOptions
from dadsp.schema import Split, Study
from dadsp.tracking import PARENT, RunTracker

Ending = Literal["trained", "skipped", "failed"]
GROUPS = ("data", "split", "drug_features", "alignment", "model", "trainer", "tracking")
KEYS = (*GROUPS, "calibration", "intervals", "seed", "resume", "runs", "sweep", "plugins")
NEEDED = ("data", "panel", "split", "model", "tracking", "seed", "runs")  # keys that a run of any version has
PATHS = ("data.root", "split.path", "calibration.pairs")  # keys that name files


@dataclass(frozen=True, config=STRICT)
class RunOptions:
    """Top-level values; ``seed`` is a whole number, never text that looks like one."""

    seed: StrictInt
    runs: str = Field(min_length=1)
    intervals: Method = "auto"


class Job(NamedTuple):
    """One run that is asked for.

    Attributes:
        settings: Its configuration as plain values.
        folder: In which this process works alone.
        command: That began it.
        sweep: Folder of its sweep, if it belongs to one.
        settings_hash: Of what decides its result; empty outside sweeps.
        tell: Is told in a line what is not in the results.
    """

    settings: dict[str, Any]
    folder: RunFolder
    command: str
    sweep: Path | None = None
    settings_hash: str = ""
    tell: Tell = lambda line: None

    def options(self) -> tuple[RunOptions, TrackingOptions]:
        """Seed, folder of runs, and tracking, checked."""
        top = validated(
            RunOptions, {key: self.settings[key] for key in ("seed", "runs", "intervals") if key in self.settings}, ""
        )
        return top, validated(TrackingOptions, self.settings["tracking"], "tracking")

    def origin(self, *paths: str, tags: Mapping[str, str] | None = None) -> Origin:
        """What folder and tracking say of the run.

        ``runs`` and these keys become absolute paths, as a run is resumed from wherever the user stands. Passwords and
        tokens of addresses stay in memory.
        """
        settings = tree_without_credentials(self.settings)
        for key in ("runs", *paths):
            *above, last = key.split(".")
            node = settings
            for part in above:
                node = node.get(part) if isinstance(node, dict) else None
            if isinstance(node, dict) and isinstance(node.get(last), str):
                node[last] = str(Path(node[last]).absolute())
        return Origin(settings, self.command, Path(self.settings["runs"]), tags or {}, self.tell)


def train(job: Job, context: FitContext, begun: Callable[[Study, Split, str], None]) -> tuple[Run, Ending]:
    """Trains and scores in the job's folder, or finishes what is left there; of a sweep's job only what is not finished.

    Args:
        job: What is asked for.
        context: What is told of each epoch; the seed is the job's.
        begun: Is told study, split and name of the system before training begins.

    Raises:
        DadspError: A setting is impossible, the data cannot be read, training failed, or the folder cannot be written.
    """
    settings, folder = job.settings, job.folder
    options, tracking = job.options()
    model = model_of(settings)
    study = load_study(settings, folder.path)
    if job.sweep is not None and claim(folder, identity(job.settings_hash, settings, study), job.tell):
        return Run(folder, study=study), "skipped"
    split = split_of(settings, options.seed, study, folder.path)
    begun(study, split, row_name(model, study))
    for line in without_effect(model, settings):
        job.tell(line)
    tags = {}
    if job.sweep is not None and tracking.enabled:
        above = RunTracker.of_sweep(tracking.experiment, settings["sweep"], tracking.uri, Path(settings["runs"]), job.sweep)
        tags[PARENT] = above.run_id
    trained_before = folder.scored
    context, origin = replace(context, seed=options.seed), job.origin(*PATHS, tags=tags)
    run = work_in(folder, study, split, model, tracking, context, origin, options.intervals)
    return run, "skipped" if trained_before else "trained"


def going_on(folder: RunFolder, keys: tuple[str, ...], *, tracked: bool, tell: Tell = lambda line: None) -> Job | None:
    """The job of a folder that a run was begun in; None where nothing is left to do.

    Args:
        folder: Holds the run.
        keys: Of its verb's configuration.
        tracked: Whether to track, if the run is tracked at all; then entries that a store had failed to take are sent too.
        tell: See ``Job``.

    Raises:
        LoadError: There is no such run, or its configuration is damaged.
    """
    if not (folder / CONFIG).is_file():
        raise LoadError(f"{folder.path} holds no run to go on with (no {CONFIG}). Check the folder.")
    settings = folder.buildable_settings()
    for key in settings:
        if key not in keys:
            raise LoadError(f"{folder / CONFIG}: {key!s} is not a known key. {nearest(str(key), keys)}")
    lacking = [key for key in NEEDED if key in keys and settings.get(key) is None]
    if lacking or not isinstance(settings["tracking"], dict):
        what = f"{', '.join(lacking)} is absent" if lacking else "tracking is no choice of keys"
        raise LoadError(f"{folder / CONFIG} is damaged: {what}. Start the run again.")
    if folder.finished and not (tracked and folder.unsent):
        return None
    if not tracked:
        settings["tracking"]["enabled"] = False
    return Job(settings, folder, folder.tracking.get("command", f"resume={folder.path}"), tell=tell)


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Appends what is logged in the block to a file, unless it goes somewhere already."""
    root = logging.getLogger()
    if root.handlers:
        yield
        return
    handler, level = logging.FileHandler(path), root.level
    handler.setFormatter(LeanFormatter("%(asctime)s %(levelname)s %(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()


@contextmanager
def new_folder(folder: RunFolder, verb: str, log: str) -> Iterator[None]:
    """Leaves no folder behind where nothing was trained in the block, and says how a run that was begun goes on.

    Raises:
        DadspError: As in the block.
    """
    try:
        with told_how_to_go_on(folder, verb):
            yield
    except DadspError:
        if not (folder / RUN).exists():
            for name in (IDENTITY, SPLIT, CONFIG, log, LOCK):
                (folder / name).unlink(missing_ok=True)
            folder.path.rmdir()
        raise


@contextmanager
def told_how_to_go_on(folder: RunFolder, verb: str) -> Iterator[None]:
    """Adds to an error of a full or unwritable disk how the run goes on, once there is a run."""
    try:
        yield
    except StorageError as error:
        if not (folder / RUN).exists():
            raise
        raise StorageError(f"{error} Then the run goes on: dadsp {verb} resume={folder.path}") from error
