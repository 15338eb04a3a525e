"""A study in a form that opens at once: memory-mapped arrays, Parquet tables, a manifest that says when they are stale."""

import functools
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from filelock import FileLock

from dadsp.data.table_files import files_read
from dadsp.errors import DadspError, LoadError, examples
from dadsp.files import read_json, write_json
from dadsp.schema import CellLines, Drugs, Note, Responses, Screen, Study

log = logging.getLogger(__name__)

FORMAT = 3  # raise it when a reader or this layout changes what a study holds
LAYOUT = 2  # first format of this layout: studies made in memory, which no reader has changed, open from it on
MANIFEST = "manifest.json"
KEPT = "kept as it was"  # in the place of options, of a study that was made in memory
OWN = re.compile(
    r"manifest\.json|raw_source_potency\.npy|(source|target)(/\w+\.(npy|npz|parquet))?"
)  # all that lies in a cache


def cached_study(folder: str | Path, study: Callable[[], Study]) -> Study:
    """The study that a cache folder holds, read from the raw files first where the cache is absent, stale or damaged.

    A cache is stale when the study's options, or the content of a raw file, are others than those it was made from. Several
    processes may ask for the same cache at once: the first writes it, the others wait.

    Args:
        folder: Holds the cache, or will.
        study: Reads the study from the raw files; a ``functools.partial``, whose arguments tell its options.

    Raises:
        DadspError: The raw files are wrong, or the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            reason = why_rebuild(folder, study)
            if reason is not None:
                _refuse_other_files(folder)
                log.info("%s: %s; reading the raw files", folder, reason)
                with files_read() as raw:
                    made = study()
                _write(folder, made, _options(study), sorted(raw))
            return _open(folder)
    except OSError as error:
        raise DadspError(
            f"Cannot use {folder}: {error.strerror or error}. Choose a writable folder with free space."
        ) from error


def keep_study(study: Study, folder: Path) -> None:
    """Writes a study that was made in memory, for ``kept_study``.

    Raises:
        DadspError: The folder holds anything else, or cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _refuse_other_files(folder)
        _write(folder, study, KEPT, [])
    except OSError as error:
        raise DadspError(f"Cannot use {folder}: {error.strerror or error}. Choose a writable folder.") from error


def kept_study(folder: str | Path, source: str, target: str) -> Study:
    """The study that ``keep_study`` wrote, as it stands.

    Args:
        folder: Holds it.
        source: Name of the source screen, for readers of the configuration.
        target: Name of the target screen.

    Raises:
        LoadError: There is none, or it is damaged.
    """
    place = Path(folder)
    reason = _why_not_whole(place)
    if reason is None and read_json(place / MANIFEST)["options"] != KEPT:
        reason = "it is a cache of raw files"
    if reason is not None:
        raise LoadError(f"{place} holds no study of {source} and {target} ({reason}). Restore it from a copy, or run again.")
    return _open(place)


def why_rebuild(folder: Path, study: Callable[[], Study]) -> str | None:
    """Why the cache cannot be used as it is, None if it can."""
    known = _manifest(folder)
    if isinstance(known, str):
        return known
    if known["options"] != _options(study):
        return "the options have changed"
    for name, facts in known["raw"].items():
        if not Path(name).is_file():
            return f"{name} is gone"
        if not _unchanged(Path(name), facts):
            return f"{name} has changed"
    return _why_not_whole(folder)


def _manifest(folder: Path) -> dict[str, Any] | str:
    """What the manifest says, or why it says nothing."""
    try:
        manifest = read_json(folder / MANIFEST)
        known = {name: manifest[name] for name in ("format", "options", "raw", "files")}
    except (LoadError, KeyError, TypeError):
        return "there is no cache yet" if not folder.exists() else "the cache is damaged (manifest.json)"
    in_memory = known["options"] == KEPT and known["format"] in range(LAYOUT, FORMAT)
    return known if known["format"] == FORMAT or in_memory else "the cache is of another format"


def _why_not_whole(folder: Path) -> str | None:
    known = _manifest(folder)
    if isinstance(known, str):
        return known
    for name, digest in known["files"].items():
        if not (folder / name).is_file() or _digest(folder / name) != digest:
            return f"the cache is damaged ({name})"
    return None


def _options(study: Callable[[], Study]) -> str:
    if not isinstance(study, functools.partial):
        raise TypeError("cached_study needs a functools.partial, whose arguments tell what the study is made of")
    return f"{study.func.__module__}.{study.func.__qualname__} {study.args!r} {sorted(study.keywords.items())!r}"


def _refuse_other_files(folder: Path) -> None:
    """Passes if a cache may take the folder's place: its name may come from a file somebody sent.

    Raises:
        DadspError: It holds anything else.
    """
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) if folder.is_dir() else []
    others = [name for name in found if not OWN.fullmatch(name)]
    if others or (folder.exists() and not folder.is_dir()):
        what = f"holds {len(others)} files of no cache (e.g. {examples(others)})" if others else "is a file"
        raise DadspError(f"{folder} {what}, and nothing was changed. Name another folder for the cache.")


def _write(folder: Path, made: Study, options: str, raw: Sequence[Path]) -> None:
    """Puts the cache of a study in the folder's place, whole."""
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        screens = {}
        for role, screen in (("source", made.source), ("target", made.target)):
            (building / role).mkdir()
            screens[role] = _write_screen(screen, building / role)
        np.save(building / "raw_source_potency.npy", made.raw_source_potency, allow_pickle=False)
        written = sorted(path for path in building.rglob("*") if path.is_file())
        manifest = {
            "format": FORMAT,
            "options": options,
            "content_hash": made.content_hash,
            "label_cap": made.label_cap,
            "screens": screens,
            "raw": {str(path.absolute()): _facts(path) for path in raw},
            "files": {str(path.relative_to(building)): _digest(path) for path in written},
        }
        write_json(building / MANIFEST, manifest)
        building.chmod(0o755)
        if folder.exists():
            aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-old-"))
            os.replace(folder, aside / "cache")
            shutil.rmtree(aside, ignore_errors=True)
        os.replace(building, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write_screen(screen: Screen, folder: Path) -> dict[str, Any]:
    """Writes arrays and tables; returns what else the screen holds."""
    cells, responses = screen.cells, screen.responses
    np.save(folder / "expression.npy", cells.expression, allow_pickle=False)
    columns = [column.name for column in fields(Responses) if getattr(responses, column.name) is not None]
    for name in columns:
        np.save(folder / f"{name}.npy", getattr(responses, name), allow_pickle=False)
    _texts({"gene": screen.genes}).to_parquet(folder / "genes.parquet")
    lines = {"ids": cells.ids, "link_ids": cells.link_ids, "tissues": cells.tissues}
    if cells.names:
        lines["names"] = cells.names
    _texts(lines).to_parquet(folder / "lines.parquet")
    drugs = {column.name: getattr(screen.drugs, column.name) for column in fields(Drugs)}
    _texts({name: texts for name, texts in drugs.items() if texts is not None}).to_parquet(folder / "drugs.parquet")
    arrays = {name: value for name, value in screen.truth.items() if isinstance(value, np.ndarray)}
    np.savez(folder / "truth.npz", allow_pickle=False, **arrays)
    return {
        "name": screen.name,
        "cap": screen.cap,
        "measure": screen.measure,
        "origins": list(screen.origins),
        "responses": columns,
        "notes": [asdict(note) for note in screen.notes],
        "truth": {name: value for name, value in screen.truth.items() if name not in arrays},
    }


def _open(folder: Path) -> Study:
    manifest = read_json(folder / MANIFEST)
    source, target = (_open_screen(folder / role, manifest["screens"][role]) for role in ("source", "target"))
    return Study(source, target, manifest["label_cap"], _mapped(folder / "raw_source_potency.npy"))


def _open_screen(folder: Path, facts: dict[str, Any]) -> Screen:
    lines, drugs, genes = (_columns(folder / f"{name}.parquet") for name in ("lines", "drugs", "genes"))
    with np.load(folder / "truth.npz", allow_pickle=False) as arrays:
        truth = {**facts["truth"], **arrays}
    return Screen(
        name=facts["name"],
        genes=genes["gene"],
        cells=CellLines(**lines, expression=_mapped(folder / "expression.npy")),
        drugs=Drugs(**drugs),
        responses=Responses(**{name: _mapped(folder / f"{name}.npy") for name in facts["responses"]}),
        cap=facts["cap"],
        notes=tuple(Note(**note) for note in facts["notes"]),
        truth=truth,
        measure=facts["measure"],
        origins=tuple(facts["origins"]),
    )


def _mapped(path: Path) -> Any:
    # Copy-on-write: torch warns of arrays that may not be written, though nothing here writes.
    return np.load(path, mmap_mode="c", allow_pickle=False)


def _texts(columns: dict[str, tuple[str | None, ...]]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(list(values), dtype="string") for name, values in columns.items()})


def _columns(path: Path) -> dict[str, Any]:
    return {name: tuple(texts) for name, texts in pa.parquet.read_table(path).to_pydict().items()}


def _facts(path: Path) -> dict[str, Any]:
    stat = path.stat()
    return {"bytes": stat.st_size, "changed_ns": stat.st_mtime_ns, "digest": _digest(path)}


def _unchanged(path: Path, facts: dict[str, Any]) -> bool:
    """Same content; it is read only where size and time of change leave a doubt."""
    stat = path.stat()
    if stat.st_size != facts["bytes"]:
        return False
    return bool(stat.st_mtime_ns == facts["changed_ns"] or _digest(path) == facts["digest"])


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def describe_cache(folder: Path) -> dict[str, Any]:
    """What the manifest of a cache says: content hash, raw files, bytes on disk."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"data_hash": manifest["content_hash"], "raw_files": len(manifest["raw"]), "bytes": size}
