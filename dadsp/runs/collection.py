"""Finished runs of folders, of MLflow experiments and in memory, gathered and compared test by test."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass as options_dataclass

from dadsp.building import today
from dadsp.errors import ConfigError, SchemaError, examples, nearest
from dadsp.evaluation.compare import SYSTEMS, Comparison, compare, compared_scores
from dadsp.evaluation.compare import Run as ComparedRun
from dadsp.evaluation.naive_predictions import scored_again
from dadsp.files import read_json
from dadsp.options import STRICT
from dadsp.runs.folder import DATA_FACTS, READ_BY_OTHERS, RESULTS, USED_BY_OTHERS, RunFolder, complete
from dadsp.runs.identity import SUPERSEDED
from dadsp.runs.run import Run
from dadsp.schema import PredictionTable
from dadsp.tracked_runs import download_runs

SPEED = ("training.threads", "training.device", "training.checkpoint_every_s")  # settings that make no other system
SCREENS_OF_SCOPE = {"across": ("source", "target"), "source": ("source",), "target_oracle": ("target",)}
NO_RUNS = {"mlartifacts", SUPERSEDED}  # folders of copies, by the embedded tracking store, and of what a sweep replaced
REPETITIONS = ("fold", "repeat")  # settings of a split that repeat one test, beside the seed


@options_dataclass(frozen=True, kw_only=True, config=STRICT)
class ComparisonOptions:
    """How runs are compared.

    Attributes:
        reference: The system that differences refer to; None takes the best of each test.
        expected: CSV file of published numbers: system, rmse, r2.
        replicates: Of the bootstrap.
        seed: Of the bootstrap.
    """

    reference: str | None = None
    expected: str | None = None
    replicates: int = Field(default=2000, ge=100)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """What a comparison needs of a run.

    Attributes:
        run: Itself.
        system: Its name in tables.
        replicate: Seed, and fold and repeat where the split has them.
        test: Hash of the data, and the kind of split with what target labels it gives: runs that differ in these are not
            compared.
        title: ``test`` for readers.
        settings: The model's, flat, without what only concerns speed.
        kind: As its own table says.
        saw_target_labels: As its own table says.
        table: Test predictions.
        naive: Scores of the naive rows beside it, as they were written.
        newer_scores: Those that ``naive`` was written without.
        naive_predictions: Of the naive rows, for newer scores and for intervals; empty where there are none.
    """

    run: Run
    system: str
    replicate: str
    test: tuple[str, str]
    title: str
    settings: Mapping[str, str]
    kind: str
    saw_target_labels: bool
    table: PredictionTable
    naive: pd.DataFrame
    newer_scores: list[str]
    naive_predictions: Mapping[str, PredictionTable]

    def naive_scores(self) -> pd.DataFrame:
        """Scores of the naive rows; those that came after the run are computed from the predictions that it kept."""
        return scored_again(self.naive, self.naive_predictions, self.newer_scores) if self.newer_scores else self.naive

    @property
    def place(self) -> Path:
        """Its folder, to name it by."""
        return self.run.folder if self.run.is_kept else Path("a run in memory")


def scored_below(places: Sequence[Path]) -> list[RunFolder]:
    """The scored run folders anywhere below some folders, in the order of their results, without what a sweep replaced.

    Raises:
        ConfigError: There is none.
    """
    found = [path for place in places for path in place.rglob(RESULTS) if SUPERSEDED not in path.parts]
    if not found:
        raise ConfigError(
            f"{', '.join(map(str, places))}: no finished run ({RESULTS}) below. Name folders of finished runs."
        )
    return [RunFolder(path.parent) for path in sorted(found, key=lambda path: path.stat().st_mtime)]


def row_identity(folder: RunFolder) -> dict[str, Any]:
    """What a row of results says of the run that it is of; its command without where the folder lay."""
    run, facts = read_json(folder / RESULTS)["run"], read_json(folder / DATA_FACTS)
    measure = facts["target"].get("measure", "ic50")
    return {
        "study": f"{facts['source']['name']} → {facts['target']['name']}{'' if measure == 'ic50' else f', {measure}'}",
        "alignment": facts.get("alignment", {}).get("kind", "none"),
        **{name: run.get(name) for name in ("seed", "git.sha", "cpu.instructions", "data_hash", "split_hash")},
        "command": re.sub(r" runs=\S+", "", run["command"]),  # where the folders lay is nobody's business
    }


def own_row(folder: RunFolder) -> "pd.Series[Any]":
    """The scores of the system that a run is of.

    Raises:
        ConfigError: It is of a naive predictor.
        LoadError: The run is damaged.
    """
    with complete(folder.path):
        rows = folder.comparison.query("kind == 'model'")
    if rows.empty:
        raise ConfigError(f"{folder.path} is a run of a naive predictor. Leave it out.")
    return rows.iloc[0]


def gather(key: str, places: str | Sequence[str], uri: str | None, scratch: Path) -> tuple[list[FinishedRun], list[str]]:
    """Finished runs of folders or MLflow experiments, oldest first, and a note on those that are not finished.

    Args:
        key: That gave the places.
        places: One or more.
        uri: Tracking store of experiments; None: as ``dadsp train`` takes it.
        scratch: Where to copy files of experiments.

    Raises:
        ConfigError: There is no finished run.
        LoadError: A run is damaged.
    """
    folders, notes = _run_folders(key, [places] if isinstance(places, str) else places, uri, scratch)
    return [finished_run(Run(folder)) for folder in folders], notes


def finished_run(run: Run) -> FinishedRun:
    """What a comparison needs of a run.

    Raises:
        LoadError: A file of its is absent or damaged.
    """
    with complete(run.folder if run.is_kept else Path("the run")):
        facts, table = run.facts, run.kept.comparison if run.is_kept else run.table
        config: Mapping[str, Any] = run.settings if run.is_kept else {"data": {}, "split": {}, "model": {}}
        kind = facts["split"] if "split" in facts else run.kept.split_facts["kind"]
        settings = {key: str(today(value)) for key, value in flat(config["model"])}
        if settings.get("alignment._target_", "").endswith(".NoAlignment"):
            del settings["alignment._target_"]  # as in runs made before there were alignments
        repeated = [f"{key} {config['split'][key]}" for key in REPETITIONS if key in config["split"]]
        given = facts.get("target_labels", "")
        if given and (config.get("calibration") or {}).get("labels_per_drug"):
            repeated.append(f"draw {config['calibration']['draw']}")
        replicate = ", ".join([f"seed {facts['seed']}", *repeated])
        naive = table[~table["kind"].isin(SYSTEMS) & (table["system"] != facts["system"])]
        predictions, newer = run.predictions, run.kept.newer_scores() if run.is_kept else []
        return FinishedRun(
            run=run,
            system=facts["system"],
            replicate=replicate,
            test=(facts["data_hash"], f"{kind} {given}"),
            title=_title(config, facts, kind),
            settings={key: value for key, value in settings.items() if key not in SPEED and not key.endswith("_convert_")},
            kind="calibrated" if given else "model",
            saw_target_labels=run.saw_target_labels,
            table=predictions.where(predictions.frame["split"] == "test"),
            naive=naive[["system", "kind", "saw_target_labels", *compared_scores()]].assign(replicate=replicate),
            newer_scores=newer,
            naive_predictions=run.kept.naive_predictions if run.is_kept else {},
        )


def _title(config: Mapping[str, Any], facts: Mapping[str, Any], kind: str) -> str:
    roles = SCREENS_OF_SCOPE[facts.get("split_scope", "across")]
    given = [config["data"].get(role) for role in roles]
    screens = [screen if isinstance(screen, str) else (screen or {}).get("name") for screen in given]
    labels = f" + {facts['target_labels']}" if "target_labels" in facts else ""
    return f"{' → '.join(filter(None, screens)) or 'simulated screens'}, {kind} split{labels}, data {facts['data_hash'][:8]}"


def _run_folders(key: str, places: Sequence[str], uri: str | None, scratch: Path) -> tuple[list[RunFolder], list[str]]:
    """Folders of finished runs, oldest first, and a note on those that are not finished."""
    finished: list[RunFolder] = []
    unfinished: list[Path] = []
    notes: list[str] = []
    for place in places:
        if not Path(place).is_dir():
            if "/" in place:
                raise ConfigError(f"{key}={place} is not a folder. Give one that holds run folders of dadsp train.")
            runs = download_runs(place, uri, Path("runs"), READ_BY_OTHERS, scratch, USED_BY_OTHERS)
            finished += [RunFolder(folder) for folder in runs.folders]
            if runs.unfinished:
                notes.append(
                    f"{len(runs.unfinished)} runs of experiment {place} are not finished and left out (e.g. "
                    f"{examples(runs.unfinished)}). Finish them (dadsp train resume=<run folder>, or the sweep's own "
                    f"command), or compare folders: {key}=<folder>."
                )
            continue
        configured = [path.parent for path in Path(place).rglob("config.yaml") if not NO_RUNS & set(path.parts)]
        found = [folder for folder in map(RunFolder, configured) if folder.scored]
        finished += sorted(found, key=RunFolder.scored_at)
        unfinished += sorted(set(configured) - {folder.path for folder in found})
    if not finished:
        raise ConfigError(
            f"{key}={','.join(places)} holds no finished run (a folder with config.yaml and metrics.json; {len(unfinished)} "
            f"unfinished). Train some: dadsp train.{''.join(f' {note}' for note in notes)}"
        )
    if unfinished:
        notes.append(f"{len(unfinished)} unfinished runs are left out (e.g. {examples(unfinished)}).")
    return finished, notes


def compare_runs(
    finished: Sequence[FinishedRun], notes: list[str], options: "ComparisonOptions | None" = None
) -> list[Comparison]:
    """One comparison for each test that the runs hold; adds to ``notes`` what a reader should know of all of them.

    Args:
        finished: The runs.
        notes: Is added to.
        options: How to compare.

    Raises:
        ConfigError: No run is of the reference, or runs of one replicate were tested on different pairs.
        SchemaError: The file of published numbers is of no use.
    """
    options = options or ComparisonOptions()
    reference = options.reference
    expected = read_expected(Path(options.expected)) if options.expected else None
    tests: dict[tuple[str, str], list[FinishedRun]] = {}
    for each in finished:
        tests.setdefault(each.test, []).append(each)
    labelled = [_labelled(each, notes) for each in tests.values()]
    systems = {name for part in labelled for name, _ in part}
    if reference is not None and reference not in systems:
        raise ConfigError(f"reference={reference} is none of the systems found. {nearest(reference, systems)}")
    if expected is not None and (absent := [name for name in expected["system"] if name not in systems]):
        notes.append(f"{len(absent)} systems of {options.expected} have no run here: {examples(absent, 20)}.")
    if len(labelled) > 1:
        notes.append(f"The runs hold {len(labelled)} different tests (other data or another split), compared one by one.")
    return [
        compare(
            [ComparedRun(label, each.replicate, each.saw_target_labels, each.table, each.kind) for label, each in part],
            part[0][1].title,
            naive=naive,
            naive_runs=naive_runs,
            expected=expected,
            reference=reference if reference in {label for label, _ in part} else None,
            replicates=options.replicates,
            seed=options.seed,
        )
        for part in labelled
        for naive, naive_runs in [_naive(part)]
    ]


def _naive(runs: Sequence[tuple[str, FinishedRun]]) -> tuple[pd.DataFrame, list[ComparedRun]]:
    """Scores of the naive rows, and the predictions that were kept of those that saw source labels alone."""
    # All runs of a replicate have the same naive rows: the first that kept their predictions tells most of them.
    first: dict[str, FinishedRun] = {}
    for _, each in runs[::-1]:
        known = first.get(each.replicate)
        if known is None or each.naive_predictions or not (each.newer_scores or known.naive_predictions):
            first[each.replicate] = each
    scores = pd.concat([each.naive_scores() for each in first.values()], ignore_index=True)
    kept = [
        ComparedRun(name, each.replicate, False, each.naive_predictions[name], "naive_source")
        for each in first.values()
        for name in each.naive.loc[each.naive["kind"] == "naive_source", "system"]
        if name in each.naive_predictions
    ]
    return scores, kept


def _labelled(runs: Sequence[FinishedRun], notes: list[str]) -> list[tuple[str, FinishedRun]]:
    """Runs of one test with what tells their systems apart; of equal runs the newest, which is noted."""
    by_name: dict[str, list[FinishedRun]] = {}
    for each in runs:
        by_name.setdefault(each.system, []).append(each)
    newest: dict[tuple[str, str], FinishedRun] = {}
    replaced = []
    for name, same in by_name.items():
        keys = varying([each.settings for each in same])
        for each in same:
            chosen = ", ".join(f"{shown}={short(each.settings.get(key, '–'))}" for key, shown in keys.items())
            place = (f"{name} [{chosen}]" if chosen else name, each.replicate)
            if place in newest:
                replaced.append(newest[place].place)
            newest[place] = each
    if replaced:
        notes.append(f"{len(replaced)} runs were repeated later; the newest stand (left out e.g. {examples(replaced)}).")
    return [(label, each) for (label, _), each in newest.items()]


def flat(node: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings under dotted keys, as text."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def varying(settings: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Keys whose values differ among the settings, and how to show them; a part of another class stands for its keys."""
    keys = dict.fromkeys(key for each in settings for key in each)
    differing = [key for key in keys if len({each.get(key) for each in settings}) > 1]
    classes = [key.removesuffix("_target_") for key in differing if key.endswith("._target_")]
    kept = [key for key in differing if not any(key.startswith(part) and key != f"{part}_target_" for part in classes)]
    return {key: key.removesuffix("._target_") for key in kept}


def short(value: str) -> str:
    """A setting's value for reading: a class of dadsp by its last name."""
    return value.rpartition(".")[2] if value.startswith("dadsp.") else value


def read_expected(path: Path) -> pd.DataFrame:
    """Published numbers: columns system, and rmse or r2 or both.

    Raises:
        SchemaError: The file is absent, lacks a column, or holds text where numbers belong.
    """
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise SchemaError(f"expected={path} cannot be read as a CSV file: {error}.") from error
    names = [name for name in ("rmse", "r2") if name in frame]
    if "system" not in frame or not names or any(frame[name].dtype.kind not in "fi" for name in names):
        raise SchemaError(
            f"expected={path} needs a column system and numbers in a column rmse or r2; it has {examples(frame.columns, 9)}."
        )
    repeated = frame["system"][frame["system"].duplicated()]
    if len(repeated):
        raise SchemaError(
            f"expected={path} names {len(repeated)} systems twice (e.g. {examples(repeated)}). Keep one row each."
        )
    return frame
