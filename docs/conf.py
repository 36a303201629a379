"""The documentation as a site: `make site`, which writes build/site/index.html.

Sphinx reads the whole repository, so that a link means the same here and on GitHub: from page to page, to the README,
and to a file, of which the site then holds a copy. English and Vietnamese are one site. Nothing is asked of a network,
neither while it is built nor while it is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

project = "LexiTrain"
author = "LexiTrain"
project_copyright = "LexiTrain"
html_show_copyright = False

extensions = ["myst_parser", "sphinx_copybutton"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/*.md", "docs/vi/*.md", "src/lexitrain/models/nano/README.md"]
exclude_patterns = [".*", "build", "demo", "runs", "node_modules", "**/*.egg-info"]

# Links to headings as GitHub makes them, to the third level; api.md names each function at that level.
myst_heading_anchors = 3
# The card of nano has the metadata of a model card in front.
suppress_warnings = ["myst.header"]

html_theme = "furo"
html_title = "LexiTrain"
html_copy_source = False
html_show_sourcelink = False
html_extra_path = ["site"]
templates_path: list[str] = []

# Commands are copied without the sign of the shell, and without what they print.
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True


def _speaks(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Say of a Vietnamese page that it is one, so that readers and screen readers pronounce it rightly."""
    del app, template, doctree
    if page.startswith("docs/vi/") or Path(page).name == "README.vi":
        context["language"] = "vi"


def _without_barriers(app: Any, exception: Exception | None) -> None:
    """Mend what a keyboard or a screen reader cannot do with the theme's pages.

    What scrolls sideways (code and tables on a phone) can be focused, and a caption that is called a heading says of
    which level.
    """
    if exception is not None:
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for before, after in _MENDED.items():
            text = text.replace(before, after)
        page.write_text(text, encoding="utf-8")


_MENDED = {
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="Pages">',
    'class="caption" role="heading">': 'class="caption" role="heading" aria-level="2">',
}


def setup(app: Any) -> dict[str, Any]:
    """What Sphinx calls."""
    app.connect("html-page-context", _speaks)
    app.connect("build-finished", _without_barriers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
