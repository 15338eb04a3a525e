"""The growth search's rule: which network is tried next, given what was tried before."""

from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from dadsp.options import STRICT

Widths = tuple[int, ...]


@dataclass(frozen=True, config=STRICT)
class GrowthOptions:
    """How networks grow, and when the search ends early.

    Attributes:
        step: Nodes of a new layer, and nodes added to a layer at a time.
        max_width: Most nodes of a layer.
        max_layers: Most hidden layers; None for no limit.
        max_fits: Most networks trained; None for no limit.
        max_seconds: No further network is trained once those before took so long together. The result then depends on the
            speed of the machine; None for no limit.
    """

    step: int = Field(default=10, ge=1)
    max_width: int = Field(default=200, ge=1, le=10_000)
    max_layers: int | None = Field(default=None, ge=1)
    max_fits: int | None = Field(default=None, ge=1)
    max_seconds: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _first_layer_fits(self) -> Self:
        if self.step > self.max_width:
            raise ValueError(f"step={self.step} exceeds max_width={self.max_width}. Lower step or raise max_width.")
        return self


@plain_dataclass(frozen=True)
class Trial:
    """One network tried by the search.

    Attributes:
        widths: Of its hidden layers.
        val_mse: Mean squared error on the validation lines at its best epoch, in squared units of the response.
        epochs: Epochs it trained.
        seconds: Time its training took.
    """

    widths: Widths
    val_mse: float
    epochs: int
    seconds: float


def best_trial(log: Sequence[Trial]) -> Trial:
    """The trial of the smallest validation error, the first of equals."""
    return min(log, key=lambda trial: trial.val_mse)


def next_widths(log: Sequence[Trial], options: GrowthOptions) -> Widths | None:
    """Hidden widths of the network to try next; None when the search has ended by its own rule.

    The search begins with one layer. The last layer grows while the validation error falls and its width allows; then a
    layer is added to the best network so far. A new layer that does not lower the error ends the search.

    Reference: single-drug paper, section III-B1.
    """
    if not log:
        return (options.step,)
    best, last = best_trial(log).widths, log[-1].widths
    if best == last and last[-1] + options.step <= options.max_width:
        return (*last[:-1], last[-1] + options.step)
    layer_was_new = len(log) > 1 and len(last) > len(log[-2].widths)
    if (layer_was_new and best != last) or len(best) == options.max_layers:
        return None
    return (*best, options.step)


def spent_budget(log: Sequence[Trial], options: GrowthOptions) -> str | None:
    """The limit that forbids another trial, as ``name=value``; None while there is none."""
    if options.max_fits is not None and len(log) >= options.max_fits:
        return f"max_fits={options.max_fits}"
    if options.max_seconds is not None and sum(trial.seconds for trial in log) >= options.max_seconds:
        return f"max_seconds={options.max_seconds:g}"
    return None
