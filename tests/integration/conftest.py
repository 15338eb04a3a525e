"""What holds in all tests of whole commands."""

from collections.abc import Iterator

import pytest

from tests.support.drawing import undrawn


@pytest.fixture(scope="module", autouse=True)
def no_figures() -> Iterator[None]:
    """Run folders are made without figures, but where a test opens ``drawn``: they take half of a small run's time."""
    with undrawn():
        yield
