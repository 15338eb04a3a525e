"""DeepDSC-1: the network trained and tested within the target screen, a bound that sees target labels."""

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp.data.alignment.base import Alignment
from dadsp.data.expression_input import ranges_of
from dadsp.data.new_platform.reference import Reference, references_of
from dadsp.data.scaling import fit_scaler
from dadsp.drugs.features import DrugFeatures
from dadsp.errors import ConfigError
from dadsp.models.base import Arrays, FitContext, Predictor, StageLength, under
from dadsp.models.idle_keys import Idle, told
from dadsp.models.networks.cross_screen_network import NetworkOptions, idle_batches
from dadsp.models.networks.potency_function import PotencyFunction
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.models.training.options import TrainingOptions
from dadsp.options import STRICT, validated
from dadsp.schema import BoolArray, Domain, FloatArray, IntArray, Pairs, Screen, Split, Study
from dadsp.seeding import derive_seed

FoldBy = Literal["pair", "cell", "drug"]

# The target is what the networks inside learn from, hence their source; the other screen takes the slot that is left.
DOMAIN_INSIDE: dict[Domain, Domain] = {"target": "source", "source": "target"}


@dataclass(frozen=True, config=STRICT)
class DeepDsc1Options(NetworkOptions):
    """DeepDSC-1's choices beside those of every network.

    Attributes:
        selection: The epoch is always chosen on pairs held out of a fold's training part.
        folds: Parts of the target's labelled pairs, each predicted by a network that did not see it.
        fold_by: What stays together in a fold: each ``"pair"`` goes by itself (lines and drugs stand on both sides), or all
            pairs of a ``"cell"`` line, or all of a ``"drug"``.
        val_fraction: Share of the training part's pairs, lines or drugs that chooses the epoch; at least one.
    """

    name: str = "DeepDSC-1"
    selection: Literal["source_val"] = "source_val"
    folds: int = Field(default=5, ge=2)
    fold_by: FoldBy = "pair"
    val_fraction: float = Field(default=0.1, gt=0, lt=1)


class DeepDsc1(Predictor):
    """What the network reaches when it may learn from the target's own labels: an oracle, no rival of adapted systems.

    The labelled test pairs of the target are cut into folds. For each fold a network without discriminator trains on the
    others (a share of which chooses its epoch); the autoencoder learns the expression of that network's training lines only.
    A test pair is predicted by the one network that saw neither its label nor, under ``fold_by="cell"`` or ``"drug"``, any
    label of its line or drug. Scores on the test pairs are therefore out-of-fold, but every prediction used labels of other
    test pairs. All other pairs, of whichever screen, are predicted by the mean of the networks, which learned from all
    labels: such a pair's line or drug may have been learned even where folds keep it apart.

    Source labels are never read. Source expression only fits the scaler by which source lines are predicted.

    Args:
        drug_features: Turns structures into features.
        training: Length and speed of each network's training.
        alignment: None, or one that aligns nothing: the networks learn inside one screen.
        options: Fields of ``DeepDsc1Options``.

    Raises:
        ConfigError: An option is unknown or impossible, or something is to be aligned.
    """

    sees_target_labels = True

    def __init__(
        self,
        drug_features: DrugFeatures | None = None,
        training: TrainingOptions | dict[str, Any] | None = None,
        alignment: Alignment | None = None,
        **options: Any,
    ) -> None:
        if alignment is not None and alignment.kind != "none":
            raise ConfigError(
                f"alignment={alignment.kind} brings two platforms onto one scale, and DeepDSC-1 learns inside one screen. "
                "Set alignment=none."
            )
        self.options = validated(DeepDsc1Options, options, "model")
        self.training = validated(TrainingOptions, training or {}, "trainer")
        self.drug_features = drug_features
        self.name = f"{self.options.name} (oracle: target labels)"
        self.networks: list[DadspA] = []

    def without_effect(self) -> list[str]:
        """Whose lines the autoencoder learns, since there is one screen; of trainer and drug features as any network."""
        lines = told(self.options, "model", [Idle(True, ("pretraining_lines",), "the networks learn inside one screen")])
        lines += told(self.training, "trainer", idle_batches(pairs=self.training.batching == "pairs"))
        return lines + (self.drug_features.without_effect() if self.drug_features else [])

    def _fit(self, study: Study, split: Split, context: FitContext) -> None:
        """Trains one network per fold on the labelled test pairs of the target.

        Raises:
            ConfigError: There are too few pairs, lines or drugs for the folds and their validation.
        """
        screen, rows = study.target, split.test_idx
        within = Study(screen, screen, "none", screen.responses.potency)
        groups = _groups(screen, self.options.fold_by)[rows]
        fold_of_row = self._folds(groups, context.seed)
        source_lines = study.source.responses.cell_idx[split.train_idx]
        outside = fit_scaler(self.options.expression_scaling, "per_domain", study, source_lines, split.adapt_cell_idx)
        shared = {field.name: getattr(self.options, field.name) for field in fields(NetworkOptions)}
        self.networks = []
        for fold in range(self.options.folds):
            inside = self._inside(context, fold)
            # There is one screen, so its training lines alone fit the scaler.
            network = DadspA(
                self.drug_features, self.training, **{**shared, "scaling_scope": "joint", "adversarial_weight": 0.0}
            ).fit(within, self._split_of(rows, groups, fold_of_row == fold, inside.seed), inside)
            if self.options.scaling_scope == "per_domain":
                scaler = replace(
                    network.expression_input.scaler, target_shift=outside.source_shift, target_scale=outside.source_scale
                )
                lines = screen.cells.expression[split.adapt_cell_idx], study.source.cells.expression[np.unique(source_lines)]
                network.expression_input = replace(
                    network.expression_input, scaler=scaler, ranges=ranges_of(*lines), references=references_of(*lines)
                )
            self.networks.append(network)
        self.genes, self.cell_ids, self.drug_ids = study.genes, screen.cells.ids, screen.drugs.ids
        # One row and one column more than there are: −1, the position of an unknown id, finds −1 there, no fold.
        self.fold_of_pair = np.full((len(screen.cells) + 1, len(screen.drugs) + 1), -1)
        self.fold_of_pair[screen.responses.cell_idx[rows], screen.responses.drug_idx[rows]] = fold_of_row

    def _folds(self, groups: IntArray, seed: int) -> IntArray:
        """Fold of each row; rows of equal group share one."""
        options = self.options
        distinct, group_of_row = np.unique(groups, return_inverse=True)
        n = len(distinct)
        if n < options.folds or n - -(-n // options.folds) < 2:
            raise ConfigError(
                f"model.folds={options.folds} by {options.fold_by} cannot be made of {n}: each fold needs one to test, and "
                "two outside it to train and to validate. Lower model.folds, or fold by pair."
            )
        fold_of_group = np.random.default_rng(derive_seed(seed, "folds")).permutation(np.arange(n) % options.folds)
        return fold_of_group[group_of_row]

    def _split_of(self, rows: IntArray, groups: IntArray, is_test: BoolArray, seed: int) -> Split:
        """Training and validation rows outside the fold, kept apart by the same groups."""
        outside = np.unique(groups[~is_test])
        n_val = min(max(1, round(self.options.val_fraction * len(outside))), len(outside) - 1)
        chosen = np.random.default_rng(derive_seed(seed, "validation")).choice(outside, n_val, replace=False)
        is_val = np.isin(groups, chosen) & ~is_test
        no_lines = np.zeros(0, dtype=np.int64)
        return Split("fold", rows[~is_test & ~is_val], rows[is_val], rows[is_test], no_lines)

    def _inside(self, context: FitContext, fold: int) -> FitContext:
        """Seed, folder and callback of one fold's training."""

        def on_epoch(stage: str, epoch: int, metrics: dict[str, float]) -> None:
            context.on_epoch(f"fold_{fold + 1}/{stage}", epoch, {_outside(name): value for name, value in metrics.items()})

        def on_stage(stage: str, length: StageLength) -> None:
            context.on_stage(f"fold_{fold + 1}/{stage}", length)

        folder = context.checkpoints / f"fold_{fold + 1}" if context.checkpoints else None
        seed = derive_seed(context.seed, "fold", fold)
        return replace(context, seed=seed, checkpoints=folder, on_epoch=on_epoch, on_stage=on_stage)

    def predict(self, pairs: Pairs) -> FloatArray:
        """Potency of each pair, float32, shape (n_pairs,): out of fold for the target's labelled pairs, else the mean.

        A labelled pair is known by its line id and drug id, in the target domain.

        Raises:
            SchemaError: The screen lacks genes of the model.
            MissingIdsError: A drug to predict has no structure.
        """
        fold = self._fold(pairs)
        inside = replace(pairs, domain=DOMAIN_INSIDE[pairs.domain])
        predicted = np.zeros(len(pairs), dtype=np.float32)
        for number, network in enumerate(self.networks):
            rows = np.flatnonzero((fold == number) | (fold == -1))
            if len(rows):
                predicted[rows] += network.predict(
                    replace(inside, cell_idx=pairs.cell_idx[rows], drug_idx=pairs.drug_idx[rows])
                )
        predicted[fold == -1] /= len(self.networks)
        return predicted

    def seen_range(self, domain: Domain) -> tuple[float, float] | None:
        """Of the raw expression that the first network's scaler was fitted on."""
        return self.networks[0].seen_range(DOMAIN_INSIDE[domain])

    def reference(self, domain: Domain) -> Reference | None:
        """Of the raw expression that the first network's scaler was fitted on."""
        return self.networks[0].reference(DOMAIN_INSIDE[domain])

    def _fold(self, pairs: Pairs) -> IntArray:
        """The fold that holds each pair out, −1 where all networks speak for it."""
        if pairs.domain == "source":
            return np.full(len(pairs), -1)
        cell, drug = _positions(pairs.screen.cells.ids, self.cell_ids), _positions(pairs.screen.drugs.ids, self.drug_ids)
        fold: IntArray = self.fold_of_pair[cell[pairs.cell_idx], drug[pairs.drug_idx]]
        return fold

    def potency_functions(self, pairs: Pairs) -> list[PotencyFunction]:
        """What ``predict`` computes for pairs of one drug: each network with its share in each pair.

        Raises:
            MissingIdsError: The drug has no structure.
        """
        fold, inside = self._fold(pairs), replace(pairs, domain=DOMAIN_INSIDE[pairs.domain])
        return [
            replace(
                function,
                share=function.share * np.where(fold == -1, 1 / len(self.networks), fold == number).astype(np.float32),
            )
            for number, network in enumerate(self.networks)
            for function in network.potency_functions(inside)
        ]

    def history(self) -> pd.DataFrame:
        """One row per epoch of each stage of each fold; validation is on pairs of the target."""
        parts = [network.history() for network in self.networks]
        for fold, part in enumerate(parts):
            part["stage"] = f"fold_{fold + 1}/" + part["stage"]
        return pd.concat(parts, ignore_index=True).rename(columns=_outside)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """The networks and the fold of each labelled pair."""
        states = [network.state() for network in self.networks]
        facts = {
            "name": self.name,
            "options": asdict(self.options),
            "cells": list(self.cell_ids),
            "drugs": list(self.drug_ids),
            "networks": [facts for facts, _ in states],
        }
        arrays: Arrays = {"fold_of_pair": self.fold_of_pair}
        for fold, (_, of_network) in enumerate(states):
            arrays |= {f"fold_{fold + 1}.{name}": array for name, array in of_network.items()}
        return facts, arrays

    @classmethod
    def from_state(cls, facts: dict[str, Any], arrays: Arrays) -> Self:
        """The saved predictor, ready to predict."""
        networks = [
            DadspA.from_state(network, under(f"fold_{fold + 1}.", arrays)) for fold, network in enumerate(facts["networks"])
        ]
        predictor = cls(networks[0].drug_features, networks[0].training, **facts["options"])
        predictor.networks, predictor.genes = networks, networks[0].genes
        predictor.cell_ids, predictor.drug_ids = tuple(facts["cells"]), tuple(facts["drugs"])
        predictor.fold_of_pair = arrays["fold_of_pair"]
        return predictor


def _groups(screen: Screen, fold_by: FoldBy) -> IntArray:
    """Number of what must stay together, per response."""
    responses = screen.responses
    if fold_by == "pair":
        return np.arange(len(responses))
    keys, rows = (screen.line_keys, responses.cell_idx) if fold_by == "cell" else (screen.drug_keys, responses.drug_idx)
    return np.unique(np.array(keys, dtype=object), return_inverse=True)[1][rows]


def _positions(ids: Sequence[str], known: Sequence[str]) -> IntArray:
    """Row of each id among the known ones, −1 where it is not."""
    row = {name: position for position, name in enumerate(known)}
    return np.array([row.get(name, -1) for name in ids], dtype=np.int64)


def _outside(metric: str) -> str:
    """Inside, the target stands as the source; outside it has its own name."""
    return metric.replace("val/source/", "val/target/")
