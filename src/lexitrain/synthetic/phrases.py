"""Noun phrases, verb phrases and adverbials: the parts of which sentences are made.

Each function appends its words to a sentence and notes the slips that belong to them. House
conventions keep every slip unambiguous: an object is *a*/*an*, counted or possessed, never *the*;
the past always stands beside a word for the past.
"""

from __future__ import annotations

from typing import NamedTuple

from lexitrain.synthetic import lexicon
from lexitrain.synthetic.inflection import article
from lexitrain.synthetic.lexicon import ADJECTIVES, MANNERS, NOUNS, Graded, Noun, Verb
from lexitrain.synthetic.sentence import Sentence


class Person(NamedTuple):
    """How a subject governs the words that refer to it."""

    subject: str
    object: str
    possessive: str
    present: str
    past: str
    third: bool
    certain: bool = True
    """Whether the subject tells the pronoun, so that a missing one can be put back."""


I = Person("I", "me", "my", "am", "was", False)  # noqa: E741
YOU = Person("you", "you", "your", "are", "were", False)
HE = Person("he", "him", "his", "is", "was", True)
SHE = Person("she", "her", "her", "is", "was", True)
WE = Person("we", "us", "our", "are", "were", False)
THEY = Person("they", "them", "their", "are", "were", False)
UNTOLD = (HE._replace(certain=False), SHE._replace(certain=False))
PERSONS = (I, HE, SHE, WE, THEY)
OTHERS = (HE, SHE, THEY)

_MEN = ("boy", "man", "brother", "father", "uncle", "waiter")
_WOMEN = ("girl", "woman", "sister", "mother", "aunt", "grandmother")
_GENDERED: dict[str, Person] = {**dict.fromkeys(_MEN, HE), **dict.fromkeys(_WOMEN, SHE)}
_ONLY_ONE = {"mother", "father", "grandmother"}
_OWNED = {"friend", "teacher", "student", "doctor", "neighbour", "lawyer", "employer"}
_WHERE = {
    "station": "at",
    "market": "at",
    "monument": "at",
    "harbour": "at",
    "beach": "on",
    "island": "on",
}
_ALSO_BARE = {
    "school",
    "market",
    "college",
    "university",
    "church",
    "hospital",
    "prison",
    "town",
    "bed",
}
EITHER_WAY = {"friendly", "strange", "quiet"}  # *more friendly* is as right as *friendlier*
_HAVES = {"thing", "text", "food", "animal"}
_OWNERS = ("my", "our", "your")
_NUMBERS = ("two", "three", "four", "five", "many", "several")
_BE_WRONG = {"am": "is", "is": "are", "are": "is", "was": "were", "were": "was"}

PAST_TIMES = (
    ("yesterday",), ("last", "week"), ("last", "night"), ("last", "Monday"), ("last", "summer"),
    ("two", "days", "ago"), ("last", "month"), ("a", "week", "ago"),
)  # fmt: skip
HABITS = (("every", "day"), ("every", "morning"), ("every", "week"), ("every", "summer"))
FUTURES = (("tomorrow",), ("next", "week"), ("next", "month"), ("next", "summer"))
FREQUENCIES = ("always", "often", "usually", "sometimes", "never")
# Preposition, its noun, and what learners write instead.
CLOCK = (
    ("on", ("Monday",), "in"), ("on", ("Sunday",), "at"), ("at", ("seven", "o'clock"), "in"),
    ("in", ("the", "morning"), "at"), ("in", ("the", "evening"), "on"), ("in", ("summer",), "on"),
    ("at", ("night",), "in"), ("on", ("Friday",), "at"), ("in", ("winter",), "at"),
)  # fmt: skip


def subject(sentence: Sentence) -> Person:
    """A pronoun, a name, or a person with a determiner."""
    rng = sentence.rng
    roll = rng.random()
    if roll < 0.35:
        person = PERSONS[int(rng.random() * len(PERSONS))]
        at = sentence.add(person.subject)
        sentence.slip("pronoun", at, at + 1, person.object)
        return person
    if roll < 0.5:
        woman = rng.random() < 0.5
        names = lexicon.WOMEN if woman else lexicon.MEN
        sentence.add(names[int(rng.random() * len(names))])
        return SHE if woman else HE
    return _people(sentence)


def _people(sentence: Sentence) -> Person:
    rng = sentence.rng
    family = sentence.target < 2 and rng.random() < 0.5
    at = sentence.add(_OWNERS[int(rng.random() * 3)] if family else "the")
    described = rng.random() < 0.25
    adjective = sentence.choose(ADJECTIVES["person"]) if described else None
    if adjective:
        at = sentence.add_graded(adjective.text, adjective.level)
    noun = sentence.choose(NOUNS["family" if family else "person"])
    many = rng.random() < 0.4 and noun.singular not in _ONLY_ONE
    if noun.singular in _OWNED and rng.random() < 0.6:
        sentence.words[-2 if adjective else -1] = _OWNERS[int(rng.random() * 3)]
    word = noun.plural if many else noun.singular
    sentence.add_graded(word, noun.level)
    if adjective:
        sentence.slip("word_order", at, at + 2, word, adjective.text)
    if many:
        return THEY
    return _GENDERED.get(noun.singular) or UNTOLD[int(rng.random() * 2)]


def things(sentence: Sentence, kind: str, owner: Person) -> int:
    """An object of countable things: *a red bag*, *two bags*, *his bag*; returns its start."""
    rng = sentence.rng
    noun = sentence.choose(NOUNS[kind])
    adjective = sentence.choose(ADJECTIVES[kind]) if rng.random() < 0.45 else None
    following = adjective.text if adjective else noun.singular
    roll = rng.random()
    if roll < 0.5 or (roll < 0.75 and kind not in _HAVES):
        right = article(following)
        at = sentence.add(right)
        sentence.slip("article", at, at + 1, "a" if right == "an" else "an")
        if following not in _ALSO_BARE:
            sentence.slip("article", at, at + 2, following)
        plural = False
    elif roll >= 0.75:
        at = sentence.add(_NUMBERS[int(rng.random() * len(_NUMBERS))])
        plural = True
    else:
        at = sentence.add(owner.possessive)
        sentence.slip("pronoun", at, at + 1, owner.subject)
        plural = False
    if adjective:
        sentence.add_graded(adjective.text, adjective.level)
    word = noun.plural if plural else noun.singular
    last = sentence.add_graded(word, noun.level)
    if adjective:
        sentence.slip("word_order", last - 1, last + 1, word, adjective.text)
    if plural:
        sentence.slip("noun_number", last, last + 1, noun.singular)
    return at


def mass(sentence: Sentence, nouns: Graded[Noun]) -> int:
    """An uncountable object: *some rice*, or *rice* after *not* and in questions."""
    noun = sentence.choose(nouns)
    at = len(sentence.words)
    if sentence.mark == "." and "not" not in sentence.words:
        sentence.add("some")
    last = sentence.add_graded(noun.singular, noun.level)
    if not noun.singular.endswith("s"):
        sentence.slip("noun_number", last, last + 1, noun.singular + "s")
    return at


def place(sentence: Sentence, kind: str = "place") -> None:
    """*in the park*: where something happens."""
    noun = sentence.choose(NOUNS[kind])
    preposition = _WHERE.get(noun.singular, "in")
    at = sentence.add(preposition, "the")
    sentence.add_graded(noun.singular, noun.level)
    bare(sentence, at + 1, noun.singular)


def bare(sentence: Sentence, at: int, noun: str) -> None:
    """The slip *in park*, for *the* at ``at`` and its noun; none where English does without too (*in school*)."""
    if noun not in _ALSO_BARE:
        sentence.slip("article", at, at + 2, noun)


def has_frequency(sentence: Sentence) -> bool:
    """Whether an adverb of frequency is there already: *never* and *every day* do not go together."""
    return any(word in FREQUENCIES for word in sentence.words)


def manner(sentence: Sentence, moved_over: int) -> None:
    """*carefully* after an object that began at ``moved_over``."""
    adverb = sentence.choose(MANNERS)
    end = len(sentence.words)
    at = sentence.add_graded(adverb.text, adverb.level)
    sentence.slip("word_form", at, at + 1, adverb.adjective)
    if 0 < end - moved_over <= 3:
        sentence.slip(
            "word_order", moved_over, at + 1, adverb.text, *sentence.words[moved_over:end]
        )


def clock(sentence: Sentence) -> None:
    """*on Monday*, *at seven o'clock*."""
    right, noun, wrong = CLOCK[int(sentence.rng.random() * len(CLOCK))]
    at = sentence.add(right, *noun)
    sentence.slip("preposition", at, at + 1, wrong)


def be(sentence: Sentence, person: Person, past: bool) -> int:
    """The right form of *be*; returns its index."""
    right = person.past if past else person.present
    at = sentence.add(right)
    sentence.slip("agreement", at, at + 1, _BE_WRONG[right])
    return at


def present(sentence: Sentence, person: Person, verb: Verb) -> None:
    """The present simple, now and then with an adverb of frequency or a negation."""
    rng = sentence.rng
    right, wrong = (verb.third, verb.base) if person.third else (verb.base, verb.third)
    roll = rng.random()
    if roll < 0.15:
        does, do = ("does", "do") if person.third else ("do", "does")
        at = sentence.add(does, "not")
        sentence.slip("agreement", at, at + 1, do)
        sentence.add_graded(verb.base, verb.level)
        return
    often = roll < 0.5
    if often:
        sentence.add(FREQUENCIES[int(rng.random() * len(FREQUENCIES))])
    at = sentence.add_graded(right, verb.level)
    sentence.slip("agreement", at, at + 1, wrong)
    if often:
        sentence.slip("word_order", at - 1, at + 1, right, sentence.words[at - 1])


def past(sentence: Sentence, person: Person, verb: Verb) -> None:
    """The past simple, now and then negated; the caller adds a word for the past."""
    if sentence.rng.random() < 0.2:
        at = sentence.add("did", "not")
        sentence.add_graded(verb.base, verb.level)
        if verb.past != verb.base:
            sentence.slip("verb_form", at + 2, at + 3, verb.past)
        return
    at = sentence.add_graded(verb.past, verb.level)
    if verb.past != verb.base:
        sentence.slip("tense", at, at + 1, verb.third if person.third else verb.base)


def future(sentence: Sentence, verb: Verb, modal: str = "will") -> None:
    """*will*, *can*, *must* or *should* with the plain verb."""
    at = sentence.add(modal)
    sentence.add_graded(verb.base, verb.level)
    sentence.slip("verb_form", at + 1, at + 2, verb.third)
    sentence.slip("verb_form", at + 1, at + 2, "to", verb.base)


def continuous(sentence: Sentence, person: Person, verb: Verb) -> None:
    """*is reading*; the caller adds *now*."""
    at = be(sentence, person, False)
    sentence.add_graded(verb.gerund, verb.level)
    sentence.slip("verb_form", at + 1, at + 2, verb.base)
    sentence.slip("missing_word", at, at + 2, verb.gerund)
