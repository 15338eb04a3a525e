"""What verbs print: tables, facts, notes; results on standard output, all else on standard error."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from dadsp.data.cross_check import CrossCheck
from dadsp.data.cross_checks import cross_checks
from dadsp.evaluation.report import render
from dadsp.runs.folder import FIGURES, RunFolder
from dadsp.runs.tracked import tested_on
from dadsp.schema import Note, ResponsePanel, Screen, Split, Study


def console() -> Console:
    """Standard output; 120 columns where it is not a terminal, whose width would be guessed too small."""
    return Console(width=None if sys.stdout.isatty() else 120)


def tell(line: str) -> None:
    """A line on standard error, at once."""
    print(line, file=sys.stderr, flush=True)


def table_of(title: str, headings: Sequence[str]) -> Table:
    """A table without rows: the first column for names, the others for numbers."""
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", caption_justify="left")
    table.add_column(headings[0], overflow="fold")
    for heading in headings[1:]:
        table.add_column(heading, justify="right")
    return table


def number(value: float | None) -> str:
    """Three digits after the point; a dash where there is no value."""
    return "–" if value is None or value != value else f"{value:.3f}"


def print_facts(study: Study, split: Split, system: str) -> None:
    """What is about to be learned from what."""
    screens = {study.trained_on: study.source, study.tested_on: study.target}
    for role, screen in screens.items():
        print(
            f"{role}: {screen.name}, {len(screen.cells):,} lines, {len(screen.drugs):,} drugs, "
            f"{len(screen.responses):,} pairs, {screen.responses.censored.mean():.1%} at the cap"
        )
    print_notes(screens.values())
    _print_notes("split", split.notes)
    print(
        f"{len(study.genes):,} shared genes; {split.kind} split: {system} trains on {len(split.train_idx):,} "
        f"{study.trained_on} pairs, validates on {len(split.val_idx):,}, is tested on {len(split.test_idx):,} "
        f"{study.tested_on} pairs\n",
        flush=True,
    )


def print_notes(screens: Iterable[Screen | ResponsePanel]) -> None:
    """What reading left out, merged or clipped."""
    for screen in screens:
        _print_notes(screen.name, screen.notes)


def warn(study: Study) -> None:
    """What looks misread, on standard error, so that it is seen before training and beside JSON; no target label is read."""
    for screen in (study.source, study.target):
        for note in screen.notes:
            if _alarms(note.what):
                tell(f"warning: {screen.name}: {note}")
    for check in cross_checks(study, labels=False):
        if check.verdict == "suspicious":
            tell(f"warning: {check}")


def _alarms(what: str) -> bool:
    """Whether a note, or one of a source that was combined with others ("GDSC2: …"), says that something looks misread."""
    return what.startswith("suspicious ") or ": suspicious " in what


def print_cross_checks(checks: Iterable[CrossCheck]) -> None:
    """What the two screens say about each other."""
    print("cross-checks:")
    for check in checks:
        print(f"  {check}")


def _print_notes(where: str, notes: Iterable[Note]) -> None:
    for note in notes:
        print(f"{where}: {note}")


def print_results(folder: RunFolder, as_json: bool, tracking_uri: str | None = None) -> None:
    """The comparison as a table and where everything lies; or all of it as JSON."""
    results: dict[str, Any] = folder.results
    if as_json:
        notes = [{"screen": screen, **note} for screen, own in folder.data_notes.items() for note in own]
        warnings = [note for note in notes if _alarms(note["what"])]
        facts = {"folder": str(folder.path), "tracking_uri": tracking_uri, "warnings": warnings, **results}
        print(json.dumps(facts, allow_nan=False))
        return
    facts = results["run"]
    console().print(render(folder.comparison, f"{facts['system']}, seed {facts['seed']}: {tested_on(facts)} test pairs"))
    print(f"run folder  {folder.path}")
    print(f"figures     {folder / FIGURES}")
    if tracking_uri:
        served = tracking_uri.startswith("http")
        print(f"MLflow      {tracking_uri if served else f'mlflow ui --backend-store-uri {tracking_uri}'}")
        if (experiment := folder.tracking.get("experiment_id")) is not None:
            place = tracking_uri.rstrip("/") if served else "http://127.0.0.1:5000"
            print(f"side by side: {place}/#/experiments/{experiment}/runs?compareRunsMode=CHART")
