"""The frozen tables that pass between rooms.

One road: raw files → Screen → Study → Split → Predictor → PredictionTable → evaluation. Expression is stored once per cell
line, structures once per drug; responses refer to both by row number.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dadsp.errors import LeakageError, SchemaError, examples

Domain = Literal["source", "target"]
Scope = Literal["across", "source", "target_oracle"]
Measure = Literal["ic50", "ec50", "auc", "aac", "act_area", "amax"]
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
    """

    ids: tuple[str, ...]
    link_ids: tuple[str | None, ...]
    tissues: tuple[str | None, ...]
    expression: FloatArray

    def __len__(self) -> int:
        return len(self.ids)


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
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    smiles: tuple[str | None, ...]
    structure_keys: tuple[str | None, ...]
    targets: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.ids)


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


@dataclass(frozen=True, eq=False)
class Study:
    """A labelled source screen and a target screen to predict, over the same genes in the same order.

    Attributes:
        source: Screen whose labels train the models.
        target: Screen whose labels are held out.
        label_cap: ``"target"`` when source labels were clipped at the target's cap, else ``"none"``.
        raw_source_potency: Source labels before clipping, float32, shape (n_source_pairs,).
        scope: ``"across"`` trains on one screen and tests on the other. ``"source"`` and ``"target_oracle"`` hold that one
            screen as both, for splits inside it; the latter trains on labels of the target screen.
    """

    source: Screen
    target: Screen
    label_cap: Literal["none", "target"]
    raw_source_potency: FloatArray
    scope: Scope = "across"

    def __post_init__(self) -> None:
        if self.source.genes != self.target.genes:
            raise SchemaError("Source and target expression do not stand on the same genes in the same order.")

    @property
    def genes(self) -> tuple[str, ...]:
        return self.source.genes

    @property
    def trained_on(self) -> Domain:
        """The screen whose labels train."""
        return "target" if self.scope == "target_oracle" else "source"

    @property
    def tested_on(self) -> Domain:
        """The screen whose labels are held out."""
        return "source" if self.scope == "source" else "target"

    def within(self, domain: Domain) -> "Study":
        """One screen as both source and target, for a split inside it; each system then trains and tests there.

        Source labels stay as clipped as they are. Target labels are never clipped.
        """
        if domain == "source":
            return replace(self, target=self.source, scope="source")
        raw = self.target.responses.potency
        return replace(self, source=self.target, label_cap="none", raw_source_potency=raw, scope="target_oracle")

    def without_target_labels(self) -> "Study":
        """The same study without the target's responses, measured pairs and labels alike: reading them is a LeakageError.

        Nor does it hold the truth of simulated screens.
        """
        source, target = (
            replace(self.source, truth={}),
            replace(self.target, responses=WithheldResponses(self.target.name), truth={}),
        )
        return replace(self, source=source, target=target)

    def for_fitting(self, split: "Split") -> tuple["Study", "Split"]:
        """What a system may learn from: labels of the pairs that train or validate, and no other label of either screen.

        Returns:
            The study without the target's responses, whose source holds those pairs alone, in their order; and the split as
            rows of these, without test rows.
        """
        rows = np.union1d(split.train_idx, split.val_idx)
        study = self.without_target_labels()
        source = replace(study.source, responses=study.source.responses.take(rows))
        train, val = (np.searchsorted(rows, part).astype(np.int64) for part in (split.train_idx, split.val_idx))
        return (
            replace(study, source=source, raw_source_potency=self.raw_source_potency[rows]),
            replace(split, train_idx=train, val_idx=val, test_idx=np.zeros(0, dtype=np.int64)),
        )

    @cached_property
    def target_cell_in_source(self) -> IntArray:
        """For each target line the row of the same line in the source, −1 if absent; shape (n_target_cells,)."""
        return _match(self.target.cells.link_ids, self.source.cells.link_ids)

    @cached_property
    def content_hash(self) -> str:
        """Hash of both screens, the label treatment, and the screen all stands in where it is one."""
        joined = f"{self.source.content_hash}|{self.target.content_hash}|{self.label_cap}"
        joined += "" if self.scope == "across" else f"|{self.scope}"
        return hashlib.blake2b(joined.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs to predict: row numbers into the lines and drugs of one screen.

    Attributes:
        screen: Gives expression and structures. Its responses are never read.
        domain: Which platform measured the expression (chooses the scaler).
        cell_idx: int64, shape (n,).
        drug_idx: int64, shape (n,).
    """

    screen: Screen
    domain: Domain
    cell_idx: IntArray
    drug_idx: IntArray

    def __len__(self) -> int:
        return len(self.cell_idx)


@dataclass(frozen=True, eq=False)
class Split:
    """Which pairs train, validate and test.

    Attributes:
        kind: Name of the rule, e.g. ``"cross_screen"``.
        train_idx: Rows of the source responses that train.
        val_idx: Rows of the source responses that choose the epoch; their groups (lines, unless the kind says otherwise)
            train nothing.
        test_idx: Rows of the target responses that are scored; their labels are never seen.
        adapt_cell_idx: Rows of the target lines whose expression (no label) may be used for adaptation.
        notes: What the rule left out.
    """

    kind: str
    train_idx: IntArray
    val_idx: IntArray
    test_idx: IntArray
    adapt_cell_idx: IntArray
    notes: tuple[Note, ...] = ()

    @cached_property
    def content_hash(self) -> str:
        """Hash of the rule's name and all row numbers."""
        digest = hashlib.blake2b(self.kind.encode(), digest_size=16)
        for rows in (self.train_idx, self.val_idx, self.test_idx, self.adapt_cell_idx):
            digest.update(rows.astype(np.int64).tobytes() + b"|")
        return digest.hexdigest()


PREDICTION_COLUMNS = {
    "cell_id": "string",
    "drug_id": "string",
    "domain": "string",  # source | target
    "split": "string",  # val | test
    "y_true": "float64",  # −log10 IC50(µM)
    "y_pred": "float64",  # −log10 IC50(µM)
    "censored": "bool",
    "cell_seen": "bool",  # the same line has training labels
    "drug_seen": "bool",  # the same structure has training labels
    "pair_seen": "bool",  # the same (line, structure) has a training label
}
OPTIONAL_COLUMNS = {
    "cell_profiled": "bool",  # the source screen holds the line's expression, with or without labels; else as cell_seen
    "y_source": "float64",  # the source's own label of the same (line, structure), whether it trained or not; test rows only
    "y_low": "float64",  # the system's own 90 % interval
    "y_high": "float64",
}


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """What every predictor emits and the only thing evaluation reads: one row per predicted pair.

    Attributes:
        frame: The columns of ``PREDICTION_COLUMNS``, without missing values, then those of ``OPTIONAL_COLUMNS``, in order.
            Of the latter, ``cell_profiled`` is as ``cell_seen`` and the others NaN where a table came without them.
    """

    frame: pd.DataFrame

    def __post_init__(self) -> None:
        missing = [name for name in PREDICTION_COLUMNS if name not in self.frame.columns]
        if missing:
            raise SchemaError(f"A prediction table lacks {len(missing)} columns: {examples(missing)}.")
        columns = {**PREDICTION_COLUMNS, **OPTIONAL_COLUMNS}
        frame = self.frame.reindex(columns=list(columns))
        frame["cell_profiled"] = frame["cell_profiled"].where(frame["cell_profiled"].notna(), frame["cell_seen"])
        frame = frame.astype(columns).reset_index(drop=True)
        bad = int((~np.isfinite(frame["y_pred"].to_numpy())).sum())
        if bad:
            raise SchemaError(f"{bad} of {len(frame)} predictions are not finite numbers.")
        crossed = int(((frame["y_low"] > frame["y_high"]) | (frame["y_low"].isna() != frame["y_high"].isna())).sum())
        if crossed:
            raise SchemaError(f"{crossed} of {len(frame)} intervals lack an end, or end below where they begin.")
        object.__setattr__(self, "frame", frame)

    def __len__(self) -> int:
        return len(self.frame)

    def where(self, mask: "pd.Series[bool] | BoolArray") -> "PredictionTable":
        """The chosen rows, as a new table."""
        chosen = object.__new__(PredictionTable)  # its rows were checked
        object.__setattr__(chosen, "frame", self.frame[np.asarray(mask)].reset_index(drop=True))
        return chosen


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


def _match(names: Sequence[str | None], reference: Sequence[str | None]) -> IntArray:
    position = {name: row for row, name in enumerate(reference) if name is not None}
    return np.array([-1 if name is None else position.get(name, -1) for name in names], dtype=np.int64)
