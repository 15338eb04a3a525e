"""Training single-drug networks: what is learned, what is logged, and how a killed search goes on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dadsp.errors import LoadError, SchemaError
from dadsp.models.base import FitContext
from dadsp.schema import FloatArray
from dadsp.singledrug.fitting import fit_network
from dadsp.singledrug.growth import GrowthOptions, best_trial, next_widths
from dadsp.singledrug.network import NetworkOptions, TrainedNetwork

Tables = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
SMALL = NetworkOptions(
    growth=GrowthOptions(step=2, max_width=6), dropout=0.1, max_epochs=6, patience=2, learning_rate=0.02, batch_size=16
)


def tables(n_train: int = 48, n_val: int = 24, n_genes: int = 6) -> Tables:
    random = np.random.default_rng(0)
    x = random.random((n_train + n_val, n_genes)).astype(np.float32)
    y = (3 + 2 * np.abs(x[:, 0] - 0.5) + x[:, 1]).astype(np.float32)
    return x[:n_train], y[:n_train], x[n_train:], y[n_train:]


def same(a: TrainedNetwork, b: TrainedNetwork) -> bool:
    first, second = a.to_arrays(), b.to_arrays()
    trials = [[replace(trial, seconds=0.0) for trial in network.log] for network in (a, b)]
    return trials[0] == trials[1] and all(np.array_equal(first[name], second[name]) for name in first)


class Killed(Exception):
    """Stands for the end of the process."""


def killed_after(n_epochs: int, folder: Path) -> FitContext:
    left = iter(range(n_epochs))

    def listen(stage: str, epoch: int, metrics: dict[str, float]) -> None:
        if next(left, None) is None:
            raise Killed

    return FitContext(checkpoints=folder, on_epoch=listen)


def test_a_network_overfits_32_lines() -> None:
    x, y, *_ = tables(32)
    options = replace(
        SMALL,
        architecture="fixed",
        fixed_widths=(32, 32),
        max_epochs=150,
        patience=None,
        l1=0,
        l2=0,
        dropout=0,
        batch_size=32,
    )
    fitted = fit_network(x, y, x, y, options)
    assert np.mean((fitted.predict(x) - y) ** 2) < 0.02 * np.var(y)


def test_the_logged_error_is_that_of_the_network_returned_in_units_of_the_response() -> None:
    data = tables()
    fitted = fit_network(*data, SMALL)
    assert best_trial(fitted.log).widths == fitted.network.widths
    assert np.mean((fitted.predict(data[2]) - data[3]) ** 2) == pytest.approx(best_trial(fitted.log).val_mse, rel=1e-4)


def test_the_search_tries_what_the_rule_says_until_it_says_no_more() -> None:
    log = fit_network(*tables(), SMALL).log
    assert [trial.widths for trial in log] == [next_widths(log[:n], SMALL.growth) for n in range(len(log))]
    assert next_widths(log, SMALL.growth) is None
    assert all(0 < trial.epochs <= 6 and trial.seconds > 0 for trial in log)


def test_the_fixed_architecture_is_one_trial() -> None:
    options = replace(SMALL, architecture="fixed", fixed_widths=(5, 4))
    fitted = fit_network(*tables(), options)
    assert [trial.widths for trial in fitted.log] == [(5, 4)]
    assert fitted.network.activations == ("tanh", "relu")


def test_a_budget_ends_the_search_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    fitted = fit_network(*tables(), replace(SMALL, growth=replace(SMALL.growth, max_fits=2)))
    assert len(fitted.log) == 2
    assert "max_fits=2" in caplog.text


def test_training_stops_early_and_the_same_seed_gives_the_same_network() -> None:
    options = replace(SMALL, architecture="fixed", fixed_widths=(6,), learning_rate=0.3, max_epochs=50)
    first, again = (fit_network(*tables(), options, FitContext(seed=3)) for _ in range(2))
    assert max(trial.epochs for trial in first.log) < 50
    assert same(first, again)
    assert not same(first, fit_network(*tables(), options, FitContext(seed=4)))


@pytest.mark.parametrize("n_epochs", [0, 3, 10])
def test_a_killed_search_resumes_to_the_same_result(tmp_path: Path, n_epochs: int) -> None:
    whole = fit_network(*tables(), SMALL)
    with pytest.raises(Killed):
        fit_network(*tables(), SMALL, killed_after(n_epochs, tmp_path))
    assert same(fit_network(*tables(), SMALL, FitContext(checkpoints=tmp_path)), whole)


def test_a_finished_search_is_read_back_without_training(tmp_path: Path) -> None:
    whole = fit_network(*tables(), SMALL, FitContext(checkpoints=tmp_path))
    again = fit_network(*tables(), SMALL, killed_after(0, tmp_path))
    assert same(again, whole)
    assert again.log == whole.log


@pytest.mark.parametrize("change", ["options", "lines", "seed"])
def test_a_search_over_something_else_is_not_taken_up(tmp_path: Path, change: str) -> None:
    data, options = tables(), replace(SMALL, architecture="fixed", fixed_widths=(3,))
    fit_network(*data, options, FitContext(checkpoints=tmp_path))
    if change == "options":
        options = replace(options, l1=0.5)
    if change == "lines":
        data[1][0] += 1
    with pytest.raises(LoadError, match="other lines, options or seed"):
        fit_network(*data, options, FitContext(checkpoints=tmp_path, seed=int(change == "seed")))


@pytest.mark.parametrize("keep", [0, 5, 300, -1])
def test_a_damaged_search_is_refused(tmp_path: Path, keep: int) -> None:
    options = replace(SMALL, architecture="fixed", fixed_widths=(3,))
    fit_network(*tables(), options, FitContext(checkpoints=tmp_path))
    saved = tmp_path / "network.safetensors"
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(LoadError, match="damaged"):
        fit_network(*tables(), options, FitContext(checkpoints=tmp_path))


def test_training_leaves_the_global_stream_untouched() -> None:
    before = torch.random.get_rng_state()
    fit_network(*tables(), replace(SMALL, architecture="fixed", fixed_widths=(3,)))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_equal_responses_are_learned_as_a_constant() -> None:
    x, y, x_val, y_val = tables()
    fitted = fit_network(x, np.full_like(y, 0.7), x_val, np.full_like(y_val, 0.7), replace(SMALL, max_epochs=1))
    assert fitted.y_sd == 1
    assert fitted.predict(x_val) == pytest.approx(0.7, abs=1)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        (0, np.zeros((48, 0), np.float32), "training part"),
        (1, np.zeros(47, np.float32), "training part"),
        (2, np.zeros((24, 5), np.float32), "validation part"),
        (3, np.zeros((24, 1), np.float32), "validation part"),
        (3, np.full(24, np.nan, np.float32), "24 rows of the validation part"),
    ],
)
def test_tables_that_do_not_fit_are_refused(part: int, value: FloatArray, message: str) -> None:
    data = list(tables())
    data[part] = value
    with pytest.raises(SchemaError, match=message):
        fit_network(data[0], data[1], data[2], data[3], SMALL)
