"""Bad tables: every way of breaking a file, in every place where a user gives one; and bad structures."""

import gzip
import io
import lzma
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from bad_cases import PREDICT, PREDICT_NEW, TRAIN_MINE, Case


class Slot(NamedTuple):
    """A place where a user gives a table.

    Attributes:
        path: Of the file, from the case's folder on.
        command: What reads it.
        needs: What is copied first.
        columns: Its columns of ids, all of which are needed.
        numbers: Whether the other columns are numbers.
        unique: Whether an id may stand once only.
    """

    path: str
    command: tuple[str, ...]
    needs: tuple[str, ...]
    columns: tuple[str, ...]
    numbers: bool
    unique: bool


NEW = ("run", "pairs.csv", "expression.csv", "drugs.csv")
SLOTS = (
    Slot("pairs.csv", PREDICT, ("run", "pairs.csv"), ("cell_id", "drug_id"), False, False),
    Slot("expression.csv", PREDICT_NEW, NEW, ("cell_id",), True, True),
    Slot("drugs.csv", PREDICT_NEW, NEW, ("drug_id", "smiles"), False, True),
    Slot("raw/source/responses.csv", TRAIN_MINE, ("raw",), ("line", "drug", "ln_ic50"), False, False),
    Slot("raw/source/expression.csv", TRAIN_MINE, ("raw",), ("line",), True, True),
    Slot("raw/target/drugs.csv", TRAIN_MINE, ("raw",), ("compound", "smiles"), False, True),
)
# As if the file were another: its name changes with its content, and so does the command that names it.
DISGUISES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "half of a .gz": (".csv.gz", lambda good: gzip.compress(good * 50)[:-40]),
    "text called .gz": (".csv.gz", lambda good: good),
    "zip called .gz": (".csv.gz", lambda good: zipped(good)),
    "gz called .csv": (".csv", gzip.compress),
    "xz called .csv": (".csv", lzma.compress),
    "zip called .csv": (".csv", lambda good: zipped(good)),
    "an archive .zip": (".zip", lambda good: zipped(good)),
    "an .xz": (".csv.xz", lzma.compress),
    "text called .parquet": (".parquet", lambda good: good),
    "half of a .parquet": (".parquet", lambda good: parquet(good)[:-60]),
    "a .parquet whose middle is zeros": (".parquet", lambda good: zeroed(parquet(good))),
    "text called .xlsx": (".xlsx", lambda good: good),
    "half of an .xlsx": (".xlsx", lambda good: excel(good)[: len(excel(good)) // 2]),
    "a zip called .xlsx": (".xlsx", lambda good: zipped(good)),
    "HTML called .xlsx": (".xlsx", lambda good: b"<html><table><tr><td>cell_id</td></tr></table></html>"),
    "a pickle": (
        ".pkl",
        lambda good: b"\x80\x04\x95\x1b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    ),
    "text called .h5ad": (".h5ad", lambda good: good),
    "text called .npz": (".npz", lambda good: good),
    "no ending": ("", lambda good: good),
}
CONTENTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda good: b"",
    "blank lines": lambda good: b"\n\n\n\n",
    "header only": lambda good: good.split(b"\n")[0] + b"\n",
    "no header": lambda good: b"\n".join(good.split(b"\n")[1:]),
    "separated by semicolons": lambda good: good.replace(b",", b";"),
    "UTF-16": lambda good: good.decode().encode("utf-16"),
    "UTF-32": lambda good: good.decode().encode("utf-32"),
    "Latin-1": lambda good: good + good.split(b"\n")[1].replace(b",", b"\xe9,", 1) + b"\n",
    "a row too long": lambda good: good + good.split(b"\n")[1] + b",1,2,3\n",
    "a row too short": lambda good: good + b"alone\n",
    "a quote that never ends": lambda good: good.replace(b"\n", b'\n"', 1),
    "one line of 10 MB": lambda good: b"x" * 10_000_000,
    "a header of 10 MB": lambda good: b"a," * 5_000_000 + b"b\n" + good,
    "NUL bytes": lambda good: b"\0" * 4096,
    "random bytes": lambda good: bytes((n * 7919 + 13) % 251 for n in range(5000)),
    "HTML": lambda good: b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n",
    "JSON": lambda good: b'{"cell_id": ["a"], "drug_id": ["b"]}\n',
}
VALUES: dict[str, str] = {
    **{
        "NaN": "NaN",
        "nothing": "",
        "infinity": "inf",
        "minus infinity": "-Infinity",
        "text": "high",
        "1e39": "1e39",
        "1e38": "1e38",
    },
    **{"-99999": "-99999", "a truth value": "True", "a date": "2024-05-01", "a unit": "7.1 TPM", "a sign": ">7.1"},
    **{"a formula": "=1+1", "complex": "1+2j", "hexadecimal": "0x1F", "a list": "[1]"},
}


def zipped(good: bytes) -> bytes:
    """An archive that holds the table."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("table.csv", good)
    return target.getvalue()


def parquet(good: bytes) -> bytes:
    """The table as Parquet."""
    target = io.BytesIO()
    pd.read_csv(io.BytesIO(good)).to_parquet(target, index=False)
    return target.getvalue()


def excel(good: bytes) -> bytes:
    """The table as a workbook."""
    target = io.BytesIO()
    pd.read_csv(io.BytesIO(good)).to_excel(target, index=False)
    return target.getvalue()


def zeroed(content: bytes) -> bytes:
    """The same length, with nothing between the first and last 40 bytes."""
    return content[:40] + bytes(len(content) - 80) + content[-40:]


def table_cases() -> Iterator[Case]:
    """Every damage in every slot that it concerns."""
    for slot in SLOTS:
        put = partial(Case, "table", command=slot.command, needs=slot.needs)
        for name, change in CONTENTS.items():
            yield put(f"{slot.path}: {name}", partial(rewritten, slot, change))
        for name, (suffix, change) in DISGUISES.items():
            yield Case(
                "table", f"{slot.path}: {name}", partial(disguised, slot, suffix, change), renamed(slot, suffix), slot.needs
            )
        for name, make in PLACES.items():
            yield put(f"{slot.path}: {name}", partial(replaced, slot, make))
        for column in slot.columns:
            yield put(f"{slot.path}: column {column} absent", partial(rewritten, slot, partial(without, column)))
            yield put(f"{slot.path}: column {column} twice", partial(rewritten, slot, partial(twice, column)))
            yield put(f"{slot.path}: {column} empty in a row", partial(rewritten, slot, partial(blank, column)))
        if slot.unique:
            yield put(
                f"{slot.path}: a row twice", partial(rewritten, slot, lambda good: good + good.split(b"\n")[1] + b"\n")
            )
        if slot.numbers:
            for name, value in VALUES.items():
                yield put(f"{slot.path}: {name} for a number", partial(rewritten, slot, partial(one_value, value)))
            yield put(f"{slot.path}: a gene twice", partial(rewritten, slot, gene_twice))
            yield put(f"{slot.path}: a gene without a name", partial(rewritten, slot, gene_unnamed))
        if slot.path == "expression.csv":
            yield put(f"{slot.path}: counts", partial(rewritten, slot, counts))
            yield put(f"{slot.path}: one gene of many", partial(rewritten, slot, lambda good: columns(good, 2)))
            yield put(f"{slot.path}: other genes", partial(rewritten, slot, lambda good: good.replace(b"G0", b"H0")))


def rewritten(slot: Slot, change: Callable[[bytes], bytes], folder: Path) -> None:
    """The file with other content."""
    path = folder / slot.path
    path.write_bytes(change(path.read_bytes()))


def disguised(slot: Slot, suffix: str, change: Callable[[bytes], bytes], folder: Path) -> None:
    """The file under another name, with what the name does not say; a configuration that names it follows."""
    path = folder / slot.path
    path.with_name(path.stem + suffix).write_bytes(change(path.read_bytes()))
    if suffix != path.suffix:
        path.unlink()
    for config in folder.glob("raw/conf/data/mine.yaml"):
        config.write_text(config.read_text().replace(slot.path.removeprefix("raw/"), slot.path[4:-4] + suffix))


def renamed(slot: Slot, suffix: str) -> tuple[str, ...]:
    """The command that names the disguised file."""
    return tuple(part.replace(slot.path, slot.path[:-4] + suffix) if "=" in part else part for part in slot.command)


def replaced(slot: Slot, make: Callable[[Path], None], folder: Path) -> None:
    """Something that is no file in its place."""
    (folder / slot.path).unlink()
    make(folder / slot.path)


PLACES: dict[str, Callable[[Path], None]] = {
    "absent": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "a named pipe": lambda path: os.mkfifo(path),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nowhere.csv"),
    "the null device": lambda path: path.symlink_to("/dev/null"),
}


def _frame(good: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(good), dtype=str, keep_default_na=False)


def without(column: str, good: bytes) -> bytes:
    """The table without a column."""
    return _frame(good).drop(columns=column).to_csv(index=False).encode()


def twice(column: str, good: bytes) -> bytes:
    """The table with a column once more, at its end."""
    frame = _frame(good)
    return pd.concat([frame, frame[[column]]], axis=1).to_csv(index=False).encode()


def blank(column: str, good: bytes) -> bytes:
    """The table with an empty cell in its second row."""
    frame = _frame(good)
    frame.loc[1, column] = ""
    return frame.to_csv(index=False).encode()


def one_value(value: str, good: bytes) -> bytes:
    """The table with another value in its second row and column."""
    frame = _frame(good)
    frame.iloc[1, 1] = value
    return frame.to_csv(index=False).encode()


def columns(good: bytes, n: int) -> bytes:
    """The first columns."""
    return _frame(good).iloc[:, :n].to_csv(index=False).encode()


def counts(good: bytes) -> bytes:
    """Read counts in place of logarithms."""
    frame = pd.read_csv(io.BytesIO(good), index_col=0)
    return (frame.abs() * 5000).round().astype(int).to_csv().encode()


def gene_twice(good: bytes) -> bytes:
    """The second column once more, at the end."""
    return twice(_frame(good).columns[1], good)


def gene_unnamed(good: bytes) -> bytes:
    """A header with an empty cell."""
    head, _, rest = good.partition(b"\n")
    return re.sub(rb",[^,]+", b",", head, count=1) + b"\n" + rest


STRUCTURES = {
    "empty": "",
    "blank": "   ",
    "nonsense": "this is no structure",
    "a name": "aspirin",
    "NaN": "nan",
    "an open ring": "c1ccccc",
    "an open branch": "CC(C",
    "five bonds": "C(C)(C)(C)(C)C",
    "an unknown element": "[Zz]",
    "InChI": "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3",
    "Greek letters": "αβγ",
    "an emoji": "C🔥C",
    "look-alike letters": "ССО",
    "a formula of a spreadsheet": "=cmd|'/c calc'!A0",
    "a query": "'; DROP TABLE drugs; --",
    "a tag": "<script>alert(1)</script>",
    "a path": "../../etc/passwd",
    "200,000 atoms": "C" * 200_000,
    "50,000 branches": "C(" * 50_000 + "C" + ")" * 50_000,
    "200,000 fragments": "C." * 200_000 + "C",
    "a charge beyond sense": "[C+999999999999]",
    "an isotope beyond sense": "[99999999999999C]",
    "a line break": '"CC\nO"',
}


def structure_cases() -> Iterator[Case]:
    """Every bad structure, for a prediction and for training."""
    for name, smiles in STRUCTURES.items():
        for slot in (SLOTS[2], SLOTS[5]):
            if slot is SLOTS[5] and smiles.strip() in ("", "nan"):
                continue  # drugs of a screen may lack a structure
            yield Case(
                "SMILES",
                f"{slot.path}: structure {name}",
                partial(rewritten, slot, partial(structure, smiles)),
                slot.command,
                slot.needs,
            )


def structure(smiles: str, good: bytes) -> bytes:
    """The table of drugs with another structure in its first row."""
    lines = good.decode().split("\n")
    lines[1] = f"{lines[1].split(',')[0]},{smiles}"
    return "\n".join(lines).encode()
