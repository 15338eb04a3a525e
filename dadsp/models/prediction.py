"""Predicting the pairs of a user's tables by a fitted system: what ``dadsp predict``, notebooks and served models share."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dadsp.data.new_pairs import OnUnknown, read_pairs, refuse_impossible
from dadsp.data.new_platform.harmonise import NewLines
from dadsp.data.new_platform.options import NewPlatformOptions
from dadsp.data.table_files import Frame
from dadsp.errors import LoadError, examples
from dadsp.models.base import Predictor
from dadsp.models.new_lines import imputation_variance, new_lines
from dadsp.options import check_choice
from dadsp.schema import Domain, Note, Screen


class Predicted(NamedTuple):
    """Predicted pairs, ready to be written.

    Attributes:
        system: Who predicted.
        frame: cell_id, drug_id and the predictions.
        column: The column of the predicted response.
        unit: What it is.
        notes: What was left out.
    """

    system: str
    frame: pd.DataFrame
    column: str
    unit: str
    notes: tuple[Note, ...]


def predict_new(
    model: Predictor,
    pairs: Path | Frame,
    *,
    expression: Path | Frame | None,
    drugs: Path | Frame | None,
    known: Callable[[], tuple[Screen, Screen]],
    domain: Domain,
    on_unknown: OnUnknown,
    new_platform: NewPlatformOptions | None = None,
) -> Predicted:
    """Potency of the pairs by a cross-screen system.

    Args:
        model: The fitted system.
        pairs: Table with columns cell_id, drug_id.
        expression: Table of lines, as ``read_lines`` takes it. None takes the known lines of ``domain``.
        drugs: Table with columns drug_id, smiles. None takes the known drugs of both screens.
        known: Source and target screen; called only where a table is missing.
        domain: Which screen's platform measured the expression.
        on_unknown: As for ``read_pairs``.
        new_platform: Scale and repair of ``expression``; None takes the defaults.

    Returns:
        Columns cell_id, drug_id, neg_log10_ic50_um (−log10 IC50(µM)) and ic50_um; where genes were imputed,
        imputation_variance ((−log10 µM)²), what that adds to the variance of each prediction.

    Raises:
        ConfigError: ``domain`` or ``on_unknown`` is no choice, or a file is absent.
        DadspError: A table cannot be used, or the model lacks what it needs.
    """
    check_choice("domain", domain, Domain)
    check_choice("on_unknown", on_unknown, OnUnknown)
    screens = [] if expression and drugs else list(known())
    lines = new_lines(model, expression, new_platform or NewPlatformOptions(), known, domain)
    read, frame, notes = read_pairs(
        pairs,
        expression=lines,
        drugs=drugs,
        known=screens if domain == "source" else screens[::-1],
        domain=domain,
        on_unknown=on_unknown,
    )
    if isinstance(lines, NewLines):
        notes = (*lines.notes, *notes)
    seen = None if expression is None else model.seen_range(domain)
    if seen is not None:
        refuse_impossible(read.screen, model.genes, seen, str(expression))
    potency = model.predict(read)
    with np.errstate(over="ignore", invalid="ignore"):
        ic50_um = 10.0 ** -potency.astype(np.float64)
    refuse_undefined(model.name, frame, ic50_um)
    frame["neg_log10_ic50_um"] = potency
    frame["ic50_um"] = ic50_um
    if isinstance(lines, NewLines) and lines.imputer is not None:
        frame["imputation_variance"] = imputation_variance(model, read, lines)
    return Predicted(model.name, frame, "neg_log10_ic50_um", "−log10 IC50(µM)", notes)


def refuse_undefined(system: str, pairs: pd.DataFrame, values: NDArray[np.floating]) -> None:
    """Passes if every prediction is a number.

    Raises:
        LoadError: Some are NaN or infinite.
    """
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        some = pairs.iloc[bad[:4]]
        shown = examples(f"{cell}/{drug}" for cell, drug in zip(some["cell_id"], some["drug_id"], strict=True))
        raise LoadError(
            f"{system}: {len(bad):,} of {len(values):,} predictions are NaN or infinite (e.g. {shown}), so the model is "
            "damaged or was trained on other numbers. Restore it from a copy, or train again."
        )
