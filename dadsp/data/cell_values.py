"""Cells as names or as numbers: what is written in the same sense reads the same, and the rest is refused."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dadsp.data.table_files import Table, places, stripped
from dadsp.errors import SchemaError, examples
from dadsp.schema import BoolArray

EMPTY = {"", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"}
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}( 00:00:00)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"([+-]?[0-9]+)\.?0*")
# As spreadsheets, R and Python write large numbers: with a point, a plus, or both.
_POWER = re.compile(r"([+-]?)([0-9])(?=\.|[eE]\+)(?:\.([0-9]+))?([eE])\+?([0-9]{1,2})")
_GUARDED = re.compile(r"""'([0-9.]+)|="([^"]*)\"""")  # how a spreadsheet is told that digits are text
_OF_NO_ROW = re.compile(r"#.*|(grand )?total:?|sum:?|mean:?|average:?|median:?|\(?\d+ rows?\b.*", re.IGNORECASE)
_DOUBLE = 2.0**53  # whole numbers beyond this have no place of their own among doubles
_FORMS = (  # numbers in other spellings, and what to write
    (re.compile(r"[+-]?[0-9]*,[0-9]+"), "a comma: write a decimal point, and no separator of thousands"),
    (re.compile(r"[+-]?[0-9]{1,3}([.,'\s\u00a0\u202f][0-9]{3})+([.,][0-9]+)?"), "separators of thousands: write 1234.5"),
    (re.compile(r"[\u2212\u2013\u2014\u2010\u2011].*"), "a typographic minus: write -"),
    (re.compile(r".*%"), "a percent sign: write the number alone, and state its scale"),
    (re.compile(r"0[xX][0-9a-fA-F]+"), "hexadecimal digits: write decimal numbers"),
    (re.compile(r"['=\"].*"), "a mark before the number: save the cells as numbers"),
    (re.compile(r"[0-9]+_[0-9_]+"), "underscores: write digits alone"),
    (re.compile(r"(?=.*[^\x00-\x7f])[+-]?[\d.]+"), "digits of another script: write 0 to 9"),
)


def cleaned(written: Sequence[object]) -> list[str | None]:
    """Stripped texts, None where empty or NA, and numbers as whole ones where all numbers among them are whole.

    "907295.0" and "9.07295e+05" are then "907295", whatever words stand beside; where one of the numbers has a fraction, as
    in names of versions, all stay as written.
    """
    texts = [_unguarded(stripped(str(value))) for value in written]
    whole = {text: _whole(text) for text in texts if text not in EMPTY and _NUMBER.fullmatch(text)}
    if None not in whole.values():
        texts = [whole.get(text) or text for text in texts]
    return [None if text in EMPTY else text for text in texts]


def compatible(text: str) -> str:
    """In plain characters (NFKC), but for raised and lowered ones: 10² is not 102, nor a footnote's mark a digit."""
    if text.isascii():
        return text
    raised = ("<super>", "<sub>", "<circle>", "<fraction>")
    return "".join(
        mark if unicodedata.decomposition(mark).startswith(raised) else unicodedata.normalize("NFKC", mark) for mark in text
    )


def of_no_row(names: Iterable[str]) -> list[str]:
    """Those that name a total or begin a comment, rather than name a row."""
    return [name for name in names if _OF_NO_ROW.fullmatch(name)]


def _unguarded(text: str) -> str:
    guarded = _GUARDED.fullmatch(text)
    return stripped(guarded[1] or guarded[2] or "") if guarded else text


def _whole(text: str) -> str | None:
    """The digits of a whole number, where all are known; None of a number with a fraction; other texts as they are."""
    plain_digits = _WHOLE.fullmatch(text)
    if plain_digits:
        return plain_digits[1]
    power = _POWER.fullmatch(text)
    if power is None:
        return None if "." in text else text  # 2310009E13 and 1E8 are names
    sign, first, more, _, exponent = power.groups(default="")
    zeros = int(exponent) - len(more.rstrip("0"))
    if zeros < 0:
        return None
    return text if digits_lost(text) else f"{sign}{first}{more.rstrip('0')}{'0' * zeros}"


def digits_lost(text: str) -> bool:
    """Whether a number was written with fewer digits than it has.

    Excel writes 9.06E+05 for 905906; R and Python write as many digits as there are, up to 15.
    """
    power = _POWER.fullmatch(text)
    return power is not None and int(power[5]) > (len(power[3] or "") if power[4] == "E" else 15)


def texts_in(column: pa.ChunkedArray, name: str, table: Table, *, names: bool, spoiled: bool = False) -> "pd.Series[Any]":
    """Cleaned text, missing where there is none.

    Args:
        column: Of any type; whole numbers are the text of their digits.
        name: Of the column, for an error.
        table: What holds it, for an error.
        names: Whether truth values are refused too.
        spoiled: Whether what spreadsheets make of names is let through, as 2023-09-02 or 2.31E+19: of gene symbols it can be
            found out.

    Raises:
        SchemaError: It holds dates, fractions or numbers with lost digits, where names or ids belong.
    """
    column = plain(column)
    written, odd = _as_text(column)
    if odd and not (spoiled and odd == "dates") and (names or odd != "truth values"):
        shown = examples(str(value) for value in column.drop_null().slice(0, 4).to_pylist())
        raise SchemaError(
            f"{table}: the column {name!r} holds {odd} (e.g. {shown}), where names or ids belong. Name another column, or "
            "save them as text."
        )
    encoded = written.combine_chunks().dictionary_encode()  # far fewer distinct texts than rows
    distinct = [*cleaned(encoded.dictionary.to_pylist()), None]
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    found = pd.Series(np.array(distinct, dtype=object)[codes], dtype="str")
    for is_spoiled, what in ((digits_lost, "have lost digits"), (DATE.fullmatch, "are dates")):
        odd_ones = [] if spoiled else [text for text in distinct if text is not None and is_spoiled(text)]
        if odd_ones:
            rows = np.flatnonzero(found.isin(odd_ones))
            shown = examples(f"{places(table, [row])}: {found[row]}" for row in rows[:4])
            raise SchemaError(
                f"{table}: {len(rows)} of {len(found)} cells of {name!r} {what} (e.g. {shown}), as spreadsheets make them. "
                "Give that column the format Text there, and save it again from the original."
            )
    return found


def _as_text(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, str]:
    """The column as text, and what it holds that is no name."""
    kind = column.type
    if is_number(kind) and not pa.types.is_integer(kind):
        values = pc.cast(column, pa.float64(), safe=False).to_numpy()
        known = values[~np.isnan(values)]
        if not (np.abs(known) < _DOUBLE).all():
            return pc.cast(column, pa.string()), "numbers whose last digits are lost"
        if (known % 1 != 0).any():
            return pc.cast(column, pa.string()), "fractions"
        whole = pa.array(np.where(np.isnan(values), 0, values).astype(np.int64), mask=np.isnan(values))
        return pa.chunked_array([whole.cast(pa.string())]), ""
    if pa.types.is_boolean(kind):
        return pc.if_else(column, "True", "False"), "truth values"
    if pa.types.is_integer(kind) or pa.types.is_null(kind) or _is_text(kind):
        return pc.cast(column, pa.string()), ""
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return pc.utf8_slice_codeunits(pc.cast(column, pa.string()), 0, 10), "dates"
    what = "times" if pa.types.is_temporal(kind) else f"values of the type {kind}"
    return pa.chunked_array([pa.array([], pa.string())]), what


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column with its categories resolved."""
    while pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    return column


def _is_text(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def is_float(kind: pa.DataType) -> bool:
    """Whether columns of this type become float32 as they are."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether columns of this type hold real numbers."""
    return is_float(kind) or bool(pa.types.is_decimal(kind))


def numbers_in(column: pa.ChunkedArray) -> tuple[NDArray[np.float64], BoolArray]:
    """A column as float64, NaN where empty, NA or no finite number, and where it is the latter."""
    column = plain(column)
    if is_number(column.type):
        values = pc.cast(column, pa.float64(), safe=False).to_numpy()
        return np.where(np.isfinite(values), values, np.nan), np.isinf(values)
    if _is_text(column.type):
        try:
            values = pc.cast(pc.utf8_trim_whitespace(column), pa.float64()).to_numpy()
        except pa.ArrowInvalid:
            values = np.array([np.nan])
        if np.isfinite(values).all():
            return values, np.zeros(len(values), dtype=bool)
    written = pd.Series(column.to_pandas()).astype("str").str.strip()
    empty = (written.isna() | written.isin(EMPTY)).to_numpy(dtype=bool)
    odd = ~written.str.fullmatch(_NUMBER.pattern).fillna(False).to_numpy(dtype=bool)
    values = pc.cast(pa.array(written.mask(empty | odd)), pa.float64()).to_numpy(zero_copy_only=False)
    refused = ~np.isfinite(values) & ~empty
    return np.where(refused, np.nan, values), refused


def spelling(written: Sequence[str]) -> str:
    """What to write in place of numbers that all have one other spelling, a sentence; "" where they have none in common."""
    for form, remedy in _FORMS:
        if all(form.fullmatch(text.strip()) for text in written):
            return f"They are written with {remedy}."
    return ""
