"""From a matplotlib figure to SVG that stands in a page: no fonts, no style of its own, ink that follows the page.

matplotlib draws in stand-in colours, each of which becomes `currentColor` or a CSS variable of the page, so that one
picture serves light, dark and print. Its ids are numbered anew, because a page holds many pictures; what is not
referred to has none. The same figure gives the same bytes.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

from lexitrain.reporting.png import new_figure
from lexitrain.reporting.run_page.blocks import Figure

INK = "#010203"
"""Stand-in for the colour of text and axes."""
COLOURS = ("one", "two", "three", "four", "five", "six", "seven", "eight")
"""CSS variables of the page for what is drawn, in the order in which they are taken."""
_STAND_INS = {name: f"#0102{place:02x}" for place, name in enumerate(COLOURS, start=0x10)}

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_FONT = re.compile(r"font: (?:[\w-]+ )*?([\d.]+)px [^;]*")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_LETTERS = 26  # of a label on an axis
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lexitrain",
    "font.size": 10.5,
    "axes.labelsize": 10.5,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "text.parse_math": False,  # a label is text, whatever stands in it
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.13,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "path.simplify": True,
}


def colour(name: str) -> str:
    """What matplotlib is told for a CSS variable of the page."""
    return _STAND_INS[name]


def label(text: str, most: int = _LETTERS) -> str:
    """A text as a label of an axis: one line, short, and of letters that XML has."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


class Charts:
    """Draws the charts of one page and numbers them."""

    def __init__(self) -> None:
        self._count = 0

    def draw(
        self,
        paint: Callable[[Any], None],
        title: str,
        said: str,
        *,
        height: float = 3.0,
        legend: Sequence[tuple[str, str]] = (),
    ) -> Figure:
        """A chart of the page.

        Args:
            paint: draws on the axes that it is given.
            title: above the chart.
            said: what it shows, in words: for those who do not see it.
            height: inches; the width is that of every chart.
            legend: (name, colour) of what is drawn.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        self._count += 1
        drawn = BytesIO()
        with _style():
            figure = new_figure(5.4, height)
            paint(figure.add_subplot())
            figure.savefig(drawn, format="svg", metadata={"Date": None}, transparent=True)
        svg = _inline(drawn.getvalue(), f"chart-{self._count}", f"{title}. {said}")
        from markupsafe import Markup

        return Figure(Markup(svg), title, said, legend)  # ElementTree has escaped it


@contextmanager
def _style() -> Generator[None]:
    new_figure(1, 1)  # says which extra is missing
    matplotlib: Any = import_module("matplotlib")
    with warnings.catch_warnings(), matplotlib.rc_context(_STYLE):
        # The reader's fonts draw the letters, not matplotlib's; and odd numbers are drawn all the same.
        warnings.simplefilter("ignore")
        yield


def _inline(svg: bytes, name: str, description: str) -> str:
    """The figure as an element of HTML."""
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in {"metadata", "style"}:
                parent.remove(child)
    names = _new_names(root, name)
    for element in root.iter():
        element.tag = str(element.tag).removeprefix(_SVG)
        element.attrib = {
            key: value
            for given, content in element.attrib.items()
            for key, value in [_attribute(given, content, names)]
            if value
        }
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.attrib |= {"class": "chart", "role": "img", "aria-labelledby": f"{name}-title"}
    title = ElementTree.Element("title", {"id": f"{name}-title"})
    title.text = "".join(letter if letter.isprintable() else " " for letter in description)
    root.insert(0, title)
    return ElementTree.tostring(root, encoding="unicode").replace(" />", "/>")


def _new_names(root: ElementTree.Element, name: str) -> dict[str, str]:
    """Id -> that which it has on the page, of those that something refers to."""
    used = {
        reference
        for element in root.iter()
        for value in element.attrib.values()
        for reference in _REFERENCE.findall(value)
    }
    used |= {
        element.attrib[_XLINK].removeprefix("#")
        for element in root.iter()
        if _XLINK in element.attrib
    }
    return {
        given: f"{name}-{place}"
        for place, given in enumerate(
            element.attrib["id"] for element in root.iter() if element.attrib.get("id") in used
        )
    }


def _attribute(key: str, value: str, names: dict[str, str]) -> tuple[str, str]:
    """An attribute as the page has it; an empty value: it is left out."""
    if key == "id":
        return key, names.get(value, "")
    if key == _XLINK:
        return "href", f"#{names[value.removeprefix('#')]}"
    value = _REFERENCE.sub(lambda found: f"url(#{names[found.group(1)]})", value)
    if key == "style":
        value = _FONT.sub(r"font-size: \1px", value)
        value = value.replace(INK, "currentColor")
        for variable, stand_in in _STAND_INS.items():
            value = value.replace(stand_in, f"var(--{variable})")
    return key, value
