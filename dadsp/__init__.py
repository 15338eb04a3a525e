"""dadsp: cell-line drug sensitivity, predicted across screens."""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dadsp.api import (
        Choices,
        FitContext,
        PackedModel,
        Range,
        Run,
        SingleDrugRun,
        TrackingOptions,
        Tuned,
        compare,
        load,
        load_packed,
        load_single_drug,
        load_study,
        model,
        run_experiment,
        screen,
        split,
        study,
        train,
        tune,
    )

__all__ = [
    "Choices",
    "FitContext",
    "PackedModel",
    "Range",
    "Run",
    "SingleDrugRun",
    "TrackingOptions",
    "Tuned",
    "__version__",
    "compare",
    "load",
    "load_packed",
    "load_single_drug",
    "load_study",
    "model",
    "run_experiment",
    "screen",
    "split",
    "study",
    "train",
    "tune",
]

try:
    __version__ = version("dadsp")
except PackageNotFoundError:  # imported from a folder that was never installed
    __version__ = "0.0.0"


def __getattr__(name: str) -> object:
    """The name from ``dadsp.api``, imported on first use: ``import dadsp`` alone loads neither torch nor pandas."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dadsp import api

    found: object = getattr(api, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
