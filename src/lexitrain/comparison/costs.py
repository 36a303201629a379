"""What a model costs: to train, to store, to ask. Read from its folders; nothing is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.runs import training_seconds

if TYPE_CHECKING:
    from lexitrain.evaluation import EvaluationReport
    from lexitrain.runs import Run

_MB = 1e6


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs of one model; None where nobody has recorded them.

    Attributes:
        training_hours: wall clock, all sessions of the run together.
        training_device: that it was trained on last.
        training_memory_gb: peak, 10^9 bytes.
        samples: training samples.
        adapter_mb: of the adapters that it answers with, 10^6 bytes.
        file_mb: of a GGUF file, 10^6 bytes.
        checkpoints_mb: of all that the run keeps to go on from.
        answer_tokens_per_second: while the records were answered, all together.
    """

    training_hours: float | None = None
    training_device: str | None = None
    training_memory_gb: float | None = None
    samples: int | None = None
    adapter_mb: float | None = None
    file_mb: float | None = None
    checkpoints_mb: float | None = None
    answer_tokens_per_second: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


_ROWS = (
    ("training", "training_hours", "{:.2f} h"),
    ("trained on", "training_device", "{}"),
    ("training samples", "samples", "{:,}"),
    ("peak memory", "training_memory_gb", "{:.2f} GB"),
    ("adapter", "adapter_mb", "{:.1f} MB"),
    ("file", "file_mb", "{:.1f} MB"),
    ("checkpoints", "checkpoints_mb", "{:.1f} MB"),
    ("answers", "answer_tokens_per_second", "{:,.0f} tokens/s"),
)


def cost_rows(costs: Sequence[Costs]) -> list[tuple[str, list[str]]]:
    """Each cost that is known of any model, as a person reads it: what it is, then that of every model, a dash where
    nobody has recorded it."""
    rows: list[tuple[str, list[str]]] = []
    for label, field, form in _ROWS:
        values = [getattr(each, field) for each in costs]
        if any(value is not None for value in values):
            rows.append((label, ["–" if value is None else form.format(value) for value in values]))
    return rows


def costs_of(report: EvaluationReport) -> Costs:
    """The costs of the model of an evaluation."""
    located = report.model
    runs = [run for run in located.runs if run.events_file.is_file()]
    told = [run for run in runs if run.environment_file.is_file()]
    known = [run.read_data() for run in runs if run.data_file.is_file()]
    adapters = [folder for folder in located.adapters.values() if folder.is_dir()]
    device = str(told[-1].read_environment().get("device", "")) if told else ""
    samples = sum(sum(data.samples.get("train", {}).values()) for data in known)
    hours = sum(training_seconds(run.events()) for run in runs) / 3600
    memory = max((line.memory_gb for run in runs for line in run.metrics()), default=0.0)
    return Costs(
        training_hours=hours or None,
        training_device=device or None,
        training_memory_gb=memory or None,
        samples=samples or None,
        adapter_mb=sum(map(_weights, adapters)) / _MB or None,
        file_mb=located.file.stat().st_size / _MB if located.file is not None else None,
        checkpoints_mb=sum(_checkpoints(run) for run in runs) / _MB or None,
        answer_tokens_per_second=report.evaluation.answer_tokens_per_second,
    )


def _weights(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("adapter_model*.safetensors"))


def _checkpoints(run: Run) -> int:
    return sum(path.stat().st_size for path in run.checkpoints.rglob("*") if path.is_file())
