"""The report of many finished runs: their comparison, what they differ in, and each of them in short."""

from collections.abc import Mapping, Sequence
from typing import Any

from dadsp.evaluation.compare import Comparison
from dadsp.report.compare_page import comparison_sections
from dadsp.report.data_sections import data_section, split_section
from dadsp.report.document import Document, Section, Table, Text
from dadsp.report.reported_run import ReportedRun
from dadsp.report.run_page import short_section
from dadsp.runs.collection import FinishedRun, short, varying

COPIED = ("trainer.", "drug_features.", "alignment.")  # groups that a configuration repeats inside model
NO_SETTINGS = ("runs", "resume", "sweep", "tracking.")  # where things lie


def experiment_report(
    name: str,
    runs: Sequence[tuple[FinishedRun, ReportedRun]],
    comparisons: Sequence[Comparison],
    notes: Sequence[str],
) -> tuple[Document, dict[str, Any]]:
    """The page of an experiment, and its facts as plain values.

    Args:
        name: What the experiment is called.
        runs: Each run twice: as a comparison takes it, and as a page shows it.
        comparisons: Of the runs, one for each test.
        notes: What a reader should know of all of them.

    Raises:
        LoadError: A run's files hold other things than a run does.
    """
    first = {each.test: (each, about) for each, about in reversed(runs)}
    reported = [about for _, about in runs]
    sections = comparison_sections(comparisons)
    sections += [_test_section(*first[test]) for test in dict.fromkeys(each.test for each, _ in runs)]
    sections.append(_differences(reported))
    shown = [short_section(about, title) for about, title in zip(reported, _names(reported), strict=True)]
    sections.append(Section("Runs", shown))
    facts = {
        "comparisons": [comparison.to_json() for comparison in comparisons],
        "runs": [each.facts() for each in reported],
        "notes": list(notes),
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
