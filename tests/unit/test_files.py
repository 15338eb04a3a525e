"""Files that are whole or absent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dadsp.errors import StorageError
from dadsp.files import write_atomically, write_text


def test_half_a_file_of_a_process_that_is_gone_is_removed_with_the_next_one_written(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    abandoned = tmp_path / f".part-{gone.pid}-figure-abc.png"
    mine, others = tmp_path / f".part-{os.getpid()}-x-abc.csv", tmp_path / ".part-notes.txt"
    for path in (abandoned, mine, others):
        path.write_bytes(b"half")
    write_text(tmp_path / "x.json", "{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([mine.name, others.name, "x.json"])


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("before")

    def half(path: Path) -> None:
        path.write_text("hal")
        raise OSError(28, os.strerror(28))

    with pytest.raises(StorageError, match="No space left"):
        write_atomically(tmp_path / "x.csv", half)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x.csv", "before")]
