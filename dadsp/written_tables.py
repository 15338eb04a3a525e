"""Tables as the verbs write them: what ``pandas.DataFrame.to_csv`` writes, faster, and safe to open in a spreadsheet."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet computes a cell that begins with one of these
_ROWS_AT_ONCE = 1 << 16  # bounds the memory that text takes


def without_formula(text: str) -> str:
    """The text with an apostrophe before it where a spreadsheet would compute it; numbers stay as they are.

    Ids come from elsewhere, and ``=cmd|…`` as an id would run a command on the machine of whoever opens the table.
    """
    if not text.startswith(FORMULA_MARKS):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def write_csv(frame: pd.DataFrame, path: Path, *, sep: str = ",", index: bool = False) -> None:
    """Writes a table, its texts through ``without_formula``; byte for byte what pandas writes where none of them changes.

    Each distinct text is looked at once, so that a table of a million pairs takes seconds.

    Args:
        frame: Its columns hold numbers, truth values or text; what is missing is left empty.
        path: File to write.
        sep: Between columns.
        index: Whether the index is the first column.
    """
    names = [*(frame.index.names if index else []), *frame.columns]
    header = [_quoted(without_formula("" if name is None else str(name)), sep) for name in names]
    with path.open("wb") as file:
        file.write(f"{sep.join(header)}\n".encode())
        for start in range(0, len(frame) if names else 0, _ROWS_AT_ONCE):
            part = frame.iloc[start : start + _ROWS_AT_ONCE]
            levels: list[Any] = [part.index.get_level_values(level) for level in range(part.index.nlevels)] if index else []
            columns = [_cells(values, sep) for values in (*levels, *(part.iloc[:, place] for place in range(part.shape[1])))]
            if len(columns) == 1:  # an empty line would be read as no row
                columns = [pc.if_else(pc.equal(columns[0], ""), '""', columns[0])]
            rows = pc.binary_join_element_wise(*columns, sep)
            file.write("".join(f"{row}\n" for row in rows.to_pylist()).encode())


WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    ".csv": write_csv,
    ".tsv": lambda frame, path: write_csv(frame, path, sep="\t"),
    ".parquet": lambda frame, path: frame.to_parquet(path, index=False),
}


def _cells(values: "pd.Series[Any] | pd.Index", sep: str) -> pa.Array:
    """The column as text, as it stands in the file."""
    kind = values.dtype.kind if isinstance(values.dtype, np.dtype) else "O"
    if kind == "f":
        return _numbers(np.asarray(values))
    if kind in "iub":
        return pa.array([str(value) for value in values.tolist()], pa.string())
    codes, distinct = pd.factorize(np.asarray(values, dtype=object), use_na_sentinel=True)
    # Values that are equal may be written differently (1, 1.0 and True), so only columns of text alone are looked up.
    if all(isinstance(value, str) for value in distinct):
        texts = pa.array([*(_quoted(without_formula(text), sep) for text in distinct), ""], pa.string())
        return texts.take(pa.array(np.where(codes < 0, len(distinct), codes)))
    return pa.array(["" if pd.isna(value) else _quoted(_text(value), sep) for value in values], pa.string())


def _numbers(values: NDArray[np.floating]) -> pa.Array:
    """The shortest text that reads back as each number; empty for NaN."""
    texts = pa.array(values).cast(pa.string())
    size = np.abs(values)
    # Arrow and Python write numbers differently that are whole, or large or small enough for an exponent.
    other = ~((size > 2e-4) & (size < 1e5) & (values != np.floor(values)))
    if not other.any():
        return texts
    written = ["" if text == "nan" else text for text in map(str, values[other].astype(values.dtype))]
    return pc.replace_with_mask(texts, pa.array(other), pa.array(written, pa.string()))


def _text(value: object) -> str:
    return without_formula(value) if isinstance(value, str) else str(value)


def _quoted(text: str, sep: str) -> str:
    if not any(mark in text for mark in (sep, '"', "\n", "\r")):
        return text
    return '"' + text.replace('"', '""') + '"'
