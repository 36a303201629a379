"""The recipes that a page offers to copy are recipes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lexitrain import load_recipe
from tests.documents.markdown import read_document
from tests.paths import ROOT

RECIPES = [
    pytest.param(block, id=f"{page.name}: {yaml.safe_load(block)['name']}")
    for page in sorted((ROOT / "docs").glob("*.md"))
    for block in read_document(page).code("yaml")
]


def test_the_pages_offer_some() -> None:
    assert len(RECIPES) >= 5


@pytest.mark.parametrize("block", RECIPES)
def test_a_recipe_of_a_page_is_read(block: str, tmp_path: Path) -> None:
    file = tmp_path / "ours.yaml"
    file.write_text(block, encoding="utf-8")
    content = yaml.safe_load(block)
    recipe = load_recipe(str(file))
    assert recipe.name == content["name"]
    for section, fields in content.items():
        if isinstance(fields, dict):
            for field, value in fields.items():
                assert getattr(getattr(recipe, section), field) == value
