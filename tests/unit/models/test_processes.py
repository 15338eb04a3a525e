"""Processes that share steps train as one process on the union of their blocks; their parent alone writes and reports."""

import os
import signal
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dadsp.errors import ConfigError, DadspError, DivergenceError
from dadsp.models.base import FitContext
from dadsp.models.stages.dadsp_a import DadspStage
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.models.training.batches import BlockBatch, BlockBatches, BlockShare
from dadsp.models.training.options import TrainingOptions, claim_device
from dadsp.models.training.stage import run_stage
from dadsp.nets.wide_linear import WideLinear
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study

STRENGTH = 0.9051482536448664  # λ(0.3) = 2 / (1 + exp(−3)) − 1
SMALL: dict[str, Any] = {
    "encoder_widths": (6, 5),
    "drug_widths": (4,),
    "regressor_widths": (4, 3),
    "discriminator_widths": (3,),
    "pretraining": None,
}


class NotingStage(DadspStage):
    """Writes every step's gradients as they stand before the optimizer; λ is that of p = 0.3 throughout."""

    progress = 0.3
    folder: Path

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        gradients = {name: weight.grad for name, weight in self.network.named_parameters() if weight.grad is not None}
        save_file(gradients, self.folder / f"{self.global_rank}-{self.current_epoch}-{self.global_step}.safetensors")


def prepared(monkeypatch: pytest.MonkeyPatch, **training: Any) -> tuple[NotingStage, BlockBatches]:
    """A stage on blocks of unequal size, some of whose pairs are unmeasured; the weights (all but) stand still."""
    monkeypatch.setattr("dadsp.models.stages.dadsp_a.DadspStage", NotingStage)
    study = small_study(n_source=13, n_target=9)
    split = cross_screen(study, seed=0, val_fraction=0.2)
    split = replace(split, train_idx=np.delete(split.train_idx, [3, 4, 11, 17, 30]))
    shape = {"block_lines": 4, "block_drugs": 2, "min_blocks": 1, "learning_rate": 1e-12}
    model = DadspA(training={"max_epochs": 1, **shape, **training}, adversarial_weight=0.7, **SMALL)
    stage, batches = model.prepare_stage(study, split, FitContext())
    assert isinstance(stage, NotingStage)
    assert isinstance(batches, BlockBatches)
    return stage, batches


def union_gradients(stage: DadspStage, step: list[BlockBatch], mean_pairs_in_a_step: float) -> dict[str, Tensor]:
    """Of one process on all pairs and lines of a step's blocks, written out pair by pair."""
    network: Any = stage.network
    errors, logits, domains = [], [], []
    for block in step:
        codes = network.encoder(stage.expression[block.lines])
        for row, column in block.weight.nonzero().tolist():
            drug = network.drug_branch(stage.drug_features[block.drugs[column]])
            predicted = torch.sigmoid(network.regressor(torch.cat([codes[row], drug]).unsqueeze(0)))
            errors.append((predicted.squeeze() - block.label[row, column]) ** 2)
        logits.append(network.tell_domain(codes, STRENGTH))
        domains += [0] * block.n_source + [1] * (len(block.lines) - block.n_source)
    domain_loss = nn.functional.cross_entropy(torch.cat(logits), torch.tensor(domains))
    loss = torch.stack(errors).sum() / mean_pairs_in_a_step + 0.7 * domain_loss
    names, weights = zip(*network.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, weights), strict=True))


def steps_of(batches: BlockBatches, n_processes: int) -> tuple[list[list[BlockBatch]], float]:
    """The blocks of an epoch step by step, and the mean number of pairs in a step."""
    every = iter(batches)
    steps = []
    while step := list(islice(every, n_processes)):
        steps.append(step)
    n_pairs = sum(int((block.weight > 0).sum()) for step in steps for block in step)
    return steps, n_pairs / len(steps)


@pytest.mark.parametrize("n_processes", [2, 4])
def test_mean_gradient_of_the_shares_is_that_of_the_union_of_their_blocks(
    n_processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, batches = prepared(monkeypatch)
    steps, mean_pairs = steps_of(batches, n_processes)
    assert len({len(block.lines) for step in steps for block in step}) > 1
    assert len(steps[-1]) < n_processes
    shares = [BlockShare(batches, rank=rank, n_processes=n_processes) for rank in range(n_processes)]
    for step, *own in zip(steps, *shares, strict=True):
        stage.zero_grad()
        torch.stack([stage.losses(block)["loss"] for block in own]).mean().backward()
        expected = union_gradients(stage, step, mean_pairs)
        for name, weight in stage.network.named_parameters():
            torch.testing.assert_close(weight.grad, expected[name], atol=1e-6, rtol=1e-5)


@pytest.mark.slow
def test_two_gloo_processes_give_the_gradients_of_one_on_the_union_of_their_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, batches = prepared(monkeypatch, devices=2, device="cpu")
    stage.folder = tmp_path
    steps, mean_pairs = steps_of(batches, 2)
    expected = [union_gradients(stage, step, mean_pairs) for step in steps]
    first: Any = stage.network.encoder[0]  # type: ignore[index]
    wide = WideLinear(first[0].in_features, first[0].out_features)
    wide.load_state_dict(first[0].state_dict())
    first[0] = wide  # writes its gradient itself, past autograd; the processes must average it too
    reported: list[tuple[str, int]] = []
    context = FitContext(on_epoch=lambda name, epoch, metrics: reported.append((name, epoch)))
    run_stage(stage, batches, len(batches), context)
    assert len(steps[-1]) == 1
    assert len(list(tmp_path.iterdir())) == 2 * len(steps)
    for number, gradients in enumerate(expected):
        ours, theirs = (load_file(tmp_path / f"{rank}-0-{number}.safetensors") for rank in (0, 1))
        for name, gradient in gradients.items():
            torch.testing.assert_close(ours[name], gradient, atol=1e-5, rtol=1e-5)
            assert torch.equal(ours[name], theirs[name])
    assert reported == [("dadsp_a", 0)]
    squared = [(stage.losses(block._replace(weight=(block.weight > 0) * 1.0))["mse"]) for step in steps for block in step]
    n_pairs = mean_pairs * len(steps)
    assert stage.epochs[0]["train/mse"] == pytest.approx(float(torch.stack(squared).sum().detach()) / n_pairs, abs=1e-6)


TWO = {"max_epochs": 4, "devices": 2, "device": "cpu", "min_blocks": 4, "patience": None, "checkpoint_every_s": 0}


class DyingStage(DadspStage):
    """Its first process is killed in the third epoch."""

    def validate(self) -> dict[str, float]:
        if self.current_epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().validate()


def fitted(context: FitContext, **training: Any) -> DadspA:
    study = small_study()
    return DadspA(training={**TWO, **training}, dropout=0.2, **SMALL).fit(study, cross_screen(study, seed=0), context)


@pytest.mark.slow
def test_run_whose_process_was_killed_resumes_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    whole = fitted(FitContext())
    assert caplog.text.count("dadsp_a epoch 1/") == 1  # logged by the first process, heard here once
    monkeypatch.setattr("dadsp.models.stages.dadsp_a.DadspStage", DyingStage)
    with pytest.raises(DadspError, match="SIGKILL"):
        fitted(FitContext(checkpoints=tmp_path))
    monkeypatch.undo()
    assert (tmp_path / "dadsp_a" / "last.ckpt").exists()
    epochs: list[int] = []
    resumed = fitted(FitContext(checkpoints=tmp_path, on_epoch=lambda stage, epoch, metrics: epochs.append(epoch)))
    assert epochs == [2, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["dadsp_a.safetensors"]
    assert whole.history().equals(resumed.history())
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(weight, resumed.network.state_dict()[name])


@pytest.mark.slow
def test_interrupted_run_leaves_no_process_behind() -> None:
    def interrupt(stage: str, epoch: int, metrics: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(FitContext(on_epoch=interrupt), max_epochs=10**6)
    assert torch.multiprocessing.active_children() == []


@pytest.mark.slow
def test_divergence_in_a_process_is_the_same_error_here() -> None:
    with pytest.raises(DivergenceError, match=r"trainer\.learning_rate"):
        fitted(FitContext(), learning_rate=1e30)


@pytest.mark.parametrize(
    ("training", "options", "message"),
    [
        ({"batching": "pairs"}, {}, "trainer: devices=2 shares blocks"),
        ({}, {"target_sampling": "paired"}, "Use trainer.devices=1"),
        ({}, {"discriminator_batch_norm": True}, "Use trainer.devices=1"),
        ({"devices": 0}, {}, "trainer.devices=0 is not valid"),
    ],
)
def test_what_processes_cannot_share_is_refused(training: Any, options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DadspA(training={"devices": 2, **training}, **options)


def test_more_gpus_than_there_are_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    claim_device(TrainingOptions(devices=2, device="cpu"))
    with pytest.raises(ConfigError, match="torch finds 1 GPUs here"):
        claim_device(TrainingOptions(devices=2))
