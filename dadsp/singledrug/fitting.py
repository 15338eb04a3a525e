"""Training single-drug networks: one at a time, and the growth search over them."""

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor, nn

from dadsp.errors import LoadError, SchemaError
from dadsp.files import write_atomically
from dadsp.models.base import FitContext
from dadsp.models.training.batches import RowBatches
from dadsp.models.training.options import TrainingOptions
from dadsp.models.training.stage import Stage, run_stage
from dadsp.schema import FloatArray
from dadsp.seeding import derive_seed
from dadsp.singledrug.growth import Trial, Widths, best_trial, next_widths, spent_budget
from dadsp.singledrug.network import NetworkOptions, SingleDrugNetwork, TrainedNetwork, activations_of

log = logging.getLogger(__name__)

VAL_MSE = "val/mse"


class Lines(NamedTuple):
    """Training and validation lines of one drug, expression centred and response standardised by the training lines."""

    x_train: Tensor
    y_train: Tensor
    x_val: Tensor
    y_val: Tensor
    x_mean: Tensor
    y_mean: float
    y_sd: float

    @classmethod
    def of(
        cls,
        x_train: FloatArray,
        y_train: FloatArray,
        x_val: FloatArray,
        y_val: FloatArray,
        scale: tuple[float, float] | None = None,
    ) -> Self:
        """Checked, centred and standardised.

        Args:
            x_train: Shape (n_train, n_genes).
            y_train: Shape (n_train,).
            x_val: Shape (n_val, n_genes).
            y_val: Shape (n_val,).
            scale: Mean and standard deviation of responses to use; None for those of ``y_train``.

        Raises:
            SchemaError: The tables do not fit together, are too short, or hold a value that is no number.
        """
        for part, x, y, least in (("training", x_train, y_train, 2), ("validation", x_val, y_val, 1)):
            if x.ndim != 2 or y.shape != (len(x),) or len(y) < least or x.shape[1] != x_train.shape[1] or x.shape[1] == 0:
                raise SchemaError(
                    f"The {part} part needs expression (lines × genes, the genes of the training part) and one response a "
                    f"line, at least {least}; it has shapes {x.shape} and {y.shape}."
                )
            if bad := int((~np.isfinite(x)).any(axis=1).sum() + (~np.isfinite(y)).sum()):
                raise SchemaError(f"{bad} rows of the {part} part hold values that are no numbers. Remove those lines.")
        spread = float(y_train.std(dtype=np.float64)) if y_train.min() < y_train.max() else 1.0
        y_mean, y_sd = scale or (float(y_train.mean(dtype=np.float64)), spread)
        x_mean = x_train.mean(axis=0, dtype=np.float64)
        tables = (x_train - x_mean, (y_train - y_mean) / y_sd, x_val - x_mean, (y_val - y_mean) / y_sd, x_mean)
        train_x, train_y, val_x, val_y, means = (torch.from_numpy(table.astype(np.float32)) for table in tables)
        return cls(train_x, train_y, val_x, val_y, means, y_mean, y_sd)


class RegressionStage(Stage):
    """Mean squared error of the standardised response plus l1 and l2 penalties; validated on the held-out lines.

    loss = mean (ŷ − y)² + l1 · Σ|w| + l2 · Σw², weights w without biases.
    """

    network: SingleDrugNetwork

    def __init__(
        self,
        name: str,
        network: SingleDrugNetwork,
        lines: Lines,
        penalties: NetworkOptions,
        training: TrainingOptions,
        context: FitContext,
    ) -> None:
        super().__init__(name, network, training, context, monitor=VAL_MSE)
        self.lines, self.l1, self.l2 = lines, penalties.l1, penalties.l2

    def losses(self, batch: Tensor) -> dict[str, Tensor]:
        """Of a batch of row numbers."""
        mse = nn.functional.mse_loss(self.network(self.lines.x_train[batch]), self.lines.y_train[batch])
        return {"loss": mse + self.network.penalty(self.l1, self.l2), "mse": mse}

    def validate(self) -> dict[str, float]:
        """Mean squared error of the validation lines, in squared units of the response."""
        mse = nn.functional.mse_loss(self.network(self.lines.x_val), self.lines.y_val)
        return {VAL_MSE: float(mse) * self.lines.y_sd**2}


def shift_inputs(network: SingleDrugNetwork, by: Tensor) -> None:
    """Turns a network of f(x) into one of f(x + by), by its first bias."""
    with torch.no_grad():
        first = network.dense[0]
        first.bias.add_(first.weight @ by)


def train(
    name: str,
    network: SingleDrugNetwork,
    lines: Lines,
    options: NetworkOptions,
    context: FitContext,
) -> Trial:
    """Trains ``network``, one of centred expression, in place to its best epoch, and says how it went."""
    start = time.perf_counter()
    # A network this small trains in seconds: states after every epoch would cost more than repeating it.
    context = replace(context, checkpoints=None)
    training = TrainingOptions(
        max_epochs=options.max_epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        patience=options.patience,
        device="cpu",
    )
    stage = RegressionStage(name, network, lines, options, training, context)
    epoch = partial(getattr, stage, "current_epoch")
    network.train()  # a network that has predicted is in evaluation mode, without dropout
    batches = RowBatches(len(lines.y_train), size=options.batch_size, seed=stage.seed, epoch=epoch)
    run_stage(stage, batches, len(batches), context)
    return Trial(network.widths, stage.best_score, len(stage.epochs), time.perf_counter() - start)


def fit_network(
    x_train: FloatArray,
    y_train: FloatArray,
    x_val: FloatArray,
    y_val: FloatArray,
    options: NetworkOptions,
    context: FitContext | None = None,
) -> TrainedNetwork:
    """The network of the smallest validation error: of all that the growth search tries, or the fixed one.

    Every network of the search is trained anew from weights of its own (the paper does not say whether they are kept).
    Training sees centred expression, without which twelve layers under dropout do not learn; its means then go into the
    first layer's bias, so that the network returned reads expression as given. With
    ``context.checkpoints`` the search is written there after every network; called again, it goes on with the next one and
    ends as an uninterrupted search would, but for the seconds in the log.

    Args:
        x_train: Expression scaled to about (0, 1), shape (n_train, n_genes).
        y_train: Responses, shape (n_train,).
        x_val: Lines that choose epochs and widths, shape (n_val, n_genes).
        y_val: Their responses, shape (n_val,).
        options: Shape and training.
        context: Seed, folder of the search, callback.

    Raises:
        SchemaError: The tables do not fit together.
        LoadError: The folder holds a damaged search, or one over other lines, options or seed.
        DivergenceError: A loss is no longer a number.

    Reference: single-drug paper, section III-B.
    """
    context = context or FitContext()
    lines = Lines.of(x_train, y_train, x_val, y_val)
    saved = context.checkpoints / "network.safetensors" if context.checkpoints else None
    origin = _origin(lines, options, context.seed)
    best = _read(saved, options, origin) if saved and saved.exists() else None
    trials = best.log if best else ()
    while (widths := _next(trials, options)) is not None:
        name = "-".join(map(str, ("network", *widths)))
        seed = derive_seed(context.seed, "weights", name)
        network = SingleDrugNetwork(x_train.shape[1], widths, activations_of(options, len(widths)), options.dropout, seed)
        trial = train(name, network, lines, options, context)
        shift_inputs(network, -lines.x_mean)
        trials = (*trials, trial)
        if best is not None and best_trial(trials) is not trial:
            network = best.network
        best = TrainedNetwork(network, lines.y_mean, lines.y_sd, options, trials)
        if saved:
            _write(best, saved, origin)
    assert best is not None  # every search tries at least one network
    return best


def _next(trials: Sequence[Trial], options: NetworkOptions) -> Widths | None:
    if options.architecture == "fixed":
        return None if trials else options.fixed_widths
    widths = next_widths(trials, options.growth)
    if widths is not None and (limit := spent_budget(trials, options.growth)):
        log.warning("The growth search ends at %s after %d networks; it would go on with %s.", limit, len(trials), widths)
        return None
    return widths


def _origin(lines: Lines, options: NetworkOptions, seed: int) -> str:
    """What a saved search must have been made from."""
    digest = hashlib.blake2b(json.dumps([asdict(options), seed, *lines[5:]]).encode(), digest_size=16)
    for tensor in lines[:5]:
        digest.update(str(tensor.shape).encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def _write(best: TrainedNetwork, path: Path, origin: str) -> None:
    facts = {"origin": origin, "log": json.dumps([asdict(trial) for trial in best.log])}
    write_atomically(path, lambda temporary: save_file(best.to_arrays(), temporary, facts))


def _read(path: Path, options: NetworkOptions, origin: str) -> TrainedNetwork:
    try:
        with safe_open(path, "np") as saved:
            facts = saved.metadata()
            arrays = {name: saved.get_tensor(name) for name in saved.keys()}  # noqa: SIM118
        trials = [Trial(tuple(trial.pop("widths")), **trial) for trial in json.loads(facts["log"])]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise LoadError(f"{path} is damaged ({error}). Delete it to search again.") from error
    if facts["origin"] != origin:
        raise LoadError(f"{path} holds a search over other lines, options or seed. Delete it, or choose another folder.")
    return TrainedNetwork.from_arrays(arrays, options, trials)
