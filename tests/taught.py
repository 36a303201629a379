"""A tiny model that knows a few records by heart, and folders of a base and of runs made from it.

Teaching takes some three seconds and is done once a test session.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from lexitrain.recipe.schema import DataSection, LoraSection, ModelSection, Recipe
from lexitrain.records.record import Record
from lexitrain.runs.folder import Run
from lexitrain.samples.rendering import Renderer
from lexitrain.tasks import registry
from tests.tiny import tiny_model, tiny_tokenizer

if TYPE_CHECKING:
    from transformers import Qwen2ForCausalLM

RECORDS = (
    Record("fluency", "He go.", {"fluency_score": 0.5, "reasoning": "ok"}, {}),
    Record("fluency", "She sings well.", {"fluency_score": 1.0, "reasoning": "ok"}, {}),
    Record("vocabulary", "cat", {"level": "A1", "key_words": ["cat"]}, {}),
    Record("vocabulary", "garden", {"level": "B1", "key_words": []}, {}),
    Record("grammar", "He go.", {"corrected": "He goes.", "errors": []}, {}),
    Record(
        "dialogue",
        "Student: Hi",
        {"response": "Hello", "strategy": "greet", "pedagogical_goal": ""},
        {},
    ),
    Record("explanation", "He go", {"explanation": "Sai"}, {"error_type": "sai"}),
)
_STEPS = 60


@lru_cache(maxsize=1)
def taught_model() -> Qwen2ForCausalLM:
    """A model that answers each of `RECORDS` exactly."""
    import torch

    samples = Renderer(tiny_tokenizer(), registry(), 512).render_all(RECORDS)
    model = tiny_model(hidden=64).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.0)
    width = max(len(sample) for sample in samples)
    tokens = torch.zeros(len(samples), width, dtype=torch.long)
    labels = torch.full((len(samples), width), -100)
    for row, sample in enumerate(samples):
        prompt, completion = sample.prompt_ids.tolist(), sample.completion_ids.tolist()
        tokens[row, : len(sample)] = torch.tensor([*prompt, *completion])
        labels[row, len(prompt) : len(sample)] = torch.tensor(completion)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        loss = model(input_ids=tokens, labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


def save_base(folder: Path, model: Qwen2ForCausalLM) -> Path:
    """A base folder as transformers writes it."""
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def save_run(folder: Path, base: Path, *, tasks: tuple[str, ...] = (), scale: float = 0.0) -> Run:
    """A finished run whose adapter changes the base by `scale` (0: nothing)."""
    import torch

    from lexitrain.models import attach_adapter, load_base
    from lexitrain.models.adapter import save_adapter

    lora = LoraSection(rank=2, targets=("q_proj", "v_proj"))
    settings = ModelSection(base=str(base))
    model = attach_adapter(load_base(settings, device="cpu", dtype=torch.float32), lora, seed=1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(scale)
    run = Run(folder)
    data = DataSection(max_length=256, tasks=tasks)
    run.write_recipe(Recipe(name="test", model=settings, lora=lora, data=data))
    save_adapter(model, run.adapter, "tiny")
    return run


def save_records(path: Path, records: tuple[Record, ...] = RECORDS) -> Path:
    """A file of records, one a line."""
    path.write_text("".join(record.to_json() + "\n" for record in records), encoding="utf-8")
    return path
