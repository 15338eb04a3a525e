"""Expression from an AnnData file, read with h5py from its documented layout.

anndata itself wants a pandas older than 3 on Python 3.11, so that the two could not be installed together.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import sparse

from dadsp.data.sources.tidy import ExpressionFile
from dadsp.data.tables import Matrix, check_file
from dadsp.errors import ConfigError, SchemaError, examples, nearest
from dadsp.schema import Note


class H5ad(ExpressionFile):
    """``.h5ad``: lines in ``obs``, genes in ``var``; dense or sparse. Needs the extra ``dadsp[anndata]``.

    Attributes:
        id_column: Column of ``obs`` that names the lines; "" takes its index.
        symbols: Column of ``var`` that names the genes; "" takes its index.
        layer: Layer to read; None reads ``X``.
    """

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
                lines = _column(file["obs"], self.id_column, path)
                genes = _column(file["var"], self.symbols, path)
                numbers = _matrix(file["X"] if self.layer is None else _child(file["layers"], self.layer, path))
        except (OSError, KeyError) as error:
            raise SchemaError(f"{path} is no AnnData file, or a damaged one: {error}. Write it again.") from error
        if numbers.shape != (len(lines), len(genes)):
            raise SchemaError(f"{path}: {numbers.shape} values for {len(lines)} lines × {len(genes)} genes. Write it again.")
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


def _column(group: Any, name: str, path: Path) -> list[str]:
    """A column of ``obs`` or ``var`` as text: strings, or categories and codes."""
    column = _child(group, name or group.attrs.get("_index", "_index"), path)
    if "categories" in column:
        categories = [str(text, "utf-8") if isinstance(text, bytes) else str(text) for text in column["categories"][:]]
        return [categories[code] if code >= 0 else "" for code in column["codes"][:]]
    return [str(text, "utf-8") if isinstance(text, bytes) else str(text) for text in column[:]]


def _matrix(node: Any) -> np.ndarray:
    """float32 values of a dense array, or of a csr or csc group."""
    kind = node.attrs.get("encoding-type", "array")
    if kind not in ("csr_matrix", "csc_matrix"):
        return np.asarray(node[:], dtype=np.float32)
    build = sparse.csr_matrix if kind == "csr_matrix" else sparse.csc_matrix
    parts = (node["data"][:], node["indices"][:], node["indptr"][:])
    return np.asarray(build(parts, shape=tuple(node.attrs["shape"])).toarray(), dtype=np.float32)
