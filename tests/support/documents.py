"""Examples of the documentation, as a reader would run them."""

import re
from pathlib import Path
from typing import Any

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
