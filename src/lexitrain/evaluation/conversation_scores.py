"""The scores of conversations: how likely their supervised turns are, and how near the model's own turns come.

`loss` is over every supervised turn, JSON answers included: nats a supervised token, as training's validation loss.
`chrf` and `exact_match` are over the turns of free text, each asked with the turns before it as they are in the record.
Turns of one conversation are not independent, so intervals are over conversations. A turn that is an answer of the
task is scored by the task besides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lexitrain.evaluation.generation import Decoding, ask, numbered
from lexitrain.evaluation.task_scores import is_better, score_json
from lexitrain.evaluation.turn_loss import turn_losses
from lexitrain.records import is_learnt
from lexitrain.tasks import Score, Task, bootstrap, chrf, most_frequent, pooled_mean

if TYPE_CHECKING:
    from lexitrain.evaluation.turns import Turn
    from lexitrain.records import Record
    from lexitrain.samples import Renderer, Sample

LOSS, CHRF, EXACT = "loss", "chrf", "exact_match"
LOWER_IS_BETTER = frozenset({LOSS})


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation to be scored: its samples and its supervised turns."""

    samples: Sequence[Sample]
    turns: Sequence[Turn]

    @property
    def free(self) -> list[Turn]:
        """The turns that are free text."""
        return [turn for turn in self.turns if turn.reference is None]


@dataclass(frozen=True, slots=True)
class AnsweredTurn:
    """One supervised turn with what the model says in its place.

    Attributes:
        loss: nats a token of the turn as it should be.
        text: what the model said; None for a turn that is scored by the task.
        chrf, exact: of what it said.
        truncated: whether it ran into the limit of tokens instead of ending.
        sample: its number, from 1, among several answers to the same; None where there is one.
    """

    turn: Turn
    loss: float
    text: str | None
    chrf: float | None
    exact: bool | None
    truncated: bool = False
    sample: int | None = None

    @property
    def row(self) -> int:
        """Of the record in its file."""
        return self.turn.row

    def to_json(self) -> dict[str, Any]:
        """As a line of the answers file."""
        sample = {} if self.sample is None else {"sample": self.sample}
        return {
            "row": self.turn.row,
            "task": self.turn.record.task,
            "turn": self.turn.number,
            **sample,
            "input": self.turn.question,
            "reference": self.turn.text,
            "loss": self.loss,
            "text": self.text,
            "chrf": self.chrf,
            "exact_match": self.exact,
            "truncated": self.truncated,
        }


@dataclass(frozen=True, slots=True)
class ConversationEvaluation:
    """The scores of one task's conversations.

    Attributes:
        scores: `loss`, `chrf`, `exact_match`, with intervals over conversations.
        trivial: the last two of the most frequent turn of the training conversations; empty where there are none.
        answers: every supervised turn, as often as it was answered.
        seconds: of generation and losses.
    """

    task: str
    scores: Mapping[str, Score]
    trivial: Mapping[str, Score]
    answers: Sequence[AnsweredTurn]
    seconds: float

    @property
    def free_turns(self) -> int:
        """Turns of free text."""
        return sum(each.text is not None for each in self._turns)

    @property
    def _turns(self) -> list[AnsweredTurn]:
        return [each for each in self.answers if each.sample in {None, 1}]

    def beats_trivial(self, name: str) -> bool | None:
        """Whether the whole interval is better than the trivial predictor's value; None where one is not known."""
        return is_better(
            self.scores[name], self.trivial.get(name), lower_is_better=name in LOWER_IS_BETTER
        )

    def to_json(self) -> dict[str, Any]:
        """Scores, without the answers."""
        return {
            "n": self.scores[LOSS].n,
            "turns": len(self._turns),
            "free_text_turns": self.free_turns,
            "truncated": sum(each.truncated for each in self.answers),
            "seconds": round(self.seconds, 2),
            "scores": {
                name: score_json(score, self.trivial.get(name), name in LOWER_IS_BETTER)
                for name, score in self.scores.items()
            },
        }


def trivial_turns(
    conversations: Sequence[Conversation], task: Task, train: Sequence[Record]
) -> dict[str, Score]:
    """The scores of saying, each time, the most frequent free text of the training conversations.

    Raises:
        MissingExtra: chrF needs a package that is not installed; also where there is nothing to learn from.
    """
    chrf([], [])
    said = [
        turn["content"]
        for record in train
        if record.task == task.short and record.messages is not None
        for turn in record.messages
        if is_learnt(turn) and task.parse(turn["content"]) is None
    ]
    if not said:
        return {}
    reply = most_frequent(said)
    answers = [[reply] * len(each.free) for each in conversations]
    return _text_scores(conversations, answers)[0]


def evaluate_conversations(
    model: Any,
    renderer: Renderer,
    task: Task,
    conversations: Sequence[Conversation],
    *,
    decoding: Decoding | None = None,
    batch_size: int = 64,
    progress: Callable[[int], None] | None = None,
) -> tuple[dict[str, Score], list[AnsweredTurn]]:
    """Scores and answered turns of one task's conversations.

    Args:
        conversations: one at least.
        decoding: how turns are chosen; free text is held to no schema.
        batch_size: prompts generated together.
        progress: called with the number of turns answered since the last call.
    """
    nats = [
        [nats for sample in each.samples for nats in turn_losses(model, sample)]
        for each in conversations
    ]
    free = [turn for each in conversations for turn in each.free]
    said = iter(
        ask(
            model,
            renderer,
            task,
            [turn.prompt for turn in free],
            maximum_tokens=max((len(turn.answer_ids) for turn in free), default=0),
            decoding=replace(decoding or Decoding(), json_schema=False),
            batch_size=batch_size,
            progress=progress,
        )
    )
    answers = [[numbered(next(said)) for _ in each.free] for each in conversations]
    texts = [[s.text for turn in each for _, s in turn] for each in answers]
    scores, near = _text_scores(conversations, texts)
    sizes = [[len(turn.answer_ids) for turn in each.turns] for each in conversations]
    answered: list[AnsweredTurn] = []
    for each, losses, replies, chrfs in zip(conversations, nats, answers, near, strict=True):
        replied, shares = iter(replies), iter(chrfs)
        for turn, nat in zip(each.turns, losses, strict=True):
            loss = nat / len(turn.answer_ids)
            if turn.reference is not None:
                answered.append(AnsweredTurn(turn, loss, None, None, None))
                continue
            for sample, reply in next(replied):
                exact = reply.text.strip() == turn.text.strip()
                cut = reply.truncated is not None
                share = next(shares)
                answered.append(AnsweredTurn(turn, loss, reply.text, share, exact, cut, sample))
    loss = pooled_mean([sum(each) for each in nats], [sum(each) for each in sizes])
    return {LOSS: bootstrap(loss, len(conversations)), **scores}, answered


def _text_scores(
    conversations: Sequence[Conversation], answers: Sequence[Sequence[str]]
) -> tuple[dict[str, Score], list[list[float]]]:
    """chrF and exact match of answers to the free turns of each conversation, equally many to each turn, and each
    answer's chrF."""
    near: list[list[float]] = []
    same: list[int] = []
    for each, texts in zip(conversations, answers, strict=True):
        times = len(texts) // max(1, len(each.free))
        wanted = [turn.text for turn in each.free for _ in range(times)]
        shares = chrf(texts, [[text] for text in wanted])
        same.append(sum(a.strip() == b.strip() for a, b in zip(texts, wanted, strict=True)))
        near.append(shares)
    counts = [len(texts) for texts in answers]
    if not any(counts):
        return {}, near
    found = {
        CHRF: bootstrap(pooled_mean([sum(each) for each in near], counts), len(counts)),
        EXACT: bootstrap(pooled_mean(same, counts), len(counts)),
    }
    return found, near
