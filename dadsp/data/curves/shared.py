"""The doses that all screens of a study tested, for each drug: areas over them compare."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from dadsp.data.curves.options import FitOptions, Range
from dadsp.data.curves.wells import read_wells
from dadsp.data.problems import attempt
from dadsp.data.sources.tidy_files import ScreenOptions
from dadsp.data.sources.tidy_parts import read_drugs
from dadsp.errors import ConfigError, UnitsError, examples

_PLACES = 4  # decimals of log10 µM, well below the steps between doses


def with_shared_ranges(sides: Sequence[ScreenOptions], root: Path) -> list[ScreenOptions]:
    """The screens' options, with ``fit.range: shared`` become a range for each drug.

    A drug's range in a screen is the median lowest and the median highest dose of its lines; what screens share is where
    these ranges overlap. Drugs are the same if their structures are; one that no other screen measured keeps ``tested``.

    Raises:
        ConfigError: A range is to be shared with a screen whose responses are no wells.
        UnitsError: Screens tested a drug at doses that do not overlap.
    """
    asked = [side.responses.fit is not None and side.responses.fit.range == "shared" for side in sides]
    if not any(asked):
        return list(sides)
    without = [side.name for side in sides if side.responses.fit is None]
    if without:
        raise ConfigError(
            f"fit.range: shared needs the wells of all screens, and {examples(without)} has published labels (no "
            "responses.fit). Give fit.range: [lowest, highest] in µM."
        )
    tested = [_tested(side, root) for side in sides]
    whole = pd.concat(tested, ignore_index=True)
    shared = whole.groupby("structure").agg(low=("low", "max"), high=("high", "min"), screens=("low", "size"))
    apart = whole[whole["structure"].map(shared["low"] >= shared["high"])]
    if len(apart):
        columns = (apart["drug_id"], _um(apart["low"]), _um(apart["high"]))
        named = [f"{drug} at {low:.3g} to {high:.3g} µM" for drug, low, high in zip(*columns, strict=True)]
        raise UnitsError(
            f"{apart['structure'].nunique()} drugs were tested at doses that do not overlap (e.g. {examples(named, 4)}). "
            "Check fit.dose_unit, or leave them out of a drug file with responses.on_missing_drug: drop."
        )
    common = shared[shared["screens"] > 1]
    return [_with_ranges(side, own, common) if asks else side for side, own, asks in zip(sides, tested, asked, strict=True)]


def _tested(side: ScreenOptions, root: Path) -> pd.DataFrame:
    """drug_id, structure, low and high (log10 µM) of each drug with a structure; nothing where a file cannot be read."""
    fit = side.responses.fit
    assert fit is not None  # the caller saw to it
    drugs = attempt(f"{side.name} drugs", partial(read_drugs, side.drugs, root))
    wells = attempt(f"{side.name} responses", partial(read_wells, side.responses, fit, root))
    if drugs is None or wells is None:
        return pd.DataFrame(columns=["drug_id", "structure", "low", "high"])
    ends = wells.treated.groupby(["drug_id", "cell_id"])["log_dose"].agg(["min", "max"])
    ends = ends.groupby("drug_id").median().round(_PLACES)
    structures = dict(zip(drugs[0].ids, drugs[0].structure_keys, strict=True))
    found = pd.DataFrame({"drug_id": ends.index, "low": ends["min"].to_numpy(), "high": ends["max"].to_numpy()})
    return found.assign(structure=found["drug_id"].map(structures)).dropna(subset="structure")


def _with_ranges(side: ScreenOptions, own: pd.DataFrame, common: pd.DataFrame) -> ScreenOptions:
    both = own[own["structure"].isin(common.index)]
    ends = common.loc[both["structure"]]
    ranges: dict[str, Range] = dict(zip(both["drug_id"], zip(_um(ends["low"]), _um(ends["high"]), strict=True), strict=True))
    fit = side.responses.fit
    assert isinstance(fit, FitOptions)
    fit = fit.model_copy(update={"range": ranges or "tested"})
    return side.model_copy(update={"responses": side.responses.model_copy(update={"fit": fit})})


def _um(log_doses: "pd.Series[float]") -> list[float]:
    return [float(f"{dose:.6g}") for dose in np.power(10.0, log_doses.to_numpy(np.float64))]
