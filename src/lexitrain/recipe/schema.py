"""A recipe: everything that defines a training run, as one YAML file and one typed object.

Every field carries its type, its limits and a docstring; the docstring is the help text that `lexitrain recipes`
prints, so nothing is described twice. Unknown and contradictory keys are refused with the file, the line and the
nearest valid name. A recipe may start from another one (`extends: fast`), and `--set section.field=value`
overrides single fields. Reading a recipe costs milliseconds and imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast
from unicodedata import normalize

from pydantic import BaseModel, BeforeValidator, Field, field_validator, model_validator
from pydantic.fields import FieldInfo

from lexitrain.errors import nearest
from lexitrain.recipe.adapter_sections import PROJECTIONS, LoraSection, OptimizerSection
from lexitrain.recipe.section import (
    FREE,
    AutoOrCount,
    OptionalText,
    Section,
    no_truth_value,
    without_repetition,
)
from lexitrain.storage import user_path

__all__ = ["PROJECTIONS", "LoraSection", "OptimizerSection"]

NO_MIRROR = "none"
"""The value of `checkpoints.mirror` that stands for no copies."""

NO_TRACKER = "none"
"""The value of `trackers` that stands for none."""

TRACKERS = ("tensorboard", "trackio", "wandb", "mlflow")
"""The trackers that a run can tell."""

NO_SYSTEM = "none"
"""The value of `data.system` that leaves conversations without a system turn as they are."""

#: How often a record of a task appears in an epoch.
Weight = Annotated[float, Field(ge=0, le=1000), BeforeValidator(no_truth_value)]


NANO = "nano"
"""Name of the base that is part of this package, wherever a base is named."""


def checked_trackers(names: tuple[str, ...]) -> tuple[str, ...]:
    """Trackers as `KIND` or `KIND:PLACE`, each kind once. Raises ValueError for what is none."""
    if any(name.strip().casefold() == NO_TRACKER for name in names):
        if len(names) > 1:
            raise ValueError("none stands for no trackers, and others are named beside it")
        return (NO_TRACKER,)
    kinds = tuple(name.partition(":")[0] for name in names)
    for name, kind in zip(names, kinds, strict=True):
        if kind not in TRACKERS:
            close = nearest(kind, TRACKERS)
            hint = f"did you mean {close}?" if close else f"there are {', '.join(TRACKERS)}"
            raise ValueError(f"{kind!r} is no tracker; {hint}")
        if name.endswith(":") or not name.isprintable():
            raise ValueError(f"{name!r} has no place after its colon that could be used")
    without_repetition(kinds)
    return names


class ModelSection(Section):
    """The base model and the numbers it is stored in."""

    base: str = Field(default="Qwen/Qwen2.5-0.5B-Instruct", min_length=1)
    """Base model: a Hub id, a local folder, or `nano`, the small base inside this package."""
    revision: OptionalText = None
    """Branch, tag or commit of the base on the Hub. Empty: the newest."""
    adapter: OptionalText = None
    """Folder of an adapter to start from, in PEFT form. Empty: a new adapter."""
    quantization: Literal["auto", "none", "nf4"] = "auto"
    """How the frozen base is stored: `none` in the compute precision, `nf4` in 4 bits (bitsandbytes), `auto` in
    4 bits only where the plan says that it does not fit otherwise."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Compute precision. `auto`: bf16 on compute capability 8.0 and later, fp16 below, fp32 on a CPU."""


class DataSection(Section):
    """Which records are trained on and how long a sample may be."""

    max_length: int = Field(default=512, ge=32, le=131_072)
    """Longest sample in tokens, prompt and answer together. The learner's text is shortened, never the answer."""
    tasks: tuple[str, ...] = ()
    """Short names of the tasks to train. Empty: all that the data holds."""
    task_weights: dict[str, Weight] = Field(default_factory=dict)
    """How often each record of a task appears in an epoch, by short name; 1 where not given, 0 leaves a task out."""
    custom_tasks: tuple[str, ...] = ()
    """Tasks of your own: `file.py` or `package.module:attribute`. Installed entry points are found without this."""
    system: str | None = None
    """System text of conversations that have no system turn of their own; records of a task's own form are asked with
    the task's. Empty: the task's own. `none`: no system turn."""
    adapters: Literal["one", "per_task"] = "one"
    """`one` adapter for all tasks, or one `per_task`, each in a run folder of its own below the run."""
    workers: int = Field(default=2, ge=0, le=64, json_schema_extra=FREE)
    """Background workers that lay out the next steps. 0: none; the result does not depend on it."""

    @field_validator("tasks")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return without_repetition(names)

    @field_validator("system")
    @classmethod
    def _shown(cls, text: str | None) -> str | None:
        if text is None:
            return None
        if not text.strip():
            raise ValueError("an empty system text; for conversations without one write none")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("half a surrogate pair: no Unicode text") from None
        text = normalize("NFC", text.strip())  # as `data prepare` writes turns
        return NO_SYSTEM if text.casefold() == NO_SYSTEM else text


class StepSection(Section):
    """One optimizer step: which samples, laid out and cut how."""

    effective_batch: int = Field(default=24, ge=1, le=65_536)
    """Samples per optimizer step."""
    layout: Literal["tree", "packed", "padded"] = "tree"
    """`tree` shares equal prompt beginnings, `packed` puts samples end to end, `padded` pads each to max_length."""
    loss: Literal["completion", "all_tokens"] = "completion"
    """Supervised tokens: the answers only, or every token of a sample."""
    micro_batch: AutoOrCount = "auto"
    """Samples per cut of a step. `auto`: cut by cost within the token budget."""
    token_budget: AutoOrCount = "auto"
    """Most layout tokens in one cut. `auto`: as the memory allows."""
    head_chunk: int = Field(default=1024, ge=1, le=1_048_576)
    """Supervised positions for which the output head is computed at a time; bounds the memory of the logits."""
    gradient_checkpointing: Literal["auto", "always", "never"] = "auto"
    """Recompute activations in the backward pass. `auto`: only where it does not fit otherwise."""
    memory_limit: float | None = Field(default=None, gt=0)
    """Memory that the automatic settings may count on, in GB (10^9 bytes). Empty: what the device has free."""
    attention: Literal["auto", "dense", "blocks", "flex"] = "auto"
    """`dense`: one call with a mask. `blocks`: runs of queries, each with the columns that it may see. `flex`:
    FlexAttention. `auto`: `blocks` on a CPU; on a GPU `flex` from compute capability 8.0 on, else `dense`."""
    bucket: AutoOrCount = "auto"
    """Cut lengths are padded to a multiple of it, so that kernels see few shapes. `auto`: 1 on a CPU; on a GPU 16, or
    128 with `flex`."""
    graphs: Literal["auto", "always", "never"] = "auto"
    """`always`: a GPU starts each cut as one recorded CUDA graph, over rows and answers padded to few sizes. `auto`:
    never, until that has been measured on a GPU."""
    compile: Literal["auto", "always", "never"] = "auto"
    """`always`: the small operators of known layers are compiled by torch.compile, once for all layers and lengths.
    `auto`: never, until a saved measurement shows that it helps."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.layout == "tree" and self.loss == "all_tokens":
            raise ValueError(
                "layout 'tree' cannot supervise all tokens: a shared prompt token has several successors; "
                "use layout 'packed' or loss 'completion'"
            )
        if self.micro_batch != "auto" and self.token_budget != "auto":
            raise ValueError("micro_batch and token_budget both set the cuts; give one of them")
        if self.graphs == "always" and self.attention == "blocks":
            raise ValueError(
                "attention by blocks is another computation in every cut, which is not recorded; "
                "use another attention than 'blocks', or graphs 'never'"
            )
        if self.micro_batch != "auto" and self.micro_batch > self.effective_batch:
            raise ValueError(
                f"micro_batch {self.micro_batch} is larger than effective_batch {self.effective_batch}"
            )
        return self


class ScheduleSection(Section):
    """How long to train and how the learning rate moves."""

    epochs: int = Field(default=4, ge=1, le=10_000)
    """Passes over the training samples."""
    kind: Literal["cosine", "linear", "constant"] = "cosine"
    """Course of the learning rate after the warm-up; `cosine` and `linear` end at zero."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of all steps over which the learning rate rises from zero."""
    early_stopping: int | None = Field(default=None, ge=1)
    """Stop after this many validations without a better loss. Empty: never."""


class CheckpointSection(Section):
    """What is kept so that no run is lost."""

    every: int = Field(default=150, ge=1)
    """Steps between checkpoints."""
    keep: int = Field(default=2, ge=1, json_schema_extra=FREE)
    """Newest checkpoints to keep; the adapter with the best validation loss is kept besides."""
    mirror: OptionalText = Field(default=None, json_schema_extra=FREE)
    """Folder that the run is copied to at each checkpoint, such as a mounted drive. Empty: the run's last one, else
    the folder `lexitrain` of the Google Drive that is mounted on Colab, else none. `none`: no copies."""
    background: bool = Field(default=True, json_schema_extra=FREE)
    """Write checkpoints in a thread while training goes on; memory holds a copy of adapter and optimizer meanwhile."""

    @field_validator("mirror")
    @classmethod
    def _off(cls, folder: str | None) -> str | None:
        off = folder is not None and folder.strip().casefold() == NO_MIRROR
        return NO_MIRROR if off else folder

    @property
    def mirror_folder(self) -> Path | None:
        """The folder of the mirror, if there is to be one."""
        return None if self.mirror is None or self.mirror == NO_MIRROR else user_path(self.mirror)


class ValidationSection(Section):
    """When the validation loss is measured, and on how much."""

    every: int | None = Field(default=None, ge=1)
    """Steps between validations. Empty: whenever a checkpoint is written."""
    limit: int | None = Field(default=None, ge=1)
    """Most validation samples to use, the first ones in a fixed shuffled order. Empty: all."""


class EvaluationSection(Section):
    """What scores are held against."""

    targets: dict[str, dict[str, float]] = Field(default_factory=dict, json_schema_extra=FREE)
    """Scores to reach, by task and score, such as `{vocabulary: {accuracy: 0.8}}`. Those of a task that is not named
    are the ones that LexiLingo's team set."""


class Recipe(Section):
    """Everything that defines a training run."""

    name: str = Field(default="custom", json_schema_extra=FREE)
    """Name of the recipe."""
    description: str = Field(default="", json_schema_extra=FREE)
    """What the recipe is for, in a sentence."""
    seed: int = Field(default=42, ge=0, lt=2**32)
    """Seed of the adapter's start, the order of samples, and dropout."""
    log_every: int = Field(default=10, ge=1, json_schema_extra=FREE)
    """Steps between two lines of metrics.jsonl."""
    trackers: tuple[str, ...] = Field(default=(), json_schema_extra=FREE)
    """Trackers that the run is told to: `tensorboard`, `trackio`, `wandb`, `mlflow`, each alone or with a place, as
    `tensorboard:FOLDER` or `wandb:PROJECT`. Empty: the run's last ones. `none`: none."""
    model: ModelSection = ModelSection()
    """The base model and the numbers it is stored in."""
    lora: LoraSection = LoraSection()
    """The low-rank adapter."""
    data: DataSection = DataSection()
    """Which records are trained on and how long a sample may be."""
    step: StepSection = StepSection()
    """One optimizer step: which samples, laid out and cut how."""
    optimizer: OptimizerSection = OptimizerSection()
    """AdamW and its settings."""
    schedule: ScheduleSection = ScheduleSection()
    """How long to train and how the learning rate moves."""
    checkpoints: CheckpointSection = CheckpointSection()
    """What is kept so that no run is lost."""
    validation: ValidationSection = ValidationSection()
    """When the validation loss is measured, and on how much."""
    evaluation: EvaluationSection = EvaluationSection()
    """What scores are held against."""

    @property
    def validation_every(self) -> int:
        """Steps between two measurements of the validation loss."""
        return self.validation.every or self.checkpoints.every

    @field_validator("trackers")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return checked_trackers(names)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        unknown = {
            task
            for task in self.data.task_weights
            if self.data.tasks and task not in self.data.tasks
        }
        if unknown:
            raise ValueError(
                f"task_weights names {', '.join(sorted(unknown))}, which data.tasks does not train"
            )
        if self.lora.init != "default" and self.model.adapter is not None:
            raise ValueError(
                f"model.adapter gives the adapter its start, so that lora.init '{self.lora.init}' would have none; "
                "leave one of them out"
            )
        if self.lora.changes_base and self.model.quantization != "none":
            raise ValueError(
                f"lora.init '{self.lora.init}' takes the adapter's start out of the base's weights, and 4-bit weights "
                f"without it are rounded anew, so that the adapter would not fit the base; model.quantization is "
                f"'{self.model.quantization}': set it to none, or lora.init to default or orthogonal"
            )
        return self


def recipe_fields(
    section: type[BaseModel] = Recipe, prefix: str = ""
) -> Iterator[tuple[str, FieldInfo]]:
    """Every leaf field as (dotted name, its description and limits), in the order of the file."""
    for name, info in section.model_fields.items():
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield from recipe_fields(annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info


def is_free_on_resume(info: FieldInfo) -> bool:
    """True for a field that changes what is shown or kept but not which weights come out."""
    return info.json_schema_extra == FREE


def field_value(recipe: Recipe, dotted: str) -> Any:
    """The value of the leaf field `dotted`, such as `lora.rank`."""
    value: Any = recipe
    for part in dotted.split("."):
        value = getattr(value, part)
    return value


def field_text(value: Any, separator: str = ", ") -> str:
    """A field's value as a person reads it; an empty one as a dash."""
    if value is None or value in ((), {}):
        return "–"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return separator.join(str(each) for each in cast("tuple[object, ...]", value))
    return str(value)


def _task_names(sources: tuple[str, ...]) -> list[str]:
    return [Path(each).name if each.endswith(".py") else each for each in sources]


def _are_folders(*paths: str | None) -> bool:
    """True for folders, which recipes name by their absolute paths."""
    return all(path is not None and Path(path).is_absolute() for path in paths)


def training_differences(before: Recipe, after: Recipe) -> list[str]:
    """Fields that change which weights come out and differ, as `lora.rank: 16 -> 8`. Empty: the run may go on."""
    differences: list[str] = []
    for dotted, info in recipe_fields():
        old, new = field_value(before, dotted), field_value(after, dotted)
        if dotted == "data.custom_tasks" and _task_names(old) == _task_names(new):
            continue  # where a file lies differs between machines; what it does shows in the samples
        if dotted == "model.base" and _are_folders(old, new):
            continue  # and so does a base's folder; its weights are compared by `recipe_changes`
        if (
            dotted == "model.adapter"
            and _are_folders(old, new)
            and Path(old).name == Path(new).name
        ):
            continue  # it is read before the first checkpoint alone
        if old != new and not is_free_on_resume(info):
            differences.append(f"{dotted}: {old} -> {new}")
    return differences
