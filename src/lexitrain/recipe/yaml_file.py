"""Recipes as YAML: the shipped ones, a user's own, `extends`, and `--set` overrides.

Values are tracked with the file and line they came from, so that a refused value is shown where it stands even when
it came through `extends`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lexitrain.errors import RecipeError, nearest
from lexitrain.recipe.schema import Recipe, recipe_fields
from lexitrain.recipe.whole_paths import with_whole_paths
from lexitrain.recipe.yaml_text import read_yaml
from lexitrain.storage import user_path

_SHIPPED = Path(__file__).parent / "shipped"
_DEFAULT_FIX = "`lexitrain recipes NAME` shows every field with its meaning."

_WORDS = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"}  # kinds of keys: words, and `<<`

Keys = tuple[str, ...]


@dataclass
class _Settings:
    """Nested values and, for each key path, the place it was written at."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    places: dict[Keys, str] = field(default_factory=dict[Keys, str])

    def put(self, keys: Keys, value: Any, place: str) -> None:
        """Set one value, making the sections above it."""
        level: Any = self.values
        for depth, key in enumerate(keys[:-1], start=1):
            level = cast("dict[str, Any]", level).setdefault(key, {})
            if not isinstance(level, dict):
                raise RecipeError(
                    f"{'.'.join(keys[:depth])} is a value, not a section with fields.",
                    where=place,
                    fix=_DEFAULT_FIX,
                )
        level[keys[-1]] = value
        self.places[keys] = place

    def place(self, keys: Keys) -> str | None:
        """Where the key was written, or the last key below it, or the nearest section above it."""
        below = [place for path, place in self.places.items() if path[: len(keys)] == keys]
        if below:
            return self.places.get(keys, below[-1])
        return self.place(keys[:-1]) if len(keys) > 1 else None


def recipe_names() -> list[str]:
    """Names of the shipped recipes, the team's two configurations first."""
    order = ["slow", "notebook", "fast", "fastest", "balanced", "quality", "best", "demo"]
    found = {path.stem for path in _SHIPPED.glob("*.yaml")}
    return [name for name in order if name in found] + sorted(found - set(order))


def load_recipe(
    name_or_path: str | Path, overrides: Sequence[str] = (), *, trust_tasks: bool = False
) -> Recipe:
    """Read a shipped recipe or a YAML file and apply overrides.

    Args:
        name_or_path: name of a shipped recipe, or the path of a YAML file.
        overrides: `section.field=value` strings, applied last, in order.
        trust_tasks: take over the tasks of the user's own (code) that the recipe in a run's folder names.

    Raises:
        RecipeError: unknown recipe, unreadable YAML, unknown or contradictory key, value out of its limits, or the
            recipe of a run that names tasks of its own.
    """
    settings = _Settings()
    _read_into(settings, _find(str(name_or_path)), ())
    for text in overrides:
        _override(settings, text)
    recipe = with_whole_paths(_build(settings))
    if recipe.data.custom_tasks and not trust_tasks:
        _refuse_tasks_of_a_run(settings.place(("data", "custom_tasks")) or "")
    return recipe


def _refuse_tasks_of_a_run(place: str) -> None:
    """A run folder may come from anybody, and a task is code: who wants it run names it himself."""
    file = Path(place.rpartition(":")[0])
    beside = ("data.json", "environment.json", "events.jsonl", "checkpoints", "adapter")
    if file.name == "recipe.yaml" and any((file.parent / name).exists() for name in beside):
        raise RecipeError(
            "This is the recipe of a run, and it names tasks of its own, which are code and would be executed.",
            where=place,
            fix="If you trust whoever made the run, name them yourself: --custom-task FILE.py",
        )


def recipe_from_yaml(text: str, where: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a complete recipe from YAML text, such as a run's stored `recipe.yaml`, and apply overrides."""
    settings = _Settings()
    _collect(settings, text, where)
    for each in overrides:
        _override(settings, each)
    return with_whole_paths(_build(settings))


def recipe_to_yaml(recipe: Recipe) -> str:
    """The recipe with every field written out; `load_recipe` reads it back to an equal object."""
    return yaml.safe_dump(  # pyright: ignore[reportUnknownMemberType]
        recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100
    )


def _find(name_or_path: str, beside: Path | None = None, where: str | None = None) -> Path:
    shipped = _SHIPPED / f"{name_or_path}.yaml"
    if "/" not in name_or_path and shipped.is_file():
        return shipped
    path = user_path(name_or_path)
    if beside is not None and not path.is_absolute():
        path = beside / path
    if path.is_file():
        return path
    close = nearest(name_or_path, recipe_names())
    hint = f"Did you mean {close}? " if close else ""
    raise RecipeError(
        f"There is no recipe '{name_or_path}'.",
        where=where,
        fix=f"{hint}Shipped recipes: {', '.join(recipe_names())}; or give the path of a YAML file.",
    )


def _read_into(settings: _Settings, path: Path, seen: tuple[Path, ...]) -> None:
    if path.resolve() in seen:
        chain = " -> ".join(p.name for p in (*seen, path))
        raise RecipeError(
            f"The recipe extends itself: {chain}.", where=path, fix="Remove one of these `extends`."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"The recipe cannot be read: {error}.",
            where=path,
            fix="It must be a text file in UTF-8.",
        ) from error
    own = _Settings()
    _collect(own, text, str(path))
    if not own.values:
        raise RecipeError(
            "The recipe is empty.",
            where=path,
            fix="Give at least one field, such as `extends: fast`.",
        )
    parent = own.values.pop("extends", None)
    if parent is not None:
        if not isinstance(parent, str):
            raise RecipeError(
                "extends takes the name of one recipe.",
                where=own.place(("extends",)) or path,
                fix=f"One of {', '.join(recipe_names())}, or the path of a YAML file.",
            )
        _read_into(
            settings, _find(parent, path.parent, own.place(("extends",))), (*seen, path.resolve())
        )
        # The parent's sentence describes the parent.
        settings.values.pop("description", None)
    settings.values["name"] = path.stem
    _merge(settings, own, own.values, ())


def _merge(settings: _Settings, own: _Settings, values: dict[str, Any], above: Keys) -> None:
    for key, value in values.items():
        keys = (*above, key)
        if isinstance(value, dict):
            _merge(settings, own, value, keys)  # pyright: ignore[reportUnknownArgumentType]
        else:
            settings.put(keys, value, own.place(keys) or "")


def _collect(settings: _Settings, text: str, where: str) -> None:
    """Parse YAML keeping the line of each key."""
    root, values = read_yaml(text, where)
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        raise RecipeError(
            "A recipe is a mapping of sections and fields.", where=f"{where}:1", fix=_DEFAULT_FIX
        )
    _walk(settings, root, (), where)
    settings.values = values


def _walk(settings: _Settings, node: yaml.MappingNode, above: Keys, where: str) -> None:
    for key_node, value_node in node.value:
        place = f"{where}:{key_node.start_mark.line + 1}"
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag not in _WORDS:
            raise RecipeError(
                "A key of a recipe is one word: no number, no null, no list.",
                where=place,
                fix=_DEFAULT_FIX,
            )
        keys = (*above, str(key_node.value))
        settings.places[keys] = place  # what is taken over by `<<` comes first
        if isinstance(value_node, yaml.MappingNode):
            _walk(settings, value_node, keys, where)


def _override(settings: _Settings, text: str) -> None:
    name, equals, raw = text.partition("=")
    name = name.strip()
    if not equals or not name:
        raise RecipeError(
            f"--set takes section.field=value, not '{text}'.", fix="Example: --set lora.rank=8"
        )
    _, value = read_yaml(raw, f"--set {name}", lines=False)
    settings.put(tuple(name.split(".")), value, f"--set {text}")


def _build(settings: _Settings) -> Recipe:
    try:
        return Recipe.model_validate(settings.values)
    except ValidationError as error:
        raise _explain(settings, error.errors(include_url=False)) from None


def _explain(settings: _Settings, problems: Sequence[ErrorDetails]) -> RecipeError:
    """One error for the first problem, naming how many more there are."""
    problem = problems[0]
    keys = _key_path(problem["loc"])
    dotted = ".".join(keys)
    where = settings.place(keys)
    more = f" ({len(problems) - 1} more after this one)" if len(problems) > 1 else ""
    if problem["type"] == "extra_forbidden":
        close = _nearest_field(keys)
        if keys[-1] in {name for name, _ in recipe_fields()}:  # `lora.rank: 8` is one key to YAML
            section, _, name = keys[-1].partition(".")
            close = f"`{section}: {{{name}: …}}`"
        fields = [
            name for name, _ in recipe_fields() if name.rpartition(".")[0] == ".".join(keys[:-1])
        ]
        known = f"Fields of {keys[0]}: {', '.join(fields)}. " if fields and len(keys) > 1 else ""
        fix = f"Did you mean {close}? " if close else known
        return RecipeError(f"Unknown key {dotted}.{more}", where=where, fix=fix + _DEFAULT_FIX)
    # A field of several types reports one problem for each of them: they are one message.
    messages = [_message(each) for each in problems if _key_path(each["loc"]) == keys]
    value = problem["input"]
    given = "" if isinstance(value, dict) else f" (given: {_shown(value)})"
    text = f"{dotted or 'the recipe'}: {' or '.join(messages)}{given}"
    return RecipeError(text, where=where, fix=_hint(dotted, value) + _DEFAULT_FIX)


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, date) else repr(value)


def _hint(dotted: str, value: Any) -> str:
    """What to do where a text was meant that YAML takes for a number, a date, or true or false, such as `no`."""
    texts = {name for name, info in recipe_fields() if info.annotation in _TEXTS}
    if dotted not in texts or not isinstance(value, bool | int | float | date):
        return ""
    if value is False and dotted in _CAN_BE_NONE:
        return "For none write none. "
    return "YAML takes it for no text: put it in quotes. "


_TEXTS: tuple[Any, ...] = (str, str | None, tuple[str, ...])
_CAN_BE_NONE = {"checkpoints.mirror", "data.system"}


_KINDS = {
    "tuple_type": "is a list, such as [one, two]",
    "dict_type": "is a mapping, such as {name: value}",
    "bool_parsing": "is true or false",
    "bool_type": "is true or false",
    "int_parsing": "should be a whole number",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "string_type": "should be text",
    "model_type": "should be a section, such as {field: value}",
    "too_short": "should not be empty",
}
"""What a field wants, where pydantic names a type of Python."""


def _message(problem: ErrorDetails) -> str:
    if problem["type"] in _KINDS:
        return _KINDS[problem["type"]]
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return message[0].lower() + message[1:]


def _key_path(location: Iterable[int | str]) -> Keys:
    """Pydantic's location without list positions and without the labels of union members."""
    known = {part for dotted, _ in recipe_fields() for part in dotted.split(".")}
    parts = [str(part) for part in location if isinstance(part, str)]
    while (
        len(parts) > 1 and parts[-1] not in known and parts[-2] in {"micro_batch", "token_budget"}
    ):
        parts.pop()
    return tuple(parts)


#: What other trainers call a field, where it is not spelt like ours.
_OTHER_NAMES = {
    "r": "lora.rank",
    "lora_r": "lora.rank",
    "lora_rank": "lora.rank",
    "lora_alpha": "lora.alpha",
    "lora_dropout": "lora.dropout",
    "target_modules": "lora.targets",
    "lora_target": "lora.targets",
    "use_rslora": "lora.scaling",
    "init_lora_weights": "lora.init",
    "layers_to_transform": "lora.layers",
    "loraplus_lr_ratio": "optimizer.lora_plus",
    "lr": "optimizer.learning_rate",
    "wd": "optimizer.weight_decay",
    "optim": "optimizer.name",
    "max_grad_norm": "optimizer.clip",
    "max_seq_length": "data.max_length",
    "max_seq_len": "data.max_length",
    "cutoff_len": "data.max_length",
    "system_prompt": "data.system",
    "batch_size": "step.effective_batch",
    "per_device_train_batch_size": "step.micro_batch",
    "num_train_epochs": "schedule.epochs",
    "num_epochs": "schedule.epochs",
    "lr_scheduler_type": "schedule.kind",
    "warmup_ratio": "schedule.warmup",
    "save_steps": "checkpoints.every",
    "save_total_limit": "checkpoints.keep",
    "eval_steps": "validation.every",
    "logging_steps": "log_every",
    "load_in_4bit": "model.quantization",
    "model_name_or_path": "model.base",
    "base_model": "model.base",
}


def _nearest_field(keys: Keys) -> str | None:
    """The valid dotted name nearest to `keys`: by its last word, as others call it, then as a whole."""
    names = [dotted for dotted, _ in recipe_fields()]
    word = keys[-1]
    if word in _OTHER_NAMES:
        return _OTHER_NAMES[word]
    same = [name for name in names if name.split(".")[-1] == word]
    if same:
        return same[0]
    section = ".".join(keys[:-1])
    inside = [name for name in names if name.rpartition(".")[0] == section]
    close = nearest(word, [name.rpartition(".")[2] for name in inside])
    if close:
        return f"{section}.{close}" if section else close
    begins = [name for name in inside if name.rpartition(".")[2].startswith(word)]
    if inside and section:  # what is meant is a field of this section, not another section
        return begins[0] if len(begins) == 1 else None
    sections = sorted({name.split(".")[0] for name in names if "." in name})
    by_leaf = {name.rpartition(".")[2]: name for name in names}
    leaf = nearest(word, by_leaf)
    return nearest(keys[0], sections) or (by_leaf[leaf] if leaf else None)
