"""The scores of conversations: how likely their supervised turns are, and how near the model's own turns come.

`loss` is over every supervised turn, JSON answers included: nats a supervised token, as training's validation loss.
`chrf` and `exact_match` are over the turns of free text, each asked with the turns before it as they are in the record.
Turns of one conversation are not independent, so intervals are over conversations. A turn that is an answer of the
task is scored by the task besides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from lexitrain.evaluation.generation import Said, numbered
from lexitrain.evaluation.task_scores import is_better, score_json
from lexitrain.records import is_learnt
from lexitrain.tasks import (
    Difference,
    Score,
    Statistic,
    Task,
    bootstrap,
    chrf,
    difference,
    most_frequent,
    pooled_mean,
)

if TYPE_CHECKING:
    from lexitrain.evaluation.conversations.turns import Turn
    from lexitrain.evaluation.groups import Grouping
    from lexitrain.evaluation.questions import Conversation
    from lexitrain.evaluation.sources.answer_source import AnswerSource
    from lexitrain.records import Record

LOSS, CHRF, EXACT = "loss", "chrf", "exact_match"
LOWER_IS_BETTER = frozenset({LOSS})


@dataclass(frozen=True, slots=True)
class AnsweredTurn:
    """One supervised turn with what the model says in its place.

    Attributes:
        loss: nats a token of the turn as it should be; None where the model gives no probabilities.
        text: what the model said; None for a turn that is scored by the task.
        chrf, exact: of what it said.
        truncated: whether it ran into the limit of tokens instead of ending.
        sample: its number, from 1, among several answers to the same; None where there is one.
    """

    turn: Turn
    loss: float | None
    text: str | None
    chrf: float | None
    exact: bool | None
    truncated: bool = False
    sample: int | None = None

    @property
    def key(self) -> tuple[int, int, int]:
        """What tells it from the other turns: row, turn, sample."""
        return self.row, self.turn.number, self.sample or 0

    @property
    def row(self) -> int:
        """Of the record in its file."""
        return self.turn.row

    def to_json(self) -> dict[str, Any]:
        """As a line of the answers file."""
        return {
            "row": self.turn.row,
            "task": self.turn.record.task,
            "turn": self.turn.number,
            **({} if self.sample is None else {"sample": self.sample}),
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
        scores: `loss`, `chrf`, `exact_match`, with intervals over conversations or groups of them.
        trivial: the last two of the most frequent turn of the training conversations; empty where there are none.
        gains: by score name, the model's score less the trivial one's, on the same conversations.
        answers: every supervised turn, as often as it was answered.
        seconds: of generation and losses.
    """

    task: str
    scores: Mapping[str, Score]
    trivial: Mapping[str, Score]
    gains: Mapping[str, Difference]
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
        """Whether the score is better than the trivial predictor's on the same conversations, by the whole interval of
        the difference; None where that is not known."""
        return is_better(self.gains.get(name), lower_is_better=name in LOWER_IS_BETTER)

    def to_json(self) -> dict[str, Any]:
        """Scores, without the answers."""
        return {
            "n": len({answer.row for answer in self.answers}),
            "turns": len(self._turns),
            "free_text_turns": self.free_turns,
            "truncated": sum(each.truncated for each in self.answers),
            "seconds": round(self.seconds, 2),
            "scores": {
                name: score_json(
                    score,
                    self.trivial.get(name),
                    beats_trivial=self.beats_trivial(name),
                    lower_is_better=name in LOWER_IS_BETTER,
                )
                for name, score in self.scores.items()
            },
        }


@dataclass(frozen=True, slots=True)
class TrivialTurns:
    """What saying, each time, the most frequent free text of the training conversations is worth.

    Attributes:
        near, same: of each conversation's free turns, as of `nearness`.
    """

    near: Sequence[Sequence[float]]
    same: Sequence[Sequence[bool]]


def trivial_turns(
    conversations: Sequence[Conversation], task: Task, train: Sequence[Record]
) -> TrivialTurns | None:
    """The trivial predictor's turns in these conversations; None where it has nothing to learn from.

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
        return None
    reply = most_frequent(said)
    answers = [[reply] * len(each.free) for each in conversations]
    return TrivialTurns(*nearness(conversations, answers))


def evaluate_conversations(
    source: AnswerSource,
    task: Task,
    conversations: Sequence[Conversation],
    *,
    trivial: TrivialTurns | None,
    grouping: Grouping,
    answer: Callable[[Sequence[Turn], int], list[list[Said]]],
) -> ConversationEvaluation:
    """Scores and answered turns of one task's conversations.

    Args:
        source: gives the losses.
        conversations: one at least.
        trivial: of `trivial_turns`.
        grouping: of the conversations' rows.
        answer: what the model says to turns, once or several times, each no longer than so many tokens.
    """
    start = perf_counter()
    nats = [_nats(source, each) for each in conversations]
    free = [turn for each in conversations for turn in each.free]
    most = max((len(turn.answer_ids) for turn in free), default=0)
    said = iter(answer(free, most))
    answers = [[numbered(next(said)) for _ in each.free] for each in conversations]
    texts = [[each.text for turn in talk for _, each in turn] for talk in answers]
    near, same = nearness(conversations, texts)
    answered: list[AnsweredTurn] = []
    for talk, losses, replies, shares, equal in zip(
        conversations, nats, answers, near, same, strict=True
    ):
        replied, share, exact = iter(replies), iter(shares), iter(equal)
        for turn, loss in zip(talk.turns, losses or [None] * len(talk.turns), strict=True):
            mean_loss = None if loss is None else loss / len(turn.answer_ids)
            if turn.reference is not None:
                answered.append(AnsweredTurn(turn, mean_loss, None, None, None))
                continue
            for number, reply in next(replied):
                cut = reply.truncated is not None
                scored = next(share), next(exact)
                answered.append(AnsweredTurn(turn, mean_loss, reply.text, *scored, cut, number))
    statistics = {**_loss_statistic(conversations, nats), **text_statistics(near, same)}
    groups = grouping.of([each.row for each in conversations])
    beside, gains = _beside_trivial(trivial, near, same, groups)
    return ConversationEvaluation(
        task=task.short,
        scores=_scores(statistics, groups),
        trivial=beside,
        gains=gains,
        answers=answered,
        seconds=perf_counter() - start,
    )


def _nats(source: AnswerSource, conversation: Conversation) -> list[float] | None:
    """Nats of each supervised turn; None where the model gives no probabilities."""
    losses = [source.losses(sample) for sample in conversation.samples]
    known = [each for each in losses if each is not None]
    return [nats for each in known for nats in each] if known else None


def _loss_statistic(
    conversations: Sequence[Conversation], nats: Sequence[Sequence[float] | None]
) -> dict[str, Statistic]:
    if any(each is None for each in nats):
        return {}
    sizes = [sum(len(turn.answer_ids) for turn in each.turns) for each in conversations]
    return {LOSS: pooled_mean([sum(each or ()) for each in nats], sizes)}


def _scores(statistics: Mapping[str, Statistic], groups: Sequence[int]) -> dict[str, Score]:
    return {
        name: bootstrap(statistic, len(groups), groups=groups)
        for name, statistic in statistics.items()
    }


def _beside_trivial(
    trivial: TrivialTurns | None,
    near: Sequence[Sequence[float]],
    same: Sequence[Sequence[bool]],
    groups: Sequence[int],
) -> tuple[dict[str, Score], dict[str, Difference]]:
    """The trivial predictor's scores, and the model's less these on the same conversations."""
    if trivial is None:
        return {}, {}
    both = text_statistics([*trivial.near, *near], [*trivial.same, *same])
    gains = {
        name: difference(each, len(groups), groups=groups, test=False)
        for name, each in both.items()
    }
    return _scores(text_statistics(trivial.near, trivial.same), groups), gains


def nearness(
    conversations: Sequence[Conversation], answers: Sequence[Sequence[str]]
) -> tuple[list[list[float]], list[list[bool]]]:
    """Of each conversation's free turns the chrF of its answers, equally many to each turn, and whether they are the
    turn itself."""
    near: list[list[float]] = []
    same: list[list[bool]] = []
    for each, texts in zip(conversations, answers, strict=True):
        times = len(texts) // max(1, len(each.free))
        wanted = [turn.text for turn in each.free for _ in range(times)]
        near.append(chrf(texts, [[text] for text in wanted]))
        same.append([_tidy(a) == _tidy(b) for a, b in zip(texts, wanted, strict=True)])
    return near, same


def _tidy(text: str) -> str:
    return normalize("NFC", text).strip()


def text_statistics(
    near: Sequence[Sequence[float]], same: Sequence[Sequence[bool]]
) -> dict[str, Statistic]:
    """chrF and exact match over conversations; none where there is no free text."""
    counts = [len(each) for each in near]
    if not any(counts):
        return {}
    return {
        CHRF: pooled_mean([sum(each) for each in near], counts),
        EXACT: pooled_mean([sum(each) for each in same], counts),
    }
