"""``dadsp train``: one run, from configuration to a scored and tracked run folder."""

import sys
import time
from collections import Counter

from dadsp.cli.begin import Verb
from dadsp.cli.console import print_facts, print_results, tell, warn
from dadsp.models.base import FitContext, StageLength
from dadsp.runs.job import KEYS, Ending, Job, train
from dadsp.schema import Split, Study


def _train(job: Job, as_json: bool) -> Ending:
    worked = False

    def begun(study: Study, split: Split, system: str) -> None:
        nonlocal worked
        worked = True
        if not as_json:
            print_facts(study, split, system)
        warn(study)

    told = Teller()
    context = FitContext(on_epoch=told.on_epoch, on_stage=told.on_stage, progress=sys.stderr.isatty())
    _, ending = train(job, context, begun)
    if as_json or worked:
        print_results(job.folder, as_json, job.folder.tracking.get("uri"))
    return ending


class Teller:
    """Tells each epoch with a validation score, the first of every stage, and how a stage with such scores ended."""

    def __init__(self) -> None:
        self._begun: dict[str, tuple[int, float]] = {}  # planned epochs of a stage, and when it began
        self._trained: Counter[str] = Counter()  # epochs here

    def on_stage(self, stage: str, length: StageLength) -> None:
        if length.trained is None:
            self._begun[stage] = length.planned, time.monotonic()
        elif length.kept is not None:
            early = " early," if length.trained < length.planned else ""
            tell(f"{stage}  ended{early} after epoch {length.trained}/{length.planned}; epoch {length.kept} is kept")

    def on_epoch(self, stage: str, epoch: int, metrics: dict[str, float]) -> None:
        self._trained[stage] += 1
        if self._trained[stage] > 1 and not any(name.startswith("val/") for name in metrics):
            return
        scores = "  ".join(f"{name} {value:.4f}{_unit(name)}" for name, value in metrics.items())
        of, left = "", 0.0
        if stage in self._begun:
            planned, began = self._begun[stage]
            of, left = f"/{planned}", (time.monotonic() - began) / self._trained[stage] * (planned - epoch - 1)
        tell(f"{stage}  epoch {epoch + 1}{of}  {scores}" + (f"  {_duration(left)} left at most" if left >= 1 else ""))


def _unit(metric: str) -> str:
    """Of errors: two of a line are in different ones."""
    if metric == "train/mse":
        return " (scaled labels)"
    return " (labels)" if metric.startswith("val/") and metric.endswith("/rmse") else ""


def _duration(seconds: float) -> str:
    """In words, two digits where it is long."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


VERB = Verb("train", KEYS, _train, print_results)
