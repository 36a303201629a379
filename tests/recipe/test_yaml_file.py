"""Recipes: the shipped table, `extends`, overrides, and refusals that name the place."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lexitrain.errors import InputError
from lexitrain.recipe.schema import Recipe, recipe_fields, training_differences
from lexitrain.recipe.yaml_file import (
    _OTHER_NAMES,  # pyright: ignore[reportPrivateUsage]
    load_recipe,
    recipe_from_yaml,
    recipe_names,
    recipe_to_yaml,
)

SMALL, LARGE = "Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-1.5B-Instruct"

# base, max_length, rank, alpha, dropout, micro_batch, epochs, learning rate, optimizer, save, keep
SHIPPED = {
    "slow": (LARGE, 768, 48, 96, 0.05, 2, 7, 2e-4, "paged_adamw_32bit", 100, 3),
    "notebook": (SMALL, 512, 16, 32, 0.1, 4, 4, 3e-4, "paged_adamw_8bit", 150, 2),
    "fast": (SMALL, 512, 16, 32, 0.0, "auto", 4, 3e-4, "adamw_8bit", 150, 2),
    "fastest": (SMALL, 384, 8, 16, 0.0, "auto", 2, 5e-4, "adamw_8bit", 200, 2),
    "balanced": (SMALL, 768, 24, 48, 0.0, "auto", 5, 3e-4, "adamw_8bit", 150, 2),
    "quality": (LARGE, 512, 32, 64, 0.0, "auto", 6, 2e-4, "adamw_8bit", 150, 3),
    "best": (LARGE, 768, 48, 96, 0.0, "auto", 7, 2e-4, "adamw_8bit", 150, 3),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipe_has_the_settings_of_the_table(name: str) -> None:
    recipe = load_recipe(name)
    assert (
        recipe.model.base,
        recipe.data.max_length,
        recipe.lora.rank,
        recipe.lora.alpha,
        recipe.lora.dropout,
        recipe.step.micro_batch,
        recipe.schedule.epochs,
        recipe.optimizer.learning_rate,
        recipe.optimizer.name,
        recipe.checkpoints.every,
        recipe.checkpoints.keep,
    ) == SHIPPED[name]


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_shares_what_all_share(name: str) -> None:
    recipe = load_recipe(name)
    as_the_notebook_ran = name in {"slow", "notebook"}
    assert recipe.name == name
    assert recipe.description
    assert recipe.step.effective_batch == (12 if name == "demo" else 24)
    assert recipe.seed == 42
    assert recipe.log_every == 10
    assert recipe.optimizer.weight_decay == 0.01
    assert recipe.optimizer.clip == 1.0
    assert recipe.schedule.kind == "cosine"
    assert recipe.schedule.warmup == (0.03 if name == "slow" else 0.05)
    assert len(recipe.lora.targets) == 7
    assert recipe.step.layout == ("padded" if as_the_notebook_ran else "tree")
    assert recipe.step.loss == ("all_tokens" if as_the_notebook_ran else "completion")
    assert recipe.model.quantization == ("nf4" if as_the_notebook_ran else "auto")
    checkpointing = recipe.step.gradient_checkpointing
    assert checkpointing == ("always" if as_the_notebook_ran else "auto")


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_survives_its_own_yaml(name: str) -> None:
    recipe = load_recipe(name, ["data.task_weights.explanation=12.5"])
    assert recipe_from_yaml(recipe_to_yaml(recipe), "recipe.yaml") == recipe


def test_every_field_has_a_meaning() -> None:
    missing = [dotted for dotted, info in recipe_fields() if not info.description]
    assert missing == []


def test_extends_starts_from_another_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: best\nlora:\n  rank: 8\n")
    (tmp_path / "ours.yaml").write_text("extends: mine.yaml\nseed: 7\n")
    recipe = load_recipe(tmp_path / "ours.yaml")
    assert (recipe.name, recipe.seed, recipe.lora.rank, recipe.lora.alpha) == ("ours", 7, 8, 96)
    assert recipe.model.base == LARGE
    assert recipe.description == ""


def test_extends_in_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(InputError, match=r"extends itself: a\.yaml -> b\.yaml -> a\.yaml"):
        load_recipe(tmp_path / "a.yaml")


def test_task_weights_of_a_child_add_to_the_parents(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("data: {task_weights: {grammar: 2}}\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\ndata: {task_weights: {fluency: 3}}\n")
    assert load_recipe(tmp_path / "b.yaml").data.task_weights == {"grammar": 2, "fluency": 3}


def test_overrides_come_last_and_in_order() -> None:
    recipe = load_recipe("fast", ["lora.rank=8", "lora.rank=4", "step.micro_batch=auto"])
    assert recipe.lora.rank == 4


@pytest.mark.parametrize(
    ("text", "line", "says", "suggests"),
    [
        ("seed: 1\nlora:\n  rnk: 8\n", 3, "Unknown key lora.rnk", "lora.rank"),
        ("learning_rate: 1\n", 1, "Unknown key learning_rate", "optimizer.learning_rate"),
        ("lorra: {rank: 3}\n", 1, "Unknown key lorra", "lora"),
        ("lora: {rank: 0}\n", 1, "greater than or equal to 1 (given: 0)", ""),
        ("lora: 3\n", 1, "lora: should be", ""),
        ("step:\n  micro_batch: many\n", 2, "'auto' or should be a whole number", ""),
        ("data:\n  tasks: grammar\n", 2, "data.tasks: is a list, such as [one, two]", ""),
        ("data: {task_weights: grammar}\n", 1, "is a mapping, such as {name: value}", ""),
        ("checkpoints: {background: perhaps}\n", 1, "is true or false", ""),
        ("lora: {alpha: much}\n", 1, "should be a number", ""),
        ("extends: fsat\n", 1, "There is no recipe 'fsat'", "fast"),
        ("seed: 1\nstep:\n  loss: all_tokens\n", 3, "cannot supervise all tokens", ""),
        ("step:\n  micro_batch: 2\n  token_budget: 99\n", 3, "give one of them", ""),
        ("step: {micro_batch: 25}\n", 1, "larger than effective_batch 24", ""),
        ("data:\n  tasks: [grammar]\n  task_weights: {fluency: 2}\n", None, "fluency", ""),
        ("data:\n  task_weights: {fluency: -2}\n", 2, "greater than or equal to 0", ""),
        ("data:\n  task_weights: {fluency: .nan}\n", 2, "finite number", ""),
        ("data:\n  task_weights: {fluency: 1e12}\n", 2, "less than or equal to 1000", ""),
        ("data:\n  task_weights: {fluency: true}\n", 2, "true or false is no value", ""),
        ("data: {tasks: [grammar, grammar]}\n", 1, "grammar is named twice", ""),
        ("lora: {targets: [q_proj, q_proj]}\n", 1, "q_proj is named twice", ""),
        ("lora:\n  rank: true\n", 2, "lora.rank: true or false is no value", ""),
        ("lora: {alpha: .inf}\n", 1, "finite number", ""),
        ("optimizer: {clip: .inf}\n", 1, "finite number", ""),
        ("null: 3\n", 1, "A key of a recipe is one word", ""),
        ("seed: 1\n1: 2\n", 2, "A key of a recipe is one word", ""),
        ("# nothing yet\n", None, "The recipe is empty", "extends: fast"),
        ("extends: ~nosuchuser/a.yaml\n", None, "There is no user of this name", ""),
        ("seed: 1\nseed: 2\n", 2, "given twice", ""),
        ("- seed\n", 1, "a mapping of sections", ""),
        ("seed: [1\n", 2, "not valid YAML", ""),
        ("lora: {r: 8}\n", 1, "Unknown key lora.r.", "Did you mean lora.rank?"),
        ("lr: 3e-4\n", 1, "Unknown key lr.", "Did you mean optimizer.learning_rate?"),
        ("lora: {xyz: 8}\n", 1, "Unknown key lora.xyz.", "Fields of lora: lora.rank, lora.alpha"),
        ("data: {system: ' '}\n", 1, "write none", ""),
        ("extends: fats\n", None, "There is no recipe 'fats'", "Did you mean fast"),
        ("extends: [fast]\n", 1, "extends takes the name of one recipe", ""),
        ("lora: {rank: 2026-13-45}\n", None, "month must be", ""),
        ("seed: 1\nmodel: {revision: 2024-01-02}\n", 2, "(given: 2024-01-02)", "in quotes"),
        ("model: {revision: 1234567}\n", 1, "should be text", "in quotes"),
        ("data: {tasks: [no, grammar]}\n", 1, "should be text", "in quotes"),
        ("checkpoints: {mirror: no}\n", 1, "no value", "For none write none"),
        ("data: {system: off}\n", 1, "no value", "For none write none"),
        ("lora:\n", 1, "lora: should be a section", ""),
        ("lora: {targets: []}\n", 1, "lora.targets: should not be empty", ""),
        ("lora.rank: 9\n", 1, "Unknown key lora.rank", "Did you mean `lora: {rank: …}`?"),
        ("optimizer: {epsilon: 1e-46}\n", 1, "epsilon: is 0 in fp32", ""),
        ("seed: 010\n", 1, "not the same number", "decimal number"),
    ],
)
def test_a_wrong_recipe_says_what_where_and_what_to_do(
    tmp_path: Path, text: str, line: int | None, says: str, suggests: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_recipe(path)
    assert says in caught.value.what
    assert suggests in (caught.value.fix or "")
    if line is not None:
        assert caught.value.where == f"{path}:{line}"


@pytest.mark.parametrize(
    "override", ["lora.rank", "=3", "lora.rank.deep=3", "lora.rank=[", "lora=3", "a.b.c=1"]
)
def test_a_wrong_override_is_an_input_error(override: str) -> None:
    with pytest.raises(InputError):
        load_recipe("fast", [override])


def test_an_unreadable_recipe_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="cannot be read"):
        load_recipe(path)


def test_a_recipe_without_a_name_has_that_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("seed: 3\n")
    (tmp_path / "other.yaml").write_text("name: ours\n")
    assert load_recipe(tmp_path / "mine.yaml").name == "mine"
    assert load_recipe(tmp_path / "other.yaml").name == "ours"


def test_numbers_may_be_written_as_yaml_writes_them() -> None:
    recipe = load_recipe("fast", ["optimizer.learning_rate=3e-4", "lora.alpha=8"])
    assert (recipe.optimizer.learning_rate, recipe.lora.alpha) == (3e-4, 8.0)


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)


@given(st.sampled_from([dotted for dotted, _ in recipe_fields()]), yaml_values)
def test_any_value_for_any_field_is_taken_or_refused_cleanly(dotted: str, value: object) -> None:
    section, _, field = dotted.rpartition(".")
    document = {section: {field: value}} if section else {field: value}
    # Anything but an InputError fails the test.
    with contextlib.suppress(InputError):
        assert isinstance(recipe_from_yaml(yaml.safe_dump(document), "recipe.yaml"), Recipe)


def test_only_fields_that_change_the_weights_stop_a_resume() -> None:
    before = load_recipe("fast")
    shown = load_recipe("fast", ["log_every=1", "checkpoints.keep=9", "data.workers=0"])
    trained = load_recipe("fast", ["lora.rank=8", "schedule.epochs=5"])
    assert training_differences(before, shown) == []
    assert training_differences(before, trained) == [
        "lora.rank: 16 -> 8",
        "schedule.epochs: 4 -> 5",
    ]


def test_a_recipe_cannot_be_changed_in_place() -> None:
    recipe: Recipe = load_recipe("fast")
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_names_that_other_trainers_give_lead_to_fields_that_exist() -> None:
    fields = {dotted for dotted, _ in recipe_fields()}
    assert set(_OTHER_NAMES.values()) <= fields
    assert not set(_OTHER_NAMES) & {dotted.rpartition(".")[2] for dotted in fields}


def test_the_file_of_a_task_is_remembered_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("demo", ["data.custom_tasks=[sub/mine.py, 'package.tasks:Mine']"])
    assert recipe.data.custom_tasks == (str(tmp_path / "sub" / "mine.py"), "package.tasks:Mine")


def test_the_recipe_in_a_run_folder_brings_no_code_that_nobody_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("data: {custom_tasks: [evil.py]}\n")
    assert load_recipe(path).data.custom_tasks  # a recipe alone is the user's
    (tmp_path / "events.jsonl").write_text("")
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: recipe.yaml\nseed: 3\n")
    for file in (path, mine):
        with pytest.raises(InputError, match="recipe of a run") as caught:
            load_recipe(file)
        assert caught.value.where == f"{path}:1"
        assert load_recipe(file, ["data.custom_tasks=[mine.py]"]).data.custom_tasks
        assert load_recipe(file, trust_tasks=True).data.custom_tasks


@pytest.mark.parametrize("text", ["''", "' '", "null", ""])
def test_an_empty_text_is_an_empty_field(text: str) -> None:
    """Not the working folder, nor a branch without a name."""
    fields = ["model.adapter", "model.revision", "checkpoints.mirror"]
    recipe = load_recipe("demo", [f"{field}={text}" for field in fields])
    assert (recipe.model.adapter, recipe.model.revision) == (None, None)
    assert recipe.checkpoints.mirror is None


@pytest.mark.parametrize("text", ["none", "None", "NONE", "' none '"])
def test_no_mirror_however_it_is_written(text: str) -> None:
    """`None` was a folder of that name."""
    recipe = load_recipe("demo", [f"checkpoints.mirror={text}"])
    assert recipe.checkpoints.mirror == "none"
    assert recipe.checkpoints.mirror_folder is None
