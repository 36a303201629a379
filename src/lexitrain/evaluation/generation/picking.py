"""The next token of each answer of a batch: the most likely one, or one that is drawn, among those that may come."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lexitrain.errors import ModelError
from lexitrain.evaluation.generation.schema_masks import SchemaMasks, SchemaRows

_LEAST_TEMPERATURE = 1e-30
"""Below it float32 would divide by zero; nothing but the most likely token is drawn far above it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How tokens are chosen.

    Attributes:
        maximum_tokens: most tokens of an answer.
        stop_ids: tokens that end an answer.
        temperature: 0 for the most likely token.
        draws: float64 [N, maximum_tokens], by which each answer's tokens are drawn; None where none is.
        masks: the schema that answers are held to, if any.
    """

    maximum_tokens: int
    stop_ids: Collection[int]
    temperature: float = 0.0
    draws: Tensor | None = None
    masks: SchemaMasks | None = None


class Picker:
    """Chooses for the answers of one batch, step by step; the device is waited for once a step.

    Attributes:
        going: rows of the batch whose answers have not ended, ascending.
        answers: the tokens of each so far, as they came in, without the token that ended them.
        ended: which of them have ended by a stop token or, under a schema, by being complete.

    Args:
        choice: how.
        rows: which of `choice.draws` each answer is.
        device: of the logits.
    """

    def __init__(self, choice: Choice, rows: Sequence[int], device: torch.device | str) -> None:
        self.answers: list[list[int]] = [[] for _ in rows]
        self.ended = [False] * len(rows)
        self.going = list(range(len(rows)))
        self._choice = choice
        self._active = list(range(len(rows)))  # the answer that each row belongs to
        self._stops = frozenset(choice.stop_ids)
        self._draws = None if choice.draws is None else choice.draws[list(rows)].to(device)
        self._schema: SchemaRows | None = choice.masks.rows(len(rows)) if choice.masks else None
        self._step = 0
        self._device = device

    def pick(self, logits: Tensor) -> tuple[Tensor, int]:
        """The next token of each row, and how many answers ended by it.

        Args:
            logits: [B, vocabulary]; what is said of rows that have ended is not looked at.

        Raises:
            ModelError: the logits are not numbers.
        """
        if self._schema:
            logits = self._masked(logits, self._schema, self.going)
        tokens, fine = self._greedy(logits) if self._draws is None else self._drawn(logits)
        self._step += 1
        numbers: list[list[int]] = torch.stack([tokens, fine.to(tokens.dtype)]).tolist()
        chosen, numeric = numbers
        self._require_numbers(numeric)
        going: list[int] = []
        for row in self.going:
            ended = chosen[row] in self._stops
            if not ended:
                self.answers[self._active[row]].append(chosen[row])
                ended = self._schema is not None and self._schema.take(row, chosen[row])
            if ended:
                self.ended[self._active[row]] = True
            else:
                going.append(row)
        over, self.going = len(self.going) - len(going), going
        return tokens, over

    def keep(self) -> Tensor:
        """Leave rows that have ended out of the batch; those that stay, on the device of the logits."""
        kept = torch.tensor(self.going, dtype=torch.long, device=self._device)
        self._active = [self._active[row] for row in self.going]
        if self._draws is not None:
            self._draws = self._draws[kept]
        if self._schema:
            self._schema.keep(self.going)
        self.going = list(range(len(self.going)))
        return kept

    def _masked(self, logits: Tensor, schema: SchemaRows, live: list[int]) -> Tensor:
        """With what may not come next at minus infinity; rows that have ended as they are."""
        forbidden = np.zeros(logits.shape, dtype=np.bool_)
        forbidden[live] = ~schema.allowed(live, logits.shape[-1])
        return logits.masked_fill(torch.from_numpy(forbidden).to(logits.device), -torch.inf)

    def _greedy(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The most likely tokens [B], and whether their logits are numbers."""
        best = logits.max(dim=-1)
        return best.indices, best.values > -torch.inf  # which NaN is not, either

    def _drawn(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The token whose share of the probability a draw falls into: [B]; and whether these are numbers.

        Summed in float64, so that only a draw that lies on a border to some seven digits could come out differently
        where the model rounds differently.
        """
        assert self._draws is not None
        wide = logits.float()
        top = wide.max(dim=-1, keepdim=True).values
        temperature = max(self._choice.temperature, _LEAST_TEMPERATURE)
        shares = ((wide - top) / temperature).exp_().cumsum(dim=-1, dtype=torch.float64)
        total = shares[:, -1:]
        place = self._draws[:, self._step, None] * total
        place = place.minimum(torch.nextafter(total, torch.zeros_like(total)))
        return torch.searchsorted(shares, place, right=True)[:, 0], top.isfinite()[:, 0]

    def _require_numbers(self, numeric: Sequence[int]) -> None:
        if not all(numeric[row] for row in self.going):
            raise ModelError(
                "The model's output is not a number (NaN or infinite): its answers mean nothing.",
                fix="Look at its weights: a run that diverged, or a precision that they do not fit in.",
            )
