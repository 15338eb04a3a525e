"""Milliseconds of a training step with each drug representation, and of its drug branch alone.

Beside each convolutional one stands the same network as plain layers over the one-hot matrix, beside the graph network the
same with all molecules in one batch as large as the largest. Rounds go through all of them in turn, so that a slow spell of
the machine hits all; the fastest round of each counts.

    python experiments/speed/drug_branches.py --out experiments/speed/drug_branches.csv
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from dadsp.configuration.compose import build, compose
from dadsp.drugs.smiles_tokens import SmilesTokens
from dadsp.files import write_atomically
from dadsp.models.base import FitContext
from dadsp.models.stages.dadsp_a import DadspStage
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.nets import graph_encoder
from dadsp.provenance import environment_tags

WAYS = {
    "morgan": "morgan",
    "ssp": "ssp",
    "cnn": "cnn",
    "cnn, plain layers": "cnn",
    "cnn over the matrix": "cnn drug_features.kernels_over=matrix",
    "cnn over the matrix, plain layers": "cnn drug_features.kernels_over=matrix",
    "gcn": "gcn",
    "gcn, all drugs at once": "gcn",
    "gcn, 78 atom features": "gcn drug_features.atom_features=graphdrp drug_features.widths=[78,156,312]",
}


class OneHotCnn(nn.Module):
    """The layers of ``SmilesCnn`` or, as ``SmilesImageCnn``, of squares, on the one-hot matrix of every drug."""

    def __init__(self, features: SmilesTokens) -> None:
        super().__init__()
        as_image = features.kernels_over == "matrix"
        self.n_tokens = len(features.tokens or ())
        self.layers = nn.Sequential()
        shape, channels = (self.n_tokens, features.width), 1
        for kernel, filters in zip(features.kernels, features.filters, strict=True):
            sides = (kernel if as_image else shape[0], kernel)
            pool = (2 if as_image else 1, 2)
            self.layers.extend([nn.Conv2d(channels, filters, sides), nn.ReLU(), nn.MaxPool2d(pool)])
            shape = ((shape[0] - sides[0] + 1) // pool[0], (shape[1] - sides[1] + 1) // pool[1])
            channels = filters
        self.layers.extend([nn.Flatten(), nn.Linear(channels * shape[0] * shape[1], features.outputs), nn.ReLU()])

    def forward(self, rows: Tensor) -> Tensor:
        """Codes of drugs, shape (n, outputs)."""
        one_hot = nn.functional.one_hot(rows.long(), self.n_tokens + 1)[:, :, 1:].float()
        codes: Tensor = self.layers(one_hot.transpose(1, 2).unsqueeze(1))
        return codes


def median_ms(
    step: Callable[[Any], Tensor], parameters: Iterable[nn.Parameter], batches: list[Any], limit_s: float
) -> float:
    """Median time of forward, backward and Adam over the batches, or over as many as ``limit_s`` allows (at least two)."""
    adam = torch.optim.Adam(parameters, lr=1e-4, fused=True)
    seconds: list[float] = []
    for batch in batches:
        start = time.perf_counter()
        adam.zero_grad()
        step(batch).backward()
        adam.step()
        seconds.append(time.perf_counter() - start)
        if len(seconds) > 2 and sum(seconds) > limit_s:
            break
    return 1e3 * statistics.median(seconds[1:])  # the first pays for allocation


def prepared(data: str, way: str) -> tuple[DadspStage, Any]:
    """The training stage of a way, without pre-training, and its batches."""
    overrides = f"drug_features={WAYS[way]}".split()
    config = compose("config", [f"data={data}", "model.pretraining=null", *overrides])
    study = build(config.data, "data")
    model: DadspA = build(config.model, "model")
    stage, batches = model.prepare_stage(study, build(config.split, "split", study=study, seed=0), FitContext())
    stage.train()
    stage.total_steps = len(batches)
    features = model.fitted_features
    if way.endswith("plain layers") and isinstance(features, SmilesTokens):
        stage.network.drug_branch[0] = OneHotCnn(features)  # type: ignore[index, operator]
    return stage, batches


def timed(stage: DadspStage, batches: Any, steps: int) -> dict[str, float]:
    """Milliseconds of the whole step and of the drug branch alone, and the branch's number of parameters."""
    first = list(itertools.islice(batches, steps + 1))
    branch, features = stage.parts.drug_branch, stage.drug_features
    return {
        "ms_per_step": median_ms(lambda b: stage.losses(b)["loss"], stage.network.parameters(), first, 10),
        "ms_drug_branch": median_ms(lambda b: branch(features[b.drugs]).square().mean(), branch.parameters(), first, 10),
        "branch_parameters": sum(weight.numel() for weight in branch.parameters()),
    }


def main() -> None:
    """Times every way and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="gdsc_ccle_panel")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    stages = {way: prepared(arguments.data, way) for way in WAYS}
    rows = []
    alike = graph_encoder.TOGETHER
    for round_, way in itertools.product(range(arguments.rounds), WAYS):
        graph_encoder.TOGETHER = sys.maxsize if way.endswith("at once") else alike
        rows.append({"drug_features": way, **timed(*stages[way], arguments.steps)})
        print(f"round {round_}: {rows[-1]}", file=sys.stderr, flush=True)
    table = pd.DataFrame(rows).groupby("drug_features", sort=False).min().round(1).reset_index()
    print(table.to_string(index=False))
    if arguments.out:
        identity = {
            "data": arguments.data,
            "command": f"python experiments/speed/drug_branches.py --data {arguments.data} "
            f"--steps {arguments.steps} --rounds {arguments.rounds}",
            "git.sha": environment_tags().get("git.sha", ""),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        write_atomically(arguments.out, lambda path: table.assign(**identity).to_csv(path, index=False))


if __name__ == "__main__":
    main()
