"""The comparison page in a real browser: nothing missing, nothing fetched, readable on a phone and on a desk."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dadsp.evaluation.compare import compare, compared_scores
from dadsp.report.compare_page import page
from tests.support.browser import CHROMIUM, MISSING, open_page
from tests.support.comparisons import runs_of

MEASURE = """(page) => {
  const root = page.documentElement;
  const region = page.querySelector("[tabindex='0']");
  region.focus();
  return {
    overflow: root.scrollWidth - root.clientWidth,
    width: root.clientWidth,
    headings: [...page.querySelectorAll("h2")].map((heading) => heading.textContent),
    tables: [...page.querySelectorAll("table")].map((table) => [table.caption.textContent, table.tBodies[0].rows.length]),
    images: [...page.querySelectorAll("img")].map((image) => [image.naturalWidth, image.clientWidth, image.alt]),
    focused: page.activeElement === region,
    text: Math.min(...[...page.querySelectorAll("td, th, li")].map((part) => parseFloat(getComputedStyle(part).fontSize))),
  };
}"""

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)


@pytest.fixture(scope="module")
def html() -> str:
    systems = [*runs_of("DADSP-A <b>", 0.3), *runs_of("random forest on raw expression", 0.4), *runs_of("ridge", 0.5)]
    systems += runs_of("SVR (Nyström, 500 components) [features=encoder, gammas=(1.0, 0.1, 0.01)]", 0.45)
    naive = pd.DataFrame(
        [
            {"system": "source mean", "kind": "naive_source", "saw_target_labels": False, "replicate": "seed 0"}
            | dict.fromkeys(compared_scores(), 0.9)
        ]
    )
    expected = pd.DataFrame({"system": ["DADSP-A <b>", "ridge"], "rmse": [0.64, 0.75], "r2": [0.43, 0.26]})
    first = compare(systems, "GDSC → CCLE, cross_screen split", naive=naive, expected=expected, replicates=200)
    second = compare(runs_of("alone", 0.5, seeds=(0,)), "GDSC → CCLE, drug_blind split", replicates=200)
    return page([first, second], ["2 runs are left out."])


@needs_browser
@pytest.mark.parametrize("width", [400, 1400])
def test_page_is_whole_and_fits_its_width(html: str, width: int, tmp_path: Path) -> None:
    opened = open_page(html, width, MEASURE, tmp_path)
    facts = opened.facts
    assert opened.console == []
    assert facts["width"] > width - 30  # less a scroll bar
    assert facts["overflow"] == 0
    assert facts["headings"] == ["Which system to use?", "GDSC → CCLE, cross_screen split", "GDSC → CCLE, drug_blind split"]
    assert [rows for _, rows in facts["tables"]] == [5, 5, 1, 1]
    assert len(facts["images"]) == 4 + 2
    for natural, shown, alt in facts["images"]:
        assert natural > 0
        assert 300 < shown < 500  # letters keep about the size they were drawn in
        assert len(alt) > 40
    assert facts["focused"]
    assert facts["text"] >= 14


@needs_browser
def test_browser_reports_what_a_page_must_not_do(html: str, tmp_path: Path) -> None:
    outside = html.replace("</main>", '<img src="http://example.invalid/x.png" alt=""></main>')
    assert any("Content Security Policy" in line for line in open_page(outside, 400, MEASURE, tmp_path).console)
    wide = html.replace("</main>", '<div style="width: 1000px">wide</div></main>')
    assert open_page(wide, 400, MEASURE, tmp_path).facts["overflow"] > 0


def test_page_names_no_other_address(html: str) -> None:
    assert re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?!data:)\w+:", html) == []
    assert "<script" not in html
    assert "<link" not in html


def test_names_are_text_not_markup(html: str) -> None:
    assert "DADSP-A &lt;b&gt;" in html
    assert "DADSP-A <b>" not in html


def test_same_comparison_gives_the_same_page() -> None:
    first, second = (page([compare(runs_of("a", 0.3), "A → B", replicates=100)], []) for _ in range(2))
    assert first == second
    assert np.char.count(first, "<img") == 2  # RMSE and r per drug
