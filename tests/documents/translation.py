"""A page and its translation, cut into sections that are compared with each other.

What does not depend on the language has to be the same in each section: level of the heading, blocks of code, inline
code, numbers, and where links lead. Numbers keep the English point, so that they compare. A block of the language
`text` is prose drawn as a picture: its lines and numbers count, its words do not, unless it is a command.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.documents.markdown import github_slug

_FENCE = re.compile(r"^(`{3,})\s*(\S*)$")
_HEADING = re.compile(r"^(#{1,6}) (.*)$")
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_NUMBER = re.compile(r"(?<![A-Za-z\d.,])\d+(?:[.,]\d+)*(?:e-?\d+)?")
_NAME = re.compile(r"(?<![\w.-])[A-Za-z_]+\d\w*")
_COMMENT = re.compile(r"<!--.*?-->")


@dataclass
class Section:
    """What stands under one heading.

    Attributes:
        level: of the heading.
        heading: its text.
        blocks: language and lines of each block of code.
        prose: everything else, in one line.
    """

    level: int
    heading: str
    blocks: list[tuple[str, list[str]]] = field(default_factory=list)
    prose: str = ""

    @property
    def code(self) -> list[str]:
        """Inline code, in alphabetical order: languages order their sentences differently."""
        return sorted(_CODE.findall(self.prose))

    @property
    def numbers(self) -> list[str]:
        """Numbers outside of code and of links' targets."""
        return sorted(
            _NUMBER.findall(_CODE.sub(" ", _LINK.sub("]", self.heading + " " + self.prose)))
        )

    @property
    def names(self) -> list[str]:
        """Names with digits in them, such as p95 and Q4_K_M, outside of code and of links' targets."""
        return sorted(_NAME.findall(_CODE.sub(" ", _LINK.sub("]", f"{self.heading} {self.prose}"))))

    @property
    def links(self) -> list[str]:
        """Targets of links."""
        return _LINK.findall(self.prose)

    @property
    def rows(self) -> int:
        """Rows of tables, which a translation must not lose."""
        return len(re.findall(r"⏎\s*\|", self.prose))

    @property
    def items(self) -> int:
        """Items of lists, which a translation must not lose."""
        return len(re.findall(r"⏎\s*(?:[-*] |\d+\. )", self.prose))


def sections(text: str) -> list[Section]:
    """The sections of a page, in its order. Comments are for other tests, and left out."""
    found: list[Section] = []
    fence = ""
    for line in _COMMENT.sub("", text).splitlines():
        if fence:
            if line == fence:
                fence = ""
            else:
                found[-1].blocks[-1][1].append(line)
        elif opening := _FENCE.match(line):
            fence = opening[1]
            found[-1].blocks.append((opening[2], []))
        elif heading := _HEADING.match(line):
            found.append(Section(len(heading[1]), heading[2]))
        elif found:
            found[-1].prose += " ⏎" + line
    return found


def _comparable(language: str, lines: list[str]) -> list[list[str]]:
    """Lines of a block; of a picture in words only the numbers."""
    picture = language == "text" and not (lines and lines[0].startswith("lexitrain "))
    return [_NUMBER.findall(each) if picture else [each] for each in lines]


def differences(english: str, translated: str, leads: Mapping[str, str]) -> list[str]:
    """In what a translation says something else than its page, a line each.

    Args:
        english: text of the page.
        translated: that of its translation.
        leads: target of an English link -> the target that it has to have in the translation.
    """
    ours, theirs = sections(english), sections(translated)
    levels = [[each.level for each in side] for side in (ours, theirs)]
    if levels[0] != levels[1]:
        first = next(
            (n for n, pair in enumerate(zip(*levels, strict=False)) if pair[0] != pair[1]),
            min(map(len, levels)),
        )
        return [
            f"headings differ from number {first + 1} on ({len(ours)} and {len(theirs)} of them)"
        ]
    found: list[str] = []
    for one, other in zip(ours, theirs, strict=True):
        wanted = {
            "code": (one.code, other.code),
            "numbers": (one.numbers, other.numbers),
            "names": (one.names, other.names),
            "links": (sorted(leads[each] for each in one.links), sorted(other.links)),
            "rows": ([str(one.rows)], [str(other.rows)]),
            "items": ([str(one.items)], [str(other.items)]),
            "blocks": ([f"{language} {len(lines)}" for language, lines in one.blocks],
                       [f"{language} {len(lines)}" for language, lines in other.blocks]),
        }  # fmt: skip
        for what, (left, right) in wanted.items():
            if left != right:
                missing = [each for each in left if left.count(each) > right.count(each)]
                added = [each for each in right if right.count(each) > left.count(each)]
                found.append(
                    f"{one.heading}: {what}: not here {sorted(set(missing))}, only here {sorted(set(added))}"
                )
        for (language, lines), (_, translated_lines) in zip(one.blocks, other.blocks, strict=False):
            if _comparable(language, lines) != _comparable(language, translated_lines):
                found.append(f"{one.heading}: a block of {language or 'code'} differs")
    return found


def leading(page: Path, translation: Path, translations: Mapping[Path, Path]) -> dict[str, str]:
    """Where each link of a page leads from its translation: to the translation of its target, where there is one. A
    link to a translation is for readers of that language; from there it leads to the English page.

    Args:
        page: the English page.
        translation: of it.
        translations: every page that has one -> its translation.
    """
    found: dict[str, str] = {}
    other_way = {after: before for before, after in translations.items()}
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        name, mark, anchor = target.partition("#")
        if "://" in target:
            found[target] = target
        elif not name:
            found[target] = "#" + translated_anchor(page, translation, anchor)
        else:
            aim = (page.parent / name).resolve()
            goal = translations.get(aim, other_way.get(aim, aim))
            if anchor and goal != aim:
                anchor = translated_anchor(aim, goal, anchor)
            found[target] = (
                Path(os.path.relpath(goal, translation.parent.resolve())).as_posix() + mark + anchor
            )
    return found


def translated_anchor(page: Path, translation: Path, anchor: str) -> str:
    """The anchor of the heading that stands where the anchor's heading stands on the page."""
    ours, theirs = (sections(each.read_text(encoding="utf-8")) for each in (page, translation))
    place = [github_slug(each.heading) for each in ours].index(anchor)
    return github_slug(theirs[place].heading)
