"""The end of a run: the best adapter in PEFT form, with its tokenizer and a model card.

The folder is written at once, so an adapter folder is whole or not there. The card names the base as others know it,
and holds no path of this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lexitrain.recipe import recipe_to_yaml
from lexitrain.runs import DataSummary, Run
from lexitrain.storage import user_path, write_folder

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe

CARD = "README.md"


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the model card says besides the recipe and the data.

    Attributes:
        step, total_steps: of the adapter, and of the whole run.
        first_loss: validation loss before training, nats a token.
        validation_loss: of this adapter; None without validation samples.
        seconds: time in training steps.
        environment: content of environment.json.
    """

    step: int
    total_steps: int
    first_loss: float | None
    validation_loss: float | None
    seconds: float
    environment: Mapping[str, Any]


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
    write_folder(run.adapter, {**_tokenizer_files(tokenizer), **files, CARD: card})
    return run.adapter


def _tokenizer_files(tokenizer: Any) -> dict[str, bytes]:
    """Name -> content of what `save_pretrained` writes, which writes to a folder only, and unsynced.

    Folders in it (chat templates beside the one that is used) are left out.
    """
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
            f"{recipe.step.effective_batch} samples each.",
            f"- Validation loss: {_loss(facts.first_loss)} before training, "
            f"{_loss(facts.validation_loss)} for this adapter (nats a supervised token).",
            f"- Time in training steps: {facts.seconds:.0f} s on {facts.environment.get('device')}, "
            f"compute in {facts.environment.get('compute_dtype')}.",
            f"- Versions: {', '.join(f'{name} {each}' for name, each in versions.items())}.",
            "",
            "## Data",
            "",
            "| task | training samples | validation samples |",
            "|---|---|---|",
            *_data_rows(data),
            "",
            "The learner's text was shortened to fit in "
            f"{data.truncated.get('train', 0)} training samples; {data.skipped.get('train', 0)} records did not fit.",
            "",
            "## Use",
            "",
            "The folder holds the tokenizer with its chat template, and the adapter in PEFT form. An answer is one "
            "JSON object and ends with the end-of-turn token.",
            "",
            "## Recipe",
            "",
            "```yaml",
            _portable_yaml(recipe).rstrip(),
            "```",
            "",
        ]
    )


def _data_rows(data: DataSummary) -> list[str]:
    train, validation = data.samples.get("train", {}), data.samples.get("validation", {})
    return [
        f"| {task} | {train.get(task, 0)} | {validation.get(task, 0)} |"
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
