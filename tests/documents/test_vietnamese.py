"""The Vietnamese pages say what the English ones say, and are written in Vietnamese."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from tests.documents.translation import differences, leading, sections
from tests.paths import ROOT

_DOCS = ROOT / "docs"


_OWN = {"index.md"}
"""Pages that are no translation: the list of those that are."""


def _translations() -> dict[Path, Path]:
    found = {
        (_DOCS / each.name).resolve(): each.resolve()
        for each in sorted((_DOCS / "vi").glob("*.md"))
        if each.name not in _OWN
    }
    if (ROOT / "README.vi.md").is_file():
        found[(ROOT / "README.md").resolve()] = (ROOT / "README.vi.md").resolve()
    return found


PAIRS = _translations()
_IDS = [str(each.relative_to(ROOT)) for each in PAIRS.values()]

_VIETNAMESE = set("ăâđêôơưàảãạáằẳẵặắầẩẫậấèẻẽẹéềểễệếìỉĩịíòỏõọóồổỗộốờởỡợớùủũụúừửữựứỳỷỹỵý")


def test_there_are_pages() -> None:
    names = [
        "README",
        "ab",
        "architecture",
        "colab",
        "faq",
        "guide",
        "library",
        "quick-reference",
        "tutorial",
    ]
    assert {each.name for each in PAIRS} >= {f"{name}.md" for name in names}


@pytest.mark.parametrize(("english", "vietnamese"), PAIRS.items(), ids=_IDS)
def test_it_says_what_the_english_page_says(english: Path, vietnamese: Path) -> None:
    assert english.is_file(), f"{vietnamese.name} is a translation of no page"
    found = differences(
        english.read_text(encoding="utf-8"),
        vietnamese.read_text(encoding="utf-8"),
        leading(english, vietnamese, PAIRS),
    )
    assert not found, "\n".join(found)


@pytest.mark.parametrize("vietnamese", PAIRS.values(), ids=_IDS)
def test_it_is_written_as_vietnamese_is(vietnamese: Path) -> None:
    text = vietnamese.read_text(encoding="utf-8")
    assert text == unicodedata.normalize("NFC", text), "not composed (NFC)"
    assert not re.search("[\u0300-\u036f\ufffd\u00ad\u200b]", text), (
        "loose marks or invisible characters"
    )
    for section in sections(text):
        prose = re.sub(r"`[^`]*`|\([^)]*\)", " ", section.prose)
        letters = [each for each in prose.lower() if each.isalpha()]
        share = sum(each in _VIETNAMESE for each in letters) / max(1, len(letters))
        assert len(letters) < 120 or share > 0.06, (
            f"{section.heading}: {share:.0%} of its letters have marks"
        )


_PAGE = """# One

Takes 2.5 h by `plan`, see [it](faq.md).

- a
- b

```console
$ lexitrain plan
```

## Two

End.
"""
_SAME = """# Một

Mất 2.5 h theo `plan`, xem [nó](faq.md).

- a
- b

```console
$ lexitrain plan
```

## Hai

Hết.
"""


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("2.5 h", "2,5 h", "numbers"),
        ("2.5 h", "3.5 h", "numbers"),
        ("`plan`", "`train`", "code"),
        ("(faq.md)", "(guide.md)", "links"),
        ("$ lexitrain plan", "$ lexitrain plans", "block"),
        ("- b\n", "", "items"),
        ("Hết.", "Hết p95.", "names"),
        ("## Hai", "### Hai", "headings"),
        ("## Hai\n\nHết.\n", "", "headings"),
    ],
)
def test_what_differs_is_told(before: str, after: str, told: str) -> None:
    leads = {"faq.md": "faq.md"}
    assert differences(_PAGE, _SAME, leads) == []
    assert before in _SAME
    found = differences(_PAGE, _SAME.replace(before, after), leads)
    assert len(found) == 1
    assert told in found[0]


def test_links_lead_to_the_readers_own_language(tmp_path: Path) -> None:
    pages = {name: tmp_path / name for name in ("a.md", "b.md", "vi/a.md", "vi/b.md", "c.md")}
    (tmp_path / "vi").mkdir()
    pages["a.md"].write_text(
        "# A\n\n[b](b.md#two) [c](c.md) [vi](vi/b.md) [w](https://x.org) [own](#a)\n"
    )
    pages["vi/a.md"].write_text("# Trang A\n")
    pages["b.md"].write_text("# B\n\n## Two\n")
    pages["vi/b.md"].write_text("# Trang B\n\n## Mục hai\n")
    translations = {
        pages[name].resolve(): pages[f"vi/{name}"].resolve() for name in ("a.md", "b.md")
    }
    assert leading(pages["a.md"].resolve(), pages["vi/a.md"].resolve(), translations) == {
        "b.md#two": "b.md#mục-hai",
        "c.md": "../c.md",
        "vi/b.md": "../b.md",
        "https://x.org": "https://x.org",
        "#a": "#trang-a",
    }


@pytest.mark.parametrize(
    "page", sorted([*ROOT.glob("README*.md"), *_DOCS.rglob("*.md")]), ids=lambda page: page.name
)
def test_a_page_begins_with_its_title(page: Path) -> None:
    assert page.read_text(encoding="utf-8").startswith("# ")
