"""``dadsp report``: a finished run, or a whole experiment, as one page that can be mailed."""

import json
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf
from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp.cli.app import run_app
from dadsp.cli.compare import CompareOptions, comparisons_of, finished_runs
from dadsp.cli.finished_run import finished_folder
from dadsp.errors import ConfigError, DadspError
from dadsp.files import write_atomically, write_text
from dadsp.options import STRICT, validated
from dadsp.report.document import Document, html, markdown
from dadsp.report.experiment_report import experiment_report
from dadsp.report.reported_run import read_run
from dadsp.report.run_report import run_report


@dataclass(frozen=True, config=STRICT)
class ReportOptions:
    """Keys of ``conf/report.yaml``; those after ``out`` are as for ``dadsp compare``."""

    run: str | None = Field(default=None, min_length=1)
    runs: str | list[str] | None = None
    format: Literal["html", "md"] = "html"
    out: str | None = Field(default=None, min_length=1)
    reference: str | None = None
    expected: str | None = None
    replicates: int = Field(default=2000, ge=100)
    seed: int = 0
    uri: str | None = None

    def __post_init__(self) -> None:
        if (self.run is None) == (self.runs is None):
            raise ConfigError(
                "A report is about one run or one experiment. Give either run=<run folder> or "
                "experiment=<folder of runs, or name of an MLflow experiment>."
            )


def run(arguments: list[str], as_json: bool) -> None:
    """Reports as the arguments say.

    ``--format md`` is ``format=md``. ``experiment=`` is ``runs=``: Hydra takes the former for a choice of its group.
    """
    plain: list[str] = []
    for part in arguments:
        if plain and plain[-1] == "--format":
            plain[-1] = f"format={part}"
        else:
            plain.append(part.removeprefix("--") if part.startswith("--format=") else part)
    if plain and plain[-1] == "--format":
        raise ConfigError("--format needs a value. Valid: html, md.")
    plain = [re.sub("^experiment=", "runs=", part) for part in plain]
    run_app("report", "report", plain, lambda config: _report(config, as_json))


def _report(config: DictConfig, as_json: bool) -> None:
    options = validated(ReportOptions, OmegaConf.to_container(config, throw_on_missing=True), "")
    if options.runs is not None:
        document, facts = _of_experiment(options.runs, options)
        home = Path(options.runs) if isinstance(options.runs, str) and Path(options.runs).is_dir() else Path()
    else:
        home = finished_folder(Path(str(options.run)), "run")
        document, facts = run_report(home)
    out = Path(options.out) if options.out else home / f"report.{options.format}"
    if out.is_dir():
        raise DadspError(f"out={out} is a folder. Name a file in it, e.g. out={out / f'report.{options.format}'}.")
    _write(document, options.format, out)
    if as_json:
        print(json.dumps({"out": str(out), **facts}, allow_nan=False))
    else:
        print(f"report  {out}")


def _write(document: Document, form: str, out: Path) -> None:
    """Writes the page; of Markdown the figures first, so that a page never names one that is not there."""
    if form == "html":
        write_text(out, html(document))
        return
    folder = out.with_name(f"{out.stem}_figures")
    text, figures = markdown(document, folder.name)
    for name, content in figures.items():
        write_atomically(folder / name, lambda path, content=content: _put(path, content))  # type: ignore[misc]
    write_text(out, text)


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _of_experiment(places: str | list[str], options: ReportOptions) -> tuple[Document, dict[str, Any]]:
    with TemporaryDirectory() as scratch:
        finished, notes = finished_runs("experiment", places, options.uri, Path(scratch))
        reported = [read_run(each.folder) for each in finished]
    # Copies from a tracking store are gone by now; their folders bore the ids of their runs.
    reported = [each if each.folder.exists() else replace(each, folder=Path(each.folder.name)) for each in reported]
    asked = CompareOptions(
        runs=places,
        reference=options.reference,
        expected=options.expected,
        replicates=options.replicates,
        seed=options.seed,
        uri=options.uri,
    )
    comparisons = comparisons_of(finished, asked, notes)
    name = ", ".join(Path(place).name or place for place in ([places] if isinstance(places, str) else places))
    return experiment_report(name, list(zip(finished, reported, strict=True)), comparisons, notes)
