"""Screens: cell lines, drugs and responses over one gene list."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from dadsp.errors import LeakageError, SchemaError, examples

Measure = Literal["ic50", "ec50", "auc", "aac", "act_area", "amax"]

Identity = Literal["parent", "exact"]  # a drug is told by its parent, without salt, solvent and charge, or as written

IntArray = NDArray[np.int64]

FloatArray = NDArray[np.float32]

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class CellLines:
    """Cell lines of one screen with their expression.

    Attributes:
        ids: The screen's own identifiers, unique.
        link_ids: Identity across screens (equal link = same line); None where unknown.
        tissues: Tissue or cancer type; None where unknown.
        expression: float32, shape (n_cells, n_genes), one row per line, no NaN.
        names: What people call them; None where unknown, empty where nobody said.
        other_ids: All ids by which another screen may know each line; empty where ``link_ids`` are all. Until screens are
            joined: ``link_ids`` then say it.
        other_names: All names by which it may, the line's own first; empty where lines are not the same by name.
    """

    ids: tuple[str, ...]
    link_ids: tuple[str | None, ...]
    tissues: tuple[str | None, ...]
    expression: FloatArray
    names: tuple[str | None, ...] = ()
    other_ids: tuple[tuple[str, ...], ...] = ()
    other_names: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def called(self, rows: Iterable[int] | None = None) -> dict[str, str]:
        """What people call each line, by its id, or those of some rows: its name, with the id where two are called alike."""
        named = dict(zip(self.ids, self.names or self.ids, strict=True))
        alike = Counter(named.values())
        ids = self.ids if rows is None else [self.ids[row] for row in rows]
        return {id_: id_ if not named[id_] else f"{named[id_]}" + f" ({id_})" * (alike[named[id_]] > 1) for id_ in ids}


@dataclass(frozen=True, eq=False)
class Drugs:
    """Drugs of one screen.

    Attributes:
        ids: The screen's own identifiers, unique.
        names: Display names.
        smiles: Structure; None where unpublished.
        structure_keys: First InChIKey block, the identity of a drug across screens; the whole InChIKey where a screen holds
            several stereoisomers of one skeleton; None without a structure.
        targets: Target genes or description as published; None where unknown.
        parents: Where drugs are told by their parents, the parent's SMILES if it is another than ``smiles``, else None; None
            as a whole where they are told as written. Features are made of ``smiles``.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    smiles: tuple[str | None, ...]
    structure_keys: tuple[str | None, ...]
    targets: tuple[str | None, ...]
    parents: tuple[str | None, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Iterable[int]) -> Self:
        """The chosen rows, as a new table."""
        chosen = list(rows)
        columns = {column.name: getattr(self, column.name) for column in fields(self)}
        return type(self)(**{name: values and tuple(values[row] for row in chosen) for name, values in columns.items()})

    @classmethod
    def joined(cls, *tables: "Drugs") -> Self:
        """Several tables, told by the same rule, as one; ids may then stand twice."""
        told_as_written = any(table.parents is None for table in tables)
        columns = [column.name for column in fields(cls) if column.name != "parents" or not told_as_written]
        return cls(**{name: tuple(value for table in tables for value in getattr(table, name)) for name in columns})

    @property
    def identity(self) -> Identity:
        """What tells whether two drugs are one."""
        return "exact" if self.parents is None else "parent"

    @property
    def told_by(self) -> tuple[str | None, ...]:
        """The SMILES that tells each drug: its parent's, or its own."""
        parents = self.parents or (None,) * len(self)
        return tuple(parent or own for parent, own in zip(parents, self.smiles, strict=True))


@dataclass(frozen=True, eq=False)
class Responses:
    """Measured pairs of one screen.

    Attributes:
        cell_idx: int64, shape (n,), rows of the screen's cell lines.
        drug_idx: int64, shape (n,), rows of the screen's drugs.
        potency: float32, shape (n,), −log10 IC50(µM), or another measure if the screen says so; higher is more sensitive.
        censored: bool, shape (n,); True where the IC50 was not reached at the top dose (potency is an upper bound).
        origin: int64, shape (n,), which of ``Screen.origins`` each label came from; None in a screen of one source.
    """

    cell_idx: IntArray
    drug_idx: IntArray
    potency: FloatArray
    censored: BoolArray
    origin: IntArray | None = None

    def __len__(self) -> int:
        return len(self.potency)

    @classmethod
    def none(cls) -> Self:
        """No measured pair: the responses of lines and drugs that are only predicted."""
        rows = np.zeros(0, dtype=np.int64)
        return cls(rows, rows, rows.astype(np.float32), rows.astype(bool))

    def take(self, rows: IntArray | BoolArray) -> Self:
        """The chosen rows, as a new table."""
        return replace(
            self,
            cell_idx=self.cell_idx[rows],
            drug_idx=self.drug_idx[rows],
            potency=self.potency[rows],
            censored=self.censored[rows],
            origin=None if self.origin is None else self.origin[rows],
        )


class WithheldResponses(Responses):
    """Responses of a screen whose labels its holder may not see: there are none in it, and every look at them is an error.

    Args:
        screen: Named in the error.
    """

    def __init__(self, screen: str) -> None:
        object.__setattr__(self, "screen", screen)

    def __getattr__(self, name: str) -> Any:
        """Called for what is not there: pairs, labels, their number.

        Raises:
            LeakageError: It is a column of responses.
        """
        if name in Responses.__dataclass_fields__:
            raise LeakageError(
                f"The labels of {self.__dict__.get('screen')} are withheld: this system learns without them, yet reads "
                f"responses.{name} of the target. Learn from study.source; or declare sees_target_labels = True and put "
                "'oracle' into the system's name."
            )
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"WithheldResponses({self.__dict__.get('screen')!r})"


@dataclass(frozen=True)
class Note:
    """One thing a reader did to the data: dropped, merged, renamed. Printed and stored with the run.

    Attributes:
        what: What was done, in words.
        count: How many rows, lines, drugs or genes it concerned.
        examples: The first few names.
    """

    what: str
    count: int
    examples: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.count:,}" + (f" ({self.examples})" if self.examples else "")


@dataclass(frozen=True, eq=False)
class Screen:
    """One drug screen: lines, drugs and responses over one gene list.

    Attributes:
        name: Display name, e.g. "GDSC".
        genes: Gene symbols, one per expression column, unique.
        cells: Cell lines with expression.
        drugs: Drugs.
        responses: Measured (line, drug) pairs, each at most once.
        cap: Potency at the highest tested dose (labels are censored there), or None when uncapped.
        notes: What reading the raw files dropped or merged.
        truth: Facts known only for simulated screens (causal genes …); empty otherwise.
        measure: What the labels are: ``"ic50"`` and ``"ec50"`` as −log10 µM; ``"auc"`` as 1 − AUC, ``"aac"`` and
            ``"act_area"`` as published, ``"amax"`` with its sign turned. Higher is always more sensitive.
        origins: In a screen combined of several, where its labels come from: the name of each and, for pairs whose label
            was merged, the names joined by "+". Empty in a screen of one source.
    """

    name: str
    genes: tuple[str, ...]
    cells: CellLines
    drugs: Drugs
    responses: Responses
    cap: float | None = None
    notes: tuple[Note, ...] = ()
    truth: dict[str, Any] = field(default_factory=dict)
    measure: Measure = "ic50"
    origins: tuple[str, ...] = ()

    def __repr__(self) -> str:
        pairs = "labels withheld" if isinstance(self.responses, WithheldResponses) else f"{len(self.responses):,} pairs"
        return f"<{self.name}: {len(self.cells):,} lines × {len(self.genes):,} genes, {len(self.drugs):,} drugs, {pairs}>"

    def __post_init__(self) -> None:
        _check_tables(self.name, self.genes, self.cells, self.drugs)
        if isinstance(self.responses, WithheldResponses):
            return
        origin = self.responses.origin
        if origin is not None and len(origin) and not 0 <= origin.min() <= origin.max() < len(self.origins):
            raise SchemaError(f"{self.name}: some labels name an origin that is none of its {len(self.origins)}.")
        key = np.sort(self.responses.cell_idx * len(self.drugs) + self.responses.drug_idx)
        if (key[1:] == key[:-1]).any():
            raise SchemaError(f"{self.name}: some (line, drug) pairs stand more than once. Merge replicates first.")

    @property
    def line_keys(self) -> tuple[str, ...]:
        """Identity of each line across screens: its link id, or an id no other screen can hold."""
        return tuple(link or f"{self.name}:{name}" for link, name in zip(self.cells.link_ids, self.cells.ids, strict=True))

    @property
    def drug_keys(self) -> tuple[str, ...]:
        """Identity of each drug across screens: its structure key, or an id no other screen can hold."""
        return tuple(
            key or f"{self.name}:{name}" for key, name in zip(self.drugs.structure_keys, self.drugs.ids, strict=True)
        )

    def with_genes(self, genes: Sequence[str]) -> "Screen":
        """The same screen restricted and reordered to ``genes`` (all must be present)."""
        position = {gene: column for column, gene in enumerate(self.genes)}
        columns = np.array([position[gene] for gene in genes], dtype=np.int64)
        expression = np.ascontiguousarray(self.cells.expression[:, columns])
        return replace(self, genes=tuple(genes), cells=replace(self.cells, expression=expression))

    @cached_property
    def content_hash(self) -> str:
        """Hash of everything a model can see: ids, genes, expression, structures, labels."""
        digest = hashlib.blake2b(digest_size=16)
        for names in (self.cells.ids, self.cells.link_ids, self.genes, self.drugs.ids, self.drugs.smiles):
            digest.update("\x1f".join(map(str, names)).encode())
        responses = self.responses
        for array in (
            self.cells.expression,
            responses.cell_idx.astype(np.int64),
            responses.drug_idx.astype(np.int64),
            responses.potency,
            responses.censored,
        ):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(str(self.cap).encode())
        digest.update(b"" if self.measure == "ic50" else self.measure.encode())
        # First blocks follow from the structures; whole keys follow from what else the study holds.
        digest.update("".join(key for key in self.drugs.structure_keys if key is not None and is_whole_key(key)).encode())
        digest.update("\x1f".join(parent for parent in self.drugs.parents or () if parent is not None).encode())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class ResponsePanel:
    """One screen as single-drug models read it: expression, and one kind of response on its own scale.

    Attributes:
        name: Display name, e.g. "CCLE".
        response: What was measured, with sign and unit, e.g. "ActArea".
        genes: Gene symbols, one per expression column, unique.
        cells: Cell lines with expression.
        drugs: Drugs.
        values: float32, shape (n_cells, n_drugs); higher is more sensitive, NaN where unmeasured.
        notes: What reading the raw files left out.
        truth: Facts known only for simulated screens (causal genes …); empty otherwise.
    """

    name: str
    response: str
    genes: tuple[str, ...]
    cells: CellLines
    drugs: Drugs
    values: FloatArray
    notes: tuple[Note, ...] = ()
    truth: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_tables(self.name, self.genes, self.cells, self.drugs)
        shape = (len(self.cells), len(self.drugs))
        if self.values.shape != shape or self.values.dtype != np.float32:
            raise SchemaError(
                f"{self.name}: responses are {self.values.dtype} {self.values.shape}, "
                f"expected float32 {shape} (cell lines × drugs)."
            )

    @cached_property
    def content_hash(self) -> str:
        """Hash of everything a model can see: ids, genes, expression, responses."""
        digest = hashlib.blake2b(self.response.encode(), digest_size=16)
        for names in (self.cells.ids, self.genes, self.drugs.ids):
            digest.update("\x1f".join(names).encode() + b"|")
        for array in (self.cells.expression, self.values):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def _check_tables(name: str, genes: tuple[str, ...], cells: CellLines, drugs: Drugs) -> None:
    """Ids are unique, and expression has a row per line and a column per gene."""
    for what, ids in (("cell line", cells.ids), ("drug", drugs.ids), ("gene", genes)):
        repeated = duplicates(ids)
        if repeated:
            raise SchemaError(
                f"{name}: {len(repeated)} {what} ids stand more than once (e.g. {examples(repeated)}). Keep one row of each."
            )
    shape = (len(cells), len(genes))
    if cells.expression.shape != shape or cells.expression.dtype != np.float32:
        raise SchemaError(
            f"{name}: expression is {cells.expression.dtype} {cells.expression.shape}, "
            f"expected float32 {shape} (cell lines × genes)."
        )


def is_whole_key(key: str) -> bool:
    """Whether a structure key is a whole InChIKey: three blocks, of which the first names the skeleton."""
    return [len(block) for block in key.split("-")] == [14, 10, 1]


def duplicates(ids: Iterable[str]) -> list[str]:
    """The ids that stand more than once, each named once, in order."""
    seen: set[str] = set()
    repeated: dict[str, None] = {}
    for name in ids:
        if name in seen:
            repeated[name] = None
        seen.add(name)
    return list(repeated)
