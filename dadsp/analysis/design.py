"""Which (line, drug) pairs of a new screen to measure, so that what is left unmeasured is predicted best.

The pairs are chosen by ``dadsp.analysis.greedy_design``, without any label of the new screen but those that the run was
given.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from dadsp.analysis.greedy_design import Chosen, Errors, Values, choose
from dadsp.data.matching import Matched, Pool, match_lines, refuse_doubtful
from dadsp.data.new_pairs import read_pairs
from dadsp.data.table_files import header_of
from dadsp.data.tables import read_table
from dadsp.errors import ConfigError, MissingIdsError, SchemaError, examples
from dadsp.models.base import Predictor
from dadsp.models.calibrated import PRIORS, Calibrated, Variances
from dadsp.models.kernels.similarity import equal
from dadsp.options import STRICT
from dadsp.schema import Domain, IntArray, Pairs, Screen

PLATES = {96: (8, 12), 384: (16, 24), 1536: (32, 48)}  # rows, columns


@dataclass(frozen=True, config=STRICT)
class DesignOptions:
    """Keys of ``conf/design.yaml`` beside the run and the output.

    Attributes:
        budget: How many pairs to choose.
        domain: Whose lines and drugs.
        per_line: At most so many pairs of one line; None: no limit.
        per_drug: At most so many pairs of one drug; None: no limit.
        without_lines: Ids or names of lines that cannot be measured; their predictions still matter.
        without_drugs: Ids or names of drugs that cannot be measured.
        about: Table with columns cell_id, drug_id and, if wished, weight: the pairs whose predictions matter; None: all.
        again: Whether pairs that the screen measured already may be chosen.
        plate: Wells of a plate.
        controls: Columns at the right end of each plate that stay free.
        seed: Of the probes that estimate gains.
    """

    budget: int = Field(default=96, ge=1)
    domain: Domain = "target"
    per_line: int | None = Field(default=None, ge=1)
    per_drug: int | None = Field(default=None, ge=1)
    without_lines: tuple[str, ...] = ()
    without_drugs: tuple[str, ...] = ()
    about: str | None = None
    again: bool = False
    plate: int = 96
    controls: int = Field(default=0, ge=0)
    seed: int = 0

    @model_validator(mode="after")
    def _plates_are_made(self) -> Self:
        if self.plate not in PLATES:
            raise ValueError(f"plate={self.plate} is no plate that is made. Valid: {', '.join(map(str, PLATES))}")
        return self


@plain_dataclass(frozen=True, eq=False)
class Design:
    """A list of pairs to measure.

    Attributes:
        pairs: One row per pair in the order of choice: order, cell_id, drug_id, drug_name; neg_log10_ic50_um, the
            prediction, and sd, its standard deviation before any pair is measured (−log10 IC50(µM)); expected_rmse over the
            pairs that matter, noise of their labels included, once this pair and those before it are measured; plate, well.
        screen: Whose lines and drugs these are.
        facts: JSON-able summary.
    """

    pairs: pd.DataFrame
    screen: Screen
    facts: dict[str, Any]


def design(
    model: Predictor, screen: Screen, options: DesignOptions, told: Callable[[int], None] = lambda done: None
) -> Design:
    """Pairs of a screen to measure next.

    Args:
        model: Fitted; labels that it was calibrated with count as measured.
        screen: Its lines, its drugs, and which of their pairs are measured already.
        options: Limits.
        told: Is told how many pairs were chosen so far.

    Raises:
        ConfigError: An option is impossible, or nothing may be chosen.
        MissingIdsError: A line or drug is not known.
    """
    allowed = np.ones((len(screen.cells), len(screen.drugs)), dtype=bool)
    if not options.again:
        allowed[screen.responses.cell_idx, screen.responses.drug_idx] = False
    allowed[_rows("without_lines", options.without_lines, match_lines(options.without_lines, screen.cells))] = False
    allowed[:, _rows("without_drugs", options.without_drugs, Pool.of([screen]).match(options.without_drugs))] = False
    if not allowed.any():
        raise ConfigError(
            f"No pair of {screen.name} may be measured: all are measured or excluded. Set again=true, or exclude less."
        )
    matters = _weights(Path(options.about), screen, options.domain) if options.about else np.ones(allowed.shape)
    errors, known = errors_of(model, screen, options.domain)
    found = choose(
        errors,
        allowed,
        matters,
        options.budget,
        known=known,
        per_line=options.per_line,
        per_drug=options.per_drug,
        seed=options.seed,
        told=told,
    )
    pairs = _described(model, screen, options, found, errors)
    facts = {
        "system": model.name,
        "screen": screen.name,
        "options": asdict(options),
        "n_pairs": len(pairs),
        "n_lines": int(pairs["cell_id"].nunique()),
        "n_drugs": int(pairs["drug_id"].nunique()),
        "n_plates": int(pairs["plate"].max()),
        "expected_rmse_before": math.sqrt(found.before + errors.variances.noise),
        "expected_rmse_after": float(pairs["expected_rmse"].iloc[-1]),
        "label_noise_sd": math.sqrt(errors.variances.noise),
        "states_covariance": errors.stated is not None,
        "n_labels_given": 0 if known is None else len(known[0]),
        "variances": asdict(errors.variances),
    }
    return Design(pairs, screen, facts)


def errors_of(model: Predictor, screen: Screen, domain: Domain) -> tuple[Errors, tuple[IntArray, IntArray] | None]:
    """The process of the model's errors, and rows of the pairs whose labels it was given already."""
    inner = model.inner if isinstance(model, Calibrated) else model
    stated = inner.grid_uncertainty(screen, domain)
    same = equal(screen.drug_keys, screen.drug_keys)
    if isinstance(model, Calibrated):
        given = model.given
        line = pd.Index(screen.cells.ids).get_indexer(pd.Index(given.screen.cells.ids))[given.cell_idx]
        drug = pd.Index(screen.drugs.ids).get_indexer(pd.Index(given.screen.drugs.ids))[given.drug_idx]
        here = (line >= 0) & (drug >= 0)
        return Errors(stated, same, len(screen.cells), model.variances), (line[here], drug[here])
    return Errors(stated, same, len(screen.cells), expected_variances(stated.noise if stated else 0.25)), None


def expected_variances(noise: float) -> Variances:
    """What is expected of an unknown assay, given the variance of a label: the priors of ``dadsp.models.calibrated``."""
    share = {name: PRIORS[name] / PRIORS["noise"] for name in ("assay", "drug")}
    return Variances(share["assay"] * noise, share["drug"] * noise, 0.0, PRIORS["shared"], noise)


def _described(model: Predictor, screen: Screen, options: DesignOptions, found: Chosen, errors: Errors) -> pd.DataFrame:
    ids, names = (np.array(values, dtype=object)[found.drug] for values in (screen.drugs.ids, screen.drugs.names))
    frame = pd.DataFrame(
        {
            "order": np.arange(1, len(found.line) + 1),
            "cell_id": np.array(screen.cells.ids, dtype=object)[found.line],
            "drug_id": ids,
            "drug_name": names,
            "neg_log10_ic50_um": model.predict(Pairs(screen, options.domain, found.line, found.drug)).astype(np.float64),
            "sd": np.sqrt(errors.variance()[found.line, found.drug]),
            "expected_rmse": np.sqrt(np.maximum(found.before - np.cumsum(found.gain), 0) + errors.variances.noise),
        }
    )
    return pd.concat([frame, wells(frame, options.plate, options.controls)], axis=1)


def wells(pairs: pd.DataFrame, plate: int, controls: int) -> pd.DataFrame:
    """Where each pair goes: lines one after another, each with its drugs in order, row by row.

    Args:
        pairs: Columns cell_id, drug_id.
        plate: Wells of a plate.
        controls: Columns at the right end that stay free.

    Returns:
        Columns plate (from 1) and well (such as A01), in the order of ``pairs``.

    Raises:
        ConfigError: No column is left.
    """
    rows, columns = PLATES[plate]
    used = columns - controls
    if used < 1:
        raise ConfigError(f"controls={controls} leaves none of the {columns} columns of a plate of {plate}. Set fewer.")
    place = np.empty(len(pairs), dtype=int)
    place[np.lexsort((pairs["drug_id"], pairs["cell_id"]))] = np.arange(len(pairs))
    number, inside = np.divmod(place, rows * used)
    row, column = np.divmod(inside, used)
    labels = [f"{row_name(at)}{across + 1:02d}" for at, across in zip(row.tolist(), column.tolist(), strict=True)]
    return pd.DataFrame({"plate": number + 1, "well": labels}, index=pairs.index)


def row_name(row: int) -> str:
    """Letters of a row of a plate: A, B, … Z, AA, AB and so on."""
    return chr(ord("A") + row) if row < 26 else f"A{chr(ord('A') + row - 26)}"


def plate_map(pairs: pd.DataFrame, plate: int) -> pd.DataFrame:
    """The plates as grids: one row per row of a plate, columns plate, row, 01, 02, …; a well reads ``line / drug``."""
    rows, columns = PLATES[plate]
    filled = {
        (number, well): f"{cell} / {drug}"
        for number, well, cell, drug in zip(pairs["plate"], pairs["well"], pairs["cell_id"], pairs["drug_name"], strict=True)
    }
    names = [f"{column + 1:02d}" for column in range(columns)]
    return pd.DataFrame(
        {"plate": number, "row": row_name(row)}
        | {name: filled.get((number, f"{row_name(row)}{name}"), "") for name in names}
        for number in range(1, int(pairs["plate"].max()) + 1)
        for row in range(rows)
    )


def _rows(key: str, given: Sequence[str], found: Matched) -> IntArray:
    refuse_doubtful(key, found)
    unknown = [name for name, row in zip(given, found.rows, strict=True) if row < 0]
    if unknown:
        raise MissingIdsError(
            f"{key}: {len(unknown)} of {len(given)} are not known (e.g. {examples(unknown)}). Correct them."
        )
    return found.rows


def _weights(path: Path, screen: Screen, domain: Domain) -> Values:
    pairs, _, _ = read_pairs(path, expression=None, drugs=None, known=[screen], domain=domain)
    given = "weight" in header_of(path)
    column = (
        read_table(path, {"weight": "weight"}, numbers=("weight",))["weight"].to_numpy() if given else np.ones(len(pairs))
    )
    if not ((column >= 0).all() and column.sum() > 0):
        raise SchemaError(f"{path}: weights must be numbers of 0 or more, not all 0. Correct them.")
    if (pairs.drug_idx >= len(screen.drugs)).any():
        raise MissingIdsError(f"{path}: some drugs are not of {screen.name}. Leave them out.")
    result = np.zeros((len(screen.cells), len(screen.drugs)))
    np.add.at(result, (pairs.cell_idx, pairs.drug_idx), column)
    return result
