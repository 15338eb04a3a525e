"""A plug-in whose split waits for the other jobs of a sweep: they are at work at once, or fail."""

import time
from dataclasses import replace
from pathlib import Path

from dadsp.errors import DadspError
from dadsp.plugins import register
from dadsp.schema import Split, Study
from dadsp.splits.cross_screen import cross_screen
from dadsp.splits.integrity import Promise, promises

CONF = "_target_: tests.support.meeting.meeting\nfolder: ???\njobs: 2\nwithin_s: 150\n"


@promises(meeting=Promise(within=False, outer=(), inner=("line",), adapts_to_test=True))
def meeting(study: Study, *, seed: int, folder: str, jobs: int, within_s: float) -> Split:
    """The split across screens, once so many jobs, each of a seed of its own, stand in ``folder``."""
    (Path(folder) / str(seed)).touch()
    deadline = time.monotonic() + within_s
    while len(list(Path(folder).iterdir())) < jobs:
        if time.monotonic() > deadline:
            raise DadspError(f"no other job came within {within_s} s")
        time.sleep(0.05)
    return replace(cross_screen(study, seed=seed, val_fraction=0.2), kind="meeting")


def register_all() -> None:
    """What the entry point names."""
    register("split", "tests.support.meeting.meeting")
