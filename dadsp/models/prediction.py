"""Predicting the pairs of a user's tables by a fitted system: what ``dadsp predict``, notebooks and served models share."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dadsp.data.new_pairs import Asked, OnUnknown, read_pairs, refuse_impossible
from dadsp.data.new_platform.harmonise import NewLines
from dadsp.data.new_platform.options import NewPlatformOptions
from dadsp.data.table_files import Frame
from dadsp.errors import ConfigError, LoadError, examples
from dadsp.models.base import Predictor
from dadsp.models.new_labels import with_labels
from dadsp.models.new_lines import imputation_variance, new_lines
from dadsp.models.trust.calibration import VERDICTS
from dadsp.models.trust.ranks import percentile, percentile_in_drug, rank
from dadsp.models.trust.trust import Trust
from dadsp.options import check_choice
from dadsp.schema import Domain, FloatArray, Note, Pairs, Screen

SHOWN = (0.5, 0.9)  # levels of the intervals


class Predicted(NamedTuple):
    """Predicted pairs, ready to be written.

    Attributes:
        system: Who predicted.
        frame: cell_id, drug_id and the predictions.
        column: The column of the predicted response.
        unit: What it is.
        notes: What was left out.
        called: What people call the lines, by id; empty where nobody says.
    """

    system: str
    frame: pd.DataFrame
    column: str
    unit: str
    notes: tuple[Note, ...]
    called: Mapping[str, str]


def predict_new(
    model: Predictor,
    pairs: Path | Frame | None,
    *,
    expression: Path | Frame | None,
    drugs: Asked,
    known: Callable[[], tuple[Screen, Screen]],
    domain: Domain,
    on_unknown: OnUnknown,
    new_platform: NewPlatformOptions | None = None,
    lines: Asked = None,
    trust: Trust | None = None,
    calibrate: Path | Frame | None = None,
) -> Predicted:
    """Potency of the pairs by a cross-screen system, and how far to trust it.

    Args:
        model: The fitted system.
        pairs: Table with columns cell_id, drug_id; None takes all of ``lines`` with all of ``drugs``.
        expression: Table of lines, as ``new_lines`` takes it. None takes the known lines of ``domain``.
        drugs: Table with columns drug_id, smiles; ``"all"``, or names. None takes the known drugs of both screens.
        known: Source and target screen; called only where a table is missing.
        domain: Which screen's platform measured the expression.
        on_unknown: As for ``read_pairs``.
        new_platform: Scale and repair of ``expression``; None takes the defaults.
        lines: ``"all"``, names, or a table of them; without ``pairs``.
        trust: Calibration of the model's intervals; None in runs of earlier versions.
        calibrate: Labels measured in the assay to be predicted, as ``with_labels`` takes them; None: there are none.

    Returns:
        Columns cell_id, drug_id, neg_log10_ic50_um (−log10 IC50(µM)), ic50_um, then those of docs/predict.md.

    Raises:
        ConfigError: ``domain`` or ``on_unknown`` is no choice, a file is absent, or nothing is asked for.
        DadspError: A table cannot be used, or the model lacks what it needs.
    """
    check_choice("domain", domain, Domain)
    check_choice("on_unknown", on_unknown, OnUnknown)
    if pairs is None and lines is None and drugs is None:
        raise ConfigError("Nothing is asked for. Give pairs=table, drugs=all or lines=all.")
    table = drugs if isinstance(drugs, Path | Frame) else None
    screens = [] if expression and table and pairs else list(known())[:: 1 if domain == "source" else -1]
    own = new_lines(model, expression, new_platform or NewPlatformOptions(), known, domain)
    of = partial(read_pairs, expression=own, known=screens, domain=domain, identity=model.drug_identity)
    read, frame, notes = of(pairs, drugs=drugs, lines=lines, on_unknown=on_unknown)
    if isinstance(own, NewLines):
        notes = (*own.notes, *notes)
    if expression is not None and (seen := model.seen_range(domain)) is not None:
        refuse_impossible(read.screen, model.genes, seen, str(expression))
    if calibrate is not None:
        model, trust = with_labels(model, calibrate, read, partial(of, drugs=table)), None
    columns = trusted(model, read, trust)
    potency = columns.pop("neg_log10_ic50_um")
    told = {"neg_log10_ic50_um": potency, "ic50_um": _ic50_um(model, frame, potency)}
    told |= columns | _standing(potency, read, trust)
    if isinstance(own, NewLines) and own.imputer is not None:
        told["imputation_variance"] = imputation_variance(model, read, own)
    frame = pd.concat([frame, pd.DataFrame(told)], axis="columns")
    called, notes = read.screen.cells.called(np.unique(read.cell_idx)), (*notes, *trust_notes(trust, frame))
    return Predicted(model.name, frame, "neg_log10_ic50_um", "−log10 IC50(µM)", notes, called)


def _ic50_um(model: Predictor, frame: pd.DataFrame, potency: FloatArray) -> NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):
        ic50_um: NDArray[np.float64] = 10.0 ** -potency.astype(np.float64)
    refuse_undefined(model.name, frame, ic50_um)
    return ic50_um


def trusted(model: Predictor, pairs: Pairs, trust: Trust | None) -> dict[str, NDArray[Any]]:
    """Columns: neg_log10_ic50_um first, drug_name, ends of intervals; what was seen, and how far the rest, if known."""
    names = {"drug_name": np.array(pairs.screen.drugs.names, dtype=object)[pairs.drug_idx]}
    if trust is None:
        columns = {"neg_log10_ic50_um": model.predict(pairs), **names}
        for level in SHOWN:
            own = model.interval(pairs, level)
            if own is not None:
                columns |= _ends(level, own)
        return columns
    judged = trust.judge(model, pairs)
    columns = {"neg_log10_ic50_um": judged.potency, **names}
    for level in SHOWN:
        columns |= _ends(level, trust.interval(judged, level))
    return columns | {
        "cell_seen": judged.line_seen,
        "drug_seen": judged.drug_seen,
        "line_distance": judged.line_distance,
        "drug_similarity": judged.drug_similarity,
        "verdict": np.array(VERDICTS, dtype=object)[judged.verdict],
    }


def trust_notes(trust: Trust | None, frame: pd.DataFrame) -> tuple[Note, ...]:
    """What a reader must know of the intervals."""
    if trust is None:
        own = "are the system's own" if "low_90" in frame else "are not known"
        what = f"no errors on held-out lines and drugs are at hand (docs/intervals.md): intervals {own}; pairs"
        return (Note(what, len(frame)),)
    claimed = frame["low_90"].notna()
    notes = []
    if not claimed.all():
        drugs = frame.loc[~claimed, "drug_id"].unique()
        what = "pairs without a 90 % interval: too little like them was held out (intervals=cross_fit in training)"
        notes.append(Note(what, int((~claimed).sum()), examples(drugs)))
    outside = frame["verdict"] == VERDICTS[-1]
    if (outside & claimed).any():
        what = "pairs outside of all that the intervals were tested on"
        notes.append(Note(what, int((outside & claimed).sum()), examples(frame.loc[outside & claimed, "drug_id"].unique())))
    return tuple(notes)


def _standing(potency: FloatArray, pairs: Pairs, trust: Trust | None) -> dict[str, NDArray[Any]]:
    """Ranks and percentiles of line and drug."""

    def name(domain: Domain) -> str:
        return f"{trust.facts['screens'][domain]} lines" if trust is not None else ""

    share, among = percentile_in_drug(potency, pairs, None if trust is None else trust.own_lines, name)
    return {
        "rank_in_drug": rank(potency, pairs.drug_idx),
        "percentile_in_drug": share,
        "percentile_among": among,
        "rank_in_cell": rank(potency, pairs.cell_idx),
        "percentile_in_cell": percentile(potency, pairs.cell_idx),
    }


def _ends(level: float, ends: tuple[FloatArray, FloatArray]) -> dict[str, NDArray[Any]]:
    return {f"{end}_{level * 100:.0f}": values for end, values in zip(("low", "high"), ends, strict=True)}


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
