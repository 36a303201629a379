"""Runs on bases that are somewhere, dated, templated or padded otherwise than the recipes' own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from lexitrain.errors import ModelError
from lexitrain.evaluation import answer
from lexitrain.evaluation.answering import Answerer
from lexitrain.recipe.schema import Recipe
from lexitrain.runs import Run
from lexitrain.training import train
from tests.bases.families import tiny_base as base_of
from tests.tiny import CHAT_TEMPLATE, tiny_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore")  # of the families' own code


def on(recipe: Recipe, base: str, **step: Any) -> Recipe:
    model = recipe.model.model_copy(update={"base": base})
    return recipe.model_copy(update={"model": model, "step": recipe.step.model_copy(update=step)})


def with_template(base: Path, folder: Path, template: str) -> Path:
    shutil.copytree(base, folder)
    (folder / "chat_template.jinja").write_text(template)
    return folder


def test_a_relative_base_is_found_from_another_folder(
    recipe_of: Any, data_dir: Path, tiny_base: Path, tmp_path: Path, monkeypatch: Any
):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    shutil.copytree(tiny_base, tmp_path / "here" / "base")
    monkeypatch.chdir(tmp_path / "here")
    recipe = on(recipe_of(), "./base")
    train(recipe, data_dir, "run", stop_after_step=5)
    monkeypatch.chdir(tmp_path / "there")
    run = Run("../here/run")
    assert run.read_recipe().model.base == str(tmp_path / "here" / "base")
    again = train(run.read_recipe(), data_dir, run.path, stop_after_step=8)
    assert again.step == 8
    assert len(answer(run.path, ["He go."], task="grammar")) == 1
    with pytest.raises(ModelError):
        answer("./base", ["He go."], task="grammar")


def test_records_that_a_template_refuses_are_left_out_with_its_reason(
    recipe_of: Any, data_dir: Path, tiny_base: Path, tmp_path: Path
):
    picky = (
        "{% for m in messages %}{% if 'garden' in m.content %}{{ raise_exception('no gardens') }}"
        "{% endif %}{% endfor %}" + CHAT_TEMPLATE
    )
    base = with_template(tiny_base, tmp_path / "picky", picky)
    train(on(recipe_of(), str(base)), data_dir, tmp_path / "run", stop_after_step=5)
    run = Run(tmp_path / "run")
    unfit = run.read_data().unfit
    assert len(unfit) == 2  # a line a file, with the place of the first
    assert all("refuses this conversation (no gardens)" in reason for reason in unfit)
    assert sum(unfit.values()) == sum(run.read_data().skipped.values())
    (started,) = [each for each in run.events() if each.event == "started"]
    assert started.details["unfit"] == unfit


def test_padding_that_is_the_end_of_text_is_no_fault_where_turns_end_otherwise(
    recipe_of: Any, data_dir: Path, tiny_base: Path, tmp_path: Path
):
    base = tmp_path / "base"
    shutil.copytree(tiny_base, base)
    path = base / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token": "<|endoftext|>"}))
    tokenizer = AutoTokenizer.from_pretrained(base)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    result = train(on(recipe_of(), str(base)), data_dir, tmp_path / "run", stop_after_step=5)
    assert result.step == 5
    stops = Answerer(result.run, task="grammar")._renderer.stop_ids
    assert stops == {
        tokenizer.convert_tokens_to_ids("<|im_end|>"),
        tokenizer.convert_tokens_to_ids("<|endoftext|>"),
    }


def test_a_tokenizer_with_more_tokens_than_the_base_is_refused_before_a_step(
    recipe_of: Any, data_dir: Path, tmp_path: Path
):
    base_of("qwen2").save_pretrained(tmp_path / "small")  # 97 embeddings
    tiny_tokenizer().save_pretrained(tmp_path / "small")
    with pytest.raises(ModelError, match="embeddings for 0 to 96 only"):
        train(on(recipe_of(), str(tmp_path / "small")), data_dir, tmp_path / "run")
    assert not Run(tmp_path / "run").exists()


def test_samples_beyond_the_bases_positions_are_refused_before_a_step(
    recipe_of: Any, data_dir: Path, tiny_base: Path, tmp_path: Path
):
    base = tmp_path / "base"
    shutil.copytree(tiny_base, base)
    path = base / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_position_embeddings": 40}))
    with pytest.raises(ModelError, match="this base takes 40") as caught:
        train(on(recipe_of(), str(base)), data_dir, tmp_path / "run")
    assert caught.value.where == "data.max_length"
    assert not Run(tmp_path / "run").exists()


def test_a_base_with_other_layers_is_refused_in_a_tree_and_trains_in_rows_of_its_own(
    recipe_of: Any, data_dir: Path, tmp_path: Path
):
    from tests.bases import families

    families.FAMILIES["lfm2"] = families.FAMILIES["lfm2"] | {"vocab_size": 420}
    try:
        base = base_of("lfm2")
    finally:
        families.FAMILIES["lfm2"].pop("vocab_size")
    folder = tmp_path / "lfm2"
    base.config.max_position_embeddings = 2048
    base.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    recipe = on(recipe_of(["lora.targets=[q_proj,v_proj]"]), str(folder))
    with pytest.raises(ModelError, match="would train it wrongly") as caught:
        train(recipe, data_dir, tmp_path / "run")
    assert "step.layout=padded" in str(caught.value)
    padded = on(recipe, str(folder), layout="padded")
    result = train(padded, data_dir, tmp_path / "run", stop_after_step=5)
    assert result.step == 5
    assert len(answer(result.run, ["He go.", "She go."], task="grammar")) == 2
