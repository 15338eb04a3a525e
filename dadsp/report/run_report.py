"""The report of one finished run: a page, and the same facts for machines."""

from typing import Any

from dadsp.report.document import Document, Section
from dadsp.report.findings_page import findings_sections, read_findings
from dadsp.report.reported_run import read_run
from dadsp.report.run_page import run_sections
from dadsp.runs.folder import RunFolder


def run_report(folder: RunFolder) -> tuple[Document, dict[str, Any]]:
    """The page of the run in ``folder`` with what other verbs found out about it, and its facts as plain values.

    Raises:
        LoadError: A file of the folder is absent or damaged.
    """
    reported, findings = read_run(folder), read_findings(folder.path)
    sections = run_sections(reported)
    if findings:
        sections.insert(-2, Section("Findings", findings_sections(findings)))
    facts = {**reported.facts(), "findings": {finding.name: finding.facts for finding in findings}}
    return Document(f"Run of {reported.system}, {reported.replicate}", [], sections), facts
