"""Sphinx settings of the documentation: ``make docs`` builds it from the repository's root into build/docs."""

import sys
from pathlib import Path
from typing import Any

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
from generated_pages import PUBLIC  # noqa: E402

project = "dadsp"
html_title = "dadsp"
copyright = "the authors of dadsp, Apache-2.0"

# The root of the sources is the repository's, so that pages link to the READMEs of experiments and to files of conf/.
root_doc = "docs/index"
include_patterns = ["docs/*.md", "experiments/*/README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
exclude_patterns = [".*", "build", "runs", "dadsp", "tests", "conf"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated_pages"]
myst_heading_anchors = 3

# References to the modules that have a page must resolve; others, and other projects (pages are built offline), have none.
nitpicky = True
nitpick_ignore_regex = [("py:.*", rf"(?!({'|'.join(PUBLIC)})\.).*")]
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints_format = "short"

html_theme = "furo"
html_extra_path = ["start"]
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
highlight_language = "text"


def setup(app: Sphinx) -> None:
    """Blocks of CSV are shown as they are; pages can be used with the keyboard and read aloud."""
    app.add_lexer("csv", TextLexer)
    app.connect("html-page-context", _made_accessible, priority=900)  # after the theme


def _made_accessible(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """What scrolls takes the keyboard's focus, and headings of the contents have a level; the theme leaves both out."""
    for name, found, instead in (
        ("body", "<pre>", '<pre tabindex="0">'),
        ("body", '<div class="table-wrapper', '<div tabindex="0" class="table-wrapper'),
        ("furo_navigation_tree", 'role="heading"', 'role="heading" aria-level="2"'),
    ):
        context[name] = context.get(name, "").replace(found, instead)
