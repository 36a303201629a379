"""What `export` wrote, and what was shown of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.exporting.verification.verification import scores_missed
from lexitrain.storage import write_json

if TYPE_CHECKING:
    from lexitrain.comparison import PairedTask
    from lexitrain.exporting.beside.phones import PhoneBudget
    from lexitrain.exporting.gguf.writing import WrittenTensor
    from lexitrain.exporting.verification.distributions import Distances
    from lexitrain.exporting.verification.verification import Verification

REPORT = "export.json"


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file or folder that was written.

    Attributes:
        path: of it.
        form: `merged`, `gguf`, `gguf-lora` (the adapter), `base` (that it goes beside), `onnx`.
        quantization: name of the mixture; None where it has none.
        bytes: of it.
        seconds: that writing took.
        tensors: with the type that each really has; empty where the form has no such types.
        merge: distance of a merged folder to base and adapter; None where nothing was computed.
        merge_tasks: differences in scores of a merged folder that was verified, its own less the adapter's.
        verification: None where it was not verified.
        phone: what it asks of a phone; None where it is for none.
    """

    path: Path
    form: str
    quantization: str | None
    bytes: int
    seconds: float
    tensors: Sequence[WrittenTensor] = ()
    merge: Distances | None = None
    merge_tasks: Sequence[PairedTask] = ()
    verification: Verification | None = None
    phone: PhoneBudget | None = None

    @property
    def types(self) -> Counter[str]:
        """Type -> number of tensors that have it."""
        return Counter(each.type for each in self.tensors)

    @property
    def biases(self) -> int:
        """Tensors that are added and not multiplied with."""
        return sum(each.name.endswith(".bias") for each in self.tensors)

    @property
    def missed(self) -> list[str]:
        """Why it does not pass, a sentence each; none where it does, or was not verified."""
        if self.verification is not None:
            return self.verification.missed
        margins = {task.margin for task in self.merge_tasks}
        return scores_missed(self.merge_tasks, max(margins, default=0.0))

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "path": str(self.path),
            "form": self.form,
            "quantization": self.quantization,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 2),
            "types": dict(self.types),
            "biases": self.biases,
            "tensors": [
                {
                    "name": each.name,
                    "type": each.type,
                    "shape": list(each.shape),
                    "bytes": each.bytes,
                }
                for each in self.tensors
            ],
            "phone": None if self.phone is None else self.phone.to_json(),
            "merge": None if self.merge is None else self.merge.to_json(),
            "merge_tasks": {task.task: task.to_json() for task in self.merge_tasks},
            "verification": None if self.verification is None else self.verification.to_json(),
        }


@dataclass(frozen=True, slots=True)
class ExportReport:
    """Attributes:
    model: as it was given.
    folder: that everything lies in.
    files: in the order in which they were written.
    chosen: of `best`, the file that was taken; None where none fits, or none was asked for.
    asked_for_best: whether it was.
    beside: grammars and Modelfiles.
    notes: sentences on what was left out and why.
    """

    model: str
    folder: Path
    files: Sequence[ExportedFile]
    chosen: Path | None = None
    asked_for_best: bool = False
    beside: Sequence[Path] = ()
    notes: Sequence[str] = field(default=())

    @property
    def missed(self) -> list[str]:
        """Why what was exported is not what was asked for, a sentence each, with the file's name before it."""
        if self.asked_for_best:
            return (
                []
                if self.chosen
                else [
                    "No file within the limit is shown to be no worse than the adapter. Allow a larger file (--max-mb) "
                    "or a wider margin (--margin), or let more records answer."
                ]
            )
        return [f"{each.path.name}: {reason}" for each in self.files for reason in each.missed]

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "model": self.model,
            "lexitrain": version("lexitrain"),
            "folder": str(self.folder),
            "passed": not self.missed,
            "missed": self.missed,
            "chosen": None if self.chosen is None else str(self.chosen),
            "files": [each.to_json() for each in self.files],
            "beside": [str(each) for each in self.beside],
            "notes": list(self.notes),
        }

    def save(self) -> Path:
        """Write `export.json` into the folder; returns its path."""
        path = self.folder / REPORT
        write_json(path, self.to_json())
        return path
