"""Saving a split so that any system can be trained and scored on the same one."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from dadsp.errors import LoadError
from dadsp.files import read_json, write_json
from dadsp.schema import Note, Scope, Split, Study
from dadsp.splits.integrity import PROMISES, check_split

_PARTS = ("train_idx", "val_idx", "test_idx", "adapt_cell_idx")
_CALIBRATE = "calibrate_idx"  # absent where no target label calibrates


def save_split(path: Path, study: Study, split: Split) -> None:
    """Writes the row numbers with the hashes of split and data.

    Raises:
        LeakageError: A split of a plug-in shares what it promises to keep apart; dadsp's own made sure of it.
        SchemaError: It promises nothing, or does not fit the study.
    """
    if split.kind not in PROMISES:
        check_split(study, split)
    facts = {
        "kind": split.kind,
        "scope": study.scope,
        "split_hash": split.content_hash,
        "data_hash": study.content_hash,
        "notes": [asdict(note) for note in split.notes],
    }
    used = (*_PARTS, _CALIBRATE) if len(split.calibrate_idx) else _PARTS
    parts = {part: getattr(split, part).tolist() for part in used}
    write_json(path, facts | parts, indent=None)  # one line: a panel has 160,000 row numbers


def load_split(path: Path, study: Study) -> Split:
    """The split saved at ``path``.

    Raises:
        LoadError: The file is damaged, or was made for other data.
        LeakageError: Its parts share what its kind keeps apart.
    """
    saved: Any = read_json(path)
    try:
        used = (*_PARTS, _CALIBRATE) if _CALIBRATE in saved else _PARTS
        rows = {part: np.array(saved[part], dtype=np.int64) for part in used}
        split = Split(saved["kind"], **rows, notes=tuple(Note(**note) for note in saved.get("notes", ())))
        expected = saved["split_hash"], saved["data_hash"]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LoadError(f"{path} is not a saved split ({error!r}). Make it again.") from error
    if expected[0] != split.content_hash:
        raise LoadError(f"{path} is damaged: its rows do not have the hash it names. Make it again.")
    if expected[1] != study.content_hash:
        raise LoadError(f"{path} was made for other data (hash {expected[1]}, here {study.content_hash}). Make it again.")
    check_split(study, split)
    return split


def saved(study: Study, *, seed: int, path: str) -> Split:
    """The split saved at ``path``, whatever the seed: config group ``split``, choice ``saved``."""
    return load_split(Path(path), study)


def saved_scope(path: Path) -> Scope:
    """On which screens the split saved at ``path`` stands.

    Raises:
        LoadError: The file is damaged.
    """
    saved: Any = read_json(path)
    scope = saved.get("scope", "across") if isinstance(saved, dict) else None
    if scope not in get_args(Scope):
        raise LoadError(f"{path} is not a saved split (scope: {scope!r}). Make it again.")
    return cast(Scope, scope)
