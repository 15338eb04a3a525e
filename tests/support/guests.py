"""Plug-ins that seem to be installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dadsp import building, plugins
from dadsp.evaluation.metric import METRICS
from dadsp.evaluation.scores import unregister
from tests.support.guestlab.metrics import WITHIN_TENFOLD


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **offered: str) -> None:
    """Makes a package ``guestlab-dist`` that offers these plug-ins visible to ``importlib.metadata``."""
    metadata = folder / "guestlab_dist-1.2.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: guestlab-dist\nVersion: 1.2\n")
    lines = [f"{name} = {value}" for name, value in offered.items()]
    (metadata / "entry_points.txt").write_text("[dadsp.plugins]\n" + "\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(folder))


def forget_plugins() -> None:
    """As in a process that has used no plug-in yet, but for modules and hashes of code, which last as long as it does."""
    plugins._used.clear()
    plugins._conf.clear()
    for names in building._guests.values():
        names.clear()
    if WITHIN_TENFOLD.name in METRICS:
        unregister(WITHIN_TENFOLD)


@contextmanager
def no_plugins() -> Iterator[None]:
    """Before and after the block, none is in use."""
    forget_plugins()
    try:
        yield
    finally:
        forget_plugins()
