"""Downloads that are checked, resumed, kept and unpacked with care; structures by name from PubChem."""

import hashlib
import logging
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Literal
from urllib.parse import quote

import pandas as pd
import pooch
import requests
from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp.errors import DadspError, examples
from dadsp.files import read_json, write_atomically, write_json
from dadsp.options import STRICT

log = logging.getLogger(__name__)

KEPT_HASHES = "fetched.json"
_BLOCK = 1 << 16  # what is lost of a download that breaks off is less than this


class DownloadError(DadspError):
    """A file could not be downloaded whole, or is not the one that was expected."""


@dataclass(frozen=True, config=STRICT)
class Download:
    """One file to fetch.

    Attributes:
        file: Where it goes, below the folder of all downloads.
        url: Its address; None where the publisher gives a new one with each release.
        sha256: Its hash where it is known; None accepts what comes first and holds later downloads to that.
        unpack: Member of the archive (.zip, .tar.gz) at the address that becomes ``file``; None for a plain file.
    """

    file: str
    url: str | None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    unpack: str | None = None


@dataclass(frozen=True, config=STRICT)
class Patience:
    """How long to try.

    Attributes:
        tries: Attempts per file; each goes on where the last one stopped, if the server lets it.
        timeout_s: Longest silence of a server, in seconds.
        wait_s: Seconds before the second attempt; doubles with each further one.
        max_unpacked_gib: Largest file to unpack.
    """

    tries: int = Field(default=5, ge=1)
    timeout_s: float = Field(default=60, gt=0)
    wait_s: float = Field(default=1, ge=0)
    max_unpacked_gib: float = Field(default=20, gt=0)


def fetch(download: Download, folder: Path, patience: Patience) -> tuple[Path, str, bool]:
    """The file, its address's sha256, and whether it came from the network now rather than from the folder.

    Raises:
        DownloadError: The address is absent, gone or unreachable, the hash is another one, or the archive is unsafe.
    """
    if download.url is None:
        raise DownloadError(
            f"{download.file} has no fixed address. Look it up on the publisher's page and set its url, e.g. …url=https://…"
        )
    target = _inside(folder, download.file)
    kept = folder / KEPT_HASHES
    hashes: dict[str, str] = read_json(kept) if kept.exists() else {}
    expected = download.sha256 or hashes.get(download.url)
    archive = target if download.unpack is None else target.with_name(f"{target.name}.{PurePosixPath(download.url).name}")
    was_here = archive.is_file() and (expected is None or _sha256(archive) == expected)
    archive.parent.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel(logging.WARNING)  # what it reports, the command reports in its own words
    try:
        pooch.retrieve(
            url=download.url,
            known_hash=expected and f"sha256:{expected}",
            fname=archive.name,
            path=archive.parent,
            downloader=_Resuming(archive, patience),
        )
    except ValueError as error:  # pooch found another hash
        archive.with_name(f"{archive.name}.part").unlink(missing_ok=True)
        raise DownloadError(
            f"{download.url} is not the file that was expected: {error}. If the publisher has replaced it, set the new one."
        ) from error
    found = _sha256(archive)
    if hashes.get(download.url) != found:
        write_json(kept, {**hashes, download.url: found})
    if download.unpack is not None and (not was_here or not target.is_file()):
        _unpack(archive, download.unpack, target, int(patience.max_unpacked_gib * 2**30))
    return target, found, not was_here


class _Resuming:
    """A pooch downloader that tries again, from where it stopped."""

    def __init__(self, target: Path, patience: Patience) -> None:
        self.part = target.with_name(f"{target.name}.part")
        self.tag = target.with_name(f"{target.name}.part.tag")
        self.patience = patience

    def __call__(self, url: str, output_file: str, _: object) -> None:
        attempt(lambda: self._go_on(url), url, self.patience)
        shutil.move(self.part, output_file)
        self.tag.unlink(missing_ok=True)

    def _go_on(self, url: str) -> None:
        have = self.part.stat().st_size if self.part.exists() and self.tag.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": self.tag.read_text(encoding="utf-8")}
        with requests.get(url, stream=True, timeout=self.patience.timeout_s, headers=headers) as response:
            if response.status_code == 416:  # what we hold is no beginning of what there is now
                self.tag.unlink(missing_ok=True)
            response.raise_for_status()
            resumed = response.status_code == 206
            tag = response.headers.get("ETag")
            if tag and not tag.startswith("W/"):  # without one, nobody could tell whether the file is still the same
                self.tag.write_text(tag, encoding="utf-8")
            elif not resumed:
                self.tag.unlink(missing_ok=True)
            with self.part.open("ab" if resumed else "wb") as file:
                for block in response.iter_content(_BLOCK):
                    file.write(block)
                got = file.tell()
            total = response.headers.get("Content-Range", "").rpartition("/")[2] if resumed else None
            total = total or response.headers.get("Content-Length")
            if total and total.isdigit() and got != int(total):
                raise requests.ConnectionError(f"{got} of {total} bytes came")


def attempt(get: Callable[[], None], url: str, patience: Patience) -> None:
    """Calls ``get`` until it succeeds; waits between the attempts, longer each time.

    Raises:
        DownloadError: The server refuses (4xx), or no attempt succeeded.
    """
    reason = ""
    for number in range(1, patience.tries + 1):
        try:
            get()
            return
        except requests.HTTPError as error:
            status, reason = (error.response.status_code, error.response.reason) if error.response is not None else (0, "")
            if 400 <= status < 500 and status not in (408, 416, 429):
                raise DownloadError(
                    f"{url} answers {status} {reason}. The publisher may have moved it: correct its url."
                ) from error
            reason = f"{status} {reason}"
        except requests.RequestException as error:
            reason = str(error)
        if number < patience.tries:
            log.warning("%s: %s; attempt %d of %d follows", url, reason, number + 1, patience.tries)
            time.sleep(patience.wait_s * 2 ** (number - 1))
    raise DownloadError(
        f"{url} could not be read in {patience.tries} attempts ({reason}). Try again later: what came is kept."
    )


def _unpack(archive: Path, member: str, target: Path, limit: int) -> None:
    """Writes one member of an archive; names are looked up, never followed, and its true size is counted."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                names = opened.namelist()
                with opened.open(_member(names, member, archive)) as content:
                    write_atomically(target, lambda path: _copy(content, path, limit, archive))
        else:
            with tarfile.open(archive) as tar:
                files = {entry.name: entry for entry in tar.getmembers() if entry.isfile()}
                extracted = tar.extractfile(files[_member(list(files), member, archive)])
                assert extracted is not None  # a regular file has content
                write_atomically(target, lambda path: _copy(extracted, path, limit, archive))
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise DownloadError(f"{archive} is a damaged archive: {error}. Delete it and fetch again.") from error


def _member(names: Sequence[str], wanted: str, archive: Path) -> str:
    if wanted not in names:
        raise DownloadError(f"{archive} holds no {wanted!r}, but {examples(names, 6)}. Correct `unpack`.")
    return wanted


def _copy(content: IO[bytes], path: Path, limit: int, archive: Path) -> None:
    written = 0
    with path.open("wb") as file:
        while block := content.read(_BLOCK):
            written += len(block)
            if written > limit:
                raise DownloadError(
                    f"{archive} unpacks to more than {limit / 2**30:g} GiB. Raise patience.max_unpacked_gib if it may."
                )
            file.write(block)


def _inside(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise DownloadError(f"{name} leads out of {folder}. Correct `file`.")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_smiles(
    queries: Sequence[str], by: Literal["name", "cid"], table: Path, url: str, patience: Patience, per_second: float = 4
) -> tuple[int, list[str]]:
    """How many structures were asked for now, and the queries PubChem does not know.

    The table (query, cid, smiles) is written after each answer, so that a later call goes on; what it holds is not asked
    again, and a miss is.

    Args:
        queries: Names or CIDs.
        by: Which of them.
        table: CSV to write or to complete.
        url: Address with ``{by}`` and ``{query}`` in it (PUG-REST).
        patience: How long to try.
        per_second: Most requests per second; PubChem allows five.

    Raises:
        DownloadError: PubChem cannot be reached.
    """
    known = pd.read_csv(table, dtype="str").set_index("query") if table.exists() else pd.DataFrame(columns=["cid", "smiles"])
    found: dict[str, tuple[str, str]] = {str(query): (row["cid"], row["smiles"]) for query, row in known.iterrows()}
    asked, misses, last = 0, [], 0.0
    for query in dict.fromkeys(queries):
        if query in found:
            continue
        time.sleep(max(0.0, last + 1 / per_second - time.monotonic()))
        last = time.monotonic()
        answer = _ask(url.format(by=by, query=quote(query, safe="")), patience)
        asked += 1
        if answer is None:
            misses.append(query)
            continue
        found[query] = answer
        _write_smiles(table, found)
    return asked, misses


def _write_smiles(table: Path, found: dict[str, tuple[str, str]]) -> None:
    rows = [(query, cid, smiles) for query, (cid, smiles) in found.items()]
    frame = pd.DataFrame(rows, columns=["query", "cid", "smiles"])
    write_atomically(table, lambda path: frame.to_csv(path, index=False))


def _ask(url: str, patience: Patience) -> tuple[str, str] | None:
    """CID and SMILES of the first compound, None where there is none."""
    answers: list[dict[str, object]] = []

    def get() -> None:
        response = requests.get(url, timeout=patience.timeout_s)
        if response.status_code != 404:  # PUG-REST says so of a name it does not know
            response.raise_for_status()
            answers.extend(response.json()["PropertyTable"]["Properties"])

    try:
        attempt(get, url, patience)
    except KeyError as error:
        raise DownloadError(
            f"{url} answers without {error}. Its interface may have changed: correct the address."
        ) from error
    if not answers:
        return None
    smiles = next((answers[0][key] for key in ("SMILES", "IsomericSMILES", "CanonicalSMILES") if key in answers[0]), None)
    if smiles is None:
        raise DownloadError(f"{url} answers without a SMILES. Its interface may have changed: correct the address.")
    return str(answers[0]["CID"]), str(smiles)
