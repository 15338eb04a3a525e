"""Running one training stage under Lightning: seeds, best weights, early stopping, history, checkpoints, resuming."""

import json
import logging
import math
import shutil
import signal
import tempfile
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from pytorch_lightning.plugins.environments import LightningEnvironment  # type: ignore[attr-defined]
from pytorch_lightning.strategies import DDPStrategy
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from dadsp.errors import DivergenceError
from dadsp.files import write_atomically
from dadsp.models.base import FitContext, StageLength
from dadsp.models.training.batches import BlockBatches, BlockShare
from dadsp.models.training.options import TrainingOptions
from dadsp.models.training.processes import run_in_processes
from dadsp.models.training.states import AtomicCheckpoints, EpochCheckpoint
from dadsp.seeding import derive_seed

log = logging.getLogger(__name__)
# Its notes on devices and hints at other products would stand between our own lines.
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)


class Stage(pl.LightningModule):
    """One stage of training a network: how a batch becomes losses, and how an epoch is validated.

    Args:
        name: Of its checkpoint and its progress bar.
        network: What is trained; only its parameters are saved and restored.
        options: Length and speed.
        context: Gives the seed.
        monitor: Validation metric (lower is better) that chooses the weights kept; None keeps the last.

    Attributes:
        keys_to_lower: Keys to lower where predictions become constant, or a loss is no number.
    """

    keys_to_lower: tuple[str, ...] = ("trainer.learning_rate",)

    def __init__(
        self,
        name: str,
        network: torch.nn.Module,
        options: TrainingOptions,
        context: FitContext,
        monitor: str | None = None,
    ) -> None:
        super().__init__()
        self.name, self.network, self.options, self.monitor = name, network, options, monitor
        self.seed = derive_seed(context.seed, "stage", name)
        self.epoch_callback: Callable[[str, int, dict[str, float]], None] | None = None
        self.epochs: list[dict[str, float]] = []
        self.best_score = math.inf
        self.best_weights: dict[str, Tensor] = {}
        self.average: dict[str, Tensor] = {}  # of the weights of past epochs, where these are averaged
        self.waited = 0
        self.collapsed = False  # set by ``validate`` where predictions have become constant
        self.collapse = ""  # what stands still then
        self.total_steps = 0
        self._sums: dict[str, Tensor] = {}
        self._n_steps = 0

    @abstractmethod
    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Scalars of one batch; ``loss`` is minimised, all are averaged into the history as ``train/<name>``."""

    def validate(self) -> dict[str, float]:
        """Validation metrics after an epoch, without gradients and in evaluation mode."""
        return {}

    @property
    def _advice(self) -> str:
        clip = ", or set trainer.gradient_clip=1" if self.options.gradient_clip is None else ""
        return f"Lower {' or '.join(self.keys_to_lower)}{clip}."

    @property
    def kept(self) -> int | None:
        """The epoch, from 1, whose weights are kept; None where no score chooses them."""
        # Of the first epoch predictions may be alike, and its weights are kept all the same.
        alive = [epoch for epoch in self.epochs if "collapsed" not in epoch or epoch["epoch"] == 0]
        return None if self.monitor is None else int(min(alive, key=lambda epoch: epoch[str(self.monitor)])["epoch"]) + 1

    @property
    def progress(self) -> float:
        """p: optimizer steps taken over steps planned, in [0, 1]."""
        return min(1.0, self.global_step / self.total_steps)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Lightning's hook."""
        losses = self.losses(batch)
        for name, value in losses.items():
            previous = self._sums.get(name)
            self._sums[name] = value.detach() if previous is None else previous + value.detach()
        self._n_steps += 1
        return losses["loss"]

    def configure_optimizers(self) -> Any:
        """Adam or AdamW, fused into one sweep over the weights; its maths is that of the default implementation."""
        trainable = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        options = self.options
        adam: torch.optim.Optimizer
        if options.weight_decay:
            adam = torch.optim.AdamW(trainable, lr=options.learning_rate, weight_decay=options.weight_decay, fused=True)
        else:
            adam = torch.optim.Adam(trainable, lr=options.learning_rate, fused=True)
        if options.schedule == "constant":
            return adam
        factor = dann if options.schedule == "dann" else cosine
        ramp = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: factor(min(1.0, step / self.total_steps)))
        return {"optimizer": adam, "lr_scheduler": {"scheduler": ramp, "interval": "step"}}

    def on_train_start(self) -> None:
        """A stage killed right after its last epoch has nothing left to do."""
        self._stop_if_ended()

    def on_train_epoch_start(self) -> None:
        """Draws of an epoch depend on (seed, epoch) alone, so that a resumed epoch repeats them."""
        # Processes that share steps drop different units; the first draws as it would alone.
        torch.manual_seed(derive_seed(self.seed, "epoch", self.current_epoch) + self.global_rank)
        self._sums, self._n_steps = {}, 0

    def on_train_epoch_end(self) -> None:
        """Validates the epoch, keeps the best weights, decides whether to stop."""
        metrics = {f"train/{name}": self._mean(value) / self._n_steps for name, value in self._sums.items()}
        trained = self._take_average()
        metrics |= self._validated()
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise DivergenceError(
                    f"Stage {self.name}: {name} is {value} after epoch {self.current_epoch + 1}. {self._advice}"
                )
        self.epochs.append({"epoch": self.current_epoch, **metrics} | ({"collapsed": 1.0} if self.collapsed else {}))
        if self.current_epoch == 0:
            self.collapsed = False  # a fresh network's predictions are alike too, and it may take more than an epoch
        elif all("collapsed" in epoch for epoch in self.epochs):
            raise DivergenceError(
                f"Stage {self.name}: all predictions are alike from the start{self.collapse}. {self._advice}"
            )
        if not self.collapsed:
            self._keep_best(metrics)
        if trained:
            self.network.load_state_dict(trained)
        if self.epoch_callback is not None:
            self.epoch_callback(self.name, self.current_epoch, metrics)
        log.info("%s epoch %d/%d: %s", self.name, self.current_epoch + 1, self.options.max_epochs, metrics)
        self._stop_if_ended()

    def _take_average(self) -> dict[str, Tensor]:
        """Puts the moving average of weights, this epoch's among them, into the network; returns the weights as trained."""
        n = self.options.average_epochs
        if n == 1 or self.monitor is None:
            return {}
        trained = {name: value.clone() for name, value in self.network.state_dict().items()}
        share = 1 / min(n, self.current_epoch + 1)
        before = self.average or trained
        self.average = {
            name: torch.lerp(before[name], value, share) if value.is_floating_point() else value.clone()
            for name, value in trained.items()
        }
        self.network.load_state_dict(self.average)
        return trained

    def _mean(self, value: Tensor) -> float:
        """Over the processes that share steps."""
        return float(self.trainer.strategy.reduce(value.to(self.device), reduce_op="mean"))

    def _validated(self) -> dict[str, float]:
        """What ``validate`` says in the first process, told to all, so that they stop and keep weights alike."""
        found: tuple[dict[str, float], bool, str] = {}, False, ""  # what the first process fills in
        if self.trainer.is_global_zero:
            self.network.eval()
            with torch.no_grad():
                found = self.validate(), self.collapsed, self.collapse
            self.network.train()
        metrics, self.collapsed, self.collapse = self.trainer.strategy.broadcast(found)
        return metrics

    def _keep_best(self, metrics: dict[str, float]) -> None:
        if self.monitor is None:
            return
        if metrics[self.monitor] < self.best_score:
            self.best_score, self.waited = metrics[self.monitor], 0
            self.best_weights = {name: value.clone() for name, value in self.network.state_dict().items()}
        else:
            self.waited += 1

    def _stop_if_ended(self) -> None:
        if self.collapsed:
            best = min(self.epochs[:-1], key=lambda epoch: epoch[str(self.monitor)])
            log.warning(
                "Training stopped: all predictions are alike since epoch %d%s. The weights of epoch %d are kept. %s",
                self.epochs[-1]["epoch"] + 1,
                self.collapse,
                best["epoch"] + 1,
                self._advice,
            )
            self.trainer.should_stop = True
        if self.options.patience is not None and self.waited >= self.options.patience:
            self.trainer.should_stop = True

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clips the norm; Lightning's own way refuses fused optimizers under bf16, where nothing needs unscaling."""
        if gradient_clip_val is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), gradient_clip_val)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what Lightning does not know of."""
        checkpoint["stage"] = {
            "epochs": self.epochs,
            "best_score": self.best_score,
            "best_weights": self.best_weights,
            "average": self.average,
            "waited": self.waited,
            "collapsed": self.collapsed,
            "collapse": self.collapse,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes it back."""
        for name, value in checkpoint["stage"].items():
            setattr(self, name, value)


def dann(progress: float) -> float:
    """Factor of the learning rate after a share of the planned steps: (1 + 10p)^−0.75 (Ganin et al., JMLR 2016)."""
    return float((1 + 10 * progress) ** -0.75)


def cosine(progress: float) -> float:
    """Factor of the learning rate after a share p of the planned steps: (1 + cos πp) / 2 (Loshchilov, ICLR 2017)."""
    return (1 + math.cos(math.pi * progress)) / 2


def run_stage(stage: Stage, batches: Iterable[Any], n_batches: int, context: FitContext) -> None:
    """Trains ``stage.network`` and leaves the chosen weights in it.

    With ``options.devices`` > 1 fresh processes do this together (``batches`` must then be ``BlockBatches``); only the first
    of them writes and reports, and its result is read back here.

    With ``context.checkpoints`` a state is written after an epoch and the result at the end; called again on the same
    folder, a finished stage is read back and an unfinished one goes on after the last epoch written. Epochs draw from
    (seed, epoch) alone, so the outcome is that of an uninterrupted run.

    Raises:
        DivergenceError: A loss or score is no longer a number.
    """
    folder = context.checkpoints
    if folder is not None and _result(stage, folder).exists():
        _read_result(stage, _result(stage, folder))
        return
    planned = stage.options.max_epochs
    context.on_stage(stage.name, StageLength(planned))
    if stage.options.devices == 1:
        stage.epoch_callback = context.on_epoch
        _train(stage, batches, n_batches, folder, context.progress)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            shared = folder or Path(temporary)
            backend = "nccl" if stage.options.on_gpu else "gloo"
            arguments = (stage, batches, shared, context.progress)
            run_in_processes(_train_share, stage.options.devices, arguments, backend, context.on_epoch)
            _read_result(stage, _result(stage, shared))
    context.on_stage(stage.name, StageLength(planned, len(stage.epochs), stage.kept))


def _train_share(
    rank: int, report: Callable[..., None], stage: Stage, blocks: BlockBatches, folder: Path, progress: bool
) -> None:
    """One process's part of ``run_stage``; expression and labels lie in memory that all processes share."""
    for weights in (*stage.network.parameters(), *stage.network.buffers()):
        weights.data = weights.data.clone()  # a copy of its own, where memory came shared from the parent process
    share = BlockShare(blocks, rank=rank, n_processes=stage.options.devices)
    stage.epoch_callback = report if rank == 0 else None
    _train(stage, share, len(share), folder, progress)


def _train(stage: Stage, batches: Iterable[Any], n_batches: int, folder: Path | None, progress: bool) -> None:
    options, n = stage.options, stage.options.devices
    stage.total_steps = options.max_epochs * n_batches
    log.info("%s: %d × %d CPU threads", stage.name, n, torch.get_num_threads())
    states = folder / stage.name if folder else None
    last = states / "last.ckpt" if states else None
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        # Batches are row numbers made on the fly; Lightning would have them come from worker processes.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")  # Lightning 2.6 on torch 2.13
        warnings.filterwarnings("ignore", message=".*broadcast_buffers. is deprecated.*")  # successor: torch 2.13
        trainer = pl.Trainer(
            max_epochs=options.max_epochs,
            accelerator=options.device if n == 1 else "gpu" if options.on_gpu else "cpu",
            devices=n,
            # Buffers (expression, drug features) never change; sent with every step they would cost more than the step.
            strategy="auto" if n == 1 else DDPStrategy(broadcast_buffers=False),
            logger=False,
            callbacks=_callbacks(states, progress, options.checkpoint_every_s),
            enable_checkpointing=states is not None,
            enable_progress_bar=progress,
            enable_model_summary=False,
            plugins=[AtomicCheckpoints(), *([] if n == 1 else [LightningEnvironment()])],
            gradient_clip_val=options.gradient_clip,
            precision="bf16-mixed" if options.precision == "bf16" else "32-true",
        )
        resume = str(last) if last is not None and last.exists() else None
        on_interrupt = signal.getsignal(signal.SIGINT) or signal.SIG_DFL
        try:
            trainer.fit(stage, train_dataloaders=batches, ckpt_path=resume, weights_only=True)
        except SystemExit:  # Lightning's answer to an interrupt; it also turns the key off for good
            signal.signal(signal.SIGINT, on_interrupt)
            raise KeyboardInterrupt from None
    if stage.best_weights:
        stage.network.load_state_dict(stage.best_weights)
    if folder is not None and states is not None and trainer.is_global_zero:
        _write_result(stage, _result(stage, folder))
        shutil.rmtree(states, ignore_errors=True)  # absent where training was shorter than checkpoint_every_s


def _callbacks(states: Path | None, progress: bool, checkpoint_every_s: float) -> list[Callback]:
    callbacks: list[Callback] = []
    if progress:
        callbacks.append(TQDMProgressBar(refresh_rate=20, leave=False))
    if states is not None:
        callbacks.append(EpochCheckpoint(states, checkpoint_every_s))
    return callbacks


def _result(stage: Stage, folder: Path) -> Path:
    return folder / f"{stage.name}.safetensors"


def _write_result(stage: Stage, path: Path) -> None:
    facts = {"epochs": json.dumps(stage.epochs)}
    weights = {name: value.contiguous() for name, value in stage.network.state_dict().items()}
    write_atomically(path, lambda temporary: save_file(weights, temporary, facts))


def _read_result(stage: Stage, path: Path) -> None:
    with safe_open(path, "pt") as saved:
        stage.epochs = json.loads(saved.metadata()["epochs"])
        stage.network.load_state_dict({name: saved.get_tensor(name) for name in saved.keys()})  # noqa: SIM118
