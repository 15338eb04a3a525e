"""A document says the same as HTML and as Markdown, and nothing in it becomes markup."""

import re

from dadsp.report.document import Block, Document, Facts, Figure, Figures, Listing, Section, Table, Text, html, markdown

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (1500).to_bytes(4, "big") + (300).to_bytes(4, "big")


def document(*blocks: Block) -> Document:
    return Document("A & B", ["2 runs are left out."], [Section("One", blocks), Section("Two", [Section("Inner", [])])])


def test_headings_follow_the_sections() -> None:
    text, _ = markdown(document(), "figures")
    assert re.findall(r"^#+ .*", text, re.MULTILINE) == ["# A \\& B", "## One", "## Two", "### Inner"]
    assert [each.title for each in document().sections[1].sections] == ["Inner"]


def test_notes_and_contents_follow_the_first_section() -> None:
    page, (text, _) = html(document(Text(["answer"]))), markdown(document(Text(["answer"])), "figures")
    for whole, *marks in (
        (page, ">answer<", "2 runs are", "<nav", ">Inner</h3>"),
        (text, "answer", "2 runs are", "### Inner"),
    ):
        places = [whole.index(mark) for mark in marks]
        assert places == sorted(places)


def test_text_in_markdown_is_no_markup() -> None:
    text, _ = markdown(document(Text(["a*b | [c](d) _e_ snake_case `f`"]), Facts([("k*", "<v>")])), "figures")
    assert r"a\*b \| \[c\](d) \_e\_ snake_case \`f\`" in text
    assert r"- **k\***: \<v\>" in text


def test_text_in_html_is_no_markup() -> None:
    page = html(document(Table("<t>", ["<c>", "d"], [["<r>", "1"]]), Listing("l", "<script>")))
    assert "&lt;t&gt;" in page
    assert "&lt;r&gt;" in page
    assert "<script" not in page


def test_rows_of_a_table_have_as_many_cells_as_headings() -> None:
    text, _ = markdown(document(Table("T", ["System", "n|m"], [["a", "1"], ["b|c", "2"]])), "figures")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [3, 3, 3, 3]
    assert rows[1] == "| :--- | ---: |"


def test_figures_lie_beside_markdown_and_inside_html() -> None:
    figure = Figure("RMSE & r", PNG, ".png", "What it shows")
    text, files = markdown(document(Figures([figure, figure])), "run_figures")
    assert files == {"01_RMSE_r.png": PNG, "02_RMSE_r.png": PNG}
    assert "![What it shows](<run_figures/02_RMSE_r.png>)" in text
    assert figure.source in html(document(Figures([figure])))


def test_width_of_a_picture_follows_its_pixels() -> None:
    assert Figure("a", PNG, ".png", "b").widths == (960, 720)
    assert Figure("a", PNG[:20], ".png", "b").widths is None
    assert Figure("a", b"<svg/>", ".svg", "b").widths is None


def test_fence_of_a_listing_is_longer_than_any_inside() -> None:
    text, _ = markdown(document(Listing("config.yaml", "a\n````\nb\n")), "figures")
    assert "\n`````\na\n````\nb\n`````\n" in text


def test_a_verdict_has_a_colour_beside_its_words() -> None:
    page = html(document(Text(["FAILED: <a>"], passed=False), Text(["Passed: b"], passed=True), Text(["plain"])))
    for line in ('<p class="failed">FAILED: &lt;a&gt;</p>', '<p class="passed">Passed: b</p>', "<p>plain</p>"):
        assert line in page
