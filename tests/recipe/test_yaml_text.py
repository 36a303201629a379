"""YAML that a user gives: what its aliases stand for is counted, and refused before it is repeated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lexitrain.errors import RecipeError
from lexitrain.recipe import yaml_file, yaml_text
from lexitrain.recipe.yaml_file import load_recipe, recipe_from_yaml
from lexitrain.recipe.yaml_text import MOST_VALUES, read_yaml


def nested(levels: int, each: int = 9, *, mapping: bool = False) -> str:
    """Aliases of aliases: each level repeats the one before `each` times."""
    lines = [f"l0: &l0 [{', '.join(['x'] * each)}]"]
    for level in range(1, levels):
        key = "k{}: " if mapping else ""
        parts = [f"{key.format(number)}*l{level - 1}" for number in range(each)]
        opened, closed = "{}" if mapping else "[]"
        lines.append(f"l{level}: &l{level} {opened}{', '.join(parts)}{closed}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("mapping", [False, True])
def test_half_a_kilobyte_of_aliases_is_refused_with_its_line(mapping: bool, tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text("extends: demo\ndescription: mine\n" + nested(9, mapping=mapping))
    with pytest.raises(RecipeError, match="stand for more than") as caught:
        load_recipe(file)
    # Levels 1 to 3 stand for 9 x (10 + 91 + 820) values; the fourth exceeds ten thousand in its first alias or two.
    assert caught.value.where == f"{file}:7"
    assert caught.value.exit_code == 2


def test_no_more_nodes_are_walked_than_the_text_has(monkeypatch: pytest.MonkeyPatch):
    walked: list[tuple[str, ...]] = []
    walk = yaml_file._walk

    def counted(settings: Any, node: Any, above: tuple[str, ...], where: str) -> None:
        walked.append(above)
        assert len(walked) < 100
        walk(settings, node, above, where)

    monkeypatch.setattr(yaml_file, "_walk", counted)
    with pytest.raises(RecipeError, match="stand for more than"):
        recipe_from_yaml(nested(12, mapping=True), "recipe.yaml")
    assert walked == []


def test_merge_keys_count_too():
    lines = ["a0: &a0 {x: 1, y: 2, z: 3}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 9)]
    with pytest.raises(RecipeError, match="stand for more than"):
        recipe_from_yaml("\n".join(lines), "recipe.yaml")


@pytest.mark.parametrize(
    "text", ["a: &a [*a]", "a: &a {b: *a}", "&a [1, {b: [*a]}]", "? &a [*a]\n: 1"]
)
def test_an_alias_of_what_holds_it_is_refused(text: str):
    with pytest.raises(RecipeError, match="holds the alias itself") as caught:
        recipe_from_yaml(text, "recipe.yaml")
    assert caught.value.where == "recipe.yaml:1"


@pytest.mark.parametrize(
    "value",
    ["[" * 3000, "!!bool maybe", "!!timestamp x", "!!int ''", "{[a]: 1}", "&a [*a]", "*a", "[1", "!!set {a, *x}"],
)  # fmt: skip
def test_a_value_that_cannot_be_read_is_refused(value: str):
    with pytest.raises(RecipeError) as caught:
        load_recipe("demo", [f"lora.rank={value}"])
    assert "--set lora.rank" in str(caught.value.where)
    with pytest.raises(RecipeError):
        recipe_from_yaml(f"lora:\n  rank: {value}\n", "recipe.yaml")


def test_many_values_of_aliases_in_an_override_are_refused():
    bomb = (
        "[&a [x,x,x,x,x,x,x,x,x,x], &b ["
        + ",".join(["*a"] * 10)
        + "], &c ["
        + ",".join(["*b"] * 10)
        + "]"
    )
    bomb += ", &d [" + ",".join(["*c"] * 10) + "]]"
    with pytest.raises(RecipeError, match="stand for more than"):
        load_recipe("demo", [f"data.tasks={bomb}"])


def test_deep_nesting_is_refused_at_its_line():
    with pytest.raises(RecipeError, match="levels deep") as caught:
        recipe_from_yaml("name: x\nlora: " + "[" * 100_000, "recipe.yaml")
    assert caught.value.where == "recipe.yaml:2"


def test_ordinary_aliases_are_read():
    text = "data: &d {max_length: 128}\nother: {<<: *d, workers: 1}\nlist: [*d, *d]\n"
    _, values = read_yaml(text, "x")
    assert values == yaml.safe_load(text)


NAMES = st.sampled_from(["a", "b", "c"])


@st.composite
def texts(draw: Any) -> str:
    """Documents with anchors and aliases at any place."""

    def value(depth: int) -> str:
        kind = draw(
            st.sampled_from(["word", "alias", "list", "map"] if depth else ["word", "alias"])
        )
        anchor = f"&{draw(NAMES)} " if draw(st.booleans()) and kind != "alias" else ""
        if kind == "word":
            return f"{anchor}w"
        if kind == "alias":
            return f"*{draw(NAMES)}"
        parts = [value(depth - 1) for _ in range(draw(st.integers(0, 4)))]
        if kind == "list":
            return f"{anchor}[{', '.join(parts)}]"
        return f"{anchor}{{{', '.join(f'k{n}: {part}' for n, part in enumerate(parts))}}}"

    return value(4)


def expanded(node: Any, above: tuple[int, ...] = ()) -> Iterator[Any]:
    if id(node) in above:
        raise RecursionError
    above = (*above, id(node))
    yield node
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from expanded(key, above)
            yield from expanded(value, above)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from expanded(each, above)


@settings(max_examples=60, deadline=None)
@given(texts())
def test_the_count_is_that_of_the_text_with_its_aliases_written_out(text: str):
    """PyYAML's own nodes, walked as if every alias were written out."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        size = len(list(expanded(root)))
    except (yaml.YAMLError, RecursionError):
        with pytest.raises(RecipeError):
            read_yaml(text, "x")
        return
    loader = yaml_text._Loader(text, "x", True)
    assert loader._sizes == {}
    again = loader.get_single_node()
    assert loader._sizes[id(again)] == size
    assert size <= MOST_VALUES or pytest.fail("larger than these texts can be")


@pytest.mark.parametrize(
    "text", ["010", "-07", "0_7", "1:30", "0:0.5", "+1:00", "!!int 010", "%YAML 1.2\n---\n010"]
)
def test_a_number_that_readers_of_yaml_take_for_two_is_refused(text: str):
    """010 is 8 to YAML 1.1 and 10 to YAML 1.2; 1:30 is 90 and a text."""
    with pytest.raises(RecipeError, match="not the same number to all readers"):
        read_yaml(text, "--set seed", lines=False)


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("10", 10), ("0.5", 0.5), ("'010'", "010"), ("1_000", 1000)]
)
def test_a_number_with_one_meaning_is_that(text: str, value: Any):
    assert read_yaml(text, "x.yaml")[1] == value


@pytest.mark.parametrize("kind", ["set {a, b}", "omap [a: 1]", "pairs [a: 1]", "binary aGk="])
def test_kinds_of_yaml_that_no_setting_has_are_refused(kind: str):
    """A set has no order: the recipe of a run would be another one in each process."""
    with pytest.raises(RecipeError, match="which no setting has") as caught:
        read_yaml(f"x: 1\ny: !!{kind}\n", "mine.yaml")
    assert caught.value.where == "mine.yaml:2"


def test_a_key_twice_is_refused_at_any_depth_also_without_lines():
    for text, where in (("{a: 1, a: 2}", "--set x"), ("{b: [{a: 1, a: 2}]}", "--set x")):
        with pytest.raises(RecipeError, match="a is given twice") as caught:
            read_yaml(text, where, lines=False)
        assert caught.value.where == where


def test_what_a_mapping_takes_over_it_may_give_anew():
    text = "extends: demo\nlora:\n  <<: {rank: 8, alpha: 4}\n  alpha: 5\n"
    lora = recipe_from_yaml(text.replace("extends: demo\n", ""), "mine.yaml").lora
    assert (lora.rank, lora.alpha) == (8, 5.0)


def test_two_mappings_that_give_the_same_key_are_not_taken_over():
    with pytest.raises(RecipeError, match="rank is given twice"):
        recipe_from_yaml("lora:\n  <<: [{rank: 8}, {rank: 9}]\n", "mine.yaml")
