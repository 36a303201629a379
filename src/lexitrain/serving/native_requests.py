"""What llama.cpp's server can be asked besides the OpenAI-compatible requests: tokens, templates, hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lexitrain.serving.llama_server import LlamaServer


@dataclass(frozen=True, slots=True)
class Completion:
    """What a prompt was gone on with.

    Attributes:
        tokens: ids, the one that ended it last.
        text: of them.
        finished: whether it ended by itself, and not by the limit.
        prompt_tokens: computed, those that were kept from before left out.
        prompt_seconds, seconds: for the prompt, and for what followed.
    """

    tokens: tuple[int, ...]
    text: str
    finished: bool
    prompt_tokens: int
    prompt_seconds: float
    seconds: float


def tokenized(server: LlamaServer, text: str, *, special: bool = True) -> list[int]:
    """Token ids of a text.

    Args:
        special: whether the texts of special tokens become these.
    """
    body = {"content": text, "add_special": False, "parse_special": special}
    return [int(each) for each in server.ask("/tokenize", body)["tokens"]]


def applied_template(server: LlamaServer, messages: Sequence[dict[str, str]]) -> str:
    """The prompt that the file's chat template makes of messages."""
    return str(server.ask("/apply-template", {"messages": list(messages)})["prompt"])


def completion(
    server: LlamaServer,
    prompt: Sequence[int],
    *,
    most_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    grammar: str = "",
    adapter: int | None = None,
) -> Completion:
    """What llama.cpp goes on with behind a prompt's token ids.

    Args:
        most_tokens: at most so many.
        temperature: 0: the likeliest token each time; above, drawn from all tokens.
        grammar: in GBNF, that the text must follow.
        adapter: number of the one to use; None: none, the base alone.
    """
    body: dict[str, Any] = {
        "prompt": [int(each) for each in prompt],
        "n_predict": most_tokens,
        "return_tokens": True,
        # Without the sampler of temperatures llama.cpp draws at temperature 1, whatever it is told.
        "samplers": ["temperature"],
        "temperature": temperature,
        "seed": seed,
        **({"grammar": grammar} if grammar else {}),
        **_chosen(server, adapter),
    }
    reply = server.ask("/completion", body)
    timings = reply["timings"]
    return Completion(
        tokens=tuple(int(each) for each in reply["tokens"]),
        text=str(reply["content"]),
        finished=reply["stop_type"] == "eos",
        prompt_tokens=int(timings["prompt_n"]),
        prompt_seconds=float(timings["prompt_ms"]) / 1e3,
        seconds=float(timings["predicted_ms"]) / 1e3,
    )


def _chosen(server: LlamaServer, adapter: int | None) -> dict[str, Any]:
    """What a request says of adapters.

    An empty list would not switch them off. What one has computed of a prompt is not what another one computes, so
    nothing is kept.
    """
    if not server.adapters:
        return {}
    scales = [
        {"id": number, "scale": float(number == adapter)} for number in range(server.adapters)
    ]
    return {"lora": scales, "cache_prompt": False}


def hidden_states(server: LlamaServer, tokens: Sequence[int]) -> np.ndarray:
    """What the model gives its head at each token, behind the last norm: fp32 [tokens, hidden].

    The server must have been started with `embeddings`.
    """
    reply = server.ask("/embeddings", {"content": [int(each) for each in tokens]})
    return np.array(reply[0]["embedding"], dtype=np.float32)
