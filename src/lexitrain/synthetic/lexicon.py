"""The words of the synthetic world, each with its CEFR level and semantic class.

The world is small on purpose (about 450 lemmas): a tiny base model can know all of it, and grammar
still makes more distinct sentences than anybody will ever ask for. Levels follow the usual
learners' lists, rounded to one level a word. Built once at import, in a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from lexitrain.synthetic import inflection

LEVELS = ("A1", "A2", "B1", "B2", "C1", "C2")

T = TypeVar("T")
Graded = tuple[tuple[T, ...], ...]
"""Entries by level: index 0 holds the A1 entries, index 5 the C2 ones."""


class Noun(NamedTuple):
    """A countable noun, or one without a plural (``plural`` empty)."""

    singular: str
    plural: str
    level: int


class Verb(NamedTuple):
    """A verb with the four forms that the grammar uses."""

    base: str
    third: str
    past: str
    gerund: str
    level: int


class Adjective(NamedTuple):
    """An adjective; ``comparative`` is empty where the comparative is made with *more*."""

    text: str
    comparative: str
    level: int


class Adverb(NamedTuple):
    """An adverb of manner and the adjective a learner may put in its place."""

    text: str
    adjective: str
    level: int


_NOUNS: Mapping[str, tuple[str, ...]] = {
    "person": (
        "teacher student doctor friend boy girl child woman man",
        "nurse neighbour driver artist visitor waiter",
        "engineer lawyer journalist tourist passenger",
        "scientist employer candidate lecturer",
        "diplomat entrepreneur surgeon",
        "connoisseur virtuoso luminary",
    ),
    "family": (
        "sister brother mother father",
        "cousin uncle aunt grandmother",
        "",
        "",
        "",
        "",
    ),
    "food": (
        "apple orange egg banana sandwich cake",
        "potato tomato pancake onion",
        "mushroom pineapple",
        "ingredient",
        "delicacy pastry",
        "morsel",
    ),
    "thing": (
        "bag phone box cup chair pen hat car",
        "umbrella bicycle camera guitar lamp blanket",
        "suitcase necklace carpet mirror",
        "souvenir statue",
        "ornament heirloom artefact",
        "trinket amulet",
    ),
    "text": (
        "book letter story email",
        "message magazine postcard diary",
        "poem article essay novel",
        "biography proposal script",
        "manuscript memoir transcript",
        "treatise anthology manifesto",
    ),
    "place": (
        "park school shop market hotel beach",
        "museum library castle village station",
        "theatre island gallery palace",
        "monument harbour cathedral",
        "vineyard sanctuary observatory",
        "citadel mausoleum",
    ),
    "outdoors": (
        "park school beach hotel",
        "village station",
        "island palace",
        "harbour",
        "vineyard sanctuary",
        "citadel",
    ),
    "animal": (
        "dog cat bird horse",
        "rabbit elephant tiger monkey",
        "dolphin eagle",
        "peacock tortoise",
        "",
        "",
    ),
}

_MASS: Mapping[str, tuple[str, ...]] = {
    "meal": ("rice bread cheese soup meat", "pasta butter", "", "", "", ""),
    "drink": ("water tea coffee milk juice", "lemonade", "", "", "", ""),
    "topic": (
        "music sport food",
        "history science fashion",
        "culture technology",
        "psychology economics",
        "linguistics archaeology",
        "metaphysics jurisprudence",
    ),
}

_VERBS: Mapping[str, tuple[str, ...]] = {
    "food": (
        "eat cook buy",
        "prepare order taste",
        "recommend serve",
        "consume",
        "savour",
        "relish",
    ),
    "drink": ("drink buy", "order", "recommend", "consume", "savour", "relish"),
    "thing": (
        "buy find lose carry",
        "clean repair borrow choose",
        "replace design",
        "acquire restore examine",
        "dismantle relinquish",
        "covet refurbish",
    ),
    "text": (
        "read write finish",
        "copy choose",
        "translate publish recommend",
        "summarize criticize edit",
        "scrutinize annotate",
        "peruse decipher",
    ),
    "place": (
        "visit leave",
        "paint photograph",
        "explore describe",
        "restore promote",
        "depict",
        "extol",
    ),
    "person": (
        "help meet call",
        "invite thank",
        "support admire",
        "assist reassure",
        "commend console",
        "placate admonish extol",
    ),
    "animal": (
        "see find",
        "feed photograph",
        "protect rescue",
        "examine",
        "depict",
        "",
    ),
    "move": ("go walk drive",),
    "giving": ("give send show",),
    "attention": ("listen talk wait look think",),
    "skill": ("sing speak work dance",),
    "activity": (
        "swim dance sing run walk work",
        "travel paint",
        "exercise relax",
        "volunteer",
        "meditate",
        "reminisce",
    ),
}

_ADJECTIVES: Mapping[str, tuple[str, ...]] = {
    "person": (
        "happy tired kind young old tall busy",
        "friendly careful lazy angry brave",
        "honest polite confident patient",
        "ambitious reliable stubborn",
        "resilient articulate meticulous",
        "gregarious magnanimous taciturn loquacious",
    ),
    "mood": (
        "happy tired busy kind",
        "lazy angry careful friendly",
        "confident patient polite",
        "ambitious stubborn",
        "resilient meticulous articulate",
        "gregarious taciturn loquacious",
    ),
    "thing": (
        "big small new old red cheap",
        "heavy clean expensive strange",
        "modern valuable comfortable",
        "fragile remarkable durable",
        "exquisite intricate obsolete",
        "ostentatious resplendent opulent",
    ),
    "place": (
        "big small beautiful old new",
        "quiet famous expensive",
        "modern popular crowded",
        "remote spacious",
        "picturesque secluded",
        "idyllic derelict",
    ),
    "text": (
        "good new long short",
        "interesting funny boring",
        "popular brilliant",
        "controversial thorough",
        "compelling coherent",
        "abstruse incisive",
    ),
    "food": (
        "good hot cold small",
        "sweet fresh",
        "delicious spicy",
        "nutritious",
        "succulent",
        "delectable",
    ),
    "animal": (
        "big small young old",
        "brave strange quiet",
        "intelligent",
        "majestic",
        "docile",
        "ferocious",
    ),
}

_MANNERS = (
    "quickly slowly well",
    "carefully quietly happily",
    "politely patiently",
    "thoroughly enthusiastically efficiently",
    "meticulously discreetly",
    "assiduously surreptitiously nonchalantly",
)


def _graded(rows: tuple[str, ...], make: Callable[[str, int], T]) -> Graded[T]:
    return tuple(tuple(make(word, level) for word in row.split()) for level, row in enumerate(rows))


def _noun(word: str, level: int) -> Noun:
    return Noun(word, inflection.plural(word), level)


def _mass(word: str, level: int) -> Noun:
    return Noun(word, "", level)


def _verb(word: str, level: int) -> Verb:
    third, past = inflection.third_person(word), inflection.past(word)
    return Verb(word, third, past, inflection.gerund(word), level)


def _adjective(word: str, level: int) -> Adjective:
    return Adjective(word, inflection.comparative(word), level)


def _adverb(word: str, level: int) -> Adverb:
    return Adverb(word, inflection.adjective_of(word), level)


NOUNS = {name: _graded(rows, _noun) for name, rows in _NOUNS.items()}
MASS = {name: _graded(rows, _mass) for name, rows in _MASS.items()}
VERBS = {name: _graded(rows, _verb) for name, rows in _VERBS.items()}
ADJECTIVES = {name: _graded(rows, _adjective) for name, rows in _ADJECTIVES.items()}
MANNERS = _graded(_MANNERS, _adverb)

MEN = ("Tom", "Ben", "Minh", "David")
WOMEN = ("Anna", "Linh", "Maria", "Sara")


def graded_words() -> dict[str, int]:
    """Every graded lemma with its level index (0 = A1), in a fixed order."""
    levels: dict[str, int] = {}
    for table in (*NOUNS.values(), *MASS.values()):
        levels.update((noun.singular, noun.level) for row in table for noun in row)
    for table in VERBS.values():
        levels.update((verb.base, verb.level) for row in table for verb in row)
    for table in ADJECTIVES.values():
        levels.update((adjective.text, adjective.level) for row in table for adjective in row)
    levels.update((adverb.text, adverb.level) for row in MANNERS for adverb in row)
    return levels


def graded_forms() -> dict[str, int]:
    """Every inflected form of a graded word with its level index, in a fixed order."""
    levels = graded_words()
    for table in NOUNS.values():
        levels.update((noun.plural, noun.level) for row in table for noun in row)
    for table in VERBS.values():
        for row in table:
            for verb in row:
                levels.update(dict.fromkeys((verb.third, verb.past, verb.gerund), verb.level))
    for table in ADJECTIVES.values():
        for row in table:
            levels.update((entry.comparative, entry.level) for entry in row if entry.comparative)
    return levels
