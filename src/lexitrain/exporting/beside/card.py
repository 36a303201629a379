"""The model card of a merged model."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lexitrain.exporting.exported_model import ExportedModel


def merged_card(model: ExportedModel) -> str:
    """README.md of the merged folder: what it is, whence, and how to ask it. It holds no path of this machine."""
    base = model.base_name if Path(model.located.model.base).is_dir() else model.located.model.base
    tasks = ", ".join(model.tasks)
    system = next(iter(model.tasks.values())).system
    return "\n".join(
        [
            "---",
            f"base_model: {base}",
            "library_name: transformers",
            "pipeline_tag: text-generation",
            "tags: [lexitrain, merged]",
            "---",
            "",
            f"# {model.name}: {base} with its adapter merged",
            "",
            f"Merged by LexiTrain {version('lexitrain')} in fp32 and stored in the base's own dtype. Tasks: {tasks}.",
            *(
                [
                    "The adapter was trained on the base in 4 bits; these are the weights that it then had."
                ]
                if model.located.model.quantization == "nf4"
                else []
            ),
            "",
            "It answers in the form that it was trained in: the system turn below, then `Task: NAME` and `Text: …` as "
            "the user's turn; one JSON object comes back.",
            "",
            "```text",
            system,
            "```",
            "",
            "Texts are composed (NFC) before they are sent.",
            "",
        ]
    )
