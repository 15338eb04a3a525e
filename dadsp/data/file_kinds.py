"""What a file really is, by its first bytes, and opening compressed ones."""

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from dadsp.errors import SchemaError, examples

READ_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, NotImplementedError)
HEAD = 512  # bytes that tell the kind; a tar archive says so at byte 257

# How a file of this kind begins, what it is, and what to do with it where a table is read.
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"PAR1", "a Parquet file", "Name it .parquet"),
    (b"\x89HDF", "an HDF5 file", "Read an .h5ad file by dadsp.data.sources.h5ad.H5ad, or save the table as .csv"),
    (b"\x1f\x8b", "a gzip file", "Name it .gz behind its extension"),
    (b"BZh", "a bzip2 file", "Name it .bz2 behind its extension"),
    (b"\xfd7zXZ\x00", "an xz file", "Name it .xz behind its extension"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "Unpack it"),
    (b"7z\xbc\xaf'\x1c", "a 7z archive", "Unpack it"),
    (b"Rar!", "a rar archive", "Unpack it"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)", "Save it as .xlsx or .csv"),
    (b"%PDF", "a PDF document", "Save its table as .csv"),
    (b"{\\rtf", "an RTF document", "Save its table as .csv"),
    (b"\x93NUMPY", "a NumPy array (.npy)", "Save it as .csv or .parquet, with names of rows and columns"),
    (b"RDX", "an R data file", "Save the table from R with write.csv"),
    (b"RDA", "an R data file", "Save the table from R with write.csv"),
    (b"X\n\x00\x00", "an R data file", "Save the table from R with write.csv"),
    (b"ARROW1", "a Feather file", "Save it as .parquet"),
    (b"FEA1", "a Feather file", "Save it as .parquet"),
    (b"SQLite format 3", "an SQLite database", "Save its table as .csv"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file it stands for", "Fetch the file: git lfs pull"),
    (b"\xff\xfe", "UTF-16 text", 'Save it as UTF-8 (in Excel: "CSV UTF-8")'),
    (b"\xfe\xff", "UTF-16 text", 'Save it as UTF-8 (in Excel: "CSV UTF-8")'),
)
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<error", b"<head", b"<table", b"<body", b"<script", b"<!--")
_EXPECTED = {  # by suffix: how such a file begins, and what to call it
    ".parquet": (b"PAR1", "Parquet file"),
    ".xlsx": (b"PK", "Excel workbook"),
    ".h5ad": (b"\x89HDF", "AnnData file (HDF5)"),
    ".gz": (b"\x1f\x8b", "gzip file"),
    ".bz2": (b"BZh", "bzip2 file"),
    ".xz": (b"\xfd7zXZ\x00", "xz file"),
    ".zip": (b"PK", "zip archive"),
}


def refuse_other_kind(path: Path) -> None:
    """Passes if the file begins as its name promises: as text where it promises nothing else.

    Raises:
        SchemaError: It is something else; the message says what and what to do.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    beginning, expected = _EXPECTED.get(path.suffix.lower(), (b"", "UTF-8 text"))
    what, remedy = _kind(head, path)
    if beginning and head.startswith(beginning):
        if path.suffix.lower() == ".zip" and what == "an Excel workbook":
            raise SchemaError(f"{path} is {what}, no {expected}. {remedy}.")
        return
    if beginning and not what:
        what, remedy = "plain text", "Fetch it again, or name it as what it is"
    if what:
        raise SchemaError(f"{path} is {what}, no {expected}. {remedy}.")


def refuse_packed_kind(head: bytes, path: Path) -> None:
    """The same for what a compressed file holds, by the first bytes of it."""
    what, remedy = _kind(head, path)
    if what:
        raise SchemaError(f"{path} holds {what}, no UTF-8 text. {remedy}.")


def _kind(head: bytes, path: Path) -> tuple[str, str]:
    """What begins like this, and the remedy; empty where it may be text."""
    for beginning, what, remedy in _KINDS:
        if head.startswith(beginning):
            return what, remedy
    if head.startswith(b"PK\x03\x04"):
        if b"[Content_Types].xml" in head or b"xl/" in head:
            return "an Excel workbook", "Name it .xlsx"
        return "a zip archive", "Unpack it, or name it .zip behind its extension if one table is all it holds"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a Python pickle", "Save the table with DataFrame.to_csv or to_parquet"
    if head[257:262] == b"ustar":
        return "a tar archive", "Unpack it"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(_MARKUP):
        return "a web page or XML, perhaps a server's error message", "Fetch the file again, or save its table as .csv"
    if start.startswith((b'{"', b"{\n", b"{\r", b"[{", b"{ ")):
        return "JSON, perhaps a server's error message", "Fetch the file again, or save its table as .csv"
    if 4 * head.count(b"\x00") > len(head):
        return "binary, or UTF-16 text", "Save the table as UTF-8 text"
    return "", ""


def _only_member(path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
    if len(names) != 1:
        raise SchemaError(f"{path} holds {len(names)} files ({examples(names)}), not one table. Unpack it.")
    return archive.open(names[0])


_UNPACKED: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
OPENERS: dict[str, Callable[[Path], Any]] = {**_UNPACKED, ".zip": _only_member}


def opened(path: Path) -> IO[bytes]:
    """The file's content as a stream, unpacked where its name says that it is compressed.

    Raises:
        SchemaError: A zip archive holds more than one file.
    """
    stream: IO[bytes] = OPENERS.get(path.suffix.lower(), lambda plain: plain.open("rb"))(path)
    return stream
