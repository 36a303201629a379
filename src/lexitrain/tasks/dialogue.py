"""Dialogue: the tutor's next turn, its teaching strategy and goal.

The input is the conversation so far, one turn a line: its last turn is the prompt's `Text:`, the turns before it are
`Context:`. Where `metadata.context` is given, that is the context and the input is the last turn. `Strategy:` stands
in the prompt only where the record requests one (`metadata.requested_strategy`); a strategy that stands in the prompt
is not scored.

Scores: strategy accuracy (the strategy of any reference counts), chrF against the best reference, distinct-1 and
distinct-2 over all answers. `metadata.references` may add replies, as texts or as `{response, strategy}`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from lexitrain.tasks.learner_text import Asked, exchange_excerpt
from lexitrain.tasks.metrics.bootstrap import Statistic
from lexitrain.tasks.metrics.scores import chrf, distinct, mean, most_frequent, texts
from lexitrain.tasks.metrics.tokens import tokenize
from lexitrain.tasks.schema import Schema
from lexitrain.tasks.task import Answer, Predictor, Task, metadata_list

if TYPE_CHECKING:
    from lexitrain.records import Record

_SPEAKER = re.compile(r"^\w[\w .'-]{0,30}:\s", re.MULTILINE)


class Dialogue(Task):
    """Answers as a tutor."""

    name = "dialogue_response"
    short = "dialogue"
    maximum_answer_tokens = 256
    score_names = frozenset({"strategy_accuracy", "chrf", "distinct_1", "distinct_2"})
    primary = "chrf"
    scores_of_some = frozenset({"strategy_accuracy"})
    scored_by: ClassVar = {"response": ("chrf",), "strategy": ("strategy_accuracy",)}
    english = True
    truncate = "beginning"  # the earliest turns go first
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "response": {"type": "string", "minLength": 1},
            "strategy": {"type": "string", "minLength": 1},
            "pedagogical_goal": {"type": "string", "default": ""},
        },
    }

    def user_turn(self, record: Record) -> str:
        context, last = turns(record)
        lines = [f"Task: {self.name}"]
        if strategy := requested_strategy(record):
            lines.append(f"Strategy: {strategy}")
        if context:
            lines.append(f"Context: {context}")
        return "\n".join([*lines, f"Text: {last}"])

    def given(self, record: Record) -> frozenset[str]:
        return frozenset() if requested_strategy(record) is None else frozenset({"strategy"})

    def learner_text(self, record: Record) -> str:
        context = given_context(record)
        if record.messages is not None or not context:
            return super().learner_text(record)
        return f"{context}\n{record.input}"

    def asked(self, record: Record) -> Asked:
        if record.messages is not None:
            return super().asked(record)
        said = self.learner_text(record)
        return Asked(self.user_turn(record), said, "", exchange_excerpt(said))

    def with_learner_text(self, record: Record, text: str) -> Record:
        if record.messages is not None or not given_context(record):
            return super().with_learner_text(record, text)
        context = text.removesuffix(record.input) if text.endswith("\n" + record.input) else ""
        last = record.input if context or text == record.input else text
        metadata = {**record.metadata, "context": context.removesuffix("\n")}
        return replace(record, input=last, metadata=metadata)

    def statistics(
        self, records: Sequence[Record], answers: Sequence[Answer | None]
    ) -> dict[str, Statistic]:
        accepted = [
            accepted_replies(record, reference)
            for record, reference in zip(records, self.references(records), strict=True)
        ]
        replies = texts(answers, "response")
        free = [requested_strategy(record) is None for record in records]
        found: dict[str, Statistic] = {}
        if any(free):
            right = [
                answer is not None and answer["strategy"] in {strategy for _, strategy in replies}
                for answer, replies in zip(answers, accepted, strict=True)
            ]
            found["strategy_accuracy"] = mean(right, free)
        found["chrf"] = mean(chrf(replies, [[text for text, _ in pairs] for pairs in accepted]))
        words = [[] if reply is None else tokenize(reply.lower()) for reply in replies]
        return {**found, "distinct_1": distinct(words, 1), "distinct_2": distinct(words, 2)}

    def trivial(self, train_records: Sequence[Record]) -> Predictor:
        """The most frequent strategy with its most frequent response and goal; a requested strategy is obeyed."""
        known = self.references(train_records)
        strategy = most_frequent(answer["strategy"] for answer in known)
        with_it = [answer for answer in known if answer["strategy"] == strategy]
        response = most_frequent(answer["response"] for answer in with_it)
        goal = most_frequent(answer["pedagogical_goal"] for answer in with_it)

        def predict(record: Record) -> Answer:
            said = requested_strategy(record) or strategy
            return {"response": response, "strategy": said, "pedagogical_goal": goal}

        return predict


def turns(record: Record) -> tuple[str, str]:
    """The conversation as (context, last turn). A line without a speaker goes on with the turn before it; where no
    line names one, each line is a turn."""
    if context := given_context(record):
        return context, record.input
    speakers = list(_SPEAKER.finditer(record.input))
    start = speakers[-1].start() if speakers else record.input.rstrip().rfind("\n") + 1
    return record.input[:start].rstrip(), record.input[start:]


def given_context(record: Record) -> str:
    """`metadata.context` as one text; a list holds a turn an item."""
    if listed := metadata_list(record, "context"):
        return "\n".join(str(turn) for turn in listed)
    context = record.metadata.get("context")
    return context.strip() if isinstance(context, str) else ""


def requested_strategy(record: Record) -> str | None:
    """The strategy that the prompt asks for, if any."""
    strategy = record.metadata.get("requested_strategy")
    return strategy if isinstance(strategy, str) and strategy else None


def accepted_replies(record: Record, reference: Answer) -> list[tuple[str, str]]:
    """The (response, strategy) pairs that count as right, the record's own first."""
    replies = [(str(reference["response"]), str(reference["strategy"]))]
    for item in metadata_list(record, "references"):
        if isinstance(item, str):
            replies.append((item, replies[0][1]))
        elif isinstance(item, dict):
            fields = cast("dict[str, Any]", item)
            if isinstance(fields.get("response"), str):
                replies.append((fields["response"], str(fields.get("strategy", replies[0][1]))))
    return replies
