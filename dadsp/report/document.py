"""A page as data: sections of text, facts, tables, figures, listings; as one HTML file, or as Markdown with figures.

The HTML asks nothing of any other file: no script, no font, no address.
"""

import re
import struct
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from jinja2 import Environment, PackageLoader

from dadsp.files import write_atomically, write_text

SUFFIXES = {".png": "image/png", ".svg": "image/svg+xml"}
DRAWN_DPI, SCREEN_DPI = 150, 96  # of the project's PNG files (dadsp.evaluation.figures), of CSS
WIDEST, SMALLEST = 960, 0.75  # CSS pixels; share of the width at which letters of 10 points can just be read
_MARKUP = re.compile(r"([\\`*<>|\[\]&]|(?<!\w)_|_(?!\w))")


@dataclass(frozen=True)
class Text:
    """Paragraphs, or the points of a list.

    Attributes:
        lines: Each of them.
        as_list: Whether they are points.
        passed: Of a verdict, which its words say too: green or red; None: no verdict.
    """

    lines: Sequence[str]
    as_list: bool = False
    passed: bool | None = None
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Facts:
    """Names with their values."""

    pairs: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Table:
    """Rows of text under headings; the first column names the row.

    Attributes:
        title: Its caption.
        columns: Headings.
        rows: As many cells as there are columns.
        kinds: What each row is of, as in ``dadsp.evaluation.report.Row``: ``"model"`` is bold, others are not; empty: alike.
        bold: Number of the one row that is bold instead; None: as ``kinds`` says.
        folded: Whether it opens on demand.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    kinds: Sequence[str] = ()
    bold: int | None = None
    folded: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes:
        title: Short heading.
        content: The file.
        suffix: Its type, a key of ``SUFFIXES``.
        description: What it shows, in words, for those who cannot see it.
    """

    title: str
    content: bytes
    suffix: str
    description: str

    @property
    def source(self) -> str:
        """The picture as an address of itself."""
        return f"data:{SUFFIXES[self.suffix]};base64,{b64encode(self.content).decode()}"

    @property
    def widths(self) -> tuple[int, int] | None:
        """CSS pixels: the width it is drawn for, and that below which letters are too small; None where any width does."""
        if self.suffix != ".png" or len(self.content) < 24:
            return None
        pixels: int = struct.unpack(">I", self.content[16:20])[0]  # of the IHDR chunk, which comes first
        width = min(WIDEST, round(pixels * SCREEN_DPI / DRAWN_DPI))
        return width, round(width * SMALLEST)


@dataclass(frozen=True)
class Figures:
    """Pictures, side by side where there is room."""

    figures: Sequence[Figure]
    kind: ClassVar[str] = "figures"


@dataclass(frozen=True)
class Listing:
    """A text file, opened on demand."""

    title: str
    text: str
    kind: ClassVar[str] = "listing"


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it."""

    title: str
    blocks: Sequence["Block"]
    kind: ClassVar[str] = "section"

    @property
    def sections(self) -> list["Section"]:
        """Those one level below."""
        return [block for block in self.blocks if isinstance(block, Section)]


Block = Text | Facts | Table | Figures | Listing | Section


@dataclass(frozen=True)
class Document:
    """A page.

    Attributes:
        title: Its heading.
        notes: What a reader should know of all of it.
        sections: In their order. The first says what is asked, the answer and one picture of it, and stands before the notes
            and the list of contents, which leads to all of them.
    """

    title: str
    notes: Sequence[str]
    sections: Sequence[Section]


def html(document: Document) -> str:
    """The document as one HTML file."""
    environment = Environment(loader=PackageLoader("dadsp.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("document.html").render(document=document)


def markdown(document: Document, folder: str) -> tuple[str, dict[str, bytes]]:
    """The document as Markdown, and its figures by file name.

    Args:
        document: The page.
        folder: Where the figures will lie, as seen from the Markdown file.
    """
    figures: dict[str, bytes] = {}

    def blocks(given: Sequence[Block], level: int) -> Iterator[str]:
        for block in given:
            match block:
                case Section():
                    yield f"{'#' * level} {_plain(block.title)}"
                    yield from blocks(block.blocks, level + 1)
                case Text():
                    points = [f"- {_plain(line)}" if block.as_list else _plain(line) for line in block.lines]
                    yield ("\n" if block.as_list else "\n\n").join(points)
                case Facts():
                    yield "\n".join(f"- **{_plain(name)}**: {_plain(value)}" for name, value in block.pairs)
                case Table():
                    yield f"**{_plain(block.title)}**"
                    marks = [":---", *("---:" for _ in block.columns[1:])]
                    rows = [block.columns, marks, *block.rows]
                    cells = [row if row is marks else [_plain(cell) for cell in row] for row in rows]
                    yield "\n".join(f"| {' | '.join(row)} |" for row in cells)
                case Figures():
                    for figure in block.figures:
                        stem = re.sub(r"\W+", "_", figure.title).strip("_")
                        name = f"{len(figures) + 1:02d}_{stem}{figure.suffix}"
                        figures[name] = figure.content
                        yield f"![{_plain(figure.description)}](<{folder}/{name}>)"
                        yield f"*{_plain(figure.title)}*"
                case Listing():
                    longest = max((len(run) for run in re.findall("`+", block.text)), default=0)
                    fence = "`" * max(3, longest + 1)
                    yield f"**{_plain(block.title)}**"
                    yield f"{fence}\n{block.text.rstrip()}\n{fence}"

    notes = [Text(document.notes, as_list=True)] if document.notes else []
    ordered: list[Block] = [*document.sections[:1], *notes, *document.sections[1:]]
    return "\n\n".join(blocks([Section(document.title, ordered)], 1)) + "\n", figures


def _plain(text: str) -> str:
    """One line in which nothing is markup."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def write_document(document: Document, form: Literal["html", "md"], out: Path) -> None:
    """Writes the page; of Markdown the figures first, so that a page never names one that is not there."""
    if form == "html":
        write_text(out, html(document))
        return
    folder = out.with_name(f"{out.stem}_figures")
    text, figures = markdown(document, folder.name)
    for name, content in figures.items():
        write_atomically(folder / name, partial(_put, content))
    write_text(out, text)


def _put(content: bytes, path: Path) -> None:
    path.write_bytes(content)
