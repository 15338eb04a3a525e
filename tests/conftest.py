"""Shared set-up of the tests."""

import gc
import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# The same examples in every run and on every machine, however slow; `--hypothesis-profile=default` draws others.
settings.register_profile("dadsp", derandomize=True, deadline=None)
settings.load_profile("dadsp")
# Tiny networks gain nothing from a second thread and lose much to waiting for it; set before torch starts its own.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Among the objects of torch and others, which stay, looking for garbage as often as Python does takes 7 % of all time.
gc.set_threshold(50_000, 20, 50)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of long tests come first, so that processes that share them by file end together."""
    items.sort(key=lambda item: "integration" not in item.path.parts)


@pytest.fixture(autouse=True)
def log_handlers_end_with_their_test() -> Iterator[None]:
    """A command's log stays open as long as its process, which here is that of all tests."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    for handler in set(root.handlers) - set(before):
        root.removeHandler(handler)
        handler.close()
