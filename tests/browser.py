"""Opens pages in the distribution's Chromium, without a window."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import escape
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


def _chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    # No sandbox, because a container's root cannot have one; no network, so that a page that asks for it fails.
    always = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    always += [f"--user-data-dir={folder / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND"]
    return subprocess.run([CHROMIUM, *always, *arguments], capture_output=True, text=True, timeout=120, check=True)
