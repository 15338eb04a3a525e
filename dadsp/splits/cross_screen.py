"""Train on the source, choose the epoch on held-out source lines, test on the whole target."""

import numpy as np

from dadsp.errors import ConfigError, LeakageError, SchemaError, examples
from dadsp.schema import Split, Study
from dadsp.seeding import derive_seed


def cross_screen(study: Study, *, seed: int, val_fraction: float = 0.1) -> Split:
    """The split of the main job.

    All pairs of a random share of the source's lines validate; lines that stand in the source under several ids (equal
    link ids) stay together. All labelled target pairs test; every target line lends its expression, without label, to
    adaptation.

    Args:
        study: Source and target.
        seed: Chooses the held-out lines.
        val_fraction: Share of the labelled source lines held out, in (0, 1); at least one line.

    Raises:
        ConfigError: The fraction is not in (0, 1), or leaves no line to train on.
    """
    if not isinstance(val_fraction, int | float) or not 0.0 < val_fraction < 1.0:
        raise ConfigError(f"split.val_fraction must lie between 0 and 1, got {val_fraction!r}. The default is 0.1.")
    responses = study.source.responses
    _, line_of_cell = np.unique(np.array(study.source.line_keys, dtype=object), return_inverse=True)
    line_of_pair = line_of_cell[responses.cell_idx]
    lines = np.unique(line_of_pair)
    n_val = max(1, round(val_fraction * len(lines)))
    if n_val >= len(lines):
        raise ConfigError(
            f"split.val_fraction={val_fraction} holds out all {len(lines)} labelled source lines. "
            "Lower it, or add cell lines."
        )
    held_out = np.random.default_rng(derive_seed(seed, "split")).choice(lines, n_val, replace=False)
    is_val = np.isin(line_of_pair, held_out)
    split = Split(
        kind="cross_screen",
        train_idx=np.flatnonzero(~is_val),
        val_idx=np.flatnonzero(is_val),
        test_idx=np.arange(len(study.target.responses)),
        adapt_cell_idx=np.arange(len(study.target.cells)),
    )
    check_split(study, split)
    return split


def check_split(study: Study, split: Split) -> None:
    """Makes sure that training and validation share no line and that every part has pairs.

    Raises:
        LeakageError: A line both trains and validates.
        SchemaError: A part is empty or points outside the study.
    """
    source, target = study.source, study.target
    for part, rows, size in (
        ("train", split.train_idx, len(source.responses)),
        ("val", split.val_idx, len(source.responses)),
        ("test", split.test_idx, len(target.responses)),
        ("adapt_cell", split.adapt_cell_idx, len(target.cells)),
    ):
        if len(rows) == 0 or rows.min() < 0 or rows.max() >= size or len(np.unique(rows)) != len(rows):
            raise SchemaError(
                f"The split's {part} part has {len(rows)} rows that do not name distinct rows of a table of {size}. "
                "Make the split again for this study."
            )
    keys = np.array(source.line_keys, dtype=object)
    shared = set(keys[source.responses.cell_idx[split.train_idx]]) & set(keys[source.responses.cell_idx[split.val_idx]])
    if shared:
        raise LeakageError(
            f"{len(shared)} cell lines both train and validate (e.g. {examples(sorted(shared))}). "
            "Split by line, so that validation speaks for lines never seen."
        )
