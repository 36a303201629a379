"""How far a file's next-token distributions are from the adapter's, at every token of whole answers.

Both are shown the same prompts and reference answers. Of the file, llama.cpp gives what its last norm puts out; the
head is then applied here, from the file's own matrix in fp32. First tokens alone say little: a base and its tuned model
may agree in nearly all of them.

    KL = sum over tokens t of p(t) (ln p(t) - ln q(t)),  p the adapter's, q the file's, in nats
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lexitrain.errors import ModelError
from lexitrain.serving import LlamaServer, hidden_states

if TYPE_CHECKING:
    from lexitrain.samples import Sample

Progress = Callable[[int], None]

_TOGETHER = 64  # samples whose hidden states are asked for before logits are computed


@dataclass(slots=True)
class Distances:
    """Distances summed over positions.

    Attributes:
        positions: tokens of answers.
        kl: sum of KL divergences, nats.
        largest_kl: of one position.
        agreeing: positions at which both find the same token likeliest.
        reference_loss, loss: sum of nats of the reference answers' tokens, of the adapter and of the other.
        largest_logit: largest difference between two logits.
    """

    positions: int = 0
    kl: float = 0.0
    largest_kl: float = 0.0
    agreeing: int = 0
    reference_loss: float = 0.0
    loss: float = 0.0
    largest_logit: float = 0.0

    def add(self, reference: Tensor, other: Tensor, targets: Tensor) -> None:
        """Add positions.

        Args:
            reference, other: logits [positions, vocabulary], fp32.
            targets: the reference answer's tokens [positions].

        Raises:
            ModelError: a logit is not a number.
        """
        if not (torch.isfinite(reference).all() and torch.isfinite(other).all()):
            raise ModelError("A logit is not a number.")
        p, q = (torch.log_softmax(each.double(), -1) for each in (reference, other))
        kl = (p.exp() * (p - q)).sum(-1).clamp_min(0.0)
        self.positions += len(targets)
        self.kl += float(kl.sum())
        self.largest_kl = max(self.largest_kl, float(kl.max()))
        self.agreeing += int((reference.argmax(-1) == other.argmax(-1)).sum())
        rows = torch.arange(len(targets))
        self.reference_loss -= float(p[rows, targets].sum())
        self.loss -= float(q[rows, targets].sum())
        self.largest_logit = max(self.largest_logit, float((reference - other).abs().max()))

    def to_json(self) -> dict[str, Any]:
        """Means over the positions."""
        n = max(self.positions, 1)
        return {
            "positions": self.positions,
            "mean_kl": self.kl / n,
            "largest_kl": self.largest_kl,
            "top_1": self.agreeing / n,
            "perplexity": {
                "adapter": float(np.exp(self.reference_loss / n)),
                "file": float(np.exp(self.loss / n)),
            },
            "largest_logit_difference": self.largest_logit,
        }


def answer_positions(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """The places in a sample's tokens at which a token of its answer is predicted, and those tokens."""
    places = len(sample.prompt_ids) - 1 + np.flatnonzero(sample.supervised)
    return places, sample.token_ids[places + 1].astype(np.int64)


def logits_of(model: Any, sample: Sample) -> Tensor:
    """The model's logits at the sample's answer: [positions, vocabulary], fp32, on the CPU."""
    places, _ = answer_positions(sample)
    ids = torch.from_numpy(sample.token_ids.astype(np.int64))[None].to(model.device)
    with torch.inference_mode():
        logits = model(input_ids=ids, use_cache=False).logits[0, torch.from_numpy(places)]
    return logits.float().cpu()


class FileLogits:
    """The same of a GGUF file.

    Args:
        server: of the file, started with `embeddings`.
    """

    def __init__(self, server: LlamaServer) -> None:
        self._server = server
        self._head = torch.from_numpy(head_matrix(server.file))

    def of(self, samples: Sequence[Sample]) -> Iterator[Tensor]:
        """Of each sample [positions, vocabulary], fp32."""

        def states(sample: Sample) -> np.ndarray:
            return hidden_states(self._server, sample.token_ids[:-1].tolist())

        with ThreadPoolExecutor(self._server.slots) as pool:
            for start in range(0, len(samples), _TOGETHER):
                part = samples[start : start + _TOGETHER]
                # On the same cores llama.cpp's threads and torch's hold each other up for minutes: in turns.
                for sample, found in zip(part, list(pool.map(states, part)), strict=True):
                    places, _ = answer_positions(sample)
                    yield torch.from_numpy(found[places]) @ self._head.T


def head_matrix(file: Path) -> np.ndarray:
    """The head of a GGUF file: fp32 [vocabulary, hidden]. Read by gguf's own decoder, not by the encoder's.

    Raises:
        ModelError: the file has none.
    """
    from gguf import GGUFReader, dequantize

    tensors: dict[str, Any] = {each.name: each for each in GGUFReader(file).tensors}
    head = tensors.get("output.weight") or tensors.get("token_embd.weight")
    if head is None:
        raise ModelError("The file has neither a head nor an embedding.", where=file)
    return np.array(dequantize(head.data, head.tensor_type), dtype=np.float32)


def distances(
    reference: Callable[[Sample], Tensor],
    others: Iterator[Tensor],
    samples: Sequence[Sample],
    progress: Progress | None = None,
) -> Distances:
    """Distances over all positions of the samples' answers."""
    found = Distances()
    for sample, other in zip(samples, others, strict=True):
        _, targets = answer_positions(sample)
        found.add(reference(sample), other, torch.from_numpy(targets))
        if progress:
            progress(1)
    return found
