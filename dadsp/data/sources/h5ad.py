"""Expression from an AnnData file, read with h5py from its documented layout.

anndata itself wants a pandas older than 3 on Python 3.11, so that the two could not be installed together.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from scipy import sparse

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
                lines, genes = (
                    _texts(_child(table, name or table.attrs.get("_index", "_index"), path), path)
                    for table, name in ((file["obs"], self.id_column), (file["var"], self.symbols))
                )
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


def _texts(node: Any, path: Path) -> list[str]:
    """A column of ``obs`` or ``var`` as text, "" where missing: plain, categories and codes, or values and mask."""
    if not hasattr(node, "keys"):
        return [str(text, "utf-8") if isinstance(text, bytes) else str(text) for text in node[:]]
    if "codes" in node:
        categories = _texts(node["categories"], path)
        return [categories[code] if code >= 0 else "" for code in node["codes"][:]]
    if "mask" in node:
        values = zip(_texts(node["values"], path), node["mask"][:], strict=True)
        return ["" if missing else text for text, missing in values]
    raise SchemaError(f"{path}: {node.name} is no column of names. Name another in id_column or symbols.")


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
