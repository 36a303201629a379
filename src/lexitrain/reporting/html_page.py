"""HTML pages: one file each, without network or scripts, in one style.

What models, records and files say is text and never markup: everything is escaped, and a page's own policy forbids
scripts and anything from elsewhere. The style is in `templates/page.html.jinja`, which every page extends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.errors import InputError
from lexitrain.storage import user_path, write_file

if TYPE_CHECKING:
    from markupsafe import Markup

_GENERATOR = b'<meta name="generator" content="LexiTrain">'
_HEAD = 2000  # bytes in which a page says who made it


def write_page(
    template: str,
    path: str | Path,
    values: Mapping[str, Any],
    filters: Mapping[str, Callable[..., Any]] | None = None,
) -> Path:
    """Fill a template and write the page, whole or not at all; returns its path.

    Args:
        template: file in `templates/`.
        path: of the page; `~` is a home folder.
        values: that the template names.
        filters: besides Jinja's own.

    Raises:
        InputError: it cannot be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("lexitrain.reporting"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"coded": _coded, **(filters or {})}
    page = environment.get_template(template).render(values)
    path = user_path(path)
    try:
        write_file(path, page.encode("utf-8", "replace"))
    except OSError as error:
        raise InputError(f"The page cannot be written: {error.strerror}.", where=path) from error
    return path


def _coded(text: str) -> Markup:
    """What stands between `backticks` as code; all of it is escaped."""
    from markupsafe import Markup, escape

    parts = text.split("`")
    if len(parts) % 2 == 0:  # one without its partner
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(parts)
    )


def check_page(path: str | Path) -> Path:
    """Asked before a page takes its place; returns the path.

    Raises:
        InputError: `path` does not name a page, or something else than a page of this package lies there.
    """
    path = user_path(path)
    if path.suffix.lower() not in {".html", ".htm"}:
        raise InputError("The page is HTML.", where=path, fix="Name a file that ends in .html.")
    try:
        if not path.exists():
            return path
        if path.is_file():
            with path.open("rb") as file:
                if _GENERATOR in file.read(_HEAD):
                    return path
    except OSError as error:
        raise InputError(f"The page cannot be written: {error.strerror}.", where=path) from error
    raise InputError(
        "Something that LexiTrain has not written is in this place; it is left as it is.",
        where=path,
        fix="Name another file with --out, or move that one away.",
    )
