"""Every field of a recipe changes something that can be observed in a run: none is read by nothing.

A tiny run is observed from outside (its folder) and at the few places where a field changes only cost. For each
field one changed value is trained with, and the observation named beside it must differ.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lexitrain.models.loading as base_module
import lexitrain.runs.checkpoints as checkpoints_module
import lexitrain.step.training_step as step_module
import lexitrain.training.loop as loop_module
from lexitrain.errors import RecipeError
from lexitrain.recipe.schema import DataSection, Recipe, recipe_fields, training_differences
from lexitrain.recipe.yaml_file import load_recipe, recipe_from_yaml, recipe_to_yaml
from lexitrain.runs.folder import Run
from lexitrain.training import train
from tests.small_runs import write_data
from tests.tiny import tiny_model, tiny_tokenizer

#: Field -> (another value, the observation that must change).
CHANGES = {
    "name": ("other", "card"),
    "description": ("another purpose", "recipe.yaml"),
    "seed": ("7", "weights"),
    "log_every": ("4", "logged steps"),
    "trackers": ("[tensorboard]", "tensorboard"),
    "model.base": ("OTHER_BASE", "weights"),
    "model.revision": ("v2", "revision asked for"),
    "model.adapter": ("ADAPTER", "first loss"),
    "model.quantization": ("nf4", "first loss"),
    "model.precision": ("bf16", "compute precision"),
    "lora.rank": ("2", "rank"),
    "lora.alpha": ("8", "weights"),
    "lora.scaling": ("rslora", "scaling"),
    "lora.init": ("pissa", "rank"),
    "lora.dropout": ("0.5", "weights"),
    "lora.targets": ("[q_proj, v_proj]", "targets"),
    "lora.layers": ("[1]", "layers"),
    "data.max_length": ("135", "truncated"),
    "data.tasks": ("[grammar]", "tasks"),
    "data.task_weights": ("{fluency: 3}", "total steps"),
    "data.custom_tasks": ("[TASK_FILE]", "tasks known"),
    "data.system": ("Be kind.", "weights"),
    "data.adapters": ("per_task", "adapters"),
    "data.workers": ("1", "workers"),
    "step.effective_batch": ("8", "total steps"),
    "step.layout": ("packed", "layout tokens"),
    "step.loss": ("all_tokens", "supervised tokens"),
    "step.micro_batch": ("1", "layout tokens"),
    "step.token_budget": ("150", "layout tokens"),
    "step.head_chunk": ("16", "head chunk"),
    "step.gradient_checkpointing": ("always", "recomputation"),
    "step.memory_limit": ("1e-6", "recomputation"),
    "step.attention": ("dense", "attention"),
    "step.bucket": ("32", "layout tokens"),
    "step.graphs": ("always", "layout tokens"),
    "step.compile": ("always", "kernels"),
    "optimizer.name": ("adamw_8bit", "weights"),
    "optimizer.learning_rate": ("1e-3", "learning rates"),
    "optimizer.lora_plus": ("4", "weights"),
    "optimizer.weight_decay": ("0.5", "weights"),
    "optimizer.clip": ("0.01", "weights"),
    "optimizer.beta1": ("0.5", "weights"),
    "optimizer.beta2": ("0.9", "weights"),
    "optimizer.epsilon": ("1e-2", "weights"),
    "schedule.epochs": ("2", "total steps"),
    "schedule.kind": ("constant", "learning rates"),
    "schedule.warmup": ("0.5", "learning rates"),
    "schedule.early_stopping": ("1", "steps done"),
    "checkpoints.every": ("3", "checkpoints"),
    "checkpoints.keep": ("1", "checkpoints"),
    "checkpoints.mirror": ("MIRROR", "mirror"),
    "checkpoints.background": ("false", "writing thread"),
    "validation.every": ("3", "validated steps"),
    "validation.limit": ("2", "validation losses"),
    "evaluation.targets": ("{grammar: {recall: 0.1}}", "recipe.yaml"),
}

#: Settings that must hold besides for the field to have its effect; both runs get them.
ALONGSIDE = {
    # Without these the last checkpoints or the only validation would be the same.
    "checkpoints.keep": ["checkpoints.every=2"],
    # A rate this high lets no validation improve on the first.
    "schedule.early_stopping": ["optimizer.learning_rate=1", "lora.alpha=32", "validation.every=1"],
    "step.loss": ["step.layout=packed"],
    "lora.init": ["model.quantization=none"],
}

CUSTOM_TASK = """
from lexitrain.tasks.grammar import Grammar

class Style(Grammar):
    name = "style_correction"
    short = "style"

task = Style()
"""

Observation = dict[str, Any]


#: Fields whose effect shows only where the data hold a conversation without a system turn.
NEEDS_CONVERSATIONS = {"data.system"}
CONVERSATION = (
    '{"task": "grammar", "input": "Hi", "metadata": {}, "messages": '
    '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}\n'
)


def observe(
    recipe_overrides: list[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    conversations: bool = False,
) -> Observation:
    """Train a tiny run and say everything about it that a field could change."""
    seen: Observation = dict.fromkeys(["mirror", "head chunk", "recomputation"])

    def spy(module: Any, name: str, note: Callable[..., None]) -> None:
        original = getattr(module, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            note(*args, **kwargs)
            return original(*args, **kwargs)

        patch.setattr(module, name, watched)

    with monkeypatch.context() as patch:
        spy(
            step_module,
            "sum_of_token_losses",
            lambda *args, **_: seen.update({"head chunk": args[3]}),
        )
        spy(step_module, "set_gradient_checkpointing", lambda _, on: seen.update(recomputation=on))
        spy(
            checkpoints_module.Checkpoints,
            "save",
            lambda *_: seen.update({"writing thread": threading.current_thread().name}),
        )
        spy(
            step_module,
            "KnownLayers",
            lambda *args: seen.update(kernels=type(args[2]).__name__),
        )
        spy(step_module, "hidden_states", lambda *args: seen.update(attention=args[1]))
        spy(loop_module, "Prefetch", lambda *args: seen.update(workers=args[3]))
        recipe = load_recipe("demo", recipe_overrides)
        data = write_data(folder / "data")
        if conversations:
            with (data / "train.jsonl").open("a") as file:
                file.write(CONVERSATION)
        seen["revision asked for"] = asked_for(recipe.model.revision, monkeypatch)
        result = train(recipe, folder / "data", folder / "run")
        if recipe.checkpoints.mirror:
            seen["mirror"] = sorted(p.name for p in Path(recipe.checkpoints.mirror).rglob("*"))
    seen["steps done"], seen["total steps"] = result.step, result.total_steps
    seen["adapters"] = sorted(
        str(p.relative_to(folder)) for p in folder.rglob("adapter/adapter_config.json")
    )
    if not result.parts:
        seen.update(folder_facts(Run(folder / "run")))
    return seen


def asked_for(revision: str | None, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The revision with which transformers is asked for a base of the Hub; nothing is downloaded."""
    asked: list[Any] = []

    class Tokenizers:
        @staticmethod
        def from_pretrained(_source: str, **options: Any) -> Any:
            asked.append(options["revision"])
            return tiny_tokenizer()

    with monkeypatch.context() as patch:
        patch.setattr("transformers.AutoTokenizer", Tokenizers)
        base_module.load_tokenizer("somebody/some-base", revision)
    return asked


def folder_facts(run: Run) -> Observation:
    config = json.loads((run.adapter / "adapter_config.json").read_text())
    weights = run.adapter / "adapter_model.safetensors"
    metrics, data = run.metrics(), run.read_data()
    started = next(event for event in run.events() if event.event == "started")
    return {
        "card": (run.adapter / "README.md").read_text(),
        "recipe.yaml": run.recipe_file.read_text(),
        "weights": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "tensorboard": sorted(each.name[:15] for each in (run.path / "tensorboard").glob("*")),
        "logged steps": [line.step for line in metrics],
        "first loss": metrics[0].loss,
        "learning rates": [line.learning_rate for line in metrics],
        "layout tokens": sum(line.layout_tokens for line in metrics),
        "supervised tokens": sum(line.supervised_tokens for line in metrics),
        "validated steps": [line.step for line in metrics if line.validation_loss is not None],
        "validation losses": started.details["validation_loss"],
        "compute precision": run.read_environment()["compute_dtype"],
        "rank": config["r"],
        "targets": sorted(config["target_modules"]),
        "scaling": config["use_rslora"],
        "layers": config["layers_to_transform"],
        "truncated": data.truncated,
        "tasks": data.samples,
        "checkpoints": run.checkpoint_steps(),
    }


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What some fields name: two bases, an adapter to start from, a mirror, a task's file."""
    folder = tmp_path_factory.mktemp("material")
    for name, seed in (("base", 0), ("other", 1)):
        tiny_model(seed, hidden=64).save_pretrained(folder / name)  # 4-bit blocks hold 64 weights
        tiny_tokenizer().save_pretrained(folder / name)
    (folder / "style.py").write_text(CUSTOM_TASK)
    started = folder / "started"
    write_data(started / "data")
    train(load_recipe("demo", small(folder)), started / "data", started / "run")
    return {
        "BASE": str(folder / "base"),
        "OTHER_BASE": str(folder / "other"),
        "ADAPTER": str(started / "run" / "adapter"),
        "MIRROR": str(folder / "mirror"),
        "TASK_FILE": str(folder / "style.py"),
    }


@pytest.fixture(scope="session")
def unchanged() -> dict[tuple[str, ...], Observation]:
    """What was observed with the settings that all fields are compared with."""
    return {}


def small(folder: Path | str) -> list[str]:
    """40 samples, 5 to a step: 8 steps."""
    return [
        f"model.base={folder}/base",
        "lora.rank=4",
        "data.workers=0",
        "step.effective_batch=5",
        "schedule.epochs=1",
        "checkpoints.every=4",
        "log_every=1",
    ]


def test_every_field_is_on_the_list() -> None:
    assert list(CHANGES) == [dotted for dotted, _ in recipe_fields()]


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of the compiler itself
@pytest.mark.parametrize("field", CHANGES)
def test_changing_a_field_changes_what_it_is_for(
    field: str,
    material: dict[str, str],
    unchanged: dict[tuple[str, ...], Observation],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value, observation = CHANGES[field]
    for name, path in material.items():
        value = value.replace(name, path) if value.strip("[]") == name else value
    common = [*small(Path(material["BASE"]).parent), *ALONGSIDE.get(field, [])]
    if field == "data.custom_tasks":
        prove_custom_tasks(material["TASK_FILE"])
        return
    talks = field in NEEDS_CONVERSATIONS
    key = (*common, str(talks))
    if key not in unchanged:
        before = observe(common, tmp_path / "before", monkeypatch, conversations=talks)
        unchanged[key] = before
    changed = [*common, f"{field}={value}"]
    after = observe(changed, tmp_path / "after", monkeypatch, conversations=talks)
    assert unchanged[key][observation] != after[observation]


def test_a_system_text_is_shown_a_word_for_none_or_refused() -> None:
    for text, meant in (("Be kind.", "Be kind."), ("None", "none"), (" a ", "a"), ("e\u0301", "é")):
        assert DataSection(system=text).system == meant
    for text in ("", "  "):
        with pytest.raises(ValueError, match="write none"):
            DataSection(system=text)
    with pytest.raises(ValueError, match=r"surrogate|unicode"):
        DataSection(system="a\ud800")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("[0-3, 5]", (0, 1, 2, 3, 5)),
        ("[5, 0-1]", (0, 1, 5)),
        ("0-2", (0, 1, 2)),
        ("7", (7,)),
        ("[ 4 - 4 ]", (4,)),
        ("[]", ()),
        ("", ()),
    ],
)
def test_layers_are_numbers_and_ranges(written: str, meant: tuple[int, ...]) -> None:
    recipe = load_recipe("demo", [f"lora.layers={written}"])
    assert recipe.lora.layers == meant
    assert recipe_from_yaml(recipe_to_yaml(recipe), "again") == recipe


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["lora.layers=[3-1]"], "3-1 is no layer or range"),
        (["lora.layers=[-1]"], "-1 is no layer"),
        (["lora.layers=[0-99999]"], "0-99999 is no layer"),
        (["lora.layers=[0-2, 1]"], "1 is named twice"),
        (["lora.layers=[true]"], "true is no layer"),
        (["lora.layers=[1.5]"], "1.5 is no layer"),
        (["lora.layers={a: 1}"], "is no layer"),
        (["lora.init=loftq"], "loftq is not offered"),
        (["lora.init=orthogonal", "lora.rank=5"], "needs an even rank"),
        (["lora.init=pissa"], "set it to none"),
        (["lora.init=olora", "model.quantization=nf4"], "set it to none"),
        (["lora.init=orthogonal", "model.adapter=/somewhere"], "leave one of them out"),
        (
            ["lora.init=pissa", "model.quantization=none", "model.adapter=/somewhere"],
            "leave one of them out",
        ),
        (["lora.scaling=dora"], "lora.scaling"),
        (["optimizer.lora_plus=0.5"], "optimizer.lora_plus"),
        (["lora.use_rslora=true"], "Did you mean lora.scaling?"),
    ],
)
def test_levers_that_would_be_wrong_are_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(said)):
        load_recipe("demo", overrides)


def test_where_the_file_of_a_task_lies_is_no_change_of_training() -> None:
    here, there, other = (
        load_recipe("demo", [f"data.custom_tasks=[{path}]"])
        for path in ("/a/x.py", "/b/x.py", "y.py")
    )
    assert training_differences(here, there) == []
    assert len(training_differences(here, other)) == 1


def prove_custom_tasks(path: str) -> None:
    from lexitrain.tasks import registry

    assert "style" not in registry()
    assert registry((path,))["style"].name == "style_correction"


def test_validations_come_with_checkpoints_unless_they_have_steps_of_their_own() -> None:
    assert Recipe.model_validate({"checkpoints": {"every": 7}}).validation_every == 7
    own = Recipe.model_validate({"checkpoints": {"every": 7}, "validation": {"every": 3}})
    assert own.validation_every == 3
