"""The growth rule on validation curves made by hand."""

from collections.abc import Callable

import pytest

from dadsp.errors import ConfigError
from dadsp.options import validated
from dadsp.singledrug.growth import GrowthOptions, Trial, best_trial, next_widths, spent_budget


def searched(val_mse: Callable[[tuple[int, ...]], float], options: GrowthOptions | None = None) -> list[Trial]:
    """Every trial of a search over networks whose validation error is known."""
    log: list[Trial] = []
    while (widths := next_widths(log, options or GrowthOptions())) is not None:
        log.append(Trial(widths, val_mse(widths), epochs=1, seconds=2.0))
    return log


def test_the_search_follows_a_hand_made_curve() -> None:
    curve = {
        (10,): 1.0,
        (20,): 0.8,
        (30,): 0.7,
        (40,): 0.75,  # the first layer stays at 30
        (30, 10): 0.6,
        (30, 20): 0.65,  # the second at 10
        (30, 10, 10): 0.61,  # a new layer that does not help: the end
    }
    log = searched(curve.__getitem__)
    assert [trial.widths for trial in log] == list(curve)
    assert best_trial(log).widths == (30, 10)


def test_a_layer_grows_to_the_largest_width_and_no_further() -> None:
    log = searched(lambda widths: 1 / sum(widths) if len(widths) == 1 else 1.0)
    assert [trial.widths for trial in log] == [(width,) for width in range(10, 201, 10)] + [(200, 10)]


def test_an_equal_error_is_no_improvement() -> None:
    assert [trial.widths for trial in searched(lambda widths: 0.5)] == [(10,), (20,), (10, 10)]


def test_the_layer_limit_ends_the_search_when_the_last_layer_has_stopped_growing() -> None:
    curve = {(10,): 1.0, (20,): 1.1, (10, 10): 0.9, (10, 20): 0.8, (10, 30): 0.9}
    assert [trial.widths for trial in searched(curve.__getitem__, GrowthOptions(max_layers=2))] == list(curve)


def test_step_and_largest_width_are_as_given() -> None:
    log = searched(lambda widths: -sum(widths), GrowthOptions(step=4, max_width=10, max_layers=2))
    assert [trial.widths for trial in log] == [(4,), (8,), (8, 4), (8, 8)]


@pytest.mark.parametrize(
    ("options", "spent"),
    [
        (GrowthOptions(), None),
        (GrowthOptions(max_fits=4), None),
        (GrowthOptions(max_fits=3), "max_fits=3"),
        (GrowthOptions(max_seconds=6.5), None),
        (GrowthOptions(max_seconds=6), "max_seconds=6"),
    ],
)
def test_three_trials_of_two_seconds_spend(options: GrowthOptions, spent: str | None) -> None:
    assert spent_budget([Trial((10,), 1.0, 1, 2.0)] * 3, options) == spent


def test_a_step_wider_than_the_widest_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_width"):
        validated(GrowthOptions, {"step": 20, "max_width": 10}, "model.growth")
