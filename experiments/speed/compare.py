"""Training speed of the textbook way and of dadsp's ways, in one process.

- textbook: a Dataset that yields dense rows, a DataLoader, ``nn.Linear``, the default Adam, a plain loop.
- then each step of dadsp switched on in turn: index batches over resident expression, distinct lines and drugs encoded once;
  fused Adam; one lasting gradient buffer (this is the plain path); row-space coordinates; blocks of lines × drugs, small to
  large. Last, what the default leaves off: blocks alone, bf16, torch.compile.
  Up to the plain path batches and weights are the textbook's, and the script stops if losses differ by more than rounding.

All but the textbook run under the Lightning Trainer, as ``dadsp train`` runs them. Times are medians over steps. Seconds to
a source-validation RMSE are preparation plus steps × median step, the steps counted in a run of their own with the
validation pairs predicted at intervals; the RMSE is the best that ``--score-steps`` steps of the plain path (the textbook's
steps) reach.

    python experiments/speed/compare.py [--data simulated_paper] [--steps 12] [--out experiments/speed/results.csv]
"""

import argparse
import contextlib
import copy
import itertools
import logging
import math
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from dadsp.configuration.compose import build, compose
from dadsp.files import write_atomically
from dadsp.models.base import FitContext
from dadsp.models.stages.dadsp_a import SOURCE, TARGET, DadspStage
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.models.training.batches import BlockBatch, PairBatch, PairBatches
from dadsp.models.training.stage import run_stage
from dadsp.nets.dadsp_network import DadspNetwork
from dadsp.nets.wide_linear import WideLinear
from dadsp.provenance import environment_tags
from dadsp.schema import Split, Study

WARM_UP = 3  # steps that pay for allocation and thread start
PLAIN = "+ lasting gradient buffer (plain path)"
GENES = "model.input_basis=genes"
PIPELINES: dict[str, tuple[list[str], set[str]]] = {  # overrides, and what is done to the stage
    "index batches": (["trainer=pairs", GENES], {"default Adam", "no buffer"}),
    "+ fused Adam": (["trainer=pairs", GENES], {"no buffer"}),
    PLAIN: (["trainer=pairs", GENES], set()),
    "+ row space": (["trainer=pairs"], set()),
    "+ blocks 32 × 32": (["trainer.block_lines=32", "trainer.block_drugs=32"], set()),
    "+ blocks 64 × 32": (["trainer.block_lines=64", "trainer.block_drugs=32"], set()),
    "+ blocks 64 × 64": (["trainer.block_lines=64", "trainer.block_drugs=64"], set()),
    "+ blocks 16 × all drugs (default)": ([], set()),
    "default without row space": ([GENES], set()),
    "default, bf16": (["trainer.precision=bf16"], set()),
    "default, torch.compile": ([], {"compile"}),
}
NOT_SCORED = "default"  # what does not belong to the default
SCORED_BY = dict.fromkeys(("textbook", "index batches", "+ fused Adam", PLAIN), PLAIN)  # the same steps


class DenseRows(Dataset[tuple[Any, ...]]):
    """One item a pair: expression of its line, features of its drug, label, expression of a target line."""

    def __init__(self, batches: list[PairBatch], expression: np.ndarray, drugs: np.ndarray) -> None:
        self.rows: list[tuple[int, int, float, int]] = []
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


class TimedStage(DadspStage):
    """The stage of ``dadsp train`` with a clock, and λ held constant so that all ways share one objective."""

    strength = 0.5

    def losses(self, batch: PairBatch | BlockBatch) -> dict[str, torch.Tensor]:
        """As in training, noting when each step begins and what it loses."""
        self.clock.append(time.perf_counter())
        losses = super().losses(batch)
        self.seen.append(losses["loss"].detach())
        return losses

    @property
    def progress(self) -> float:
        """Inverse of the λ ramp at ``strength``."""
        return float(np.log((1 + self.strength) / (1 - self.strength)) / self.dadsp.gamma)

    def validate(self) -> dict[str, float]:
        """Nothing: only steps are timed."""
        return {self.metric: 0.0}


class Reached(Exception):
    """The score, or the last step allowed."""


class ScoredStage(DadspStage):
    """The stage of ``dadsp train``, validated every few steps until a score or a number of steps is reached."""

    def on_train_batch_end(self, *_: Any) -> None:
        """Lightning's hook."""
        if self.global_step % self.every == 0:
            self.network.eval()
            with torch.no_grad():
                self.scores[self.global_step] = self.validate()[self.metric]
            self.network.train()
        if self.global_step >= self.limit or min(self.scores.values(), default=math.inf) <= self.goal:
            raise Reached


class FirstBatches:
    """The first few batches of an epoch, beginning again where an epoch is shorter."""

    def __init__(self, batches: Any, n: int) -> None:
        self.listed = list(itertools.islice(itertools.cycle(batches), n))

    def __len__(self) -> int:
        return len(self.listed)

    def __iter__(self) -> Any:
        return iter(self.listed)


def without_buffer(network: nn.Module) -> None:
    """Gives wide layers the usual way to make their gradients."""
    for module in network.modules():
        if isinstance(module, WideLinear):
            module.__class__ = nn.Linear


def textbook(network: DadspNetwork, dataset: DenseRows, size: int, learning_rate: float) -> tuple[list[float], list[float]]:
    """Step seconds and losses of the textbook way."""
    without_buffer(network)
    adam = torch.optim.Adam(network.parameters(), lr=learning_rate)
    network.train()
    seconds, losses = [], []
    start = time.perf_counter()
    for source, drugs, label, target in DataLoader(dataset, batch_size=size):
        codes = network.encoder(torch.cat([source, target]))
        joined = torch.cat([codes[: len(label)], network.drug_branch(drugs)], dim=1)
        mse = nn.functional.mse_loss(torch.sigmoid(network.regressor(joined)).squeeze(1), label)
        domain = torch.cat([torch.full((len(source),), SOURCE), torch.full((len(target),), TARGET)])
        loss = mse + nn.functional.cross_entropy(network.tell_domain(codes, TimedStage.strength), domain)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    return seconds, losses


def stage_of(data: str, name: str, study: Study, split: Split) -> tuple[DadspStage, Any]:
    """The stage of a pipeline and its batches."""
    overrides, changes = PIPELINES[name]
    config = compose("config", [f"data={data}", "model.pretraining=null", "trainer.min_blocks=1", *overrides])
    model: DadspA = build(config.model, "model")
    stage, batches = model.prepare_stage(study, split, FitContext())
    if "no buffer" in changes:
        without_buffer(stage.network)
    if "default Adam" in changes:
        stage.configure_optimizers = lambda: torch.optim.Adam(stage.network.parameters(), lr=stage.options.learning_rate)
    if "compile" in changes:
        stage.network.encoder.compile()
        stage.network._after_first_layer = torch.compile(stage.network._after_first_layer)
    return stage, batches


def steps_to_score(stage: DadspStage, batches: Any, every: int, limit: int, goal: float = 0.0) -> dict[int, float]:
    """RMSE on the validation pairs after so many steps, until ``goal`` or ``limit``; λ ramps as in a run of 15 epochs."""
    stage.__class__ = ScoredStage
    stage.scores, stage.every, stage.limit, stage.goal = {}, every, limit, goal
    with contextlib.suppress(Reached):
        run_stage(stage, batches, len(batches), FitContext())
    return stage.scores


def peak_since_reset() -> float:
    """Peak resident memory in GiB since ``reset_peak`` (Linux)."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**20


def reset_peak() -> None:
    """Starts a new peak."""
    Path("/proc/self/clear_refs").write_text("5")


def largest_operations(stage: TimedStage, batches: FirstBatches) -> str:
    """Share of the step spent in its largest operations, from a profile of the bare loop."""
    adam = stage.configure_optimizers()
    stage.train()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for batch in batches.listed[:5]:
            adam.zero_grad()
            stage.losses(batch)["loss"].backward()
            adam.step()
    spent = {row.key.removeprefix("aten::"): row.self_cpu_time_total for row in profile.key_averages()}
    top = sorted(spent.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name} {value / sum(spent.values()):.0%}" for name, value in top)


def bare_loop(stage: TimedStage, batches: FirstBatches) -> float:
    """Median seconds of a step without the Trainer."""
    adam = stage.configure_optimizers()
    stage.train()
    seconds = []
    for batch in batches.listed:
        start = time.perf_counter()
        adam.zero_grad()
        stage.losses(batch)["loss"].backward()
        adam.step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[WARM_UP:])


def time_every_way(data: str, steps: int, study: Study, split: Split) -> list[dict[str, Any]]:
    """One row for each way, the textbook first."""
    config = compose("config", [f"data={data}"])
    rows: list[dict[str, Any]] = []
    expected: list[float] = []
    for name in PIPELINES:
        start = time.perf_counter()
        stage, batches = stage_of(data, name, study, split)
        preparation = time.perf_counter() - start
        stage.__class__, stage.options = TimedStage, replace(stage.options, max_epochs=1)
        stage.clock, stage.seen = [], []
        first = FirstBatches(batches, steps + WARM_UP + 1)
        by_pairs = isinstance(batches, PairBatches)
        pairs = float(config.trainer.batch_size) if by_pairs else len(split.train_idx) / len(batches)
        if not rows:  # the same weights and batches, the textbook way
            fresh = copy.deepcopy(stage.network)
            dense = DenseRows(first.listed, stage.expression.numpy(), stage.drug_features.numpy())
            reset_peak()
            seconds, expected = textbook(fresh, dense, int(pairs), stage.options.learning_rate)
            rows.append({"pipeline": "textbook", "ms_per_step": 1e3 * statistics.median(seconds[WARM_UP:]), "pairs": pairs})
            rows[-1] |= {"peak_gib": peak_since_reset(), "preparation_s": preparation}
            del fresh, dense
        reset_peak()
        run_stage(stage, first, len(first), FitContext())
        step = statistics.median(np.diff(stage.clock)[WARM_UP:])
        row = {"pipeline": name, "ms_per_step": 1e3 * step, "pairs": pairs, "peak_gib": peak_since_reset()}
        if SCORED_BY.get(name) == PLAIN:
            difference = max(abs(a - float(b)) for a, b in zip(expected, stage.seen, strict=True))
            row["largest_loss_difference"] = difference
            if difference > 1e-3:
                raise SystemExit(f"{name} is not the textbook: losses differ by {difference}")
        if stage.options.precision == "fp32" and not PIPELINES[name][1]:
            row["trainer_overhead"] = step / bare_loop(stage, first)
            row["largest_operations"] = largest_operations(stage, first)
        rows.append(row | {"preparation_s": preparation})
        print(f"{name}: {row['ms_per_step']:.1f} ms/step", file=sys.stderr, flush=True)
        del stage, batches, first
    return rows


def count_steps(data: str, limit: int, study: Study, split: Split) -> tuple[float, dict[str, int | None]]:
    """The RMSE that ``limit`` steps of the plain path reach, and after how many steps each way reaches it."""
    stage, batches = stage_of(data, PLAIN, study, split)
    scores = steps_to_score(stage, batches, max(1, limit // 20), limit)
    goal = min(scores.values())
    counted: dict[str, int | None] = {PLAIN: min(step for step, score in scores.items() if score <= goal)}
    for name, (_, changes) in PIPELINES.items():
        if name in SCORED_BY or changes or name.startswith(NOT_SCORED):
            continue
        stage, batches = stage_of(data, name, study, split)
        every = max(1, limit // 20) if isinstance(batches, PairBatches) else 5
        scores = steps_to_score(stage, batches, every, limit, goal)
        counted[name] = max(scores) if min(scores.values()) <= goal else None
        print(f"{name}: RMSE {min(scores.values()):.4f} after {max(scores)} steps", file=sys.stderr, flush=True)
    return goal, counted


def main() -> None:
    """Times every way and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="simulated_paper")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2, help="the faster of so many rounds counts, for each way")
    parser.add_argument("--score-steps", type=int, default=500, help="0: no seconds to a score")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    config = compose("config", [f"data={arguments.data}"])
    study: Study = build(config.data, "data")
    split: Split = build(config.split, "split", study=study, seed=0)

    rounds = [time_every_way(arguments.data, arguments.steps, study, split) for _ in range(arguments.rounds)]
    table = pd.DataFrame([min(rows, key=lambda row: row["ms_per_step"]) for rows in zip(*rounds, strict=True)])
    table.insert(3, "pairs_per_s", table["pairs"] / table["ms_per_step"] * 1e3)
    table.insert(4, "ratio_to_textbook", table["pairs_per_s"] / table["pairs_per_s"].iloc[0])
    if arguments.score_steps:
        goal, counted = count_steps(arguments.data, arguments.score_steps, study, split)
        steps = pd.Series([counted.get(SCORED_BY.get(name, name)) for name in table["pipeline"]], dtype=float)
        seconds = table["preparation_s"] + steps * table["ms_per_step"] / 1e3
        table = table.assign(val_rmse=goal, steps_to_rmse=steps, seconds_to_rmse=seconds)
        table["ratio_of_seconds"] = seconds.iloc[0] / seconds
    print(table.round(4).to_string(index=False))
    if arguments.out:
        identity = {
            "data": arguments.data,
            "seed": 0,
            "command": f"python experiments/speed/compare.py {' '.join(sys.argv[1:])}",
            "git.sha": environment_tags().get("git.sha", ""),
            "data_hash": study.content_hash,
            "split_hash": split.content_hash,
            "n_genes": len(study.genes),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        _store(table.round(4).assign(**identity), arguments.out)


def _store(table: pd.DataFrame, path: Path) -> None:
    """Replaces the rows of the same data in a results file."""
    if path.exists():
        old = pd.read_csv(path)
        table = pd.concat([old[old["data"] != table["data"].iloc[0]], table], ignore_index=True)
    write_atomically(path, lambda temporary: table.to_csv(temporary, index=False))


if __name__ == "__main__":
    main()
