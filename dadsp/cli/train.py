"""``dadsp train``: one run, from configuration to a scored and tracked run folder."""

import sys
from collections.abc import Callable

from dadsp.cli.begin import Verb
from dadsp.cli.console import print_facts, print_results, tell, warn
from dadsp.models.base import FitContext
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

    _, ending = train(job, FitContext(on_epoch=_epoch_teller(), progress=sys.stderr.isatty()), begun)
    if as_json or worked:
        print_results(job.folder, as_json, job.folder.tracking.get("uri"))
    return ending


def _epoch_teller() -> Callable[[str, int, dict[str, float]], None]:
    """Tells each epoch with a validation score, and the first of every stage."""
    seen_stages: list[str] = []

    def on_epoch(stage: str, epoch: int, metrics: dict[str, float]) -> None:
        if any(name.startswith("val/") for name in metrics) or stage not in seen_stages:
            seen_stages.append(stage)
            tell(f"{stage}  epoch {epoch + 1}  {'  '.join(f'{name} {value:.4f}' for name, value in metrics.items())}")

    return on_epoch


VERB = Verb("train", KEYS, _train, print_results)
