"""One scorer for both adapters: the validation loss by plain PEFT, and `lexitrain compare` on the test split.

The loss is that of the plainest program there is: base and adapter loaded by transformers and PEFT, in fp32, one sample
at a time, without padding, layout or kernel of either side.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.against.places import (
    BASE,
    COMPARISON,
    DATA,
    HELD_OUT,
    OWN_ADAPTER,
    RIVAL,
    RIVAL_ADAPTER,
)
from benchmarks.against.settings import Settings


def models(work: Path) -> dict[str, Path]:
    """What is scored: the base, and the adapters that are there."""
    found = {
        "base": work / BASE,
        "lexitrain": work / OWN_ADAPTER,
        "unsloth": work / RIVAL_ADAPTER,
    }
    return {name: path for name, path in found.items() if path.is_dir()}


def main(work: Path, _settings: Settings) -> dict[str, Any]:
    """Mean loss of a supervised token of the held-out samples, nats, of base and adapters."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    lines = (work / RIVAL / HELD_OUT).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    losses: dict[str, float] = {}
    for name, path in models(work).items():
        model: Any = AutoModelForCausalLM.from_pretrained(work / BASE, dtype=torch.float32)
        if name != "base":
            model = PeftModel.from_pretrained(model, str(path))
        losses[name] = _loss(model.to(device).eval(), rows)
    tokens = sum(len(row["completion_ids"]) for row in rows)
    return {"samples": len(rows), "supervised_tokens": tokens, "losses": losses}


@torch.no_grad()
def _loss(model: Any, rows: list[dict[str, Any]]) -> float:
    total = tokens = 0.0
    for row in rows:
        prompt, completion = row["prompt_ids"], row["completion_ids"]
        ids = torch.tensor([prompt + completion], device=model.device)
        logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()
        targets = torch.tensor(completion, device=model.device)
        total += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
        tokens += len(completion)
    return round(total / tokens, 6)


def compare(work: Path, settings: Settings) -> dict[str, Any]:
    """Scores of base and adapters on the same test records, each against the first adapter."""
    from lexitrain import compare as compare_models
    from lexitrain import write_comparison_page

    found = models(work)
    names = [*(name for name in ("lexitrain", "unsloth") if name in found), "base"]
    comparison = compare_models(
        [found[name] for name in names],
        work / DATA,
        limit=settings.scored,
        out=work / COMPARISON,
    )
    comparison.save(work / COMPARISON)
    write_comparison_page(comparison, work / COMPARISON / "comparison.html")
    document = comparison.to_json()
    return {
        "records": document["models"][0]["evaluation"]["n"],
        "margin": document["margin"],
        "reference": names[0],
        "models": {
            name: _scores(each["evaluation"])
            for name, each in zip(names, document["models"], strict=True)
        },
        "differences": {
            name: {"verdict": each["verdict"], "tasks": _differences(each["tasks"])}
            for name, each in zip(names[1:], document["differences"], strict=True)
        },
    }


def _scores(evaluation: dict[str, Any]) -> dict[str, Any]:
    return {
        "json_validity": evaluation["json_validity"],
        "schema_validity": evaluation["schema_validity"],
        "tasks": {
            task: {key: scores[key] for key in ("n", "primary", "scores", "loss")}
            for task, scores in evaluation["tasks"].items()
        },
    }


def _differences(tasks: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {
            "primary": task["primary"],
            "no_worse_by_margin": task["no_worse_by_margin"],
            "adjusted_p": task["adjusted_p"],
            **task["differences"][task["primary"]],
        }
        for name, task in tasks.items()
    }
