"""Dialogues: a tutor asks for a sentence, a student answers, and the answer decides the strategy.

| the student's last turn | strategy |
|---|---|
| a faultless sentence | praise |
| a sentence with one error | recast |
| a sentence with several errors | hint |
| a question about a rule | explain_rule |
| doubt or discouragement | encourage |
| one or two words | ask_question |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple

from lexitrain.synthetic import grammar, wording
from lexitrain.synthetic.learner_errors import Attempt, attempt
from lexitrain.synthetic.sentence import Sentence


class Turn(NamedTuple):
    """A dialogue up to the student's turn, and the tutor's answer with its reasons."""

    context: str
    response: str
    strategy: str
    goal: str
    sentence: Sentence
    kinds: list[str]


_REQUESTS = (
    "Please write a sentence with '{}'.",
    "Can you make a sentence with '{}'?",
    "Now use the word '{}' in a sentence.",
    "Tell me something with the word '{}'.",
)
_OPENINGS = ("", "", "Hello! ", "Good. ", "Let us go on. ")
_PRAISE = (
    "Well done! Your sentence with '{}' is correct.",
    "Very good! You used '{}' correctly.",
    "Excellent! Your sentence is correct.",
)
_RECASTS = ("Almost! We say: {}", "Good try! The correct sentence is: {}")
_QUESTIONS = (
    "Why do we write '{right}' and not '{wrong}'?",
    "Can you explain why '{wrong}' is wrong here?",
    "What is the rule for '{right}'?",
)
_DOUBTS = (
    "I am not sure. Is this right: {}",
    "This is too difficult for me. I wrote: {}",
    "I do not know. Maybe: {}",
    "I always make mistakes. Here is my sentence: {}",
)
_CHEERS = (
    "Do not worry. You are learning, so try it again slowly.",
    "You can do it! Every mistake helps you to learn.",
)
_SHORT = ("Yes.", "{}.", "The {}.", "A word.", "Maybe {}.", "Okay.")
_FOLLOW_UPS = (
    "Can you tell me more about '{}'?",
    "Can you use '{}' in a long sentence?",
)


def _pick(rng: Random, options: tuple[str, ...]) -> str:
    return options[int(rng.random() * len(options))]


def _request(rng: Random, word: str) -> str:
    return f"Tutor: {_pick(rng, _OPENINGS)}{_pick(rng, _REQUESTS).format(word)}\nStudent: "


def _praise(rng: Random, right: Sentence, tried: Attempt, word: str) -> tuple[str, str, str]:
    del right
    return tried.text, _pick(rng, _PRAISE).format(word), "build confidence"


def _recast(rng: Random, right: Sentence, tried: Attempt, word: str) -> tuple[str, str, str]:
    del word
    goal = f"show the correct form: {wording.NAMES[tried.kinds[0]]}"
    return tried.text, _pick(rng, _RECASTS).format(right.text), goal


def _hint(rng: Random, right: Sentence, tried: Attempt, word: str) -> tuple[str, str, str]:
    del rng, right, word
    spans = [f"'{error.span}'" for error in tried.errors]
    response = f"There are {len(spans)} mistakes. Look again at {' and '.join(spans)}."
    return tried.text, response, "let the student find the mistakes"


def _explain(rng: Random, right: Sentence, tried: Attempt, word: str) -> tuple[str, str, str]:
    del right, word
    error = tried.errors[0]
    asked = _pick(rng, _QUESTIONS).format(right=error.right, wrong=error.span)
    return asked, wording.RULES[error.kind], f"explain the rule: {wording.NAMES[error.kind]}"


def _encourage(rng: Random, right: Sentence, tried: Attempt, word: str) -> tuple[str, str, str]:
    del right, word
    return _pick(rng, _DOUBTS).format(tried.text), _pick(rng, _CHEERS), "keep the student trying"


def _ask(rng: Random, right: Sentence, tried: Attempt, word: str) -> tuple[str, str, str]:
    del right, tried
    response = _pick(rng, _FOLLOW_UPS).format(word)
    return _pick(rng, _SHORT).format(word).capitalize(), response, "get a longer answer"


Reply = Callable[[Random, Sentence, Attempt, str], tuple[str, str, str]]
STRATEGIES: Mapping[str, tuple[Reply, tuple[int, ...]]] = {
    "praise": (_praise, (0,)),
    "recast": (_recast, (1,)),
    "hint": (_hint, (3,)),
    "explain_rule": (_explain, (1,)),
    "encourage": (_encourage, (0, 1, 2)),
    "ask_question": (_ask, (0,)),
}
"""How the tutor answers, and how many errors the student's sentence may have."""
_ORDER = tuple(STRATEGIES)


def make(rng: Random, target: int) -> Turn:
    """One dialogue; every strategy is as likely as another."""
    strategy = _ORDER[int(rng.random() * len(_ORDER))]
    reply, counts = STRATEGIES[strategy]
    count = counts[int(rng.random() * len(counts))]
    while True:
        sentence = grammar.make(rng, target, long=count > 2 or rng.random() < 0.3)
        tried = attempt(sentence, count)
        if tried is not None and sentence.graded:
            break
    word = sentence.graded[int(rng.random() * len(sentence.graded))][1]
    said, response, goal = reply(rng, sentence, tried, word)
    context = ""
    if strategy == "explain_rule":
        context = _request(rng, word) + tried.text + f"\nTutor: We say: {sentence.text}\nStudent: "
    elif strategy == "ask_question":
        example = grammar.make(rng, target)
        request = _pick(rng, _REQUESTS).format(word)
        context = f"Tutor: Here is an example: {example.text} {request}\nStudent: "
    else:
        context = _request(rng, word)
    return Turn(context + said, response, strategy, goal, sentence, tried.kinds)
