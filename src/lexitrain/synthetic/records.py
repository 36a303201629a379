"""Synthetic tutor data: an endless, repeatable stream of records of the five tutor tasks.

Every record comes from one right sentence, whose key is ``metadata.group``: records of the same
sentence never straddle a split. The first ``n`` records of a seed are the same whatever the count.
About 20,000 records a second on one core.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate
from random import Random
from typing import Any

from lexitrain.errors import DataError, TaskError, nearest
from lexitrain.records import Record
from lexitrain.synthetic import dialogue, grammar, wording
from lexitrain.synthetic.learner_errors import Attempt, attempt
from lexitrain.synthetic.lexicon import LEVELS
from lexitrain.synthetic.sentence import Sentence

PROPORTIONS: Mapping[str, float] = {
    "grammar": 0.24,
    "fluency": 0.28,
    "vocabulary": 0.16,
    "dialogue": 0.22,
    "explanation": 0.10,
}
"""Share of each task. Nearer to each other than in the product's own data, because a task with 70
examples among thousands is not learnt; scoring, the hardest to learn, has most."""

# How hard the words of a learner's own sentence are: mostly easy ones, as learners write.
_LEARNER_LEVELS = (0, 0, 0, 1, 1, 2, 2, 3)
_ERRORS_TO_CORRECT = (1, 1, 1, 1, 1, 2, 2)
# Learners' sentences are mostly either fine or full of errors; a spread as wide as this also tells
# a model that judges from one that always says the mean (which is 0.39 off).
_ERRORS_TO_SCORE = (0, 0, 0, 0, 0, 1, 1, 2, 3, 3, 4, 4, 4, 4)
_MOST_KEY_WORDS = 3


def generate(count: int, seed: int, tasks: Sequence[str] | None = None) -> Iterator[Record]:
    """``count`` records of ``tasks`` (short names; all five by default), shuffled over the tasks.

    Raises:
        TaskError: an unknown task.
        DataError: a negative count.
    """
    names = tuple(PROPORTIONS) if tasks is None else tuple(dict.fromkeys(tasks))
    for name in names:
        if name not in PROPORTIONS:
            close = nearest(name, tuple(PROPORTIONS))
            raise TaskError(
                f"The generator knows no task {name!r}.",
                fix=f"Did you mean {close!r}?" if close else f"Use {', '.join(PROPORTIONS)}.",
            )
    if count < 0 or not names:
        raise DataError(
            "There is nothing to generate.", fix="Ask for at least one record and one task."
        )
    return _stream(count, seed, names)


def _stream(count: int, seed: int, names: tuple[str, ...]) -> Iterator[Record]:
    rng = Random(seed)
    weights = list(accumulate(PROPORTIONS[name] for name in names))
    makers = [_MAKERS[name] for name in names]
    for _ in range(count):
        at = bisect(weights, rng.random() * weights[-1], 0, len(weights) - 1)
        yield makers[at](rng)


def _metadata(sentence: Sentence, kinds: list[str], **more: Any) -> dict[str, Any]:
    key = blake2b(sentence.text.lower().encode(), digest_size=8).hexdigest()
    return {"source": "synthetic", "group": key, "error_types": kinds, **more}


def _learner_level(rng: Random) -> int:
    return _LEARNER_LEVELS[int(rng.random() * len(_LEARNER_LEVELS))]


def _attempt(rng: Random, count: int, long: bool = False) -> tuple[Sentence, Attempt]:
    while True:
        sentence = grammar.make(rng, _learner_level(rng), long)
        tried = attempt(sentence, count)
        if tried is not None:
            return sentence, tried


def _grammar(rng: Random) -> Record:
    count = _ERRORS_TO_CORRECT[int(rng.random() * len(_ERRORS_TO_CORRECT))]
    sentence, tried = _attempt(rng, count)
    errors = [{"type": error.kind, "span": error.span} for error in tried.errors]
    output: dict[str, Any] = {"corrected": sentence.text, "errors": errors}
    metadata = _metadata(sentence, tried.kinds, references=[sentence.text])
    return Record("grammar", tried.text, output, metadata)


def _fluency(rng: Random) -> Record:
    count = _ERRORS_TO_SCORE[int(rng.random() * len(_ERRORS_TO_SCORE))]
    # Length alone must not tell the score, so many faultless sentences are long, too.
    sentence, tried = _attempt(rng, count, long=count > 2 or rng.random() < 0.6)
    output: dict[str, Any] = {
        "fluency_score": wording.fluency_score(count),
        "reasoning": wording.reasoning(tried.kinds),
    }
    return Record("fluency", tried.text, output, _metadata(sentence, tried.kinds))


def _vocabulary(rng: Random) -> Record:
    target = int(rng.random() * len(LEVELS))
    while True:
        sentence = grammar.make(rng, target)
        if sentence.graded and sentence.level == target:
            break
    hardest = [word for level, word in sentence.graded if level == target]
    key_words = list(dict.fromkeys(hardest))[:_MOST_KEY_WORDS]
    output: dict[str, Any] = {"level": LEVELS[target], "key_words": key_words}
    return Record("vocabulary", sentence.text, output, _metadata(sentence, []))


def _dialogue(rng: Random) -> Record:
    turn = dialogue.make(rng, _learner_level(rng))
    output: dict[str, Any] = {
        "response": turn.response,
        "strategy": turn.strategy,
        "pedagogical_goal": turn.goal,
    }
    return Record("dialogue", turn.context, output, _metadata(turn.sentence, turn.kinds))


def _explanation(rng: Random) -> Record:
    sentence, tried = _attempt(rng, 1)
    output: dict[str, Any] = {"explanation": wording.explanation(tried.errors[0])}
    text = f"Error: '{tried.text}' → Correct: '{sentence.text}'"
    return Record("explanation", text, output, _metadata(sentence, tried.kinds, language="vi"))


_MAKERS: Mapping[str, Callable[[Random], Record]] = {
    "grammar": _grammar,
    "fluency": _fluency,
    "vocabulary": _vocabulary,
    "dialogue": _dialogue,
    "explanation": _explanation,
}
