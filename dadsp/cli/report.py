"""``dadsp report``: a finished run, or a whole experiment, as one page that can be mailed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from omegaconf import DictConfig
from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp.configuration.compose import plain
from dadsp.errors import ConfigError, DadspError
from dadsp.files import write_atomically, write_text
from dadsp.options import STRICT, validated
from dadsp.report.compare_page import comparison_section
from dadsp.report.document import Document, Section, Table, Text, html, markdown
from dadsp.report.findings_page import findings_sections, read_findings
from dadsp.report.run_page import ReportedRun, data_section, read_run, run_sections, short_section, split_section
from dadsp.runs.collection import FinishedRun, compare_runs, gather, read_expected, short, varying
from dadsp.runs.folder import RunFolder

COPIED = ("trainer.", "drug_features.", "alignment.")  # groups that a configuration repeats inside model
NO_SETTINGS = ("runs", "resume", "sweep", "tracking.")  # where things lie


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


def work(config: DictConfig, as_json: bool) -> None:
    """Reports as the configuration says."""
    options = validated(ReportOptions, plain(config), "")
    if options.runs is not None:
        document, facts = _of_experiment(options.runs, options)
        home = Path(options.runs) if isinstance(options.runs, str) and Path(options.runs).is_dir() else Path()
    else:
        home = RunFolder(str(options.run)).trained("run").path
        document, facts = _of_run(home)
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


def _of_run(folder: Path) -> tuple[Document, dict[str, Any]]:
    reported, findings = read_run(folder), read_findings(folder)
    sections = run_sections(reported)
    if findings:
        sections.insert(-2, Section("Findings", findings_sections(findings)))
    facts = {**reported.facts(), "findings": {finding.name: finding.facts for finding in findings}}
    return Document(f"Run of {reported.system}, {reported.replicate}", [], sections), facts


def _of_experiment(places: str | list[str], options: ReportOptions) -> tuple[Document, dict[str, Any]]:
    with TemporaryDirectory() as scratch:
        finished, notes = gather("experiment", places, options.uri, Path(scratch))
        reported = [read_run(each.place) for each in finished]
    # Copies from a tracking store are gone by now; their folders bore the ids of their runs.
    reported = [each if each.folder.exists() else replace(each, folder=Path(each.folder.name)) for each in reported]
    comparisons = compare_runs(
        finished,
        notes,
        reference=options.reference,
        expected=read_expected(Path(options.expected)) if options.expected else None,
        replicates=options.replicates,
        seed=options.seed,
    )
    first = {each.test: (each, about) for each, about in reversed(list(zip(finished, reported, strict=True)))}
    sections = [comparison_section(comparison) for comparison in comparisons]
    sections += [_test_section(*first[test]) for test in dict.fromkeys(each.test for each in finished)]
    sections.append(_differences(reported))
    names = _names(reported)
    runs = [short_section(each, name) for each, name in zip(reported, names, strict=True)]
    sections.append(Section("Runs", runs))
    name = ", ".join(Path(place).name or place for place in ([places] if isinstance(places, str) else places))
    facts = {
        "comparisons": [comparison.to_json() for comparison in comparisons],
        "runs": [each.facts() for each in reported],
        "notes": notes,
    }
    return Document(f"Experiment {name}", notes, sections), facts


def _test_section(run: FinishedRun, reported: ReportedRun) -> Section:
    """Data and split of a test, as one of its runs has them."""
    told = Text([f"As in the first run, {reported.system}, {reported.replicate}; other seeds draw other rows."])
    return Section(f"Data and split: {run.title}", [told, data_section(reported), split_section(reported)])


def _names(runs: Sequence[ReportedRun]) -> list[str]:
    """What to call each run; those of one system and seed by their folder too."""
    names = [f"{each.system}, {each.replicate}" for each in runs]
    return [
        name if names.count(name) == 1 else f"{name} ({each.folder.name})" for name, each in zip(names, runs, strict=True)
    ]


def _differences(runs: Sequence[ReportedRun]) -> Section:
    """Settings that are not the same in all runs."""
    settings = [_decisive(each.settings) for each in runs]
    keys = varying(settings)
    title = "What the runs differ in"
    if not keys:
        return Section(title, [Text(["All runs have the same settings."])])
    rows = [[name, *(short(own.get(key, "–")) for key in keys)] for name, own in zip(_names(runs), settings, strict=True)]
    alike = Text(["Settings that all runs share are left out; –: a run's system has no such setting."])
    return Section(title, [alike, Table("Settings", ["Run", *keys.values()], rows)])


def _decisive(settings: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in settings.items() if not key.startswith((*COPIED, *NO_SETTINGS))}
