"""States of training on disk: whole or absent, and read without running code."""

import time
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from dadsp.errors import LoadError
from dadsp.files import write_atomically


class AtomicCheckpoints(TorchCheckpointIO):
    """Training states that are complete or absent, and that run no code when they are read."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes under a temporary name in the same folder, then renames."""
        write_atomically(Path(path), lambda temporary: _save_state(checkpoint, temporary))

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """Reads a state.

        Raises:
            LoadError: It is damaged.
        """
        try:
            state: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        except Exception as error:  # zip, pickle and OS errors alike
            raise LoadError(f"{path} is damaged ({error}). Delete its folder and resume again.") from error
        return state


class _RefusalKept:
    """A file for torch to write to, whose archive writer must meet no error: the first is kept and raised afterwards."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.refusal: OSError | None = None

    def write(self, content: Any) -> int:
        if self.refusal is None:
            try:
                self.file.write(content)
            except OSError as error:
                self.refusal = error
        return memoryview(content).nbytes

    def flush(self) -> None:
        """Nothing: closing the file does."""


def _save_state(state: dict[str, Any], path: Path) -> None:
    """``torch.save``, but a full disk is an OSError."""
    with path.open("wb") as file:
        kept = _RefusalKept(file)
        torch.save(state, cast(BinaryIO, kept))
        if kept.refusal is not None:
            raise kept.refusal


class EpochCheckpoint(ModelCheckpoint):
    """A state after an epoch, unless the last one is younger than ``every_s`` seconds."""

    def __init__(self, folder: Path, every_s: float) -> None:
        super().__init__(dirpath=folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False)
        self.every_s, self.written = every_s, time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning's hook."""
        # The first process's clock decides for all that share steps: a state is written by all of them or none.
        if trainer.strategy.broadcast(time.monotonic() - self.written >= self.every_s):
            super().on_train_epoch_end(trainer, pl_module)
            self.written = time.monotonic()
