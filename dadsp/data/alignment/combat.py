"""``alignment=combat``: ComBat with the source as reference, fitted by combatlearn."""

import logging
import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from dadsp.data.alignment.base import Alignment, AlignmentLines, FittedAlignment
from dadsp.data.alignment.gene_wise import GeneWise
from dadsp.data.scaling import ExpressionScaler, shift_and_scale
from dadsp.errors import ConfigError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ComBat(Alignment):
    """Empirical-Bayes estimates of how the target shifts and stretches each gene, taken back; the source stays as it is.

    No covariate is protected: where tissues are differently frequent in the two screens, part of that difference goes too.
    Once fitted, ComBat is one shift and one scale per gene, which are kept, so that a saved model needs no library.

    The library estimates a gene's prior over the two screens, where the paper has one over the genes of a screen; with
    hundreds of lines in each the estimates hardly move either way.

    Reference: Johnson, Li and Rabinovic, Biostatistics 2007; combatlearn.
    """

    kind: ClassVar[str] = "combat"
    fitted: ClassVar[type[FittedAlignment]] = GeneWise

    def fit(self, lines: AlignmentLines) -> GeneWise:
        """Shift and scale of each gene of the target.

        Raises:
            ConfigError: A screen has fewer than two lines, there is one gene only, or the library is not installed.
        """
        if min(len(lines.source), len(lines.target)) < 2 or lines.source.shape[1] < 2:
            raise ConfigError(
                f"alignment=combat needs two lines of each screen and two genes; there are {len(lines.source)} and "
                f"{len(lines.target)} lines and {lines.source.shape[1]} genes. Set alignment=zscore."
            )
        try:
            from combatlearn.core import ComBatModel  # brings seconds of imports that no other alignment needs
        except ImportError as error:
            raise ConfigError(
                f"alignment=combat needs the library combatlearn ({error}). Install the extra: pip install 'dadsp[combat]'."
            ) from error

        expression = pd.DataFrame(np.concatenate([lines.source, lines.target], dtype=np.float64))
        screen = np.repeat(["source", "target"], [len(lines.source), len(lines.target)])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = ComBatModel(reference_batch="source").fit(expression, batch=screen)
        del expression
        said = sorted({str(warning.message) for warning in caught})
        for text in said:
            log.warning("alignment=combat: %s", text)
        # A gene's map is linear, so what it makes of two points tells it: the mean, and a standard deviation above.
        mean, spread = (part.astype(np.float64) for part in shift_and_scale("zscore", [lines.target]))
        at_mean, above = model.transform(pd.DataFrame([mean, mean + spread]), batch=np.repeat("target", 2)).to_numpy()
        constant = (lines.target == lines.target[0]).all(axis=0)  # nothing says how such a gene stretches
        scale = np.where(constant, 1, spread / np.where(constant, 1, above - at_mean))
        nothing, one = np.zeros(len(mean), np.float32), np.ones(len(mean), np.float32)
        shift = mean - at_mean * scale
        scores = ExpressionScaler(nothing, one, shift.astype(np.float32), scale.astype(np.float32))
        return GeneWise({"kind": self.kind, **lines.counts(), "warnings": said}, scores)
