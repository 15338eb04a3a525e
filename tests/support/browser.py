"""Opens pages in the distribution's Chromium, without a window."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from io import RawIOBase
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
MISSING = "chromium is not installed (Debian: apt-get install chromium)"

# The page stands in a frame, since no browser window is as narrow as a phone.
FRAME = """<!doctype html><meta charset="utf-8"><style>body {{ margin: 0 }} iframe {{ border: 0 }}</style>
<iframe id="page" width="{width}" height="{height}" srcdoc="{content}"></iframe><pre id="facts" hidden></pre>
<script>
document.getElementById("page").addEventListener("load", (event) => {{
  const page = event.target.contentDocument;
  page.defaultView.addEventListener("error", (error) => console.error(error.message));
  const measure = {measure};
  document.getElementById("facts").textContent = JSON.stringify(measure(page));
}});
</script>"""


@dataclass(frozen=True)
class Opened:
    """What a browser makes of a page.

    Attributes:
        facts: What the measuring script returned.
        console: Every message on the console.
    """

    facts: dict[str, Any]
    console: list[str]


def open_page(html: str, width: int, measure: str, folder: Path) -> Opened:
    """Opens ``html`` at a width in CSS pixels and runs ``measure``, a JavaScript function of its document."""
    wrapper = folder / "wrapper.html"
    wrapper.write_text(FRAME.format(width=width, height=900, content=escape(html), measure=measure), encoding="utf-8")
    done = _chromium(folder, "--dump-dom", "--enable-logging=stderr", "--virtual-time-budget=5000", wrapper.as_uri())
    found = re.search(r'<pre id="facts" hidden="">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, f"The page did not load:\n{done.stderr[-2000:]}"
    text = found[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
    return Opened(json.loads(text), re.findall(r"CONSOLE.*", done.stderr))


class Page:
    """A page that can be asked and typed at, over Chromium's own protocol (one JSON message per null byte)."""

    def __init__(self, orders: RawIOBase, answers: RawIOBase, address: str, width: int) -> None:
        self._orders, self._answers = orders, answers
        self._unread, self._count, self._session = b"", 0, ""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.resize(width, 900)
        self._ask("Page.navigate", url=address)
        while self.run("document.readyState + location.protocol") != "completefile:":
            pass

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; of a promise, what it comes to."""
        return self._ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)["result"].get(
            "value"
        )

    def resize(self, width: int, height: int) -> None:
        """Gives the window a size in CSS pixels."""
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def press_tab(self) -> None:
        """As a reader without a mouse does."""
        for kind in ("rawKeyDown", "keyUp"):
            self._ask("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)

    def prefer(self, scheme: str) -> None:
        """Asks the page for ``"light"`` or ``"dark"`` colours."""
        self._ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._orders.write(json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._unread:
                received = self._answers.read(65536)
                assert received, "Chromium went away"
                self._unread += received
            text, _, self._unread = self._unread.partition(b"\0")
            answer = json.loads(text)
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                found: dict[str, Any] = answer["result"]
                return found


@contextmanager
def typed_at(html: str, width: int, folder: Path) -> Iterator[Page]:
    """A page that is open until the end of the block."""
    (folder / "page.html").write_text(html, encoding="utf-8")
    command = _command(folder, "--remote-debugging-pipe")
    (read_ours, write_ours), (read_page, write_page) = os.pipe(), os.pipe()
    # Chromium reads its orders from descriptor 3 and answers on 4.
    shell = ["bash", "-c", f'exec "$@" 3<&{read_ours} 4>&{write_page}', "bash", *command]
    with (
        open(write_ours, "wb", buffering=0) as orders,
        open(read_page, "rb", buffering=0) as answers,
        subprocess.Popen(shell, pass_fds=(read_ours, write_page), stderr=subprocess.DEVNULL) as browser,
    ):
        os.close(read_ours)
        os.close(write_page)
        try:
            yield Page(orders, answers, (folder / "page.html").as_uri(), width)
        finally:
            browser.kill()


def _chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(folder, *arguments), capture_output=True, text=True, timeout=120, check=True)


def _command(folder: Path, *arguments: str) -> list[str]:
    assert CHROMIUM is not None
    # No sandbox, because a container's root cannot have one; no network, so that a page that asks for it fails.
    always = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    always += [f"--user-data-dir={folder / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND"]
    return [CHROMIUM, *always, *arguments]
