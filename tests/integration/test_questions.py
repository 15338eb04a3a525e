"""The ten questions: every command of the page runs, and what the page says of the outcome is so."""

import re
from pathlib import Path

import pytest

from tests.support.documents import ROOT, bash_blocks, run_bash_block

PAGE = (ROOT / "docs" / "questions.md").read_text(encoding="utf-8")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # one test carries all commands of the page


def test_every_command_runs_in_an_empty_folder_and_gives_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DADSP_REAL_DATA", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    printed = ""
    for block in bash_blocks("docs/questions.md"):
        printed += run_bash_block(block) + capsys.readouterr().out
    shown = re.findall(r"^```text\n(.*?)^```$", PAGE, flags=re.M | re.S)
    assert [text for text in shown if text not in printed] == []
    assert "1 of 1 rows lie within the spread" in printed
    assert (tmp_path / "runs" / "gp" / "design" / "design.csv").is_file()
    assert (tmp_path / "runs" / "new_lines" / "split.json").is_file()


def test_each_of_the_ten_questions_has_commands() -> None:
    answers = re.split(r"^## \d+\. ", PAGE, flags=re.M)[1:]
    assert len(answers) == 10
    assert [answer.splitlines()[0] for answer in answers if "\ndadsp " not in answer] == []
