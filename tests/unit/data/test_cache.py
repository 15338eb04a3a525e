"""The cache equals the study it was made from, and is made anew when it must be."""

import functools
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dadsp.data.cache import MANIFEST, cached_study, why_rebuild
from dadsp.data.sources.simulated import simulated_study
from dadsp.data.sources.tidy import tidy_study
from dadsp.errors import DadspError, SchemaError
from dadsp.schema import Study
from tests.support.raw_files import edit, write_panel

Reader = functools.partial[Study]
TINY: dict[str, Any] = {
    "seed": 0,
    "n_genes": 60,
    "n_pathways": 6,
    "n_tissues": 4,
    "n_source_cells": 40,
    "n_target_cells": 24,
}
TINY |= {"n_shared_cells": 14, "n_source_drugs": 12, "n_target_drugs": 6, "n_shared_drugs": 4}


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return functools.partial(tidy_study, **write_panel(tmp_path / "raw"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "cache"


def test_the_cache_holds_the_same_study(reader: Reader, folder: Path) -> None:
    study, first, again = reader(), cached_study(folder, reader), cached_study(folder, reader)
    for kept in (first, again):
        assert kept.content_hash == study.content_hash
        for ours, theirs in ((kept.source, study.source), (kept.target, study.target)):
            assert (ours.notes, ours.drugs.targets, ours.cells.tissues) == (
                theirs.notes,
                theirs.drugs.targets,
                theirs.cells.tissues,
            )
        np.testing.assert_array_equal(kept.raw_source_potency, study.raw_source_potency)


def test_arrays_are_mapped_and_the_raw_files_are_not_read_again(reader: Reader, folder: Path) -> None:
    cached_study(folder, reader)

    def never(**_: Any) -> Study:
        raise AssertionError

    never.__module__, never.__qualname__ = tidy_study.__module__, tidy_study.__qualname__
    again = cached_study(folder, functools.partial(never, **reader.keywords))
    assert isinstance(again.source.cells.expression, np.memmap)


def test_truth_of_a_simulated_study_is_kept(folder: Path) -> None:
    reader = functools.partial(simulated_study, **TINY)
    study, kept = reader(), cached_study(folder, reader)
    assert kept.content_hash == study.content_hash
    assert kept.source.truth.keys() == study.source.truth.keys()


def test_a_changed_raw_file_makes_the_cache_stale(reader: Reader, folder: Path, tmp_path: Path) -> None:
    before = cached_study(folder, reader)
    path = tmp_path / "raw/source/responses.csv"
    edit(path, "1001,11,4.0" if "1001,11,4.0" in path.read_text() else "1001,11,4", "1001,11,3")
    assert "responses.csv has changed" in (why_rebuild(folder, reader) or "")
    assert cached_study(folder, reader).content_hash == reader().content_hash != before.content_hash


def test_a_touched_raw_file_does_not(reader: Reader, folder: Path, tmp_path: Path) -> None:
    cached_study(folder, reader)
    os.utime(tmp_path / "raw/source/responses.csv", (1, 1))
    assert why_rebuild(folder, reader) is None


def test_other_options_make_the_cache_stale(reader: Reader, folder: Path) -> None:
    cached_study(folder, reader)
    other = functools.partial(tidy_study, **{**reader.keywords, "label_cap": "target"})
    assert why_rebuild(folder, other) == "the options have changed"
    assert cached_study(folder, other).label_cap == "target"


@pytest.mark.parametrize("name", ["source/expression.npy", "target/lines.parquet", "target/potency.npy", MANIFEST])
@pytest.mark.parametrize("damage", ["truncate", "delete", "flip"])
def test_a_damaged_cache_is_rebuilt(reader: Reader, folder: Path, name: str, damage: str) -> None:
    cached_study(folder, reader)
    path = folder / name
    content = bytearray(path.read_bytes())
    if damage == "delete":
        path.unlink()
    elif damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[0] ^= 1
        path.write_bytes(content)
    assert "damaged" in (why_rebuild(folder, reader) or "")
    assert cached_study(folder, reader).content_hash == reader().content_hash


@pytest.mark.parametrize("name", ["thesis.docx", "source/responses.csv", "target/notes/x.npy", ".git/config"])
def test_a_folder_that_holds_anything_else_is_left_alone(name: str, reader: Reader, folder: Path) -> None:
    """The folder's name may come from the configuration of a run that somebody sent."""
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("mine")
    with pytest.raises(DadspError, match="nothing was changed"):
        cached_study(folder, reader)
    assert (folder / name).read_text() == "mine"
    assert [path.name for path in folder.parent.iterdir() if path.name not in ("raw", ".cache.lock")] == [folder.name]


def test_files_that_are_wrong_leave_the_old_cache(reader: Reader, folder: Path, tmp_path: Path) -> None:
    cached_study(folder, reader)
    (tmp_path / "raw/source/drugs.csv").write_text("")
    with pytest.raises(SchemaError, match="is empty"):
        cached_study(folder, reader)
    assert (folder / MANIFEST).exists()
    assert [path.name for path in folder.parent.iterdir() if path.name not in ("cache", ".cache.lock")] == []


def _prepare(folder: Path, options: dict[str, Any], found: Any) -> None:
    found.put(cached_study(folder, functools.partial(tidy_study, **options)).content_hash)


@pytest.mark.slow
def test_processes_that_prepare_one_cache_at_once_get_the_same_study(reader: Reader, folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    workers = [context.Process(target=_prepare, args=(folder, reader.keywords, found)) for _ in range(3)]
    for worker in workers:
        worker.start()
    hashes = {found.get(timeout=200) for _ in workers}
    for worker in workers:
        worker.join()
    assert hashes == {reader().content_hash}
    assert why_rebuild(folder, reader) is None


@pytest.mark.slow
def test_a_study_at_paper_scale_opens_in_two_seconds(folder: Path) -> None:
    sizes: dict[str, Any] = {
        "seed": 0,
        "n_source_drugs": 213,
        "n_target_drugs": 24,
        "n_shared_drugs": 15,
        "n_genes": 16017,
        "n_pathways": 50,
        "n_tissues": 20,
        "n_source_cells": 914,
        "n_target_cells": 504,
    }
    reader = functools.partial(simulated_study, **sizes, n_shared_cells=326)
    cached_study(folder, reader)
    start = time.process_time()
    cached_study(folder, reader)
    assert time.process_time() - start < 2
