"""Pretrain the nano base on `corpus.py` and write the folder that the package ships.

    python nano/pretrain.py --tokenizer FOLDER --work FOLDER --out FOLDER

Muon for the matrices of the layers (Jordan et al. 2024), AdamW for the rest. The learning rate warms
up, stays, and falls linearly to zero; the text goes through five stages (`RATES`, `STAGES`).
`--resume` goes on from a checkpoint as if nothing had happened; `--base` adds the last stage to a finished base.
`--small` makes a base a third the size, for comparing two sizes; `--share` shortens the whole schedule.
About 3,700 tokens a second on one of two busy cores, twice that on two idle ones.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
import time
from bisect import bisect
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from corpus import Document, documents
from torch import Tensor
from torch.nn import functional
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

LOG = logging.getLogger("pretrain")
LENGTH = 256
BATCH = 12
MUON_RATE = 0.02
ADAM_RATE = 3e-3
RATES = (
    (0, 0.0),
    (50, 1.0),
    (2_000, 1.0),
    (2_600, 0.647),
    (4_200, 0.0),
    (4_260, 0.4),
    (5_300, 0.0),
    (5_340, 0.35),
    (6_300, 0.0),
)
"""Step and share of the peak learning rates, linear between."""
STEPS = RATES[-1][0]
STAGES = (0, 1_600, 2_600, 4_200, 5_300)
"""First step of each stage of the corpus."""
SCORED = 1_280
"""Positions a batch that are scored: answers and plain text, never questions. The output head is
a fifth of the work, so it is spared where nothing is learnt."""
PLAIN_WEIGHT = 0.5


def configuration(tokenizer: PreTrainedTokenizerFast, *, small: bool = False) -> Qwen2Config:
    """Qwen2's architecture, two and a half million parameters; `small`: a third of that."""
    return Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=96 if small else 192,
        intermediate_size=224 if small else 448,
        num_hidden_layers=5,
        num_attention_heads=3 if small else 6,
        num_key_value_heads=1 if small else 2,
        max_position_embeddings=1_024,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"),
    )


class Batch(NamedTuple):
    """Ids [BATCH, LENGTH]; of the SCORED positions: flat index, label and loss weight."""

    ids: Tensor
    scored: Tensor
    labels: Tensor
    weights: Tensor


def batch_of(ids: list[int], weights: list[float]) -> Batch:
    """Cut BATCH rows of LENGTH + 1 tokens into inputs and labels."""
    rows = np.array(ids, dtype=np.int64).reshape(BATCH, LENGTH + 1)
    loss_weights = np.array(weights, dtype=np.float32).reshape(rows.shape)[:, 1:].ravel()
    scored = np.flatnonzero(loss_weights)[:SCORED]
    scored = np.pad(scored, (0, SCORED - len(scored)), constant_values=-1)
    chosen = np.where(scored < 0, 0.0, loss_weights[scored]).astype(np.float32)
    parts = (rows[:, :-1], np.maximum(scored, 0), rows[:, 1:].ravel()[scored], chosen)
    return Batch(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))


class Encoder:
    """Documents to token ids and loss weights."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.backend = tokenizer.backend_tokenizer
        self.end = tokenizer.convert_tokens_to_ids("<|endoftext|>")

    def parts(self, document: Document) -> list[tuple[str, float]]:
        """Pieces of text with the weight of their tokens."""
        if not document.exchanges:
            return [(document.text, PLAIN_WEIGHT)]
        parts = (
            [(f"<|im_start|>system\n{document.system}<|im_end|>\n", 0.0)] if document.system else []
        )
        for exchange in document.exchanges:
            parts += [
                ("<|im_start|>user\n", 0.0),
                (exchange.user, 0.0),
                ("<|im_end|>\n<|im_start|>assistant\n", 0.0),
                (exchange.assistant + "<|im_end|>", 1.0),
                ("\n", 0.0),
            ]
        return parts

    def stream(self, seed: int, stage: int = 1) -> Iterator[Batch]:
        """Batches of one stage without end."""
        ids: list[int] = []
        weights: list[float] = []
        need = BATCH * (LENGTH + 1)
        for document in documents(seed, stage):
            parts = self.parts(document)
            encoded = self.backend.encode_batch([text for text, _ in parts])
            for part, (_, weight) in zip(encoded, parts, strict=True):
                ids += part.ids
                weights += [weight] * len(part.ids)
            ids.append(self.end)
            weights.append(PLAIN_WEIGHT)
            if len(ids) >= need:
                yield batch_of(ids[:need], weights[:need])
                ids, weights = ids[need:], weights[need:]


def orthogonal(matrices: Tensor) -> Tensor:
    """Newton-Schulz iteration towards the nearest orthogonal matrix; [N, rows, columns]."""
    turned = matrices.mT if matrices.size(1) > matrices.size(2) else matrices
    x = turned / (turned.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.mT if matrices.size(1) > matrices.size(2) else x


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal; equal shapes go through together."""

    def __init__(self, parameters: list[torch.nn.Parameter], rate: float) -> None:
        super().__init__(parameters, {"lr": rate})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        for group in self.param_groups:
            shapes: dict[torch.Size, list[torch.nn.Parameter]] = {}
            for parameter in group["params"]:
                shapes.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in shapes.items():
                updates: list[Tensor] = []
                for parameter in parameters:
                    assert parameter.grad is not None
                    state = self.state[parameter]
                    if "momentum" not in state:
                        state["momentum"] = torch.zeros_like(parameter)
                    state["momentum"].lerp_(parameter.grad, 0.05)
                    updates.append(parameter.grad.lerp(state["momentum"], 0.95))
                scale = max(1.0, shape[0] / shape[1]) ** 0.5
                steps = orthogonal(torch.stack(updates))
                for parameter, update in zip(parameters, steps, strict=True):
                    parameter.mul_(1 - group["lr"] * 0.01)
                    parameter.add_(update, alpha=-group["lr"] * scale)


def rate_at(step: int) -> float:
    """Share of the peak learning rate at `step`."""
    return float(np.interp(step + 1, *zip(*RATES, strict=True)))


def optimizers(model: Qwen2ForCausalLM) -> list[torch.optim.Optimizer]:
    layers = list(model.model.layers.parameters())
    matrices = [parameter for parameter in layers if parameter.ndim == 2]
    rest = [parameter for parameter in layers if parameter.ndim != 2]
    rest += [model.model.norm.weight, model.model.embed_tokens.weight]
    adam = torch.optim.AdamW(rest, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    return [Muon(matrices, MUON_RATE), adam]


def weighted_loss(model: Qwen2ForCausalLM, batch: Batch) -> Tensor:
    hidden = model.model(input_ids=batch.ids, use_cache=False).last_hidden_state
    logits = functional.linear(hidden.flatten(0, 1)[batch.scored], model.lm_head.weight)
    losses = functional.cross_entropy(logits, batch.labels, reduction="none")
    return (losses * batch.weights).sum() / batch.weights.sum()


def save(path: Path, step: int, model: Qwen2ForCausalLM, both: list[torch.optim.Optimizer]) -> None:
    state = {
        "step": step,
        "model": model.state_dict(),
        "optimizers": [o.state_dict() for o in both],
    }
    torch.save(state, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def write_base(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """The folder that transformers loads: bf16 weights, configuration, tokenizer."""
    copy = Qwen2ForCausalLM(model.config)
    copy.load_state_dict(model.state_dict())
    copy = copy.to(torch.bfloat16)
    copy.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
    )
    copy.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    # What this machine's library noted for itself; the class name is the one that all versions know.
    for name in ("backend", "is_local", "local_files_only"):
        settings.pop(name, None)
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(settings, indent=2) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished base")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--small", action="store_true", help="a third of the parameters")
    parser.add_argument("--share", type=float, default=1.0, help="of all steps of the schedule")
    parser.add_argument("--save-every", type=int, default=500)
    parser.add_argument("--resume", type=Path, help="a checkpoint of the level part")
    parser.add_argument(
        "--base", type=Path, help="a finished base, to which the last stage is added"
    )
    return parser.parse_args()


def main() -> None:
    options = arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    torch.manual_seed(options.seed)
    options.work.mkdir(parents=True, exist_ok=True)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(options.tokenizer)
    model = Qwen2ForCausalLM(configuration(tokenizer, small=options.small))
    both = optimizers(model)
    stages = [round(stage * options.share) for stage in STAGES]
    steps = round(STEPS * options.share)
    first = 0
    if options.resume:
        state = torch.load(options.resume)
        first = state["step"]
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(both, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
    elif options.base:
        first = stages[-1]
        model.load_state_dict(
            Qwen2ForCausalLM.from_pretrained(options.base, dtype=torch.float32).state_dict()
        )
    encoder = Encoder(tokenizer)
    stage = bisect(stages, first)
    batches = encoder.stream(options.seed, stage)
    for _ in range(stages[stage - 1], first):
        next(batches)
    loss_of = torch.compile(weighted_loss)
    peaks = [MUON_RATE, ADAM_RATE]
    started, average = time.time(), math.nan
    for step in range(first, steps):
        if step in stages[1:]:
            batches = encoder.stream(options.seed, bisect(stages, step))
        loss = loss_of(model, next(batches))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        share = rate_at(round(step / options.share))
        for optimizer, peak in zip(both, peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * share
            optimizer.step()
            optimizer.zero_grad()
        value = loss.item()
        average = value if math.isnan(average) else 0.98 * average + 0.02 * value
        done = step + 1
        if done % 10 == 0:
            speed = (done - first) * BATCH * LENGTH / (time.time() - started)
            LOG.info("step %d loss %.4f tokens/s %.0f rate %.3f", done, average, speed, share)
        if done % options.save_every == 0:
            save(options.work / f"step-{done:06d}.pt", done, model, both)
    write_base(model, tokenizer, options.out)
    LOG.info("%d tokens, %.0f s", steps * BATCH * LENGTH, time.time() - started)


if __name__ == "__main__":
    main()
