"""Examples of the documentation, as a reader would run them."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

from dadsp.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


def run_python_blocks(document: str, heading: str = "") -> dict[str, Any]:
    """Runs a document's Python blocks, or those below a heading, one after the other; returns the names they leave."""
    text = (ROOT / document).read_text(encoding="utf-8")
    if heading:
        text = text.partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert blocks, f"{document} holds no example"
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, document, "exec"), names)
    return names


def bash_blocks(document: str) -> list[str]:
    """A document's blocks of commands."""
    return re.findall(r"^```bash\n(.*?)^```$", (ROOT / document).read_text(encoding="utf-8"), flags=re.M | re.S)


def run_bash_block(block: str) -> str:
    """Runs a block as a shell would and gives what it printed; ``dadsp`` runs here, to be imported once for all blocks."""
    printed = ""
    # A command of dadsp with its continued lines, or all lines up to the next.
    for part in re.findall(r"^dadsp (?:.*\\\n)*.*\n|(?:^(?!dadsp ).*\n)+", block, flags=re.M):
        if part.startswith("dadsp "):
            assert main(shlex.split(part.replace("\\\n", " "))[1:]) == 0, part
        else:
            command = ["bash", "-euo", "pipefail", "-c", part]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{part}\n{done.stderr}"
            printed += done.stdout
    return printed
