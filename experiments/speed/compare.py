"""The same network and batches trained the textbook way and dadsp's way, in one process.

(a) textbook: a Dataset that yields dense rows, a DataLoader, ``nn.Linear``, the default Adam, a plain loop.
(b) dadsp: index batches, expression resident in one tensor, distinct lines encoded once, one lasting gradient buffer, fused
    Adam, under the Lightning Trainer as ``dadsp train`` runs it.

Both see the same batches from the same initial weights; the script compares their losses step by step and stops if they
differ by more than rounding.

    python experiments/speed/compare.py [data=simulated_paper] [--steps 12] [--batch-size 128] [--json FILE]
"""

import argparse
import copy
import json
import logging
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from dadsp.cli.configuration import build, compose
from dadsp.files import write_json
from dadsp.models.base import FitContext
from dadsp.models.batches import LabelledPairs, PairBatch
from dadsp.models.dadsp_a import SOURCE, TARGET, DadspA, DadspStage
from dadsp.models.training import run_stage
from dadsp.nets.dadsp_network import DadspNetwork
from dadsp.nets.wide_linear import WideLinear

WARM_UP = 2  # steps that pay for allocation and thread start


class DenseRows(Dataset[tuple[Any, ...]]):
    """One item a pair: expression of its line, features of its drug, label, expression of a target line."""

    def __init__(self, batches: list[PairBatch], expression: np.ndarray, drugs: np.ndarray) -> None:
        self.rows = []
        for batch in batches:
            lines, n_pairs = batch.lines[batch.line_of_row].tolist(), len(batch.label)
            compounds = batch.drugs[batch.drug_of_pair].tolist()
            self.rows += zip(lines[:n_pairs], compounds, batch.label.tolist(), lines[n_pairs:], strict=True)
        self.expression, self.drugs = expression, drugs

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> tuple[Any, ...]:
        line, drug, label, target_line = self.rows[row]
        return self.expression[line], self.drugs[drug], np.float32(label), self.expression[target_line]


def textbook(
    network: DadspNetwork, dataset: DenseRows, size: int, strength: float, learning_rate: float
) -> tuple[list, list]:
    """Step seconds and losses of the textbook way; λ is held at ``strength``."""
    for module in network.modules():
        if isinstance(module, WideLinear):
            module.__class__ = nn.Linear
    adam = torch.optim.Adam(network.parameters(), lr=learning_rate)
    network.train()
    seconds, losses = [], []
    start = time.perf_counter()
    for source, drugs, label, target in DataLoader(dataset, batch_size=size):
        codes = network.encoder(torch.cat([source, target]))
        mse = nn.functional.mse_loss(network.regress(codes[: len(label)], network.drug_branch(drugs)), label)
        domain = torch.cat([torch.full((len(source),), SOURCE), torch.full((len(target),), TARGET)])
        loss = mse + nn.functional.cross_entropy(network.tell_domain(codes, strength), domain)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    return seconds, losses


class TimedStage(DadspStage):
    """The stage of ``dadsp train`` with a clock, and λ held constant so that both ways share one objective."""

    strength = 0.5

    def losses(self, batch: PairBatch) -> dict[str, torch.Tensor]:
        """As in training, noting when each step begins and what it loses."""
        self.clock.append(time.perf_counter())
        losses = super().losses(batch)
        self.seen.append(losses["loss"].detach())
        return losses

    @property
    def progress(self) -> float:
        """Inverse of the λ ramp at ``strength``."""
        return float(np.log((1 + self.strength) / (1 - self.strength)) / self.dadsp.gamma)


def shares(stage: TimedStage, batches: list[PairBatch]) -> dict[str, float]:
    """Share of dadsp's step spent in its largest operations, from a profile of the bare loop."""
    adam = stage.configure_optimizers()
    stage.train()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for batch in batches[:5]:
            adam.zero_grad()
            stage.losses(batch)["loss"].backward()
            adam.step()
    spent = {row.key: row.self_cpu_time_total for row in profile.key_averages()}
    total = sum(spent.values())
    return {name: value / total for name, value in sorted(spent.items(), key=lambda item: -item[1])[:6]}


def peak_since_reset() -> float:
    """Peak resident memory in GiB since ``reset_peak`` (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def reset_peak() -> None:
    """Starts a new peak."""
    Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    """Runs both ways and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", default=["data=simulated_paper"])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)

    config = compose(
        "config",
        [
            *arguments.overrides,
            f"trainer.batch_size={arguments.batch_size}",
            "trainer.max_epochs=1",
            "model.pretraining=null",
        ],
    )
    study = build(config.data, "data")
    split = build(config.split, "split", study=study, seed=0)
    model: DadspA = build(config.model, "model")
    n_pairs = arguments.batch_size * (arguments.steps + WARM_UP)
    stage, batches = model.prepare_stage(study, split, FitContext())
    pairs = batches.pairs
    some = np.random.default_rng(0).permutation(len(pairs))[:n_pairs]
    batches.pairs = LabelledPairs(pairs.line[some], pairs.drug[some], pairs.label[some])
    stage.__class__ = TimedStage
    stage.clock, stage.seen = [], []
    plain = copy.deepcopy(stage.network)
    listed = list(batches)
    dense = DenseRows(listed, stage.expression.numpy(), stage.drug_features.numpy())

    reset_peak()
    run_stage(stage, batches, len(batches), FitContext())
    ours = np.diff(stage.clock)[WARM_UP - 1 :]
    ours_peak = peak_since_reset()
    our_losses = [float(loss) for loss in stage.seen]
    stage.network.zero_grad()
    reset_peak()
    theirs, their_losses = textbook(plain, dense, arguments.batch_size, TimedStage.strength, config.trainer.learning_rate)
    theirs = theirs[WARM_UP:]
    theirs_peak = peak_since_reset()
    difference = max(abs(a - b) for a, b in zip(our_losses, their_losses, strict=True))
    if difference > 1e-3:
        raise SystemExit(f"The two ways differ: losses {our_losses} and {their_losses}")

    slow, fast = statistics.median(theirs), statistics.median(ours)
    results = {
        "data": arguments.overrides,
        "n_genes": len(study.genes),
        "batch_size": arguments.batch_size,
        "steps": arguments.steps,
        "textbook_ms_per_step": 1e3 * slow,
        "dadsp_ms_per_step": 1e3 * fast,
        "textbook_pairs_per_s": arguments.batch_size / slow,
        "dadsp_pairs_per_s": arguments.batch_size / fast,
        "textbook_peak_gib": theirs_peak,
        "dadsp_peak_gib": ours_peak,
        "ratio": slow / fast,
        "largest_loss_difference": difference,
        "share_of_step": shares(stage, listed),
        "distinct_lines_per_row": float(np.mean([len(b.lines) / len(b.line_of_row) for b in listed])),
        "data_hash": study.content_hash,
        "cpu_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    print(json.dumps(results, indent=2))
    if arguments.json:
        write_json(arguments.json, results)


if __name__ == "__main__":
    main()
