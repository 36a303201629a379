"""What answering in batches saves, and what a schema costs: `python -m benchmarks.generation`.

The same prompts of the product's own tasks are answered greedily by the nano base, 32 at a time and one at a time, and
the tokens are compared: where they differ, the two tokens must be as likely as each other to 1e-4 (a tie). Then answers
are drawn with and without the schema, on nano's vocabulary and on Qwen's real one (151,936 logits; a small Qwen2 with
random weights): seconds a step, and of them those that masks take.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.qwen_vocabulary import qwen_tokenizer
from benchmarks.workload import RESULTS, circumstances
from lexitrain.evaluation.generation import Decoding, SchemaMasks, generate
from lexitrain.evaluation.generation.picking import Picker
from lexitrain.evaluation.generation.schema_masks import SchemaRows
from lexitrain.models import load_base, load_tokenizer
from lexitrain.recipe import ModelSection
from lexitrain.samples import Renderer
from lexitrain.synthetic import generate as synthetic_records
from lexitrain.tasks import registry

RESULT = RESULTS / "generation.json"
LEAST_RATIO = 5.0
TIE = 1e-4
BATCH, TOKENS, LOGITS = 32, 64, 151_936
Prompt = NDArray[np.int32]


@dataclass
class Differences:
    """Where answers in a batch and alone differ.

    Attributes:
        equal: answers with the same tokens.
        ties: for each other one how much more likely the better of the two tokens is, in logits.
    """

    equal: int = 0
    ties: list[float] = field(default_factory=list[float])

    @property
    def worst(self) -> float:
        """The largest of them; 0 where there is none."""
        return max(self.ties, default=0.0)


def differences(
    model: Any,
    prompts: Sequence[Prompt],
    some: Sequence[Sequence[int]],
    others: Sequence[Sequence[int]],
    stop: int,
) -> Differences:
    """Compare two answers to each prompt; of those that differ, by the logits where they part.

    Args:
        stop: the token that stands for the end of an answer that is shorter.
    """
    found = Differences()
    for prompt, one, other in zip(prompts, some, others, strict=True):
        if list(one) == list(other):
            found.equal += 1
            continue
        ended = [[*one, stop], [*other, stop]]
        place = next(i for i, (a, b) in enumerate(zip(*ended, strict=False)) if a != b)
        tokens = torch.tensor([[*prompt.tolist(), *one[:place]]])
        with torch.inference_mode():
            logits = model(input_ids=tokens, use_cache=False).logits[0, -1].float()
        found.ties.append(abs(float(logits[ended[0][place]] - logits[ended[1][place]])))
    return found


@dataclass
class Spent:
    """Seconds and steps of a generation."""

    seconds: float = 0.0
    masks: float = 0.0
    steps: int = 0
    tokens: int = 0

    def add(self, other: Spent) -> None:
        """What another generation took."""
        self.seconds += other.seconds
        self.masks += other.masks
        self.steps += other.steps
        self.tokens += other.tokens

    def to_json(self) -> dict[str, float]:
        """By step and token."""
        return {
            "tokens": self.tokens,
            "milliseconds_a_step": round(1000 * self.seconds / self.steps, 3),
            "masks_milliseconds_a_step": round(1000 * self.masks / self.steps, 3),
            "milliseconds_a_token": round(1000 * self.seconds / self.tokens, 4),
            "tokens_a_second": round(self.tokens / self.seconds, 1),
        }


@contextmanager
def watched() -> Iterator[Spent]:
    """What is spent within: on the whole, and on masks."""
    spent = Spent()
    originals = Picker.pick, SchemaRows.allowed, SchemaRows.take

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            start = perf_counter()
            try:
                return function(*given)
            finally:
                spent.masks += perf_counter() - start

        return call

    def pick(self: Picker, logits: torch.Tensor) -> tuple[torch.Tensor, int]:
        spent.steps += 1
        spent.tokens += int(self.going.sum())
        return originals[0](self, logits)

    Picker.pick, SchemaRows.allowed, SchemaRows.take = (  # pyright: ignore
        pick,
        timed(originals[1]),
        timed(originals[2]),
    )
    start = perf_counter()
    try:
        yield spent
    finally:
        spent.seconds = perf_counter() - start
        Picker.pick, SchemaRows.allowed, SchemaRows.take = originals  # pyright: ignore


def batching(repeats: int = 3) -> dict[str, Any]:
    """Tokens a second of the nano base: in batches, each prompt alone, and one after the other behind a beginning that
    is read once; in turns, the fastest of each, so that other work on the machine disturbs all alike."""
    tokenizer = load_tokenizer("nano")
    model = load_base(ModelSection(base="nano"), device="cpu", dtype=torch.float32)
    renderer = Renderer(tokenizer, registry(), 512)
    (stop,) = renderer.stop_ids
    by_task: dict[str, list[Prompt]] = {}
    for record in synthetic_records(600, seed=11):
        held = by_task.setdefault(record.task, [])
        if record.messages is None and len(held) < BATCH:
            held.append(renderer.prompt_ids(record))

    def said(prompts: Sequence[Prompt], size: int) -> list[list[int]]:
        options: Any = {"batch_size": size}
        found = generate(model, tokenizer, prompts, TOKENS, renderer.stop_ids, **options)
        return [each.tokens for (each,) in found]

    ways: dict[str, Callable[[Sequence[Prompt]], list[list[int]]]] = {
        "in_batches": lambda prompts: said(prompts, BATCH),
        "one_at_a_time": lambda prompts: [said([prompt], 1)[0] for prompt in prompts],
        "one_at_a_time_behind_a_shared_beginning": lambda prompts: said(prompts, 1),
    }
    said(by_task["grammar"], BATCH)
    spent = {way: Spent() for way in ways}
    found = Differences()
    for prompts in by_task.values():
        best: dict[str, Spent] = {}
        answers: dict[str, list[list[int]]] = {}
        for _ in range(repeats):
            for way, ask in ways.items():
                with watched() as now:
                    answers[way] = ask(prompts)
                if way not in best or now.seconds < best[way].seconds:
                    best[way] = now
        for way, now in best.items():
            spent[way].add(now)
        both = answers["in_batches"], answers["one_at_a_time"]
        here = differences(model, prompts, *both, stop)
        found.equal += here.equal
        found.ties += here.ties
    fast = spent["in_batches"].seconds
    return {
        "prompts": sum(map(len, by_task.values())),
        "most_tokens": TOKENS,
        "batch": BATCH,
        **{way: each.to_json() for way, each in spent.items()},
        "ratio": round(spent["one_at_a_time"].seconds / fast, 2),
        "ratio_behind_a_shared_beginning": round(
            spent["one_at_a_time_behind_a_shared_beginning"].seconds / fast, 2
        ),
        "least_ratio": LEAST_RATIO,
        "equal_answers": found.equal,
        "ties": [round(gap, 7) for gap in found.ties],
        "tie_limit": TIE,
    }


def schema_costs(name: str, tokenizer: Any, model: Any, tokens: int) -> list[dict[str, Any]]:
    """Drawn answers of the grammar task with and without its schema, 8 and 32 rows."""
    tasks = registry()
    renderer = Renderer(tokenizer, tasks, 512)
    records = [r for r in synthetic_records(400, seed=12) if r.task == "grammar" and not r.messages]
    start = perf_counter()
    masks = SchemaMasks(tokenizer, renderer.stop_ids, tasks["grammar"])
    prepared = perf_counter() - start
    found: list[dict[str, Any]] = []
    for rows in (8, 32):
        prompts = [renderer.prompt_ids(record) for record in records[:rows]]
        costs: dict[str, Any] = {}
        for label, held in (("free", None), ("schema", masks)):
            best: Spent | None = None
            for _ in range(3):
                with watched() as spent:
                    generate(
                        model,
                        tokenizer,
                        prompts,
                        tokens,
                        renderer.stop_ids,
                        decoding=Decoding(1.0, seed=3),
                        masks=held,
                    )
                best = spent if best is None or spent.seconds < best.seconds else best
            assert best is not None
            costs[label] = best.to_json()
        found.append(
            {
                "vocabulary": name,
                "logits": model.config.vocab_size,
                "rows": rows,
                "prepared_seconds": round(prepared, 3),
                **costs,
            }
        )
    return found


def qwen_shaped() -> Any:
    """A Qwen2 of two narrow layers with the logits of Qwen2.5, with random weights."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=LOGITS,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    return Qwen2ForCausalLM(config).eval()


def main() -> None:
    """Measure, save, and say whether the figures that are asked for are reached."""
    nano = load_base(ModelSection(base="nano"), device="cpu", dtype=torch.float32)
    document = {
        "command": "python -m benchmarks.generation",
        **circumstances("llguidance"),
        "batching": batching(),
        "schema": [
            *schema_costs("nano", load_tokenizer("nano"), nano, TOKENS),
            *schema_costs("Qwen2.5", qwen_tokenizer(), qwen_shaped(), 32),
        ],
    }
    RESULT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=2))
    found = document["batching"]
    if found["ratio"] < LEAST_RATIO or max(found["ties"], default=0.0) > TIE:
        raise SystemExit("The batch is too slow, or says something else.")


if __name__ == "__main__":
    main()
