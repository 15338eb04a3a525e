"""LightGBM, the field's standard baseline, on [line ⊕ drug]."""

from collections.abc import Iterator
from typing import Any

import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp.errors import ConfigError
from dadsp.models.base import Arrays
from dadsp.models.systems.classical import Classical, ClassicalOptions, LineFeatures
from dadsp.models.systems.pair_design import Labelled, PairDesign, check_size
from dadsp.models.systems.trees import booster_arrays, sum_of_trees
from dadsp.options import STRICT
from dadsp.seeding import derive_seed


@dataclass(frozen=True, config=STRICT)
class LightGbmOptions(ClassicalOptions):
    """Gradient-boosted trees; the names are LightGBM's.

    Attributes:
        features: How a line enters; principal components by default, since every feature costs time at every node.
        pca_components: Under ``"pca"``.
        n_estimators: Most trees; fewer where the held-out source lines stop improving.
        early_stopping_round: Trees without a gain on the held-out source lines after which learning stops.
        learning_rate: Share of each tree's step that is taken.
        num_leaves: Most leaves of a tree.
        min_child_samples: Fewest pairs in a leaf.
        colsample_bytree: Share of the features that each tree may use.
        subsample: Share of the pairs drawn, without replacement, for each tree. On the panel, drawing half took longer and
            predicted held-out source lines worse.
        reg_lambda: Penalty on squared leaf values.
    """

    name: str = "LightGBM"
    features: LineFeatures = "pca"
    pca_components: int = Field(default=64, ge=1)
    n_estimators: int = Field(default=500, ge=1)
    early_stopping_round: int = Field(default=50, ge=1)
    learning_rate: float = Field(default=0.1, gt=0)
    num_leaves: int = Field(default=31, ge=2)
    min_child_samples: int = Field(default=20, ge=1)
    colsample_bytree: float = Field(default=0.2, gt=0, le=1)
    subsample: float = Field(default=1.0, gt=0, le=1)
    reg_lambda: float = Field(default=0.0, ge=0)


class LightGbm(Classical):
    """Boosted trees on squared error, kept and evaluated as arrays: LightGBM is needed to learn and not to predict."""

    options_type = LightGbmOptions
    options: LightGbmOptions

    def _candidates(self, train: Labelled, val: Labelled, seed: int) -> Iterator[tuple[dict[str, float], Arrays]]:
        pairs, options = train.pairs, self.options
        n_features = pairs.lines.shape[1] + pairs.drugs.shape[1]
        check_size(len(pairs) + len(val.pairs), n_features, "Use model.features=encoder or pca.")
        try:
            import lightgbm  # here, since it needs the system's OpenMP library, which saved models and other systems do not
        except OSError as error:
            raise ConfigError(
                f"LightGBM cannot start ({error}). Install the OpenMP runtime (Debian: libgomp1, macOS: libomp)."
            ) from error
        parameters = {
            "objective": "regression",
            "learning_rate": options.learning_rate,
            "num_leaves": options.num_leaves,
            "min_child_samples": options.min_child_samples,
            "colsample_bytree": options.colsample_bytree,
            "subsample": options.subsample,
            "subsample_freq": 1,
            "reg_lambda": options.reg_lambda,
            "use_missing": False,
            "seed": derive_seed(seed, "lightgbm") % 2**31,
            "deterministic": True,
            "force_row_wise": True,  # else it is timed which way is faster, and sums come in another order
            "num_threads": torch.get_num_threads(),
            "verbosity": -1,
        }
        table = lightgbm.Dataset(pairs.rows(), train.label)
        held_out = lightgbm.Dataset(val.pairs.rows(), val.label, reference=table)
        stop = lightgbm.early_stopping(options.early_stopping_round, verbose=False)
        booster = lightgbm.train(parameters, table, options.n_estimators, valid_sets=[held_out], callbacks=[stop])
        n_trees = booster.best_iteration
        yield {"trees": n_trees}, booster_arrays(booster.dump_model(num_iteration=n_trees)["tree_info"])

    def _regress(self, regressor: Arrays, design: PairDesign) -> NDArray[Any]:
        return sum_of_trees(regressor, design)
