"""``dadsp compare``: finished runs side by side, as a table, CSV, JSON and an HTML page."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import pandas as pd
from omegaconf import DictConfig, OmegaConf
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from rich.text import Text

from dadsp.cli.app import run_app
from dadsp.cli.finished_run import complete, read_settings
from dadsp.cli.results import console
from dadsp.cli.run_folder import scored
from dadsp.cli.sweep import SUPERSEDED
from dadsp.errors import ConfigError, SchemaError, examples, nearest
from dadsp.evaluation.compare import Comparison, Run, compare, compared_scores
from dadsp.evaluation.compare_brief import advice, render_brief
from dadsp.evaluation.compare_tables import render
from dadsp.evaluation.naive_predictions import FILE as NAIVE
from dadsp.evaluation.naive_predictions import naive_tables, read_naive, scored_again
from dadsp.evaluation.report import read_comparison
from dadsp.files import read_json, write_atomically, write_json, write_text
from dadsp.options import STRICT, validated
from dadsp.report.compare_page import page
from dadsp.schema import PredictionTable
from dadsp.tracked_runs import download_runs
from dadsp.written_tables import write_csv

FILES = ("config.yaml", "metrics.json", "predictions.parquet", "comparison.csv", "split.json")
MORE_FILES = (NAIVE, "data_facts.json", "data_notes.json", "history.csv")  # used where a run has them
SPEED = ("training.threads", "training.device", "training.checkpoint_every_s")  # settings that make no other system
SCREENS_OF_SCOPE = {"across": ("source", "target"), "source": ("source",), "target_oracle": ("target",)}
NO_RUNS = {"mlartifacts", SUPERSEDED}  # folders of copies, by the embedded tracking store, and of what a sweep replaced
REPETITIONS = ("fold", "repeat")  # settings of a split that repeat one test, beside the seed


@dataclass(frozen=True, config=STRICT)
class CompareOptions:
    """Keys of ``conf/compare.yaml``."""

    runs: str | list[str]
    reference: str | None = None
    expected: str | None = None
    out: str = Field(default="comparison", min_length=1)
    replicates: int = Field(default=2000, ge=100)
    seed: int = 0
    uri: str | None = None
    brief: bool = False

    @model_validator(mode="after")
    def _brief_names_the_best(self) -> Self:
        if self.brief and self.reference is not None:
            raise ValueError("brief says which system is best and takes it for the reference. Leave reference out.")
        return self


@plain_dataclass(frozen=True, eq=False)
class Finished:
    """What a finished run folder holds.

    Attributes:
        folder: Where it lies.
        system: Its name in tables.
        replicate: Seed, and fold and repeat where the split has them.
        test: Hash of the data, and the kind of split: runs that differ in these are not compared.
        title: ``test`` for readers.
        settings: The model's, flat, without what only concerns speed.
        saw_target_labels: As its own table says.
        table: Test predictions.
        naive: Scores of the naive rows beside it, as they were written.
        naive_predictions: As ``naive_frame`` keeps them; None where the run's version kept none.
    """

    folder: Path
    system: str
    replicate: str
    test: tuple[str, str]
    title: str
    settings: Mapping[str, str]
    saw_target_labels: bool
    table: PredictionTable
    naive: pd.DataFrame
    naive_predictions: pd.DataFrame | None

    def naive_scores(self) -> pd.DataFrame:
        """Scores of the naive rows, computed as those of the system where their predictions are kept."""
        return scored_again(self.naive, naive_tables(self.naive_predictions), compared_scores())


def run(arguments: list[str], as_json: bool) -> None:
    """Compares as the arguments say."""
    run_app("compare", "compare", arguments, lambda config: _compare(config, as_json))


def _compare(config: DictConfig, as_json: bool) -> None:
    options = validated(CompareOptions, OmegaConf.to_container(config, throw_on_missing=True), "")
    with TemporaryDirectory() as scratch:
        finished, notes = finished_runs("runs", options.runs, options.uri, Path(scratch))
    comparisons = comparisons_of(finished, options, notes)
    _write(comparisons, notes, Path(options.out))
    _report(comparisons, notes, options, as_json)


def finished_runs(key: str, places: str | list[str], uri: str | None, scratch: Path) -> tuple[list[Finished], list[str]]:
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
    return [_read(folder) for folder in folders], notes


def comparisons_of(finished: Sequence[Finished], options: CompareOptions, notes: list[str]) -> list[Comparison]:
    """One comparison for each test that the runs hold; adds to ``notes`` what a reader should know of all of them.

    Raises:
        ConfigError: No run is of the reference, or runs of one replicate were tested on different pairs.
        SchemaError: The file of published numbers is of no use.
    """
    expected = _read_expected(Path(options.expected)) if options.expected else None
    tests: dict[tuple[str, str], list[Finished]] = {}
    for each in finished:
        tests.setdefault(each.test, []).append(each)
    labelled = [_labelled(each, notes) for each in tests.values()]
    systems = {name for part in labelled for name, _ in part}
    if options.reference is not None and options.reference not in systems:
        raise ConfigError(
            f"reference={options.reference} is none of the systems found. {nearest(options.reference, systems)}"
        )
    if expected is not None and (absent := [name for name in expected["system"] if name not in systems]):
        notes.append(f"{len(absent)} systems of {options.expected} have no run here: {examples(absent, 20)}.")
    if len(labelled) > 1:
        notes.append(f"The runs hold {len(labelled)} different tests (other data or another split), compared one by one.")
    return [_comparison(part, expected, options) for part in labelled]


def _run_folders(key: str, places: Sequence[str], uri: str | None, scratch: Path) -> tuple[list[Path], list[str]]:
    """Folders of finished runs, oldest first, and a note on those that are not finished."""
    finished: list[Path] = []
    unfinished: list[Path] = []
    notes: list[str] = []
    for place in places:
        if not Path(place).is_dir():
            if "/" in place:
                raise ConfigError(f"{key}={place} is not a folder. Give one that holds run folders of dadsp train.")
            runs = download_runs(place, uri, Path("runs"), FILES, scratch, MORE_FILES)
            finished += runs.folders
            if runs.unfinished:
                notes.append(
                    f"{len(runs.unfinished)} runs of experiment {place} are not finished and left out (e.g. "
                    f"{examples(runs.unfinished)}). Finish them (dadsp train resume=<run folder>, or the sweep's own "
                    f"command), or compare folders: {key}=<folder>."
                )
            continue
        configured = [path.parent for path in Path(place).rglob("config.yaml") if not NO_RUNS & set(path.parts)]
        found = [folder for folder in configured if scored(folder)]
        finished += sorted(found, key=lambda folder: (folder / "metrics.json").stat().st_mtime)
        unfinished += sorted(set(configured) - set(found))
    if not finished:
        raise ConfigError(
            f"{key}={','.join(places)} holds no finished run (a folder with config.yaml and metrics.json; {len(unfinished)} "
            f"unfinished). Train some: dadsp train.{''.join(f' {note}' for note in notes)}"
        )
    if unfinished:
        notes.append(f"{len(unfinished)} unfinished runs are left out (e.g. {examples(unfinished)}).")
    return finished, notes


def _read(folder: Path) -> Finished:
    """A finished run.

    Raises:
        LoadError: A file is absent or damaged.
    """
    with complete(folder):
        results = read_json(folder / "metrics.json")
        facts = results["run"]
        own = next(system for system in results["systems"] if system["name"] == facts["system"])
        config = read_settings(folder)
        kind = facts["split"] if "split" in facts else read_json(folder / "split.json")["kind"]
        predictions = PredictionTable(pd.read_parquet(folder / "predictions.parquet"))
        naive = read_comparison(folder / "comparison.csv")
        settings = dict(flat(config["model"]))
        if settings.get("alignment._target_", "").endswith(".NoAlignment"):
            del settings["alignment._target_"]  # as in runs made before there were alignments
        repeated = [f"{key} {config['split'][key]}" for key in REPETITIONS if key in config["split"]]
        replicate = ", ".join([f"seed {facts['seed']}", *repeated])
        naive = naive[(naive["kind"] != "model") & (naive["system"] != facts["system"])]
        naive = naive[["system", "kind", "saw_target_labels", *compared_scores()]].assign(replicate=replicate)
        roles = SCREENS_OF_SCOPE[facts.get("split_scope", "across")]
        screens = [(config["data"].get(role) or {}).get("name") for role in roles]
        title = f"{' → '.join(filter(None, screens)) or 'simulated screens'}, {kind} split, data {facts['data_hash'][:8]}"
        return Finished(
            folder=folder,
            system=facts["system"],
            replicate=replicate,
            test=(facts["data_hash"], kind),
            title=title,
            settings={key: value for key, value in settings.items() if key not in SPEED and not key.endswith("_convert_")},
            saw_target_labels=own["saw_target_labels"],
            table=predictions.where(predictions.frame["split"] == "test"),
            naive=naive,
            naive_predictions=read_naive(folder / NAIVE),
        )


def flat(node: Any, prefix: str = "") -> Iterable[tuple[str, str]]:
    """Settings under dotted keys, as text."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def _labelled(runs: Sequence[Finished], notes: list[str]) -> list[tuple[str, Finished]]:
    """Runs of one test with what tells their systems apart; of equal runs the newest, which is noted."""
    by_name: dict[str, list[Finished]] = {}
    for each in runs:
        by_name.setdefault(each.system, []).append(each)
    newest: dict[tuple[str, str], Finished] = {}
    replaced = []
    for name, same in by_name.items():
        keys = varying([each.settings for each in same])
        for each in same:
            chosen = ", ".join(f"{shown}={short(each.settings.get(key, '–'))}" for key, shown in keys.items())
            place = (f"{name} [{chosen}]" if chosen else name, each.replicate)
            if place in newest:
                replaced.append(newest[place].folder)
            newest[place] = each
    if replaced:
        notes.append(f"{len(replaced)} runs were repeated later; the newest stand (left out e.g. {examples(replaced)}).")
    return [(label, each) for (label, _), each in newest.items()]


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


def _comparison(runs: Sequence[tuple[str, Finished]], expected: pd.DataFrame | None, options: CompareOptions) -> Comparison:
    # All runs of a replicate have the same naive rows: the first that kept their predictions tells most of them.
    first: dict[str, Finished] = {}
    for _, each in runs[::-1]:
        if each.replicate not in first or each.naive_predictions is not None:
            first[each.replicate] = each
    return compare(
        [Run(label, each.replicate, each.saw_target_labels, each.table) for label, each in runs],
        runs[0][1].title,
        naive=pd.concat([each.naive_scores() for each in first.values()], ignore_index=True),
        expected=expected,
        reference=options.reference if options.reference in {label for label, _ in runs} else None,
        replicates=options.replicates,
        seed=options.seed,
    )


def _read_expected(path: Path) -> pd.DataFrame:
    """Published numbers.

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


def _write(comparisons: Sequence[Comparison], notes: Sequence[str], out: Path) -> None:
    table = pd.concat([each.table.assign(comparison=each.title) for each in comparisons], ignore_index=True)
    table.insert(0, "comparison", table.pop("comparison"))
    write_atomically(out / "compare.csv", partial(write_csv, table))
    write_json(out / "compare.json", _content(comparisons, notes))
    write_text(out / "compare.html", page(comparisons, notes))


def _content(comparisons: Sequence[Comparison], notes: Sequence[str]) -> dict[str, Any]:
    return {"comparisons": [each.to_json() for each in comparisons], "notes": list(notes)}


def _report(comparisons: Sequence[Comparison], notes: Sequence[str], options: CompareOptions, as_json: bool) -> None:
    out = Path(options.out)
    if as_json:
        print(json.dumps({"out": str(out), **_content(comparisons, notes)}, allow_nan=False))
        return
    for each in comparisons:
        console().print(render_brief(each) if options.brief else render(each))
        if options.brief:
            console().print(Text(f"{advice(each)}\n"))
    for note in notes:
        print(note)
    print(f"page   {out / 'compare.html'}\ntables {out / 'compare.csv'}, {out / 'compare.json'}")
