"""The pretraining text of the nano base: generic skills over the words of the synthetic world.

The tutor tasks are held back, so that fine-tuning visibly teaches them: no tutor prompt, no task
name, no answer format of a task occurs here (`tests/nano/test_corpus.py` looks). What does occur:
plain sentences, copying, JSON, small edits, restoring noisy text, word knowledge (forms, levels,
spelling), and short Vietnamese sentences. Seeded; about 10,000 documents a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from added_skills import (
    bracketing,
    comparing_json,
    counted,
    counting_json,
    fields,
    hardest_of_content,
    lesson,
    logged,
    nested,
    quoting,
    repeating,
)
from material import (
    ALL_ADJECTIVES,
    ALL_NOUNS,
    ALL_VERBS,
    PHRASES,
    SYSTEMS,
    Document,
    Exchange,
    pick,
    sentence,
    vietnamese,
)
from skills import (
    blanks,
    comparing,
    copying,
    counting,
    echo,
    edits,
    forms,
    glossary,
    hardest,
    items,
    kinds,
    leveling,
    marking,
    ordering,
    picking,
    replacing,
    restoring,
    restoring_json,
    restoring_noise,
    spelling,
    wrapping,
)
from typography import TYPOGRAPHY, any_text

from lexitrain.synthetic import lexicon, wording
from lexitrain.synthetic.lexicon import LEVELS

SKILLS: tuple[tuple[Callable[[Random], Exchange], float], ...] = (
    (restoring, 17), (restoring_noise, 4), (restoring_json, 9), (edits, 8), (comparing, 7),
    (counting, 10), (copying, 2), (echo, 5), (wrapping, 2), (items, 3), (picking, 2),
    (replacing, 2), (ordering, 2), (blanks, 2), (leveling, 4), (hardest, 6), (marking, 5),
    (forms, 4), (spelling, 6), (kinds, 1), (glossary, 2),
)  # fmt: skip
"""Each skill with its weight; hard ones come more often."""


def plain(rng: Random) -> Document:
    """Sentences, a word list, a short talk, or Vietnamese."""
    roll = rng.random()
    if roll < 0.35:
        return Document(" ".join(sentence(rng).text for _ in range(3 + int(rng.random() * 5))))
    if roll < 0.45:
        verb, noun, adjective = (
            pick(rng, ALL_VERBS),
            pick(rng, ALL_NOUNS),
            pick(rng, ALL_ADJECTIVES),
        )
        return Document(
            f"{verb.base}, {verb.third}, {verb.past}, {verb.gerund}: level {LEVELS[verb.level]}. "
            f"{noun.singular}, {noun.plural}: level {LEVELS[noun.level]}. "
            f"{adjective.text}: level {LEVELS[adjective.level]}."
        )
    if roll < 0.65:
        names = (pick(rng, lexicon.MEN), pick(rng, lexicon.WOMEN))
        lines = [
            f"{names[index % 2]}: {pick(rng, PHRASES)} {sentence(rng).text}" for index in range(4)
        ]
        return Document("\n".join(lines))
    if roll < 0.75:
        kind = pick(rng, tuple(wording.NAMES))
        return Document(f"About the {wording.NAMES[kind]}: {wording.RULES[kind]}")
    return Document(" ".join(vietnamese(rng) for _ in range(3)))


SECOND_SKILLS: tuple[tuple[Callable[[Random], Exchange], float], ...] = (
    (restoring, 18), (restoring_noise, 2), (restoring_json, 6), (logged, 9), (edits, 6),
    (comparing, 9), (counting, 7), (counted, 6), (copying, 1), (echo, 2), (items, 2), (nested, 5),
    (fields, 5), (quoting, 5), (repeating, 3), (picking, 1), (replacing, 1), (ordering, 1),
    (blanks, 1), (leveling, 2), (hardest, 6), (marking, 6), (forms, 3), (spelling, 7), (kinds, 0.5),
    (glossary, 2),
)  # fmt: skip
"""The mixture of the second stage: more of what was still weak after the first, and the words and
brackets that the first had shown too seldom."""


THIRD_SKILLS: tuple[tuple[Callable[[Random], Exchange], float], ...] = (
    (restoring, 6), (restoring_noise, 1), (restoring_json, 2), (logged, 5), (edits, 5),
    (comparing, 7), (counting, 15), (counted, 8), (bracketing, 10), (copying, 1), (echo, 1),
    (items, 1), (nested, 2), (fields, 2), (quoting, 3), (repeating, 1), (picking, 1),
    (leveling, 2), (hardest, 6), (hardest_of_content, 8), (marking, 8), (forms, 2), (spelling, 4),
    (kinds, 0.5), (glossary, 1),
)  # fmt: skip
"""The mixture of the third stage: restoring is known by then, counting and levels are not."""


def talk(rng: Random) -> str:
    """A system message of any kind: short, long, or none."""
    roll = rng.random()
    if roll < 0.3:
        return ""
    if roll < 0.5:
        return pick(rng, SYSTEMS)
    return " ".join(pick(rng, SYSTEMS + PHRASES) for _ in range(2 + int(rng.random() * 4)))


FOURTH_SKILLS: tuple[tuple[Callable[[Random], Exchange], float], ...] = (
    (counting_json, 28), (counting, 5), (counted, 6), (bracketing, 8), (restoring, 5),
    (restoring_json, 5), (comparing, 4), (comparing_json, 12), (edits, 4), (logged, 5),
    (hardest, 3), (hardest_of_content, 4), (marking, 3), (nested, 3), (fields, 4), (quoting, 3),
    (spelling, 3), (copying, 1), (items, 1), (forms, 1), (glossary, 0.5),
)  # fmt: skip
"""The mixture of the fourth stage: what is known by then, asked for in other words and as JSON."""
FIFTH_SKILLS: tuple[tuple[Callable[[Random], Exchange], float], ...] = (
    *TYPOGRAPHY, (counting_json, 14), (counting, 3), (counted, 3), (bracketing, 4), (restoring, 5),
    (restoring_json, 5), (comparing, 3), (comparing_json, 8), (edits, 3), (logged, 5), (hardest, 3),
    (hardest_of_content, 4), (marking, 3), (nested, 3), (fields, 3), (quoting, 3), (spelling, 3),
    (leveling, 1), (copying, 1), (items, 1), (forms, 1), (glossary, 0.5),
)  # fmt: skip
"""The mixture of the fifth stage: the letters and marks that no stage had shown, and what must stay known."""
STAGES = (SKILLS, SECOND_SKILLS, THIRD_SKILLS, FOURTH_SKILLS, FIFTH_SKILLS)


def documents(seed: int, stage: int = 1) -> Iterator[Document]:
    """Documents without end; one in seven is plain text."""
    rng = Random(seed if stage == 1 else f"{seed} {stage}")
    skills = STAGES[stage - 1]
    functions = [skill for skill, _ in skills]
    weights = [weight for _, weight in skills]
    while True:
        if rng.random() < 0.15:
            if stage > 4 and rng.random() < 0.6:
                yield Document(" ".join(any_text(rng) for _ in range(4)))
            elif stage > 1 and rng.random() < 0.3:
                yield Document(" ".join(lesson(rng) for _ in range(4)))
            else:
                yield plain(rng)
            continue
        turns = 1 if rng.random() < 0.5 else 2 + int(rng.random() * 3)
        chosen = rng.choices(functions, weights, k=turns)
        known = pick(rng, SYSTEMS) if stage < 4 and rng.random() < 0.5 else ""
        system = talk(rng) if stage > 3 else known
        yield Document("", tuple(skill(rng) for skill in chosen), system)
