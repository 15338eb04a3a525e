"""Saving a split so that any system can be trained and scored on the same one."""

from pathlib import Path

import numpy as np

from dadsp.errors import LoadError
from dadsp.files import read_json, write_json
from dadsp.schema import Split, Study
from dadsp.splits.cross_screen import check_split

_PARTS = ("train_idx", "val_idx", "test_idx", "adapt_cell_idx")


def save_split(path: Path, study: Study, split: Split) -> None:
    """Writes the row numbers with the hashes of split and data."""
    parts = {part: getattr(split, part).tolist() for part in _PARTS}
    facts = {"kind": split.kind, "split_hash": split.content_hash, "data_hash": study.content_hash}
    write_json(path, facts | parts, indent=None)  # one line: a panel has 160,000 row numbers


def load_split(path: Path, study: Study) -> Split:
    """The split saved at ``path``.

    Raises:
        LoadError: The file is damaged, or was made for other data.
    """
    saved = read_json(path)
    try:
        split = Split(saved["kind"], *(np.array(saved[part], dtype=np.int64) for part in _PARTS))
        expected = saved["split_hash"], saved["data_hash"]
    except (KeyError, TypeError, ValueError) as error:
        raise LoadError(f"{path} is not a saved split ({error!r}). Make it again.") from error
    if expected[0] != split.content_hash:
        raise LoadError(f"{path} is damaged: its rows do not have the hash it names. Make it again.")
    if expected[1] != study.content_hash:
        raise LoadError(f"{path} was made for other data (hash {expected[1]}, here {study.content_hash}). Make it again.")
    check_split(study, split)
    return split
