"""Names in AnnData files of every layout: resolved, or refused where numbers stand for them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dadsp.data.sources.h5ad import H5ad
from dadsp.data.sources.tidy_parts import read_expression
from dadsp.errors import SchemaError

Column = Callable[[Any], object]
TEXT = h5py.string_dtype()
SYMBOLS = ["TP53", "EGFR", "KRAS"]


def plain(values: Any, **options: Any) -> Column:
    return lambda table: table.create_dataset("column", data=values, **options)


def legacy(codes: list[int], categories: list[Any] | None, reference: bool = True) -> Column:
    """A column of categories as AnnData 0.7 keeps them: its codes, and the categories beside the columns."""

    def write(table: Any) -> None:
        column = table.create_dataset("column", data=np.array(codes, dtype=np.int8))
        if categories is not None:
            kept = table.create_group("__categories").create_dataset("column", data=categories, dtype=TEXT)
            if reference:
                column.attrs["categories"] = kept.ref

    return write


def group(encoding: str, **parts: Any) -> Column:
    def write(table: Any) -> None:
        node = table.create_group("column")
        node.attrs["encoding-type"] = encoding
        for name, values in parts.items():
            node.create_dataset(name, data=values, **({"dtype": TEXT} if isinstance(values[0], str) else {}))

    return write


def read(path: Path, *, var: Column | None = None, obs: Column | None = None, ids: str = "symbol") -> Any:
    """Three lines × three genes, names from the given columns where there are any."""
    with h5py.File(path, "w") as file:
        for name, index, column in (("obs", ["L1", "L2", "L3"], obs), ("var", SYMBOLS, var)):
            table = file.create_group(name)
            table.attrs["_index"] = "index"
            table.create_dataset("index", data=index, dtype=TEXT)
            if column is not None:
                column(table)
        file.create_dataset("X", data=np.arange(9.0).reshape(3, 3) + 0.5)
    options = {"symbols": "column"} if var else {}
    options |= {"id_column": "column"} if obs else {}
    return read_expression(H5ad(path=path.name, genes={"ids": ids}, **options), path.parent)[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("column", "ids", "expected"),
    [
        (legacy([2, 0, 1], SYMBOLS), "symbol", ["KRAS", "TP53", "EGFR"]),
        (legacy([2, 0, 1], SYMBOLS, reference=False), "symbol", ["KRAS", "TP53", "EGFR"]),
        (legacy([2, -1, 1], SYMBOLS), "symbol", ["KRAS", "EGFR"]),
        (group("categorical", categories=SYMBOLS, codes=[1, 2, 0]), "symbol", ["EGFR", "KRAS", "TP53"]),
        (group("categorical", categories=[7157, 1956, 9], codes=[1, 2, 0]), "entrez", ["1956", "9", "7157"]),
        (group("nullable-string-array", values=["A", "B", ""], mask=[False, False, True]), "symbol", ["A", "B"]),
        (group("nullable-integer", values=[7157, 1956, 1], mask=[False, False, True]), "entrez", ["7157", "1956"]),
        (plain(SYMBOLS, dtype=TEXT), "symbol", SYMBOLS),
        (plain(np.array([b"TP53", b"EGFR", b"KRAS"])), "symbol", SYMBOLS),
        (plain(np.array([7157, 1956, 3845])), "entrez", ["7157", "1956", "3845"]),
        (plain(np.array([7157, np.nan, 3845])), "entrez", ["7157", "3845"]),
    ],
)
def test_names_of_genes_are_resolved(tmp_path: Path, column: Column, ids: str, expected: list[str]) -> None:
    matrix = read(tmp_path / "x.h5ad", var=column, ids=ids)
    assert list(matrix.columns) == expected


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (
            legacy([2, 0, 1], None),
            r"/var/column holds numbers that count rows or are codes of categories .*\(e\.g\. 2, 0, 1\)",
        ),
        (legacy([2, 5, 1], SYMBOLS), r"/var/column holds codes for which it has no category"),
        (group("categorical", categories=["TP53"], codes=[0, 2, 1]), r"codes for which it has no category"),
        (group("categorical", categories=SYMBOLS, codes=[0.0, 2, 1]), r"codes for which it has no category"),
        (plain(np.array([2, 0, 1])), r"count rows or are codes"),
        (plain(np.array([7, 9, 1], dtype=np.int16)), r"count rows or are codes"),
        (plain(np.array([7157, 1956, 3845])), r"all 3 genes are named by numbers .*Entrez"),
        (plain(["0", "1", "2"], dtype=TEXT), r"all 3 genes are named by numbers"),
        (plain(np.array([0.5, 1.5, 2.5])), r"/var/column holds fractions, not names"),
        (plain(np.array([1e17, 1.0, 2.0])), r"/var/column holds fractions"),
        (plain(np.array([True, False, True])), r"/var/column holds truth values, not names"),
        (group("nullable-boolean", values=[True, False, True], mask=[False] * 3), r"holds truth values, not names"),
        (plain(np.zeros((3, 2))), r"/var/column holds float64, not names"),
        (group("dataframe", other=[1, 2, 3]), r"/var/column is no column of names"),
    ],
)
def test_numbers_that_stand_for_names_are_refused(tmp_path: Path, column: Column, words: str) -> None:
    with pytest.raises(SchemaError, match=words) as told:
        read(tmp_path / "x.h5ad", var=column)
    assert "\n" not in str(told.value)


def test_whole_numbers_may_be_lines_but_codes_may_not(tmp_path: Path) -> None:
    for ids in (np.array([905906, 905907, 5]), np.array([905906.0, 905907, 5])):
        assert read(tmp_path / "x.h5ad", obs=plain(ids)).rows == ("905906", "905907", "5")
    assert read(tmp_path / "x.h5ad", obs=legacy([2, 0, 1], ["A", " B", "C"])).rows == ("C", "A", "B")
    with pytest.raises(SchemaError, match=r"/obs/column holds numbers that count rows or are codes"):
        read(tmp_path / "x.h5ad", obs=legacy([2, 0, 1], None))


def test_a_layout_before_0_7_and_a_file_of_another_kind_are_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        for name in ("obs", "var"):
            file.create_dataset(name, data=np.array([(b"A",)], dtype=[("index", "S1")]))
    with pytest.raises(SchemaError, match=r"/obs is laid out as before AnnData 0\.7\. Open it with a newer anndata"):
        H5ad(path="x.h5ad").read(tmp_path)
    (tmp_path / "x.h5ad").write_text("a,b\n")
    with pytest.raises(SchemaError, match=r"x\.h5ad is plain text, no AnnData file"):
        H5ad(path="x.h5ad").read(tmp_path)
