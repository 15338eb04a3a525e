"""``dadsp compare``: finished runs side by side, as a table, CSV, JSON and an HTML page."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import pandas as pd
from omegaconf import DictConfig
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from rich.text import Text

from dadsp.cli.console import console
from dadsp.configuration.compose import plain
from dadsp.evaluation.compare import Comparison
from dadsp.evaluation.compare_brief import advice, render_brief
from dadsp.evaluation.compare_tables import render
from dadsp.files import write_atomically, write_json, write_text
from dadsp.options import STRICT, validated
from dadsp.report.compare_page import page
from dadsp.runs.collection import ComparisonOptions, compare_runs, gather
from dadsp.written_tables import write_csv


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CompareOptions(ComparisonOptions):
    """Keys of ``conf/compare.yaml``."""

    runs: str | list[str]
    out: str = Field(default="comparison", min_length=1)
    uri: str | None = None
    brief: bool = False

    @model_validator(mode="after")
    def _brief_names_the_best(self) -> Self:
        if self.brief and self.reference is not None:
            raise ValueError("brief says which system is best and takes it for the reference. Leave reference out.")
        return self


def work(config: DictConfig, as_json: bool) -> None:
    """Compares as the configuration says."""
    options = validated(CompareOptions, plain(config), "")
    with TemporaryDirectory() as scratch:
        finished, notes = gather("runs", options.runs, options.uri, Path(scratch))
        comparisons = compare_runs(finished, notes, options)
    _write(comparisons, notes, Path(options.out))
    _report(comparisons, notes, options, as_json)


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
