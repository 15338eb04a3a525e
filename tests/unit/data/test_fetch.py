"""Downloads against a server of our own that misbehaves on purpose."""

import hashlib
import io
import json
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dadsp.data.fetch import KEPT_HASHES, Download, DownloadError, Patience, fetch, fetch_smiles

CONTENT = bytes(range(256)) * 1024
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Patience(tries=3, timeout_s=20, wait_s=0.01)


class Server:
    """Answers with what ``answer`` writes; remembers the Range of each request."""

    def __init__(self) -> None:
        self.ranges: list[str | None] = []
        self.paths: list[str] = []
        self.answer: Callable[[BaseHTTPRequestHandler, int], None] = send
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.ranges.append(self.headers.get("Range"))
                server.paths.append(self.path)
                server.answer(self, len(server.ranges))
                self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/part/file.bin"


def send(
    handler: BaseHTTPRequestHandler, number: int, *, body: bytes = CONTENT, cut: int | None = None, etag: str = '"a"'
) -> None:
    """The body, from the asked byte on if the file is still the same; cut short after ``cut`` bytes."""
    asked, same = handler.headers.get("Range"), handler.headers.get("If-Range") == etag
    start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and same else 0
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    handler.send_header("Content-Length", str(len(body) - start))
    handler.send_header("ETag", etag)
    handler.end_headers()
    handler.wfile.write(body[start:cut] if cut else body[start:])


def refuse(handler: BaseHTTPRequestHandler, status: int) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


@pytest.fixture
def server() -> Iterator[Server]:
    serving = Server()
    thread = threading.Thread(target=serving.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield serving
    serving.http.shutdown()
    serving.http.server_close()
    thread.join()


def _get(server: Server, folder: Path, sha256: str | None = SHA256, unpack: str | None = None) -> tuple[Path, str, bool]:
    return fetch(Download(file="raw/x.bin", url=server.url, sha256=sha256, unpack=unpack), folder, QUICK)


def test_a_file_is_fetched_once_and_then_offline(server: Server, tmp_path: Path) -> None:
    path, found, fresh = _get(server, tmp_path)
    assert (path.read_bytes(), found, fresh) == (CONTENT, SHA256, True)
    assert _get(server, tmp_path)[2] is False
    assert len(server.ranges) == 1


def test_a_truncated_body_is_gone_on_from_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.answer = lambda handler, number: send(handler, number, cut=200_000 if number == 1 else None)
    assert _get(server, tmp_path)[0].read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=196608-"]  # whole blocks of 64 KiB


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(server: Server, tmp_path: Path) -> None:
    def changing(handler: BaseHTTPRequestHandler, number: int) -> None:
        send(
            handler,
            number,
            body=bytes(250_000) if number == 1 else CONTENT,
            cut=200_000 if number == 1 else None,
            etag=f'"{number}"',
        )

    server.answer = changing
    assert _get(server, tmp_path)[0].read_bytes() == CONTENT


def test_a_body_that_never_comes_whole_is_an_error_and_no_file(server: Server, tmp_path: Path) -> None:
    server.answer = lambda handler, number: send(handler, number, cut=70_000 * number)
    with pytest.raises(DownloadError, match="could not be read in 3 attempts"):
        _get(server, tmp_path)
    assert not (tmp_path / "raw/x.bin").exists()
    server.answer = send
    assert _get(server, tmp_path)[0].read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=196608-"


def test_a_wrong_hash_is_an_error_and_no_file(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="not the file that was expected"):
        _get(server, tmp_path, sha256="0" * 64)
    assert not (tmp_path / "raw/x.bin").exists()


def test_an_unknown_hash_is_kept_and_held_to(server: Server, tmp_path: Path) -> None:
    path, found, _ = _get(server, tmp_path, sha256=None)
    assert json.loads((tmp_path / KEPT_HASHES).read_text()) == {server.url: found}
    path.unlink()
    server.answer = lambda handler, number: send(handler, number, body=b"another file")
    with pytest.raises(DownloadError, match="not the file that was expected"):
        _get(server, tmp_path, sha256=None)


def test_a_damaged_file_is_fetched_again(server: Server, tmp_path: Path) -> None:
    path, _, _ = _get(server, tmp_path)
    path.write_bytes(b"damaged")
    assert _get(server, tmp_path)[0].read_bytes() == CONTENT


def test_404_is_an_error_at_once(server: Server, tmp_path: Path) -> None:
    server.answer = lambda handler, number: refuse(handler, 404)
    with pytest.raises(DownloadError, match=r"answers 404 .*correct its url"):
        _get(server, tmp_path)
    assert len(server.ranges) == 1


def test_503_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.answer = lambda handler, number: refuse(handler, 503) if number < 3 else send(handler, number)
    assert _get(server, tmp_path)[0].read_bytes() == CONTENT


def test_a_silent_server_is_given_up_and_asked_again(server: Server, tmp_path: Path) -> None:
    over = threading.Event()

    def silent_first(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number == 1:
            over.wait(60)
        else:
            send(handler, number)

    server.answer = silent_first
    path, _, _ = fetch(
        Download(file="x", url=server.url, sha256=SHA256), tmp_path, Patience(tries=9, timeout_s=1, wait_s=0.01)
    )
    over.set()
    assert path.read_bytes() == CONTENT


def test_an_unreachable_server_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="could not be read in 3 attempts"):
        fetch(Download(file="x", url="http://127.0.0.1:9/x"), tmp_path, QUICK)


def test_an_address_that_is_not_known_asks_for_it(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="no fixed address"):
        fetch(Download(file="x", url=None), tmp_path, QUICK)


def test_a_file_outside_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="leads out of"):
        fetch(Download(file="../x", url="http://127.0.0.1:9/x"), tmp_path, QUICK)


def _zip(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("UP", "../../up"), data)
    return content.getvalue()


def _tar(**members: bytes) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name.replace("UP", "../../up"))
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return content.getvalue()


@pytest.mark.parametrize("pack", [_zip, _tar])
def test_only_the_named_member_of_an_archive_is_written(server: Server, tmp_path: Path, pack: Callable[..., bytes]) -> None:
    folder = tmp_path / "a" / "b"
    server.answer = lambda handler, number: send(handler, number, body=pack(member=b"table", UP=b"evil"))
    path, _, _ = _get(server, folder, sha256=None, unpack="member")
    assert path.read_bytes() == b"table"
    assert not list(tmp_path.rglob("up"))
    path.unlink()
    assert _get(server, folder, sha256=None, unpack="member")[0].read_bytes() == b"table"
    assert len(server.ranges) == 1
    with pytest.raises(DownloadError, match="holds no 'other', but member"):
        _get(server, folder / "c", sha256=None, unpack="other")


def test_an_archive_bomb_is_stopped(server: Server, tmp_path: Path) -> None:
    server.answer = lambda handler, number: send(handler, number, body=_zip(member=bytes(3_000_000)))
    with pytest.raises(DownloadError, match="unpacks to more than"):
        fetch(
            Download(file="x", url=server.url, unpack="member"),
            tmp_path,
            Patience(tries=1, timeout_s=5, max_unpacked_gib=0.001),
        )
    assert not (tmp_path / "x").exists()


def test_structures_are_asked_for_once_and_misses_are_listed(server: Server, tmp_path: Path) -> None:
    known = {"PD%2F1": (1, "CCO"), "aspirin": (2241, "CC(=O)OC1=CC=CC=C1C(=O)O")}

    def pubchem(handler: BaseHTTPRequestHandler, number: int) -> None:
        name = handler.path.split("/")[2]
        if name not in known:
            refuse(handler, 404)
            return
        cid, smiles = known[name]
        body = json.dumps({"PropertyTable": {"Properties": [{"CID": cid, "SMILES": smiles}]}}).encode()
        send(handler, number, body=body)

    server.answer = pubchem
    url = server.url.replace("/part/file.bin", "/{by}/{query}/property")
    table = tmp_path / "smiles.csv"
    assert fetch_smiles(["aspirin", "PD/1", "nonsense"], "name", table, url, QUICK, 1000) == (3, ["nonsense"])
    assert table.read_text().splitlines()[1:] == ["aspirin,2241,CC(=O)OC1=CC=CC=C1C(=O)O", "PD/1,1,CCO"]
    assert fetch_smiles(["aspirin", "PD/1"], "name", table, url, QUICK, 1000) == (0, [])
    assert server.paths[-1] == "/name/nonsense/property"


def test_requests_to_pubchem_keep_their_distance(server: Server, tmp_path: Path) -> None:
    server.answer = lambda handler, number: refuse(handler, 404)
    start = time.monotonic()
    fetch_smiles(["a", "b", "c"], "name", tmp_path / "t.csv", server.url + "?{by}{query}", QUICK, per_second=10)
    assert time.monotonic() - start >= 0.2
