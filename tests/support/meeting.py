"""A plug-in whose split waits for another job at the same point: both go on only where they run at once."""

import os
import time
from pathlib import Path

from dadsp.plugins import register
from dadsp.schema import Split, Study
from dadsp.splits.cross_screen import cross_screen
from dadsp.splits.integrity import Promise, promises

PLACE = "MEETING"  # the variable that names a folder
WITHIN_S = 120


@promises(meeting=Promise(within=False, outer=(), inner=("line",), adapts_to_test=True))
def meeting(study: Study, *, seed: int) -> Split:
    """The split across screens, once two jobs of different seeds ask for theirs."""
    place = Path(os.environ[PLACE])
    (place / str(seed)).touch()
    deadline = time.monotonic() + WITHIN_S
    while len(list(place.iterdir())) < 2:
        if time.monotonic() > deadline:
            raise TimeoutError("no other job came")
        time.sleep(0.05)
    return cross_screen(study, seed=seed)


def register_all() -> None:
    register("split", "tests.support.meeting.meeting")
