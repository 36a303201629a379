"""docs/dependencies.md says of every package why it is there."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGE = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
CORE, EXTRAS = PAGE.partition("## Extras")[::2]


def named_in(part: str) -> set[str]:
    """Words of the tables' cells, as package names are compared."""
    cells = " ".join(line for line in part.splitlines() if line.startswith("|"))
    return {each.lower() for each in re.findall(r"[\w.-]+", cells)}


def name_of(requirement: str) -> str:
    return re.split(r"[<>=\[;]", requirement)[0].strip().lower()


@pytest.mark.parametrize("requirement", PROJECT["dependencies"])
def test_a_package_of_the_core_has_a_reason(requirement: str) -> None:
    assert name_of(requirement) in named_in(CORE)


@pytest.mark.parametrize("extra", PROJECT["optional-dependencies"])
def test_an_extra_and_its_packages_have_a_reason(extra: str) -> None:
    assert f"| `{extra}` |" in EXTRAS
    packages = {name_of(each) for each in PROJECT["optional-dependencies"][extra]} - {"lexitrain"}
    assert packages <= named_in(EXTRAS), packages - named_in(EXTRAS)


def test_all_is_what_the_page_says() -> None:
    (row,) = re.findall(r"^\| `all` \| (.+?) \|", EXTRAS, re.MULTILINE)
    (whole,) = PROJECT["optional-dependencies"]["all"]
    assert f"lexitrain[{','.join(re.findall(r'`(.+?)`', row))}]" == whole
