"""What a section of a page is made of; the templates in `templates/` know how each kind looks.

Texts are plain: whatever a run's files say goes into them as it is, and is escaped where it is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Sentence:
    """A paragraph. `tone`: `lacking` says what a run does not hold, `wrong` what cannot be read."""

    text: str
    tone: str = ""
    kind: ClassVar[str] = "sentence"


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading within a section."""

    text: str
    kind: ClassVar[str] = "heading"


@dataclass(frozen=True, slots=True)
class Facts:
    """A few numbers to see at once, (what it is, its value) each."""

    pairs: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True, slots=True)
class Said:
    """Sentences, one below the other."""

    sentences: Sequence[str]
    kind: ClassVar[str] = "said"


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that is more than its text.

    Attributes:
        tone: `good` or `bad`.
        shade: how strongly its background is coloured, percent; None: not at all.
    """

    text: str
    tone: str = ""
    shade: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of a row is its heading.

    Attributes:
        numbers: columns that stand to the right.
        wide: columns of long text.
        folded: shown when it is asked for.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    numbers: frozenset[int] = frozenset()
    wide: frozenset[int] = frozenset()
    folded: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart.

    Attributes:
        svg: as it stands in the page, made by `charts/svg.py` alone.
        title: above it.
        legend: (name, CSS variable of its colour) of each line.
        said: what it shows, in words.
    """

    svg: Markup
    title: str
    said: str
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Figures:
    """Charts side by side, as many as there is room for."""

    charts: Sequence[Figure]
    kind: ClassVar[str] = "figures"


@dataclass(frozen=True, slots=True)
class Code:
    """Something to copy."""

    text: str
    label: str
    folded: bool = False
    kind: ClassVar[str] = "code"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a model beside what was asked and what is right."""

    heading: str
    asked: str
    right: str
    said: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """Right and wrong answers of one task, side by side."""

    caption: str
    right: Sequence[Answer]
    wrong: Sequence[Answer]
    headings: tuple[str, str] = ("Right", "Wrong")
    kind: ClassVar[str] = "answers"


Block = Sentence | Heading | Facts | Said | Table | Figures | Code | Answers


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page with a heading.

    Attributes:
        anchor: its id on the page.
    """

    title: str
    anchor: str
    blocks: Sequence[Block] = field(default=())
