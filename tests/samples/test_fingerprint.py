"""The key of samples changes with whatever could change them, and with nothing else."""

from __future__ import annotations

from pathlib import Path

from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.samples.fingerprint import base_fingerprint, samples_key, tokenizer_fingerprint
from lexitrain.tasks import registry
from tests.samples.test_loading import CUSTOM_TASK
from tests.tiny import CHAT_TEMPLATE, tiny_tokenizer


def key(*settings: str, records: str = "a", tokenizer: str | None = None) -> str:
    recipe = load_recipe("demo", settings)
    tasks = registry(recipe.data.custom_tasks)
    return samples_key(records, tokenizer or base_fingerprint(recipe.model), recipe.data, tasks)


def test_each_thing_that_samples_are_made_from_has_a_part_in_it(tmp_path: Path):
    task = tmp_path / "echo.py"
    task.write_text(CUSTOM_TASK)
    keys = [
        key(),
        key(records="b"),
        key("data.max_length=300"),
        key("data.tasks=[grammar]"),
        key("model.base=Qwen/Qwen2.5-0.5B-Instruct"),
        key("model.base=Qwen/Qwen2.5-0.5B-Instruct", "model.revision=v1"),
        key(tokenizer=tokenizer_fingerprint(tiny_tokenizer(), CHAT_TEMPLATE, "")),
        key(f"data.custom_tasks=[{task}]"),
    ]
    assert len(set(keys)) == len(keys)
    task.write_text(CUSTOM_TASK + "\n# changed\n")
    assert key(f"data.custom_tasks=[{task}]") not in keys


def test_what_has_no_part_in_them_leaves_it_as_it_is(tmp_path: Path):
    assert key("lora.rank=4", "seed=7", "step.effective_batch=3") == key()
    for folder in ("a", "z"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "echo.py").write_text(CUSTOM_TASK)
    here, there = (key(f"data.custom_tasks=[{tmp_path / each / 'echo.py'}]") for each in "az")
    assert here == there
