"""What a file is, whatever its name says; and compressed tables."""

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from dadsp.data.tables import read_table
from dadsp.errors import SchemaError

TEXT = "drug,name\nd1,a\nd2,b\n"


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return buffer.getvalue()


def workbook() -> bytes:
    buffer = io.BytesIO()
    book = openpyxl.Workbook()
    book.active["A1"] = "drug"
    book.save(buffer)
    return buffer.getvalue()


def array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 2)))
    return buffer.getvalue()


def parquet() -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame({"drug": ["d1"]}).to_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", zipped("t.csv"), r"is a zip archive, no UTF-8 text\. Unpack it, or name it \.zip"),
        ("t.csv", workbook(), r"is an Excel workbook, no UTF-8 text\. Name it \.xlsx"),
        ("t.tsv", gzip.compress(TEXT.encode()), r"is a gzip file, no UTF-8 text\. Name it \.gz behind its extension"),
        ("t.txt", bz2.compress(TEXT.encode()), r"is a bzip2 file"),
        ("t.csv", lzma.compress(TEXT.encode()), r"is an xz file"),
        ("t.csv", parquet(), r"is a Parquet file, no UTF-8 text\. Name it \.parquet"),
        ("t.csv", array(), r"is a NumPy array .* with names of rows and columns"),
        ("t.csv", b"\x80\x04\x95\x00", r"is a Python pickle.* Save the table with DataFrame\.to_csv"),
        ("t.csv", b"%PDF-1.7 x", r"is a PDF document"),
        (
            "t.csv",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
            r"is an old Excel workbook \(\.xls\).* Save it as \.xlsx",
        ),
        ("t.csv", b"\x89HDF\r\n\x1a\n", r"is an HDF5 file.*H5ad"),
        ("t.csv", b"RDX3\nX\n", r"is an R data file.* write\.csv"),
        ("t.csv.gz", gzip.compress(b"X\n\x00\x00\x00\x03"), r"holds an R data file, no UTF-8 text"),
        ("t.csv.gz", gzip.compress(lzma.compress(TEXT.encode())), r"holds an xz file"),
        ("t.csv.gz", gzip.compress(bytes(257) + b"ustar\x0000"), r"holds a tar archive.* Unpack it"),
        ("t.csv", b"<!DOCTYPE html>\n<html>", r"is a web page or XML, perhaps a server's error.* Fetch the file again"),
        ("t.csv", b"<?xml version='1.0'?><Error>", r"is a web page or XML"),
        ("t.csv", b'{"error": "not found"}', r"is JSON, perhaps a server's error"),
        ("t.csv", b"version https://git-lfs.github.com/spec/v1\n", r"is a Git LFS pointer.* git lfs pull"),
        ("t.csv", TEXT.encode("utf-16"), r"is UTF-16 text, no UTF-8 text\. Save it as UTF-8"),
        ("t.csv", TEXT.encode("utf-16-le"), r"is binary, or UTF-16 text"),
        ("t.parquet", TEXT.encode(), r"is plain text, no Parquet file"),
        ("t.xlsx", TEXT.encode(), r"is plain text, no Excel workbook"),
        ("t.csv.gz", TEXT.encode(), r"is plain text, no gzip file"),
        ("t.csv.gz", zipped("t.csv"), r"is a zip archive, no gzip file"),
        ("t.csv.zip", workbook(), r"is an Excel workbook, no zip archive"),
        ("t.csv.zip", zipped("t.csv", "u.csv"), r"holds 2 files \(t\.csv, u\.csv\), not one table"),
        ("t.csv.xz", lzma.compress(TEXT.encode())[:40], r"cannot be read: Compressed file ended"),
        ("t.csv.zip", zipped("t.csv")[:40], r"cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_of_another_kind_is_called_what_it_is(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SchemaError, match=words) as told:
        read_table(tmp_path / name, {"id": "drug"})
    assert str(told.value).startswith(str(tmp_path / name))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv.gz", gzip.compress(TEXT.encode())),
        ("t.csv.bz2", bz2.compress(TEXT.encode())),
        ("t.csv.xz", lzma.compress(TEXT.encode())),
        ("t.csv.zip", zipped("folder/t.csv")),
        ("T.CSV", TEXT.encode()),
        ("T.CSV.GZ", gzip.compress(TEXT.encode())),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_compressed_tables_are_read(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read_table(tmp_path / name, {"id": "drug"})["id"].tolist() == ["d1", "d2"]
