"""The documentation as a site: built without a warning, whole, and readable without a network."""

import re
import subprocess
import sys
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.support import accessibility
from tests.support.browser import CHROMIUM, MISSING

ROOT = Path(__file__).resolve().parents[2]
# What only prints and logs is no setting of a user.
CONF = [
    path for path in (ROOT / "conf").rglob("*.yaml") if path.parent.name not in ("hydra_logging", "job_logging", "sweeper")
]

pytestmark = pytest.mark.slow

# What a browser fetches by itself; a link of an <a> is only followed by the reader.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href", "use": "href"}


class Page(HTMLParser):
    """One page: what it fetches, where it links to, which anchors it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if given.get(FETCHED.get(tag, "")):
            self.fetched.append(given[FETCHED[tag]])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.anchors.update(given[name] for name in ("id", "name") if name in given)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    options: list[str | Path] = ["-c", ROOT / "docs", "-d", folder / "doctrees", "-q", "-W", "--keep-going"]
    command = [sys.executable, "-m", "sphinx", *options, ROOT, folder / "html"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """Every page of the site."""
    return {path: Page(path) for path in site.rglob("*.html")}


@pytest.fixture(scope="module")
def table(site: Path) -> list[list[str]]:
    """All rows of the configuration page, as text."""
    text = (site / "docs" / "configuration.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", text, flags=re.S)
    cells = [re.findall(r"<t[dh].*?>(.*?)</t[dh]>", row, flags=re.S) for row in rows]
    return [[unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in row] for row in cells]


def test_no_page_fetches_anything_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    elsewhere = [(path.name, what) for path, page in pages.items() for what in page.fetched if urlsplit(what).netloc]
    styles = [
        path for path in site.rglob("*.css") if re.search(r"(?:url\(|@import)[\s'\"]*(?:https?:)?//", path.read_text())
    ]
    assert (elsewhere, styles) == ([], [])
    assert sum(len(page.fetched) for page in pages.values()) > len(pages)


def test_every_internal_link_leads_to_a_file_and_an_anchor_that_are_there(pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in {*page.links, *page.fetched}:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].anchors if target in pages else set()
            if not target.is_file() or (parts.fragment and target in pages and unquote(parts.fragment) not in anchors):
                broken.append((path.name, link))
    assert broken == []
    assert sum(len(page.links) for page in pages.values()) > 500


def test_configuration_page_has_a_row_for_every_key_of_every_file(table: list[list[str]]) -> None:
    lines = [line for path in CONF for line in path.read_text(encoding="utf-8").splitlines()]
    keys = [found[1].strip('"') for line in lines if (found := re.match(r' *(?:\w+\.)*("[^"]+"|\w[\w-]*):(?: |$)', line))]
    assert Counter(row[0].rpartition(".")[2] for row in table if row[0] not in ("key", "")) == Counter(keys)


def test_defaults_and_comments_stand_beside_their_keys(table: list[list[str]]) -> None:
    assert ["min_blocks", "40", "smaller blocks where an epoch would have fewer steps"] in table
    assert ["responses.cap", "8", "the top dose; CCLE writes 8 where the IC50 was not reached"] in table
    assert ["tune.space.trainer.learning_rate", "{low: 3.0e-5, high: 1.0e-3, log: true}", ""] in table


@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
@pytest.mark.skipif(accessibility.AXE is None, reason=accessibility.MISSING)
@pytest.mark.parametrize("name", ["docs/index", "docs/questions", "experiments/lines/README"])
def test_page_of_the_site_has_no_serious_finding_of_axe_core(name: str, site: Path, tmp_path: Path) -> None:
    page = site / f"{name}.html"
    html = page.read_text(encoding="utf-8").replace("<head>", f'<head><base href="{page.parent.as_uri()}/">', 1)
    assert [each for each in accessibility.findings(html, tmp_path) if each.startswith(("serious", "critical"))] == []
