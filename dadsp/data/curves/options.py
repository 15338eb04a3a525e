"""What a user says of a table of wells: what doses and responses mean, and how curves are fitted and used."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from dadsp.data.units import Unit

Response = Literal[
    "viability", "viability_percent", "inhibition", "inhibition_percent", "activity", "activity_percent"
]  # fmt: skip
Range = tuple[float, float]
Flag = Literal[
    "few_doses", "flat", "not_monotone", "poor_fit", "noisy", "bad_controls", "top_off", "bottom_off",
    "ic50_above", "ic50_below", "area_beyond",
]  # fmt: skip

# What untreated wells and wells without a living cell show; between them viability runs from 1 to 0.
ENDS: dict[Response, tuple[float, float]] = {
    "viability": (1.0, 0.0),
    "viability_percent": (100.0, 0.0),
    "inhibition": (0.0, 1.0),
    "inhibition_percent": (0.0, 100.0),
    "activity": (0.0, -1.0),
    "activity_percent": (0.0, -100.0),
}


class FitOptions(BaseModel):
    """How wells become curves: viability = bottom + (top − bottom) / (1 + (dose / EC50)^slope), by least squares.

    Attributes:
        dose_unit: Unit of the doses.
        response: What the response is; ``activity`` is CCLE's, the change of the signal against untreated wells.
        top: Bounds of the viability without drug; equal ones fix it.
        bottom: Bounds of the viability at an infinite dose.
        slope: Bounds of the slope.
        min_doses: Fewest different doses of a curve that is fitted.
        area: Under the fitted curve, or by trapezoids between the mean viabilities of doses, clipped to [0, 1].
        range: Doses over which areas are taken: each curve's ``"tested"`` ones, the part ``"shared"`` by the screens of the
            study, [lowest, highest] in µM, or such a pair for each drug id (``tested`` for a drug that is not named).
        drop: Flags of curves that are left out; without ``few_doses`` here, curves with too few doses are an error.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    dose_unit: Unit
    response: Response
    top: Range = (1.0, 1.0)
    bottom: Range = (0.0, 1.0)
    slope: Range = (0.1, 4.0)
    min_doses: int = 4
    area: Literal["curve", "trapezoid"] = "curve"
    range: Literal["tested", "shared"] | Range | dict[str, Range] = "tested"
    drop: tuple[Flag, ...] = ()

    @model_validator(mode="after")
    def _possible(self) -> "FitOptions":
        for name in ("top", "bottom", "slope"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}=[{low:g}, {high:g}] begins above its end. Give [lowest, highest].")
        if self.slope[0] <= 0:
            raise ValueError("slope is positive: viability falls. Turn responses that rise by fit.response: inhibition.")
        if self.bottom[0] > self.top[0] or self.bottom[1] > self.top[1]:
            raise ValueError("bottom lies above top. Give bounds of bottom that are not above those of top.")
        if self.min_doses < 3:
            raise ValueError("min_doses is 3 or more: a curve has three or four parameters.")
        ranges = self.range.values() if isinstance(self.range, Mapping) else [self.range]
        for given in ranges:
            if not isinstance(given, str) and not 0 < given[0] < given[1]:
                raise ValueError(f"range=[{given[0]:g}, {given[1]:g}] is no range of doses. Give [lowest, highest] in µM.")
        return self
