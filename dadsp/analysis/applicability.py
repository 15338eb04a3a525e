"""How far lines and drugs to predict lie from those that trained.

A run that has a calibration (``dadsp.models.trust``) says where its intervals hold: ``calibrated``. Otherwise limits come
from the training set itself: a line or drug is outside when it lies farther from its nearest training neighbour than all but
a few training lines or drugs do from theirs. Those distances see neither a label nor the model.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from dadsp.data.scaling import fit_scaler
from dadsp.drugs.similarity import SimilarityProfile
from dadsp.models.base import Predictor
from dadsp.models.structures import structures
from dadsp.models.trust.calibration import VERDICTS
from dadsp.models.trust.trust import Trust
from dadsp.schema import BoolArray, Domain, FloatArray, IntArray, Screen, Split, Study

FINGERPRINT_BITS = 2048  # so that few substructures share a bit, whatever the model's own fingerprint is
FLAGS = ("inside", "line outside", "drug outside", "both outside")


@dataclass(frozen=True, eq=False)
class Applicability:
    """Distances of one screen's lines and drugs to the training set.

    Attributes:
        line_distance: Euclidean distance of each line to its nearest training line, expression as z-scores within each
            screen, divided by √(number of genes); shape (n_cells,).
        line_limit: Largest distance that counts as inside.
        drug_similarity: Largest Tanimoto similarity of each drug to a training drug, shape (n_drugs,).
        drug_limit: Least similarity that counts as inside.
        verdict: Place in ``VERDICTS`` of each line with each drug, shape (n_cells, n_drugs); None without a calibration.
    """

    line_distance: FloatArray
    line_limit: float
    drug_similarity: FloatArray
    drug_limit: float
    verdict: IntArray | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What ``flags`` may say."""
        return FLAGS if self.verdict is None else VERDICTS

    @property
    def line_inside(self) -> BoolArray:
        return self.line_distance <= self.line_limit

    @property
    def drug_inside(self) -> BoolArray:
        return self.drug_similarity >= self.drug_limit

    def flags(self, cell_idx: IntArray, drug_idx: IntArray) -> NDArray[Any]:
        """One of ``names`` for each pair, shape (n_pairs,)."""
        if self.verdict is not None:
            return np.array(VERDICTS, dtype=object)[self.verdict[cell_idx, drug_idx]]
        outside = (~self.line_inside[cell_idx]) + 2 * (~self.drug_inside[drug_idx])
        return np.array(FLAGS, dtype=object)[outside]


def calibrated(trust: Trust, model: Predictor, screen: Screen, domain: Domain) -> Applicability:
    """Distances as the system sees them, and the run's own verdicts, of all lines and drugs of a screen."""
    lines, drugs = np.arange(len(screen.cells)), np.arange(len(screen.drugs))
    lines_seen, drugs_seen = trust.near.seen(screen, lines, drugs)
    distance = trust.near.line_distance(model, screen, domain, lines)
    similarity = trust.near.drug_similarity(screen, drugs)
    line, drug = (part.ravel() for part in np.meshgrid(lines, drugs, indexing="ij"))
    stratum = (~lines_seen).astype(np.int64)[line] + 2 * (~drugs_seen).astype(np.int64)[drug]
    verdict = trust.calibration.verdicts(stratum, distance[line], similarity[drug]).reshape(len(lines), len(drugs))
    limits = trust.calibration.limits
    return Applicability(distance, limits.line_inside, similarity, limits.drug_inside, verdict)


def applicability(study: Study, split: Split, screen: Screen, domain: Domain, percentile: float) -> Applicability:
    """Distances of the screen's lines and drugs to the training set of ``split``.

    Args:
        study: Holds the training lines and drugs.
        split: Says which of them train, and which target lines fit the target's z-scores.
        screen: Over the study's genes, e.g. one of its two screens.
        domain: Which platform measured its expression.
        percentile: Limits are this percentile of the training set's leave-one-out distances, in (0, 100).
    """
    train = study.source.responses.take(split.train_idx)
    scaler = fit_scaler("zscore", "per_domain", study, train.cell_idx, split.adapt_cell_idx)
    # Divided by √genes, a distance means the same on panels of any size.
    unit = np.float32(len(study.genes) ** -0.5)
    train_lines = scaler.transform(study.source.cells.expression[np.unique(train.cell_idx)], "source") * unit
    neighbours = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(train_lines)
    among_lines = neighbours.kneighbors()[0]  # without a query, no line is its own neighbour
    distance = neighbours.kneighbors(scaler.transform(screen.cells.expression, domain) * unit)[0]

    # One id of each structure: a compound screened twice would be its own nearest neighbour.
    keys = np.array(study.source.drug_keys, dtype=object)
    rows = np.unique(train.drug_idx)
    rows = rows[np.unique(keys[rows].astype(str), return_index=True)[1]]
    train_drugs = structures(study.source, rows)
    profile = SimilarityProfile(bits=FINGERPRINT_BITS).fit(*train_drugs)
    among_drugs = profile(*train_drugs)
    np.fill_diagonal(among_drugs, 0)
    similarity = profile(*structures(screen)).max(axis=1)
    return Applicability(
        line_distance=distance[:, 0].astype(np.float32),
        line_limit=float(np.percentile(among_lines[:, 0], percentile)),
        drug_similarity=similarity,
        drug_limit=float(np.percentile(among_drugs.max(axis=1), 100 - percentile)),
    )
