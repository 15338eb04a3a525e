"""A user's expression as lines that a fitted system can be asked about, and what its imputed genes cost."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dadsp.data.new_platform.harmonise import NewLines, harmonised
from dadsp.data.new_platform.options import NewPlatformOptions
from dadsp.data.table_files import Frame
from dadsp.errors import LoadError
from dadsp.models.base import Predictor
from dadsp.schema import Domain, Pairs, Screen

DRAWS = 16  # of the errors of imputed genes; the variance that they tell is good to a third


def new_lines(
    model: Predictor,
    expression: Path | Frame | None,
    options: NewPlatformOptions,
    known: Callable[[], tuple[Screen, Screen]],
    domain: Domain,
) -> Path | Frame | NewLines | None:
    """The table's lines on the scale of the model's; the table itself where the model reads no gene.

    Raises:
        ConfigError: A file is absent.
        SchemaError: The table cannot be read, or not be repaired by the options.
    """
    if expression is None or not model.genes:
        return expression

    def training() -> Screen | None:
        try:
            return known()[0 if domain == "source" else 1]
        except LoadError:  # a model without its data; what needs them says so
            return None

    return harmonised(expression, model.genes, options, domain=domain, reference=model.reference, training=training)


def imputation_variance(model: Predictor, pairs: Pairs, lines: NewLines) -> NDArray[np.float64]:
    """Variance of each pair's prediction that imputed genes bring, (−log10 µM)², shape (n_pairs,); 0 where none is imputed.

    Genes are drawn as they err in training lines that were left out, all imputed genes of a draw from one such line, and
    the pairs are predicted again.

    Args:
        model: The fitted system.
        pairs: What was predicted, of ``lines``.
        lines: With their imputer.
    """
    predicted = [
        model.predict(replace(pairs, screen=replace(pairs.screen, cells=replace(pairs.screen.cells, expression=drawn))))
        for drawn in lines.draws(DRAWS)
    ]
    return np.var(predicted, axis=0, dtype=np.float64) if predicted else np.zeros(len(pairs))
