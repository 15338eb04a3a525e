"""Training speed on a GPU: block shapes up to the whole matrix, in fp32, tf32 and bf16, and the share of the chip's bound.

A step is measured between device events, with every tensor resident; ``--peak-tflops`` is the chip's figure for the
precision (dense, without sparsity), from its maker. A step that would make the host wait for the device stops the script.

    python -m experiments.speed.gpu --data simulated_paper --out experiments/speed/gpu.csv

Not measured yet: no GPU was at hand. On a machine without one the script says so and ends with exit code 2.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from dadsp.configuration.compose import build, compose
from dadsp.files import write_atomically
from dadsp.models.base import FitContext
from dadsp.models.stages.dadsp_a import DadspStage
from dadsp.provenance import environment_tags
from dadsp.schema import Split, Study
from experiments.speed.compare import FirstBatches

SHAPES = ((32, 32), (64, 64), (256, 64), (256, 256), (2000, 1000))  # the last is the whole matrix of any screen here
PRECISIONS = ("fp32", "tf32", "bf16")
STEPS, WARM_UP = 50, 10


def step_flops(stage: DadspStage, lines: int, pairs: int) -> float:
    """Operations of a step's matrix products: 6 a weight and row (forward, and two products backward)."""
    weights = {
        name: sum(p.numel() for p in getattr(stage.network, name).parameters() if p.dim() == 2)
        for name in ("encoder", "discriminator", "regressor")
    }
    return 6.0 * (lines * (weights["encoder"] + weights["discriminator"]) + pairs * weights["regressor"])


def seconds_per_step(stage: DadspStage, first: FirstBatches, precision: str) -> float:
    """Mean seconds of a step after warming up, by the device's clock."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    device = torch.device("cuda")
    stage.to(device).train()
    batches = [type(batch)(*(p.to(device) if isinstance(p, torch.Tensor) else p for p in batch)) for batch in first]
    adam = stage.configure_optimizers()
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    for number, batch in enumerate(batches):
        if number == WARM_UP:
            torch.cuda.synchronize()
            torch.cuda.set_sync_debug_mode("error")
            begin.record()
        adam.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
            loss = stage.losses(batch)["loss"]
        loss.backward()
        adam.step()
    end.record()
    torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1e3 / (len(batches) - WARM_UP)


def main() -> None:
    """Measures every shape and precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="simulated_paper")
    parser.add_argument("--peak-tflops", type=float, nargs=3, metavar=PRECISIONS, help="the chip's peak for each precision")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("No GPU here: nothing measured.", file=sys.stderr)
        raise SystemExit(2)
    config = compose("config", [f"data={arguments.data}"])
    study: Study = build(config.data, "data")
    split: Split = build(config.split, "split", study=study, seed=0)
    peaks = dict(zip(PRECISIONS, arguments.peak_tflops or [float("nan")] * 3, strict=True))
    rows: list[dict[str, Any]] = []
    for lines, drugs in SHAPES:
        for precision in PRECISIONS:
            shape = [f"trainer.block_lines={lines}", f"trainer.block_drugs={drugs}", "trainer.min_blocks=1"]
            model = build(compose("config", [f"data={arguments.data}", "model.pretraining=null", *shape]).model, "model")
            stage, batches = model.prepare_stage(study, split, FitContext())
            stage.total_steps = STEPS + WARM_UP
            first = FirstBatches(batches, STEPS + WARM_UP)
            step = seconds_per_step(stage, first, precision)
            pairs = len(split.train_idx) / len(batches)
            tflops = step_flops(stage, len(first.listed[0].lines), first.listed[0].label.numel()) / step / 1e12
            rows.append({"block": f"{lines}x{drugs}", "precision": precision, "ms_per_step": 1e3 * step})
            rows[-1] |= {"pairs_per_s": pairs / step, "tflops": tflops, "share_of_peak": tflops / peaks[precision]}
            print(rows[-1], flush=True)
    facts = {
        "gpu": torch.cuda.get_device_name(),
        "data_hash": study.content_hash,
        "git.sha": environment_tags().get("git.sha", ""),
    }
    table = pd.DataFrame(rows).assign(data=arguments.data, command=" ".join(sys.argv[1:]), **facts)
    write_atomically(arguments.out, lambda path: table.round(4).to_csv(path, index=False))


if __name__ == "__main__":
    main()
