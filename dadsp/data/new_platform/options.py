"""What a user says of an expression table: its scale, how to repair a shift, how many genes may be absent."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp.options import STRICT

Scale = Literal["auto", "as_trained", "counts", "tpm", "fpkm", "log2", "zscore", "rma"]
Align = Literal["none", "rank", "quantile", "zscore", "bridge"]

COHORT = 20  # lines from which on a table may be standardised within itself
SHARED = 20  # lines of the table that the training screen holds too, from which on it can be bridged


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NewPlatformOptions:
    """Keys of ``new_platform`` in ``conf/predict.yaml``.

    Attributes:
        scale: What the values are. ``"auto"`` takes them as they are where they fit the training lines, else by the first
            of a few rules after which they do. Whatever is declared is checked.
        align: How to repair a shift that is left: within the table (``rank``, ``zscore``), within each line (``quantile``),
            or by lines that the training screen holds too (``bridge``).
        max_missing: Largest share of the model's genes that may be absent and are then imputed.
        gene_table: HGNC's complete set, which translates Ensembl and Entrez ids and outdated symbols; None takes the one
            that the run's data were read with, if there was one.
    """

    scale: Scale = "auto"
    align: Align = "none"
    max_missing: float = Field(default=0.1, ge=0, le=0.5)
    gene_table: str | None = None


def with_table_of(options: NewPlatformOptions, data: Mapping[str, Any]) -> NewPlatformOptions:
    """The options with the gene table that a run's ``data`` settings name, where they name none and that file is there."""
    if options.gene_table is not None:
        return options
    root = Path(str(data.get("root") or "."))
    folders = (root, root / str(data.get("folder") or "."))
    found = (folder / table for table in _tables(data) for folder in folders)
    return replace(options, gene_table=next((str(path) for path in found if path.is_file()), None))


def _tables(settings: Any) -> Iterator[str]:
    """Every ``genes.table`` at any depth."""
    if not isinstance(settings, Mapping):
        return
    for key, value in settings.items():
        if key == "genes" and isinstance(value, Mapping) and isinstance(value.get("table"), str):
            yield value["table"]
        else:
            yield from _tables(value)
