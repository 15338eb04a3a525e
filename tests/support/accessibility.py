"""What axe-core finds wrong with a page for readers who cannot see, hear, point or tell colours apart."""

import os
from pathlib import Path

from tests.support.browser import typed_at

VARIABLE = "DADSP_AXE"
_PLACES = [os.environ.get(VARIABLE, ""), "node_modules/axe-core/axe.min.js"]
AXE = next((Path(place) for place in _PLACES if place and Path(place).is_file()), None)
MISSING = f"axe-core is not there: npm pack axe-core, unpack it, and let {VARIABLE} name its axe.min.js"

RUN = """axe.run(document).then((found) => found.violations.map((rule) =>
  `${rule.impact}: ${rule.help} (${rule.nodes.length}), e.g. ${rule.nodes[0].html.slice(0, 200)}`))"""
SIZES = ((400, 800), (1400, 900))  # a phone, a desk


def findings(html: str, folder: Path) -> list[str]:
    """Every finding of axe-core, on a phone and on a desk, in light and in dark, its impact first."""
    assert AXE is not None
    found: list[str] = []
    with typed_at(html, SIZES[0][0], folder) as page:
        page.run(AXE.read_text(encoding="utf-8"))
        for size in SIZES:
            page.resize(*size)
            for scheme in ("light", "dark"):
                page.prefer(scheme)
                found += page.run(RUN)
    return found
