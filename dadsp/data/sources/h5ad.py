"""Expression from an AnnData file, read with h5py from its documented layout.

anndata itself wants a pandas older than 3 on Python 3.11, so that the two could not be installed together.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from scipy import sparse

from dadsp.data.cell_values import cleaned
from dadsp.data.sources.tidy_files import ExpressionFile
from dadsp.data.table_files import check_file
from dadsp.data.tables import Matrix
from dadsp.errors import ConfigError, SchemaError, examples, nearest
from dadsp.schema import Note


class H5ad(ExpressionFile):
    """``.h5ad``: lines in ``obs``, genes in ``var``; dense or sparse. Needs the extra ``dadsp[anndata]``.

    Attributes:
        id_column: Column of ``obs`` that names the lines; "" takes its index.
        symbols: Column of ``var`` that names the genes; "" takes its index.
        layer: Layer to read; None reads ``X``.
    """

    chooses_rows: ClassVar[bool] = False
    id_column: str = ""
    orientation: Literal["lines_by_genes", "genes_by_lines"] = "lines_by_genes"
    symbols: str = ""
    layer: str | None = None

    def read(self, root: Path) -> tuple[Matrix, tuple[Note, ...]]:
        path = root / self.path
        check_file(path)
        try:
            import h5py
        except ImportError as error:
            raise ConfigError(f"{path}: .h5ad files need h5py. Install it: pip install 'dadsp[anndata]'.") from error
        try:
            with h5py.File(path, "r") as file:
                lines = [name or "" for name in cleaned(_names(file["obs"], self.id_column, path))]
                genes = _names(file["var"], self.symbols, path)
                numbers = _matrix(file["X"] if self.layer is None else _child(file["layers"], self.layer, path))
        except (
            OSError,
            KeyError,
            IndexError,
            TypeError,
            ValueError,
            RuntimeError,
        ) as error:  # whatever damage makes of HDF5
            raise SchemaError(f"{path} is no AnnData file, or a damaged one: {error}. Write it again.") from error
        if numbers.shape != (len(lines), len(genes)):
            raise SchemaError(f"{path}: {numbers.shape} values for {len(lines)} lines × {len(genes)} genes. Write it again.")
        if "" in lines:
            raise SchemaError(f"{path}: {lines.count('')} of {len(lines)} lines have no name. Choose another id_column.")
        bad = np.argwhere(~np.isfinite(numbers))
        if len(bad):
            shown = [f"{lines[row]}/{genes[column]}" for row, column in bad[:4]]
            raise SchemaError(
                f"{path}: {len(bad)} of {numbers.size} values are missing or infinite (e.g. {examples(shown)}). "
                "Impute them or remove those lines or genes."
            )
        return Matrix(tuple(lines), tuple(genes), numbers), ()


def _child(group: Any, name: str, path: Path) -> Any:
    if name not in group:
        raise SchemaError(f"{path} has no {group.name}/{name}. {nearest(name, group)}")
    return group[name]


def _names(table: Any, column: str, path: Path) -> list[str]:
    """A column of ``obs`` or ``var`` as text, "" where missing; "" takes the index."""
    if not hasattr(table, "keys"):
        raise SchemaError(
            f"{path}: {table.name} is laid out as before AnnData 0.7. Open it with a newer anndata and write it again."
        )
    node = _child(table, column or table.attrs.get("_index", "_index"), path)
    categories = _categories_beside(table, node)
    if categories is not None:
        return _decoded(_texts(categories, path), node[:], node.name, path)
    if not hasattr(node, "keys") and node.dtype.kind in "iu":
        _refuse_codes(node, path)
    return _texts(node, path)


def _categories_beside(table: Any, node: Any) -> Any:
    """Where AnnData 0.7 keeps the categories whose codes stand in the column; None of a column without any."""
    if hasattr(node, "keys"):
        return None
    name = node.name.rpartition("/")[2]
    kept = table.get("__categories", {})
    if name in kept:
        return kept[name]
    return table.file[node.attrs["categories"]] if "categories" in node.attrs else None


def _texts(node: Any, path: Path) -> list[str]:
    """Text, "" where missing: plain, categories and codes, or values and mask; whole numbers as their digits."""
    if not hasattr(node, "keys"):
        return _plain(node, path)
    if "codes" in node:
        return _decoded(_texts(node["categories"], path), node["codes"][:], node.name, path)
    if "mask" in node:
        values = zip(_texts(node["values"], path), node["mask"][:], strict=True)
        return ["" if missing else text for text, missing in values]
    raise SchemaError(f"{path}: {node.name} is no column of names. Name another in id_column or symbols.")


def _decoded(categories: Sequence[str], codes: np.ndarray, name: str, path: Path) -> list[str]:
    if codes.dtype.kind not in "iu" or (len(codes) and (codes.min() < -1 or codes.max() >= len(categories))):
        raise SchemaError(f"{path}: {name} holds codes for which it has no category. Write it again.")
    return [categories[code] if code >= 0 else "" for code in codes]


def _plain(node: Any, path: Path) -> list[str]:
    values = node[()]
    kind = getattr(values, "dtype", np.dtype("O")).kind if np.ndim(values) == 1 else "?"
    if kind in "OSU":
        return [str(text, "utf-8") if isinstance(text, bytes) else str(text) for text in values]
    if kind in "iu":
        return [str(number) for number in values]
    known = values[~np.isnan(values)] if kind == "f" else np.zeros(0)
    if kind == "f" and (np.abs(known) < 2**53).all() and (known % 1 == 0).all():
        return ["" if np.isnan(number) else str(int(number)) for number in values]
    what = {"f": "fractions", "b": "truth values"}.get(kind, f"{getattr(values, 'dtype', 'one value')}")
    raise SchemaError(f"{path}: {node.name} holds {what}, not names. Name another column in id_column or symbols.")


def _refuse_codes(node: Any, path: Path) -> None:
    """Whole numbers may be ids, as COSMIC's are; codes of categories count from 0, in as few bytes as they need."""
    values = node[:]
    if values.dtype.itemsize <= 2 or (len(values) > 2 and np.array_equal(np.sort(values), np.arange(len(values)))):
        raise SchemaError(
            f"{path}: {node.name} holds numbers that count rows or are codes of categories that the file lacks (e.g. "
            f"{examples(values)}), not names. Name another column in id_column or symbols, or write the file again."
        )


def _matrix(node: Any) -> np.ndarray:
    """float32 values of a dense array, or of a csr or csc group."""
    kind = node.attrs.get("encoding-type", "array")
    if kind not in ("csr_matrix", "csc_matrix"):
        return _real(node[:])
    build = sparse.csr_matrix if kind == "csr_matrix" else sparse.csc_matrix
    parts = (node["data"][:], node["indices"][:], node["indptr"][:])
    matrix = build(parts, shape=tuple(node.attrs["shape"]))
    matrix.check_format(full_check=True)  # indices beyond the shape would be written outside the array
    return _real(matrix.toarray())


def _real(values: np.ndarray) -> np.ndarray:
    """The values as float32; what would become numbers without being any is damage, too."""
    if values.dtype.kind not in "iuf":
        raise TypeError(f"its values are {values.dtype}, not real numbers")
    return np.asarray(values, dtype=np.float32)
