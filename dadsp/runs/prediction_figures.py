"""Figures of predictions, a file for each line."""

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from PIL import Image

from dadsp.analysis.ranked_drugs_figure import ranked_drugs_figure
from dadsp.errors import ConfigError

MOST_FIGURES = 100
COLOURS = 64  # of a picture on a page


def write_figures(frame: pd.DataFrame, system: str, unit: str, folder: Path, called: Mapping[str, str]) -> None:
    """Writes ``<line>.png`` for every line of a table of predictions, named by its id and headed by what it is called.

    Raises:
        ConfigError: They are more than ``MOST_FIGURES``.
    """
    n_lines = frame["cell_id"].nunique()
    if n_lines > MOST_FIGURES:
        raise ConfigError(
            f"figures: there are {n_lines:,} lines, and at most {MOST_FIGURES} are drawn. Name some with lines=[…]. "
            "The table is written."
        )
    taken: set[str] = set()
    for name, rows in frame.groupby("cell_id", sort=False):
        stem = re.sub(r"[^\w.-]+", "_", str(name)).strip("._") or "line"
        while stem in taken:
            stem += "_"
        taken.add(stem)
        ranked_drugs_figure(rows, folder / f"{stem}.png", f"{called.get(str(name), name)}\n{system}", unit)


def drawn_line(rows: pd.DataFrame, narrow: bool, system: str, unit: str, called: Mapping[str, str]) -> bytes:
    """The same of one line, as a PNG, which a phone can show whole where it is narrow."""
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "line.png"
        name = str(rows["cell_id"].iloc[0])
        ranked_drugs_figure(rows, path, f"{called.get(name, name)}\n{system}", unit, narrow)
        # A third of the bytes: a page holds 20 of them, and they are of few colours.
        few, content = Image.open(path).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE), BytesIO()
        few.save(content, "PNG", optimize=True)
        return content.getvalue()
