"""Markdown as the tests of the documents see it: code blocks, inline code, links, headings and their anchors.

Anchors follow GitHub: lower case, letters, digits, hyphens and underscores stay, spaces become hyphens, the rest goes;
a heading that stands twice gets `-1`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.paths import ROOT

FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*(\S*)[^\n`]*$")
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.+?)\s*#*$")
INLINE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the word behind its fence, its text, and the line that it begins at."""

    language: str
    text: str
    line: int


@dataclass(slots=True)
class Document:
    """A text in Markdown.

    Attributes:
        path: of its file, or of the notebook that it is a cell of.
        prose: it without fenced blocks.
        blocks: those.
        headings: in order, as they stand there.
    """

    path: Path
    prose: str
    blocks: list[Block] = field(default_factory=list[Block])
    headings: list[str] = field(default_factory=list[str])

    @property
    def name(self) -> str:
        """Its path in the repository."""
        return str(self.path.relative_to(ROOT))

    @property
    def inline_code(self) -> list[str]:
        """What stands between backticks in the prose, each on one line."""
        return [" ".join(code.split()) for _, code in INLINE.findall(self.prose)]

    def code(self, language: str) -> list[str]:
        """Texts of the blocks in this language."""
        return [each.text for each in self.blocks if each.language == language]

    @property
    def links(self) -> list[str]:
        """Targets of links and pictures in the prose."""
        return LINK.findall(INLINE.sub("`code`", self.prose))

    @property
    def anchors(self) -> set[str]:
        """What a link's `#…` may name."""
        seen: dict[str, int] = {}
        found: set[str] = set()
        for heading in self.headings:
            slug = github_slug(heading)
            count = seen.get(slug, 0)
            seen[slug] = count + 1
            found.add(f"{slug}-{count}" if count else slug)
        return found | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", self.prose))


def github_slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)  # of a link its text
    text = text.replace("`", "").replace("*", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def parsed(path: Path, text: str) -> Document:
    """A document from its text."""
    prose: list[str] = []
    blocks: list[Block] = []
    headings: list[str] = []
    fence, language, held, begin = "", "", [], 0
    for number, line in enumerate(text.splitlines(), start=1):
        found = FENCE.match(line)
        if fence:
            if found and found[1].startswith(fence) and not found[2]:
                blocks.append(Block(language, "".join(f"{each}\n" for each in held), begin))
                fence = ""
            else:
                held.append(line)
        elif found:
            fence, language, held, begin = found[1], found[2], [], number
        else:
            if heading := HEADING.match(line):
                headings.append(heading[1])
            prose.append(line)
    assert not fence, f"{path}: the block at line {begin} has no end"
    return Document(path, "\n".join(prose), blocks, headings)


def read_document(path: Path) -> Document:
    """The document in a file."""
    return parsed(path, path.read_text(encoding="utf-8"))


def documents() -> Iterator[Document]:
    """All of the repository's: pages, the README and its like, the models' cards, and the notebooks' text."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.md")]
    for path in sorted(pages):
        yield read_document(path)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
        yield parsed(path, "\n\n".join(texts))
