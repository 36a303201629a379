"""The end of a run: the best adapter in PEFT form, with its tokenizer and a model card.

The best adapter is the one of the lowest validation loss. It counts only where that loss compares with the run's last
validations: an adapter that was chosen before an accepted change of the data, or by a loss that was not a number, says
nothing about this run. Without a best one it is the last one, and why is said.

The folder is written at once, so an adapter folder is whole or not there. The card names the base as others know it,
and holds no path of this machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lexitrain.errors import number_of
from lexitrain.models import CONFIG_FILE, WEIGHTS_FILE
from lexitrain.recipe import NANO, recipe_to_yaml
from lexitrain.runs import DataSummary, Run, forgets_best
from lexitrain.samples import chosen_template, with_date
from lexitrain.storage import user_path, write_folder

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe
    from lexitrain.training.loop import Training

CARD = "README.md"
BEST = "best"
LAST = "last"


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the model card says besides the recipe and the data.

    Attributes:
        step, total_steps: of the adapter, and of the whole run.
        first_loss: validation loss before training, nats a token.
        validation_loss: of this adapter; None without validation samples.
        seconds: time in training steps.
        environment: content of environment.json.
        why_last: why it is the last adapter, where it is not the best one.
        samples_per_epoch: task -> training samples that an epoch takes, as the task weights make them.
    """

    step: int
    total_steps: int
    first_loss: float | None
    validation_loss: float | None
    seconds: float
    environment: Mapping[str, Any]
    why_last: str = ""
    samples_per_epoch: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Shipped:
    """The adapter of a finished run.

    Attributes:
        kind: `best` or `last`.
        why: why it is not the best one; empty where it is.
        step: that it is of.
        loss: its validation loss, nats a token; None where there is none.
        files: in PEFT form, name -> content.
    """

    kind: str
    why: str
    step: int
    loss: float | None
    files: Mapping[str, bytes]


def shipped_adapter(training: Training) -> Shipped:
    """The adapter that a run which has ended ships; a best one that is damaged is an event `broken`."""
    state = training.state
    if state.best_step is not None:
        best = training.checkpoints.best(
            lambda path, reason: training.log.write("broken", checkpoint=path.name, reason=reason),
            state.best_step,
        )
        if best is not None and best.step > _comparable_since(training):
            loss = best.note.get("validation_loss", math.nan)
            if math.isfinite(loss):
                files = {name: best.files[name] for name in (WEIGHTS_FILE, CONFIG_FILE)}
                return Shipped(BEST, "", best.step, loss, files)
    contents = training.adapter.contents()
    return Shipped(LAST, _why_last(training), state.step, state.validation_loss, contents)


def _comparable_since(training: Training) -> int:
    """The step of the last accepted change after which validation losses do not compare with those before."""
    return max((each.step for each in training.run.events() if forgets_best(each)), default=-1)


def _why_last(training: Training) -> str:
    if training.state.best_step is not None:
        return f"the best adapter, that of step {training.state.best_step}, cannot be read"
    if len(training.validation):
        return "no validation loss was a number"
    if _comparable_since(training) >= 0:
        return "the data hold no validation samples, and what was best before was chosen on other data or settings"
    return "the data hold no validation samples"


def write_adapter(
    run: Run,
    files: Mapping[str, bytes],
    tokenizer: Any,
    recipe: Recipe,
    data: DataSummary,
    facts: CardFacts,
) -> Path:
    """Write `adapter/` at once and return its path. An older one is replaced.

    Args:
        run: whose adapter it is.
        files: of the adapter in PEFT form, name -> content.
        tokenizer: with its chat template.
        recipe, data, facts: what the card tells.

    Raises:
        OSError: no space, and so on; nothing half-written is left.
    """
    card = model_card(recipe, data, facts).encode()
    write_folder(run.adapter, {**_tokenizer_files(tokenizer, data.day), **files, CARD: card})
    return run.adapter


def _tokenizer_files(tokenizer: Any, day: str) -> dict[str, bytes]:
    """Name -> content of what `save_pretrained` writes, which writes to a folder only, and unsynced.

    Folders in it (chat templates beside the one that is used) are left out.

    Args:
        day: the date that the adapter was trained with, which its template keeps; "" where it writes none.
    """
    if day:
        tokenizer = copy(tokenizer)
        tokenizer.chat_template = with_date(chosen_template(tokenizer), date.fromisoformat(day))
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        files = sorted(each for each in Path(folder).iterdir() if each.is_file())
        return {each.name: each.read_bytes() for each in files}


def portable_name(base: str) -> str:
    """How to call a base elsewhere: `nano` and Hub ids as they are, a folder by its own name."""
    folder = user_path(base)
    return folder.resolve().name if folder.is_dir() else base


def model_card(recipe: Recipe, data: DataSummary, facts: CardFacts) -> str:
    """The adapter's README.md: base, data, losses, recipe, versions."""
    base = portable_name(recipe.model.base)
    tasks = sorted(data.samples.get("train", {}))
    versions = facts.environment.get("versions", {})
    return "\n".join(
        [
            "---",
            f"base_model: {base}",
            "library_name: peft",
            "pipeline_tag: text-generation",
            "tags: [lora, lexitrain]",
            "---",
            "",
            f"# {recipe.name}: LoRA adapter for {base}",
            "",
            f"Trained with LexiTrain {version('lexitrain')} on the tasks {', '.join(tasks)}.",
            "",
            f"- Steps: this adapter is that of step {facts.step} of {facts.total_steps}, "
            f"{number_of(recipe.step.effective_batch, 'sample')} each."
            + (f" It is the last one: {facts.why_last}." if facts.why_last else ""),
            *_how_it_began(recipe),
            f"- Validation loss: {_loss(facts.first_loss)} before training, "
            f"{_loss(facts.validation_loss)} for this adapter (nats a supervised token).",
            f"- Time in training steps: {facts.seconds:.0f} s on {facts.environment.get('device')}, "
            f"compute in {facts.environment.get('compute_dtype')}.",
            f"- Versions: {', '.join(f'{name} {each}' for name, each in versions.items())}.",
            "",
            "## Data",
            "",
            "| task | training samples | validation samples | samples in an epoch, with task weights |",
            "|---|---|---|---|",
            *_data_rows(data, facts.samples_per_epoch),
            "",
            "The learner's text was shortened to fit in "
            f"{number_of(data.truncated.get('train', 0), 'training sample')}; "
            f"{number_of(data.skipped.get('train', 0), 'record')} did not fit.",
            "",
            "## Use",
            "",
            "The folder holds the tokenizer with its chat template, and the adapter in PEFT form. An answer is one "
            "JSON object and ends with the end-of-turn token. With LexiTrain:",
            "",
            *_with_lexitrain(tasks),
            "",
            "With PEFT:",
            "",
            *_with_peft(recipe),
            "",
            "## Recipe",
            "",
            "```yaml",
            _portable_yaml(recipe).rstrip(),
            "```",
            "",
        ]
    )


def _how_it_began(recipe: Recipe) -> list[str]:
    """What a reader of the adapter's configuration would wonder about: why its rank is not the recipe's."""
    lora = recipe.lora
    if not lora.changes_base:
        return []
    return [
        f"- Begun by {lora.init} with rank {lora.rank}, and saved as a plain adapter of rank {2 * lora.rank} for the "
        "base as it was: it needs nothing else."
    ]


def _with_lexitrain(tasks: list[str]) -> list[str]:
    return ["```bash", f'lexitrain predict ADAPTER_FOLDER --task {tasks[0]} "TEXT"', "```"]


def _with_peft(recipe: Recipe) -> list[str]:
    """Code that loads base and adapter. The base is named, because PEFT takes the name in the adapter for a Hub id."""
    base = portable_name(recipe.model.base)
    where, note = repr(base), ""
    imports = [
        "from peft import PeftModel",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
    ]
    if base == NANO:
        imports.append("from lexitrain.models.location import resolve_base")
        where = f"resolve_base({NANO!r})"
        note = f"`{NANO}` is the small base inside the package lexitrain and no model of the Hub."
    elif base != recipe.model.base:
        note = f"`{base}` was a folder: write its path on your machine there."
    revision = f", revision={recipe.model.revision!r}" if recipe.model.revision and not note else ""
    return [
        "```python",
        *sorted(imports),
        "",
        'adapter = "ADAPTER_FOLDER"',
        f"base = AutoModelForCausalLM.from_pretrained({where}{revision})",
        "model = PeftModel.from_pretrained(base, adapter)",
        "tokenizer = AutoTokenizer.from_pretrained(adapter)",
        "```",
        *(["", note] if note else []),
    ]


def _data_rows(data: DataSummary, per_epoch: Mapping[str, int]) -> list[str]:
    train, validation = data.samples.get("train", {}), data.samples.get("validation", {})
    return [
        f"| {task} | {train.get(task, 0)} | {validation.get(task, 0)} | {per_epoch.get(task, 0)} |"
        for task in sorted(train.keys() | validation.keys())
    ]


def _portable_yaml(recipe: Recipe) -> str:
    """The recipe without folders of this machine."""
    model = recipe.model.model_copy(
        update={
            "base": portable_name(recipe.model.base),
            "adapter": recipe.model.adapter and Path(recipe.model.adapter).name,
        }
    )
    custom = tuple(
        Path(each).name if each.endswith(".py") else each for each in recipe.data.custom_tasks
    )
    return recipe_to_yaml(
        recipe.model_copy(
            update={
                "model": model,
                "data": recipe.data.model_copy(update={"custom_tasks": custom}),
                "checkpoints": recipe.checkpoints.model_copy(update={"mirror": None}),
            }
        )
    )


def _loss(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"
