"""What is drawn of a training's history."""

import pandas as pd
import pytest

from dadsp.runs.scoring import _best_epoch


@pytest.mark.parametrize(
    ("collapsed", "expected"), [([None, None, None], 0), ([1.0, None, None], 2), ([1.0, 1.0, 1.0], None)]
)
def test_best_epoch_is_one_in_which_predictions_differ(collapsed: list[float | None], expected: int | None) -> None:
    history = {"epoch": [0, 1, 2], "val/source/rmse": [0.1, 0.3, 0.2], "collapsed": collapsed}
    assert _best_epoch(pd.DataFrame(history)) == expected
