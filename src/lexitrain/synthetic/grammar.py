"""Sentence patterns: what people in the synthetic world do, want, like, are and ask.

``make`` draws one sentence of up to two clauses. A sentence costs about 15 µs.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from lexitrain.synthetic import phrases
from lexitrain.synthetic.lexicon import ADJECTIVES, MANNERS, MASS, NOUNS, VERBS, Verb
from lexitrain.synthetic.phrases import Person
from lexitrain.synthetic.sentence import Sentence

Pattern = Callable[[Sentence], tuple[Person, bool] | None]
"""Writes a clause; returns its subject and whether it is past, or None if nothing may follow."""

_OBJECTS = ("thing", "thing", "text", "text", "food", "place", "animal", "person", "meal", "drink")
_ACTS = {"meal": "food"}
_MODALS = ("can", "must", "should")
_WISHES = (("wants", "want"), ("needs", "need"), ("hopes", "hope"), ("tries", "try"))
_TASTES = (("enjoys", "enjoy"), ("avoids", "avoid"), ("practises", "practise"))
# Adjective, right preposition, wrong preposition, what follows, a wrong form of the adjective.
_FEELINGS = (
    ("interested", "in", "on", "topic", "interesting"),
    ("good", "at", "in", "activity", ""),
    ("afraid", "of", "from", "animal", ""),
    ("bored", "with", "from", "topic", "boring"),
    ("proud", "of", "about", "family", ""),
    ("excited", "about", "for", "topic", "exciting"),
)
# What each verb of attention takes: the right preposition, a wrong one, and what follows.
_ATTENTION = (
    ("to", "at", "person"),
    ("about", "on", "topic"),
    ("for", "to", "person"),
    ("at", "to", "thing"),
    ("about", "on", "topic"),
)
_STATES = {"see", "find", "think"}
_LATER = ("and", "but")


def _one(sentence: Sentence, verbs: tuple[Verb, ...]) -> Verb:
    return verbs[int(sentence.rng.random() * len(verbs))]


def _object(sentence: Sentence, kind: str, owner: Person) -> int:
    if kind in MASS:
        return phrases.mass(sentence, MASS[kind])
    return phrases.things(sentence, kind, owner)


def _time(sentence: Sentence, times: tuple[tuple[str, ...], ...]) -> None:
    sentence.add(*times[int(sentence.rng.random() * len(times))])


def _tensed(sentence: Sentence, person: Person, verb: Verb) -> str:
    """A verb in a random tense; returns the name of the tense."""
    roll = sentence.rng.random()
    if roll < 0.4:
        phrases.past(sentence, person, verb)
        return "past"
    if roll < 0.7:
        phrases.present(sentence, person, verb)
        return "present"
    if roll < 0.85 or verb.base in _STATES:
        phrases.future(sentence, verb)
        return "future"
    phrases.continuous(sentence, person, verb)
    return "now"


def _when(sentence: Sentence, tense: str) -> None:
    """The adverbial of time that makes the tense the only right one."""
    rng = sentence.rng
    if tense == "past":
        _time(sentence, phrases.PAST_TIMES)
    elif tense == "now":
        sentence.add("now")
    elif rng.random() < 0.5:
        phrases.clock(sentence)
    elif tense == "future":
        _time(sentence, phrases.FUTURES)
    elif rng.random() < 0.6 and not phrases.has_frequency(sentence):
        _time(sentence, phrases.HABITS)


def action(sentence: Sentence) -> tuple[Person, bool]:
    """*She read an old letter carefully in the library yesterday.*"""
    rng = sentence.rng
    kind = _OBJECTS[int(rng.random() * len(_OBJECTS))]
    person = phrases.subject(sentence)
    verb = sentence.choose(VERBS[_ACTS.get(kind, kind)])
    tense = _tensed(sentence, person, verb)
    start = _object(sentence, kind, person)
    if verb.base not in {"find", "lose", "see", "covet"} and rng.random() < 0.35:
        phrases.manner(sentence, start)
    if kind != "place" and rng.random() < 0.3:
        phrases.place(sentence)
    _when(sentence, tense)
    return person, tense == "past"


def movement(sentence: Sentence) -> tuple[Person, bool]:
    """*They often walk to the park on Sunday.*"""
    person = phrases.subject(sentence)
    verb = _one(sentence, VERBS["move"][0])
    tense = _tensed(sentence, person, verb)
    noun = sentence.choose(NOUNS["place"])
    at = sentence.add("to", "the")
    sentence.add_graded(noun.singular, noun.level)
    if verb.base != "walk":  # *walk at the park* is right too
        sentence.slip("preposition", at, at + 1, "at")
    phrases.bare(sentence, at + 1, noun.singular)
    _when(sentence, tense)
    return person, tense == "past"


def state(sentence: Sentence) -> None:
    """*My brother was very tired last night.*"""
    rng = sentence.rng
    person = phrases.subject(sentence)
    before = rng.random() < 0.4
    at = phrases.be(sentence, person, before)
    very = ("very",) if rng.random() < 0.5 else ("really",)
    sentence.add(*very)
    adjective = sentence.choose(ADJECTIVES["mood"])
    sentence.add_graded(adjective.text, adjective.level)
    if before:
        _time(sentence, phrases.PAST_TIMES)
    else:
        sentence.slip("missing_word", at, at + 2, *very)
        sentence.add("today")


def comparison(sentence: Sentence) -> tuple[Person, bool] | None:
    """*A castle is older than a hotel.*"""
    rng = sentence.rng
    kind = ("thing", "place", "animal", "text", "person")[int(rng.random() * 5)]
    adjective = sentence.choose(ADJECTIVES[kind])
    owner = ("my", "your", "this")[int(rng.random() * 3)] if kind in {"thing", "text"} else "this"
    first, second = sentence.choose(NOUNS[kind]), sentence.choose(NOUNS[kind])
    sentence.add(owner)
    sentence.add_graded(first.singular, first.level)
    at = phrases.be(sentence, phrases.SHE, False)
    if adjective.comparative:
        sentence.add_graded(adjective.comparative, adjective.level)
        if adjective.text not in phrases.EITHER_WAY:
            sentence.slip("comparison", at + 1, at + 2, "more", adjective.text)
        sentence.slip("comparison", at + 1, at + 2, "more", adjective.comparative)
        sentence.slip("missing_word", at, at + 2, adjective.comparative)
    else:
        sentence.add("more")
        sentence.add_graded(adjective.text, adjective.level)
        sentence.slip("comparison", at + 1, at + 3, adjective.text)
    than = sentence.add("than", "your" if owner == "my" else "that" if owner == "this" else "my")
    sentence.slip("comparison", than, than + 1, "as")
    sentence.slip("comparison", than, than + 1, "then")
    sentence.add_graded(second.singular, second.level)
    return None


def wish(sentence: Sentence) -> tuple[Person, bool]:
    """*He wants to visit a museum tomorrow.* / *She enjoys painting.*"""
    rng = sentence.rng
    person = phrases.subject(sentence)
    tastes = rng.random() < 0.45
    pairs = _TASTES if tastes else _WISHES
    third, base = pairs[int(rng.random() * len(pairs))]
    right, wrong = (third, base) if person.third else (base, third)
    at = sentence.add(right)
    sentence.slip("agreement", at, at + 1, wrong)
    activity = tastes or rng.random() < 0.3
    kind = "" if activity else _OBJECTS[int(rng.random() * len(_OBJECTS))]
    verb = sentence.choose(VERBS["activity" if activity else _ACTS.get(kind, kind)])
    if tastes:
        sentence.add_graded(verb.gerund, verb.level)
        sentence.slip("verb_form", at + 1, at + 2, verb.base)
        sentence.slip("verb_form", at + 1, at + 2, "to", verb.base)
    else:
        sentence.add("to")
        sentence.add_graded(verb.base, verb.level)
        sentence.slip("missing_word", at, at + 3, right, verb.base)
        if base != "try":  # *try painting* is right too
            sentence.slip("verb_form", at + 1, at + 3, verb.gerund)
    if kind:
        _object(sentence, kind, person)
    else:
        phrases.place(sentence, "outdoors")
    phrases.clock(sentence)
    return person, False


def feeling(sentence: Sentence) -> tuple[Person, bool]:
    """*We are interested in history.*"""
    person = phrases.subject(sentence)
    word, right, wrong, kind, other = _FEELINGS[int(sentence.rng.random() * len(_FEELINGS))]
    at = phrases.be(sentence, person, False)
    sentence.add(word, right)
    sentence.slip("missing_word", at, at + 2, word)
    sentence.slip("preposition", at + 2, at + 3, wrong)
    if other:
        sentence.slip("word_form", at + 1, at + 2, other)
    _matter(sentence, kind, person)
    return person, False


def _matter(sentence: Sentence, kind: str, person: Person) -> None:
    """What a feeling or a talk is about."""
    if kind == "activity":
        verb = sentence.choose(VERBS["activity"])
        at = sentence.add_graded(verb.gerund, verb.level)
        sentence.slip("verb_form", at, at + 1, verb.base)
    elif kind == "topic":
        noun = sentence.choose(MASS["topic"])
        sentence.add_graded(noun.singular, noun.level)
    elif kind == "animal":
        noun = sentence.choose(NOUNS["animal"])
        sentence.add_graded(noun.plural, noun.level)
    elif kind == "family":
        noun = sentence.choose(NOUNS["family"])
        at = sentence.add(person.possessive)
        sentence.add_graded(noun.singular, noun.level)
        sentence.slip("pronoun", at, at + 1, person.subject)
    else:
        phrases.things(sentence, kind, person)


def attention(sentence: Sentence) -> tuple[Person, bool]:
    """*Anna listened to her teacher yesterday.*"""
    chosen = int(sentence.rng.random() * len(_ATTENTION))
    verb, (right, wrong, kind) = VERBS["attention"][0][chosen], _ATTENTION[chosen]
    person = phrases.subject(sentence)
    tense = _tensed(sentence, person, verb)
    at = sentence.add(right)
    sentence.slip("preposition", at, at + 1, wrong)
    _matter(sentence, kind, person)
    _when(sentence, tense)
    return person, tense == "past"


def giving(sentence: Sentence) -> tuple[Person, bool]:
    """*I gave him a camera last week.*"""
    rng = sentence.rng
    person = phrases.subject(sentence)
    verb = _one(sentence, VERBS["giving"][0])
    tense = _tensed(sentence, person, verb)
    receiver = phrases.OTHERS[int(rng.random() * len(phrases.OTHERS))]
    at = sentence.add(receiver.object)
    sentence.slip("pronoun", at, at + 1, receiver.subject)
    kind = "thing" if rng.random() < 0.6 else "text"
    phrases.things(sentence, kind, person)
    _when(sentence, tense)
    return person, tense == "past"


def skill(sentence: Sentence) -> tuple[Person, bool]:
    """*Tom sings well.*"""
    rng = sentence.rng
    person = phrases.subject(sentence)
    verb = _one(sentence, VERBS["skill"][0])
    if rng.random() < 0.4:
        phrases.future(sentence, verb, _MODALS[int(rng.random() * len(_MODALS))])
    else:
        phrases.present(sentence, person, verb)
    adverb = sentence.choose(MANNERS)
    at = sentence.add_graded(adverb.text, adverb.level)
    sentence.slip("word_form", at, at + 1, adverb.adjective)
    phrases.place(sentence, "outdoors")
    if rng.random() < 0.5:
        phrases.clock(sentence)
    return person, False


def existence(sentence: Sentence) -> None:
    """*There are three old chairs in the palace.*"""
    rng = sentence.rng
    there = sentence.add("there")
    kind = ("thing", "thing", "person", "animal")[int(rng.random() * 4)]
    many = rng.random() < 0.5
    right, wrong = ("are", "is") if many else ("is", "are")
    at = sentence.add(right)
    sentence.slip("agreement", at, at + 1, wrong)
    sentence.slip("missing_word", there, at + 1, "there")
    noun = sentence.choose(NOUNS[kind])
    adjective = sentence.choose(ADJECTIVES[kind])
    if many:
        sentence.add(("two", "three", "many")[int(rng.random() * 3)])
        sentence.add_graded(adjective.text, adjective.level)
        last = sentence.add_graded(noun.plural, noun.level)
        sentence.slip("noun_number", last, last + 1, noun.singular)
    else:
        an = phrases.article(adjective.text)
        sentence.add(an)
        sentence.slip("article", at + 1, at + 2, "a" if an == "an" else "an")
        sentence.slip("article", at + 1, at + 3, adjective.text)
        sentence.add_graded(adjective.text, adjective.level)
        last = sentence.add_graded(noun.singular, noun.level)
    sentence.slip("word_order", last - 1, last + 1, sentence.words[last], adjective.text)
    phrases.place(sentence)


def question(sentence: Sentence) -> None:
    """*Did your sister repair the lamp yesterday?* / *Where do they sing?*"""
    rng = sentence.rng
    sentence.mark = "?"
    before = rng.random() < 0.5
    where = rng.random() < 0.4
    if where:
        sentence.add("where" if rng.random() < 0.6 else "why")
    at = sentence.add("")
    person = phrases.subject(sentence)
    if person is phrases.I:
        person = phrases.YOU
        sentence.words[at + 1] = "you"
    # An inverted subject keeps its form, so the slips noted for it at the start would mislead.
    sentence.slips = [slip for slip in sentence.slips if slip.kind != "pronoun"]
    right = "did" if before else "does" if person.third else "do"
    sentence.words[at] = right
    if not before:
        sentence.slip("agreement", at, at + 1, "do" if person.third else "does")
    if where:
        sentence.slip("word_order", at, len(sentence.words), *sentence.words[at + 1 :], right)
    kind = _OBJECTS[int(rng.random() * len(_OBJECTS))]
    verb = sentence.choose(VERBS[_ACTS.get(kind, kind)])
    verb_at = sentence.add_graded(verb.base, verb.level)
    if (wrong := verb.past if before else verb.third) != verb.base:
        sentence.slip("verb_form", verb_at, verb_at + 1, wrong)
    _object(sentence, kind, person)
    if before:
        _time(sentence, phrases.PAST_TIMES)
    else:
        phrases.clock(sentence)


def _reason(sentence: Sentence, person: Person, before: bool) -> None:
    """*because she was tired*."""
    at = sentence.add("because", person.subject)
    be = phrases.be(sentence, person, before)
    if person.certain:
        sentence.slip("missing_word", at, at + 2, "because")
    if not before:
        sentence.slip("missing_word", be - 1, be + 1, person.subject)
    adjective = sentence.choose(ADJECTIVES["mood"])
    sentence.add_graded(adjective.text, adjective.level)


def _addition(sentence: Sentence, person: Person, before: bool) -> None:
    """*and she wrote an email*."""
    del before  # The habit holds whenever the first clause happened.
    at = sentence.add(_LATER[int(sentence.rng.random() * 2)], person.subject)
    sentence.slip("pronoun", at + 1, at + 2, person.object)
    kind = ("thing", "text", "food")[int(sentence.rng.random() * 3)]
    phrases.present(sentence, person, sentence.choose(VERBS[kind]))
    _object(sentence, kind, person)
    if not phrases.has_frequency(sentence):
        _time(sentence, phrases.HABITS)


PATTERNS: tuple[Pattern, ...] = (
    action, action, action, action, movement, state, comparison, comparison, wish, wish, feeling, feeling,
    attention, giving, skill, existence, question,
)  # fmt: skip


def make(rng: Random, target: int, long: bool = False) -> Sentence:
    """A sentence with words up to level ``target``; ``long`` asks for a second clause."""
    while True:
        sentence = Sentence(rng, target)
        follow = PATTERNS[int(rng.random() * len(PATTERNS))](sentence)
        if follow is None:
            if long:
                continue
        elif long or rng.random() < 0.15:
            (_reason if rng.random() < 0.6 else _addition)(sentence, *follow)
        return sentence
