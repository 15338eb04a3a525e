"""Ridge regression on drug features alone."""

from typing import Any, Self

import numpy as np

from dadsp.drugs.features import DrugFeatures
from dadsp.drugs.representations import from_facts
from dadsp.models.base import Arrays, FitContext, Predictor
from dadsp.schema import FloatArray, Pairs, Split, Study


class DrugFeatureRidge(Predictor):
    """Potency of a drug by its structure, the same in every line."""

    def __init__(self, drug_features: DrugFeatures, penalty: float = 1.0, name: str = "ridge of a guest") -> None:
        self.drug_features, self.penalty, self.name = drug_features, penalty, name

    def _fit(self, study: Study, split: Split, context: FitContext) -> None:
        drugs, train = study.source.drugs, study.source.responses.take(split.train_idx)
        rows = np.unique(train.drug_idx)
        structures = [drugs.smiles[row] or "" for row in rows]
        self.drug_features = self.drug_features.fit(structures, [drugs.names[row] for row in rows])
        x = self._rows(Pairs(study.source, "source", train.cell_idx, train.drug_idx))
        gram = x.T @ x + self.penalty * np.eye(x.shape[1])
        self.weights = np.linalg.solve(gram, x.T @ train.potency)

    def predict(self, pairs: Pairs) -> FloatArray:
        return (self._rows(pairs) @ self.weights).astype(np.float32)

    def _rows(self, pairs: Pairs) -> np.ndarray:
        drugs = pairs.screen.drugs
        distinct, place = np.unique(pairs.drug_idx, return_inverse=True)
        features = self.drug_features([drugs.smiles[row] or "" for row in distinct], [drugs.names[row] for row in distinct])
        return np.column_stack([features, np.ones(len(features))])[place].astype(np.float64)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        return {"name": self.name, "drug_features": self.drug_features.facts()}, {"weights": self.weights}

    @classmethod
    def from_state(cls, facts: dict[str, Any], arrays: Arrays) -> Self:
        model = cls(from_facts(facts["drug_features"]), name=facts["name"])
        model.weights = arrays["weights"]
        return model
