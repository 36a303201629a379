"""docs/recipes.md says which field stands for which argument of a Trainer script: the fields are there, and the recipe
that stands there as a whole loads and says what it seems to say."""

from __future__ import annotations

import re
from pathlib import Path

from lexitrain.recipe.schema import recipe_fields
from lexitrain.recipe.yaml_file import load_recipe
from tests.paths import ROOT

SECTION = (
    (ROOT / "docs" / "recipes.md")
    .read_text(encoding="utf-8")
    .partition("## Your Trainer script as a recipe")[2]
    .partition("\n## ")[0]
)


def test_every_field_of_the_table_is_one() -> None:
    known = {dotted for dotted, _ in recipe_fields()}
    cells = [line.split("|")[2] for line in SECTION.splitlines() if line.startswith("| ")][1:]
    named = [name for cell in cells for name in re.findall(r"`([a-z0-9_.]+)[^`]*`", cell)]
    assert len(named) > 25
    section = ""
    for name in named:
        if "." in name:
            section = name.partition(".")[0]
        assert name in known or f"{section}.{name}" in known, name


def test_the_recipe_loads(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)[0])
    recipe = load_recipe(path)
    assert (recipe.name, recipe.lora.alpha, recipe.schedule.kind) == ("mine", 16, "constant")
    assert recipe.step.effective_batch == 16
