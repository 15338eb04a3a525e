"""``dadsp report``: a run and an experiment as a page, in a real browser and as Markdown."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dadsp.cli.main import main
from tests.support import accessibility
from tests.support.browser import CHROMIUM, MISSING, open_page, typed_at
from tests.support.drawing import drawn

MEASURE = """(page) => {
  const root = page.documentElement;
  const links = [...page.querySelectorAll("nav a")];
  for (const fold of page.querySelectorAll("details")) fold.open = true;
  return {
    overflow: root.scrollWidth - root.clientWidth,
    width: root.clientWidth,
    headings: [...page.querySelectorAll("h1, h2, h3")].map((heading) => heading.tagName + " " + heading.textContent),
    tables: Object.fromEntries([...page.querySelectorAll("table")].map((table) => [
      table.caption.textContent, [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent))])),
    boxes: [...page.querySelectorAll("table, pre")].map((part) => part.closest(".scroll").tabIndex),
    images: [...page.querySelectorAll("img")].map((image) => [image.naturalWidth, image.clientWidth, image.alt]),
    dead: links.filter((link) => !page.getElementById(link.getAttribute("href").slice(1))).length,
    links: links.map((link) => link.textContent),
    config: page.querySelector("pre")?.textContent,
    text: Math.min(...[...page.querySelectorAll("td, th, li, p, dd, pre")].map(
      (part) => parseFloat(getComputedStyle(part).fontSize))),
  };
}"""
FOCUSED = """(() => {
  const at = document.activeElement, look = getComputedStyle(at);
  return [at.tagName, at.getAttribute("href") ?? at.getAttribute("aria-label") ?? at.textContent,
          look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 2];
})()"""
# WCAG's contrast of text with what lies behind it, the least over all text.
CONTRAST = """(() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (text) => {
    const [r, g, b] = rgb(text).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (at) => {
    for (; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (rgb(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const text = document.querySelectorAll("h1, h2, h3, p, li, a, td, th, dt, dd, summary, figcaption");
  return Math.min(...[...text].map((at) => {
    const [one, other] = [light(getComputedStyle(at).color), light(behind(at))];
    return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  }));
})()"""

# Where the question, its answer and its picture lie, from the top of the page; and what else stands before the picture.
FIRST_SCREEN = """(() => {
  const section = document.querySelector("main > section"), picture = section.querySelector("img");
  const before = (at) => at.compareDocumentPosition(picture) & Node.DOCUMENT_POSITION_FOLLOWING;
  const told = [...section.querySelectorAll("h2, p")].filter(before), box = picture.getBoundingClientRect();
  return {
    told: told.map((part) => part.textContent).join(" "),
    bottom: Math.max(...told.map((part) => part.getBoundingClientRect().bottom)),
    picture: [box.top, box.right],
    before: [...document.querySelectorAll("nav, table, ul, dl")].filter(before).length,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  };
})()"""
KINDS = ("run", "experiment", "comparison", "predictions")
HEAVIEST = 3 * 2**20  # bytes, so that a page can be mailed

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
needs_axe = pytest.mark.skipif(accessibility.AXE is None, reason=accessibility.MISSING)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with every analysis done."""
    runs = tmp_path_factory.mktemp("report") / "runs"
    with drawn():
        assert main(["train", "experiment=smoke", "tracking=none", "split.val_fraction=0.3", f"runs={runs}"]) == 0
    folder = next(path.parent for path in runs.glob("*/metrics.json"))
    drug = pd.read_parquet(folder / "predictions.parquet").query("split == 'test'")["drug_id"].iloc[0]
    quick = ["attribution.random_lines=3", "shuffles=2", "other_drugs=2", "top=5", "critical_genes=12"]
    assert main(["impute", f"run={folder}"]) == 0
    assert main(["embed", f"run={folder}", "permutations=19", "neighbours=4"]) == 0
    assert main(["explain", f"run={folder}", f"drug={drug}", *quick]) == 0
    return folder


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    assert main(["report", f"run={run}"]) == 0
    return (run / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs of two systems, with copies in a tracking store."""
    runs = tmp_path_factory.mktemp("sweep") / "runs"
    for model in (["model=naive_mean"], ["model=naive_drug_mean"], ["model=naive_drug_mean", "seed=1"]):
        assert main(["train", "data=simulated_tiny", *model, "tracking.experiment=three", f"runs={runs}"]) == 0
    return runs


@pytest.fixture(scope="module")
def pages(run: Path, page: str, sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A page of every kind."""
    folder = tmp_path_factory.mktemp("pages")
    assert main(["report", f"experiment={sweep}", "replicates=100", f"out={folder / 'experiment.html'}"]) == 0
    assert main(["compare", f"runs={sweep}", "replicates=100", f"out={folder}"]) == 0
    asked = [f"run={run}", "drugs=all", "lines=[TC0001,TC0002]"]
    assert main(["predict", *asked, f"out={folder / 'table.csv'}", f"page={folder / 'predictions.html'}"]) == 0
    files = {"experiment": "experiment.html", "comparison": "compare.html", "predictions": "predictions.html"}
    return {"run": page, **{kind: (folder / name).read_text(encoding="utf-8") for kind, name in files.items()}}


@needs_browser
@pytest.mark.parametrize("kind", KINDS)
def test_first_screen_holds_question_answer_with_interval_and_picture(
    pages: dict[str, str], kind: str, tmp_path: Path
) -> None:
    with typed_at(pages[kind], 400, tmp_path) as opened:
        for width, height in accessibility.SIZES:
            opened.resize(width, height)
            found = opened.run(FIRST_SCREEN)
            assert "?" in found["told"]
            assert re.search(r"interval.*\d(, | to )−?\d", found["told"])
            assert found["bottom"] < height
            top, right = found["picture"]
            assert top + 200 < height
            assert right <= width
            assert found["before"] == 0
            assert found["overflow"] == 0


@needs_browser
@needs_axe
@pytest.mark.parametrize("kind", KINDS)
def test_readers_who_cannot_see_or_point_can_use_every_page(pages: dict[str, str], kind: str, tmp_path: Path) -> None:
    assert accessibility.findings(pages[kind], tmp_path) == []


@needs_browser
@needs_axe
def test_axe_finds_what_is_wrong(tmp_path: Path) -> None:
    spoiled = '<!doctype html><html lang="en"><title>t</title><main><h1>h</h1><img src="data:,"></main>'
    assert any(finding.startswith("critical: Images must have") for finding in accessibility.findings(spoiled, tmp_path))


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_can_be_mailed(pages: dict[str, str], kind: str) -> None:
    assert len(pages[kind].encode()) < HEAVIEST


@needs_browser
@pytest.mark.parametrize("width", [400, 1400])
def test_page_of_a_run_is_whole_and_fits_its_width(page: str, run: Path, width: int, tmp_path: Path) -> None:
    opened = open_page(page, width, MEASURE, tmp_path)
    facts = opened.facts
    assert opened.console == []
    assert facts["width"] > width - 30  # less a scroll bar
    assert facts["overflow"] == 0
    system = pd.read_csv(run / "comparison.csv")["system"]
    assert facts["headings"][0] == f"H1 Run of {system[0]}, seed 0"
    parts = ["Summary", "Data", "Split", "Results", "Training", "Findings", "Configuration", "Provenance"]
    assert [heading[3:] for heading in facts["headings"] if heading.startswith("H2")] == parts
    assert [heading.split()[1] for heading in facts["headings"] if heading.startswith("H3")] == [
        "Unmeasured",
        "Feature",
        "Critical",
    ]
    assert len(facts["links"]) == len(parts) + 3
    assert facts["dead"] == 0
    assert set(facts["boxes"]) == {0}
    assert facts["text"] >= 14
    assert facts["config"] == (run / "config.yaml").read_text()
    assert len(facts["images"]) == 1 + 3 + 2 + 1 + 2  # of a drug whose genes are not named, no picture of genes
    for natural, shown, alt in facts["images"]:
        assert natural > 0
        assert shown > 300
        assert len(alt) > 40


@needs_browser
def test_tables_hold_the_numbers_of_the_run_and_mark_oracles(page: str, run: Path, tmp_path: Path) -> None:
    tables = open_page(page, 1400, MEASURE, tmp_path).facts["tables"]
    frame = pd.read_csv(run / "comparison.csv")
    assert [float(row[1]) for row in tables["All systems"]] == pytest.approx(frame["rmse"].tolist(), abs=5e-4)
    marked = [row[0].startswith("† ") for row in tables["All systems"]]
    assert marked == ["oracle" in name for name in frame["system"]]
    assert any(marked)
    split = json.loads((run / "split.json").read_text())
    pairs = [int(row[2].replace(",", "")) for row in tables["Parts of the split"]]
    assert pairs == [len(split[part]) for part in ("train_idx", "val_idx", "test_idx")]
    per_drug = next(rows for title, rows in tables.items() if "within each drug" in title)
    scored = pd.read_parquet(run / "predictions.parquet").query("split == 'test'")
    squared = ((scored["y_true"] - scored["y_pred"]) ** 2).groupby(scored["drug_id"]).mean() ** 0.5
    assert sorted(float(row[4]) for row in per_drug) == pytest.approx(sorted(squared), abs=6e-4)
    history = pd.read_csv(run / "history.csv")
    assert [(row[0], int(row[1])) for row in tables["Stages of training"]] == list(
        history.groupby("stage", sort=False).size().items()
    )
    screens = {row[0]: row[1:] for row in tables["Screens"]}
    assert int(screens["Measured pairs"][1].replace(",", "")) == len(split["test_idx"])


@needs_browser
def test_tab_reaches_contents_and_scrolling_boxes_in_order_and_shows_where_it_is(page: str, tmp_path: Path) -> None:
    with typed_at(page, 400, tmp_path) as opened:
        stops: list[list[Any]] = []
        while not stops or stops[-1][0] not in ("BODY", "HTML"):
            opened.press_tab()
            stops.append(opened.run(FOCUSED))
            assert len(stops) < 100
        stops.pop()
    assert all(visible for _, _, visible in stops)
    links = re.findall(r'<li><a href="(#[^"]+)"', page)
    assert [name for tag, name, _ in stops if tag == "A"] == links
    reached = [name for tag, name, _ in stops if tag in ("DIV", "SUMMARY")]
    assert {"All systems, Results", "Parts of the split, Split", "The complete configuration (config.yaml)"} <= set(reached)
    unfolded = re.sub(r"<details>.*?</details>", "", page, flags=re.DOTALL)
    assert sum(tag == "DIV" for tag, _, _ in stops) == unfolded.count('tabindex="0"')


@needs_browser
def test_text_stands_out_in_light_and_dark(page: str, tmp_path: Path) -> None:
    with typed_at(page, 1400, tmp_path) as opened:
        for scheme, back in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(22, 24, 26)")):
            opened.prefer(scheme)
            assert opened.run("getComputedStyle(document.body).backgroundColor") == back
            assert opened.run(CONTRAST) >= 4.5


def test_page_names_no_other_address(page: str) -> None:
    assert re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?!data:)\w+:", page) == []
    assert "<script" not in page
    assert "<link" not in page


def test_page_is_the_same_every_time_and_json_tells_its_facts(
    page: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["report", f"run={run}", f"out={tmp_path / 'again.html'}", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page
    assert facts["out"] == str(tmp_path / "again.html")
    assert facts["run"] == json.loads((run / "metrics.json").read_text())["run"]
    assert list(facts["findings"])[:2] == ["impute/target", "embed"]
    assert facts["findings"]["embed"] == json.loads((run / "embed" / "embed.json").read_text())
    assert facts["data"]["source"]["notes"] == facts["notes"][facts["data"]["source"]["name"]]


@pytest.mark.parametrize("form", [["--format", "md"], ["--format=md"], ["format=md"]])
def test_markdown_lies_beside_its_figures(run: Path, tmp_path: Path, form: list[str]) -> None:
    assert main(["report", f"run={run}", f"out={tmp_path / 'run.md'}", *form]) == 0
    text = (tmp_path / "run.md").read_text(encoding="utf-8")
    named = re.findall(r"!\[(.{40,}?)\]\(<(run_figures/[^>]+)>\)", text)
    assert sorted(name for _, name in named) == [
        f"run_figures/{path.name}" for path in sorted((tmp_path / "run_figures").iterdir())
    ]
    contents = {path.read_bytes() for path in (tmp_path / "run_figures").iterdir()}
    assert {path.read_bytes() for path in (run / "figures").iterdir()} < contents
    assert [line for line in text.splitlines() if line.startswith("## ")][:4] == [
        "## Summary",
        "## Data",
        "## Split",
        "## Results",
    ]
    rows = [line for line in text.splitlines() if line.startswith("| † oracle")]
    assert {row.count("|") for row in rows[:3]} == {10}
    assert (run / "config.yaml").read_text() in text


def test_passwords_stay_at_home(run: Path, tmp_path: Path) -> None:
    spoiled = copied(run, tmp_path)
    config = (spoiled / "config.yaml").read_text()
    (spoiled / "config.yaml").write_text(config.replace("uri: null", "uri: https://me:secret@example.org/store"))
    assert main(["report", f"run={spoiled}"]) == 0
    page = (spoiled / "report.html").read_text()
    assert "https://…@example.org/store" in page
    assert "secret" not in page


def test_run_of_before_counts_were_kept_is_reported_still(run: Path, tmp_path: Path) -> None:
    old = copied(run, tmp_path)
    for name in ("data_facts.json", "data_notes.json", "train.log"):
        (old / name).unlink(missing_ok=True)
    shutil.rmtree(old / "impute")
    assert main(["report", f"run={old}", "format=md"]) == 0
    text = (old / "report.md").read_text()
    assert "before counts of whole screens were kept" in text
    assert "Unmeasured pairs" not in text
    assert "### Feature space" in text


@needs_browser
@pytest.mark.parametrize("width", [400, 1400])
def test_page_of_an_experiment_compares_its_runs(sweep: Path, width: int, tmp_path: Path) -> None:
    assert main(["report", f"experiment={sweep}", "replicates=100"]) == 0
    opened = open_page((sweep / "report.html").read_text(encoding="utf-8"), width, MEASURE, tmp_path)
    facts = opened.facts
    assert opened.console == []
    assert facts["overflow"] == 0
    assert facts["dead"] == 0
    assert len(facts["images"]) >= 2
    drug = "drug mean (capped labels)"
    titles = [heading[3:] for heading in facts["headings"] if heading.startswith("H2")]
    assert [title.split(":")[0] for title in (titles[0], *titles[2:])] == [
        "Which system to use?",
        "Data and split",
        "What the runs differ in",
        "Runs",
    ]
    assert [heading for heading in facts["headings"] if heading.startswith("H3")][-3:] == [
        f"H3 source {name}" for name in ("mean (capped labels), seed 0", f"{drug}, seed 0", f"{drug}, seed 1")
    ]  # fmt: skip
    rows = {row[0]: row[1:] for row in facts["tables"]["Settings"]}
    assert rows[f"source {drug}, seed 0"] != rows[f"source {drug}, seed 1"]
    assert f"source {drug}" in [row[0] for row in facts["tables"]["All systems"]]


def test_experiment_of_the_tracking_store_gives_the_same_comparison(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    told: list[dict[str, Any]] = []
    for place in (f"experiment={sweep}", "experiment=three"):
        arguments = [place, f"uri=sqlite:///{sweep / 'mlflow.db'}", "replicates=100", "out=own.html", "--json"]
        assert main(["report", *arguments]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0]["comparisons"] == told[1]["comparisons"]
    assert [run["data"] for run in told[0]["runs"]] == [run["data"] for run in told[1]["runs"]]
    assert "Measured pairs" in Path("own.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], r"Give either run=<run folder> or experiment="),
        (["run={run}", "experiment={run}"], r"Give either run=<run folder> or experiment="),
        (["run={tmp}"], r"run=\S+ holds no finished run"),
        (["experiment={tmp}"], r"experiment=\S+ holds no finished run"),
        (["experiment={tmp}/none"], r"experiment=\S+ is not a folder"),
        (["run={run}", "format=pdf"], r"format='pdf' is not a valid choice. Valid: html, md"),
        (["run={run}", "--format"], r"--format needs a value"),
        (["run={run}", "out={tmp}"], r"out=\S+ is a folder"),
        (["run={run}", "ot=x"], r"ot is not a known key.*'out'"),
    ],
)
def test_impossible_questions_are_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    refused([part.format(run=run, tmp=tmp_path) for part in arguments], message, capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", "a: [1"),
        ("metrics.json", "{}"),
        ("split.json", None),
        ("predictions.parquet", "no table"),
        ("comparison.csv", "system\nalone\n"),
        ("history.csv", "epoch\n1\n"),
        ("data_facts.json", '{"source": {}}'),
        ("impute/target/impute.json", '{"screen": "x"}'),
        ("explain/{drug}/top_genes.csv", None),
    ],
)
def test_damaged_run_is_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str | None
) -> None:
    spoiled = copied(run, tmp_path)
    place = spoiled / name.format(drug=next((run / "explain").iterdir()).name)
    place.unlink() if content is None else place.write_text(content)
    refused([f"run={spoiled}", f"out={tmp_path / 'x.html'}"], re.escape(str(place.parent)), capsys)
    assert not (tmp_path / "x.html").exists()


def copied(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder / "run", ignore=shutil.ignore_patterns("report.html")))


def refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["report", *arguments]) == 2
    printed = capsys.readouterr().err
    assert re.search(message, printed), printed
    assert printed.count("\n") == 1
