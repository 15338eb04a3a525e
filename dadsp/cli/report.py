"""``dadsp report``: a finished run, or a whole experiment, as one page that can be mailed."""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from omegaconf import DictConfig
from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp.configuration.compose import plain
from dadsp.errors import ConfigError, DadspError
from dadsp.options import STRICT, validated
from dadsp.report.document import Document, write_document
from dadsp.report.experiment_report import experiment_report
from dadsp.report.reported_run import read_run
from dadsp.report.run_report import run_report
from dadsp.runs.collection import ComparisonOptions, compare_runs, gather
from dadsp.runs.folder import RunFolder


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReportOptions(ComparisonOptions):
    """Keys of ``conf/report.yaml``."""

    run: str | None = Field(default=None, min_length=1)
    runs: str | list[str] | None = None
    format: Literal["html", "md"] = "html"
    out: str | None = Field(default=None, min_length=1)
    uri: str | None = None

    def __post_init__(self) -> None:
        if (self.run is None) == (self.runs is None):
            raise ConfigError(
                "A report is about one run or one experiment. Give either run=<run folder> or "
                "experiment=<folder of runs, or name of an MLflow experiment>."
            )


def work(config: DictConfig, as_json: bool) -> None:
    """Reports as the configuration says."""
    options = validated(ReportOptions, plain(config), "")
    if options.runs is not None:
        document, facts = _of_experiment(options.runs, options)
        home = Path(options.runs) if isinstance(options.runs, str) and Path(options.runs).is_dir() else Path()
    else:
        run = RunFolder(str(options.run)).trained("run")
        home = run.path
        document, facts = run_report(run)
    out = Path(options.out) if options.out else home / f"report.{options.format}"
    if out.is_dir():
        raise DadspError(f"out={out} is a folder. Name a file in it, e.g. out={out / f'report.{options.format}'}.")
    write_document(document, options.format, out)
    if as_json:
        print(json.dumps({"out": str(out), **facts}, allow_nan=False))
    else:
        print(f"report  {out}")


def _of_experiment(places: str | list[str], options: ReportOptions) -> tuple[Document, dict[str, Any]]:
    with TemporaryDirectory() as scratch:
        finished, notes = gather("experiment", places, options.uri, Path(scratch))
        reported = [read_run(each.run.kept) for each in finished]
    # Copies from a tracking store are gone by now; their folders bore the ids of their runs.
    reported = [each if each.folder.exists() else replace(each, folder=Path(each.folder.name)) for each in reported]
    comparisons = compare_runs(finished, notes, options)
    name = ", ".join(Path(place).name or place for place in ([places] if isinstance(places, str) else places))
    return experiment_report(name, list(zip(finished, reported, strict=True)), comparisons, notes)
