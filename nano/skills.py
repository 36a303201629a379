"""The exercises of the first stage: copying, JSON, restoring, comparing, word knowledge."""

from __future__ import annotations

from random import Random

from material import (
    ALL_ADJECTIVES,
    ALL_ADVERBS,
    ALL_FORMS,
    ALL_NOUNS,
    ALL_VERBS,
    FORMS_BY_LEVEL,
    KINDS,
    LABELS,
    MISSPELLED_WORDS,
    TARGETS,
    Exchange,
    dumps,
    key,
    noisy,
    pick,
    scrambled,
    sentence,
    table,
)

from lexitrain.synthetic import grammar, wording
from lexitrain.synthetic.inflection import article
from lexitrain.synthetic.learner_errors import Attempt, attempt
from lexitrain.synthetic.lexicon import LEVELS
from lexitrain.synthetic.sentence import FORMS, MISSPELLED


def copying(rng: Random) -> Exchange:
    text = sentence(rng).text if rng.random() < 0.7 else " ".join(noisy(rng)[1].text.split())
    return Exchange(f"Repeat: {text}", text)


def echo(rng: Random) -> Exchange:
    """Given fields, written as JSON."""
    fields = table(rng)
    lines = "\n".join(f"{k}: {v if isinstance(v, str) else dumps(v)}" for k, v in fields.items())
    return Exchange(f"Write as JSON.\n{lines}", dumps(fields))


def wrapping(rng: Random) -> Exchange:
    """A text put under a named key."""
    name = key(rng)
    text = sentence(rng).text
    return Exchange(f"JSON with {name}.\nText: {text}", dumps({name: text}))


def items(rng: Random) -> Exchange:
    """A list of small objects from lines."""
    first, second = key(rng), key(rng)
    if first == second:
        second = "other"
    rows = [(pick(rng, LABELS), pick(rng, ALL_FORMS)) for _ in range(int(rng.random() * 4))]
    asked = "; ".join(f"{a} {b}" for a, b in rows) or "nothing"
    answer = dumps([{first: a, second: b} for a, b in rows])
    return Exchange(f"List of {first} and {second}: {asked}", answer)


def picking(rng: Random) -> Exchange:
    fields = table(rng, 4)
    name = pick(rng, list(fields))
    answer = fields[name]
    return Exchange(
        f"Take {name} from {dumps(fields)}", answer if isinstance(answer, str) else dumps(answer)
    )


def restoring(rng: Random) -> Exchange:
    right, tried = noisy(rng)
    asked = pick(rng, ("Restore: {}", "Text: {}\nRestore it.", "Clean copy of: {}"))
    return Exchange(asked.format(tried.text), right.text)


def restoring_noise(rng: Random) -> Exchange:
    right = sentence(rng)
    broken = " ".join(scrambled(rng, right.words)) + right.mark
    return Exchange(f"Restore: {broken}", right.text)


def restoring_json(rng: Random) -> Exchange:
    right, tried = noisy(rng)
    name, other = key(rng), key(rng)
    if name == other or rng.random() < 0.5:
        return Exchange(
            f"Restore, JSON with {name}.\nText: {tried.text}", dumps({name: right.text})
        )
    changed = [error.span for error in tried.errors]
    return Exchange(
        f"Restore, JSON with {name} and changed {other}.\nText: {tried.text}",
        dumps({name: right.text, other: changed}),
    )


def changes(tried: Attempt) -> str:
    return "; ".join(f"{error.span} -> {error.right}" for error in tried.errors)


def edits(rng: Random) -> Exchange:
    _, tried = noisy(rng)
    return Exchange(f"Which edits restore it?\nText: {tried.text}", changes(tried))


def comparing(rng: Random) -> Exchange:
    right, tried = noisy(rng)
    if rng.random() < 0.15:
        return Exchange(f"Old: {right.text}\nNew: {right.text}\nWhat changed?", "nothing")
    return Exchange(f"Old: {tried.text}\nNew: {right.text}\nWhat changed?", changes(tried))


COUNTS = ("zero", "one", "two", "three", "four")


def counting(rng: Random) -> Exchange:
    """How many edits a text needs, without and with the clean text beside it."""
    count = int(rng.random() * 5)
    while True:
        right = grammar.make(rng, pick(rng, TARGETS), count > 2 or rng.random() < 0.4)
        tried = attempt(right, count)
        if tried is not None:
            break
    if rng.random() < 0.25:
        return Exchange(f"Old: {tried.text}\nNew: {right.text}\nCount.", COUNTS[count])
    answer = COUNTS[count]
    if rng.random() < 0.5:
        spans = ", ".join(error.span for error in tried.errors)
        answer += f": {spans}" if spans else ""
    return Exchange(f"Count the edits.\nText: {tried.text}", answer)


def replacing(rng: Random) -> Exchange:
    right = sentence(rng)
    old, new = pick(rng, right.words), pick(rng, ALL_FORMS)
    words = [new if word == old else word for word in right.words]
    return Exchange(f"Replace {old} by {new}: {' '.join(right.words)}", " ".join(words))


def ordering(rng: Random) -> Exchange:
    right = grammar.make(rng, pick(rng, TARGETS))
    words = list(right.words)
    rng.shuffle(words)
    return Exchange(f"Order: {' '.join(words)}", right.text)


def blanks(rng: Random) -> Exchange:
    right = sentence(rng)
    at = int(rng.random() * len(right.words))
    words = [*right.words[:at], "_", *right.words[at + 1 :]]
    return Exchange(f"Fill: {' '.join(words)}{right.mark}", right.text)


def leveling(rng: Random) -> Exchange:
    word = pick(rng, FORMS_BY_LEVEL[int(rng.random() * 6)])
    return Exchange(f"Level of {word}?", LEVELS[FORMS[word]])


def hardest(rng: Random) -> Exchange:
    """The hardest of some words, or all of them with their levels."""
    top = int(rng.random() * 6)
    words = [pick(rng, FORMS_BY_LEVEL[top])]
    words += [pick(rng, FORMS_BY_LEVEL[int(rng.random() * (top + 1))]) for _ in range(4)]
    words = list(dict.fromkeys(words[: 2 + int(rng.random() * 4)]))
    rng.shuffle(words)
    if rng.random() < 0.5:
        listed = ", ".join(f"{word} {LEVELS[FORMS[word]]}" for word in words)
        return Exchange(f"Levels: {' '.join(words)}", listed)
    best = max(FORMS[word] for word in words)
    listed = ", ".join(word for word in words if FORMS[word] == best)
    return Exchange(f"Hardest: {' '.join(words)}", f"{LEVELS[best]}: {listed}")


def marking(rng: Random) -> Exchange:
    """The graded words of a sentence, each with its level."""
    right = grammar.make(rng, int(rng.random() * 6))
    listed = ", ".join(f"{word} {LEVELS[level]}" for level, word in right.graded)
    return Exchange(f"Words: {right.text}", listed or "none")


def forms(rng: Random) -> Exchange:
    roll = rng.random()
    if roll < 0.4:
        verb = pick(rng, ALL_VERBS)
        name, form = pick(
            rng, (("past", verb.past), ("-s form", verb.third), ("-ing form", verb.gerund))
        )
        return Exchange(f"{name} of {verb.base}?", form)
    if roll < 0.6:
        noun = pick(rng, ALL_NOUNS)
        if rng.random() < 0.5:
            return Exchange(f"Plural of {noun.singular}?", noun.plural)
        return Exchange(f"a or an: {noun.singular}", f"{article(noun.singular)} {noun.singular}")
    if roll < 0.8:
        adjective = pick(rng, ALL_ADJECTIVES)
        compared = adjective.comparative or f"more {adjective.text}"
        return Exchange(f"Comparative of {adjective.text}?", compared)
    adverb = pick(rng, ALL_ADVERBS)
    return Exchange(f"Adverb of {adverb.adjective}?", adverb.text)


def spelling(rng: Random) -> Exchange:
    words = [pick(rng, MISSPELLED_WORDS) for _ in range(1 + int(rng.random() * 4))]
    wrong = [pick(rng, MISSPELLED[word]) for word in words]
    return Exchange(f"Spell: {' '.join(wrong)}", " ".join(words))


def kinds(rng: Random) -> Exchange:
    name, members = pick(rng, KINDS)
    return Exchange(f"What kind of word is {pick(rng, members)}?", name)


def glossary(rng: Random) -> Exchange:
    kind = pick(rng, tuple(wording.NAMES))
    name, vietnamese = wording.NAMES[kind], wording.VIETNAMESE[kind][0].removeprefix("Lỗi ")
    if rng.random() < 0.5:
        return Exchange(f"In Vietnamese: {name}", vietnamese)
    return Exchange(f"In English: {vietnamese}", name)
