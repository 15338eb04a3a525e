"""What most tests of models begin with; a file that needs another study or split has its own."""

import pytest

from dadsp.schema import Split, Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study


@pytest.fixture
def study() -> Study:
    return small_study()


@pytest.fixture
def split(study: Study) -> Split:
    return cross_screen(study, seed=0, val_fraction=0.2)
