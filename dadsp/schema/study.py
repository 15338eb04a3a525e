"""Two screens, the pairs of a study that train and test, and pairs to predict."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np

from dadsp.errors import SchemaError
from dadsp.schema.screens import FloatArray, IntArray, Note, Screen, WithheldResponses

Domain = Literal["source", "target"]

Scope = Literal["across", "source", "target_oracle"]


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

    def __repr__(self) -> str:
        return f"<Study: {self.source!r} → {self.target!r}, {len(self.genes):,} shared genes>"

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
        learned = np.zeros(len(self.source.responses), dtype=bool)
        learned[split.train_idx] = learned[split.val_idx] = True
        rows, position = np.flatnonzero(learned), np.cumsum(learned) - 1
        study = self.without_target_labels()
        source = replace(study.source, responses=study.source.responses.take(rows))
        no_rows = np.zeros(0, dtype=np.int64)
        return (
            replace(study, source=source, raw_source_potency=self.raw_source_potency[rows]),
            replace(
                split,
                train_idx=position[split.train_idx],
                val_idx=position[split.val_idx],
                test_idx=no_rows,
                calibrate_idx=no_rows,
            ),
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
        calibrate_idx: Rows of the target responses whose labels a fitted system is calibrated with; none of them is scored.
    """

    kind: str
    train_idx: IntArray
    val_idx: IntArray
    test_idx: IntArray
    adapt_cell_idx: IntArray
    notes: tuple[Note, ...] = ()
    calibrate_idx: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __repr__(self) -> str:
        parts = f"{len(self.train_idx):,} train, {len(self.val_idx):,} validate, {len(self.test_idx):,} test"
        calibrate = f", {len(self.calibrate_idx):,} calibrate" if len(self.calibrate_idx) else ""
        return f"<{self.kind} split: {parts}{calibrate}>"

    @cached_property
    def content_hash(self) -> str:
        """Hash of the rule's name and all row numbers."""
        digest = hashlib.blake2b(self.kind.encode(), digest_size=16)
        parts = [self.train_idx, self.val_idx, self.test_idx, self.adapt_cell_idx]
        parts += [self.calibrate_idx] if len(self.calibrate_idx) else []
        for rows in parts:
            digest.update(rows.astype(np.int64).tobytes() + b"|")
        return digest.hexdigest()


def _match(names: Sequence[str | None], reference: Sequence[str | None]) -> IntArray:
    position = {name: row for row, name in enumerate(reference) if name is not None}
    return np.array([-1 if name is None else position.get(name, -1) for name in names], dtype=np.int64)
