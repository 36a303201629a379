"""The pretraining text of the nano base: generic skills over the words of the synthetic world.

The tutor tasks are held back, so that fine-tuning visibly teaches them: no tutor prompt, no task
name, no answer format of a task occurs here (`tests/nano/test_corpus.py` looks). What does occur:
plain sentences, copying, JSON, small edits, restoring noisy text, word knowledge (forms, levels,
spelling), and short Vietnamese sentences. Seeded; about 10,000 documents a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple, TypeVar

from lexitrain.data.generator import grammar, lexicon, wording
from lexitrain.data.generator.errors import Attempt, attempt
from lexitrain.data.generator.inflection import article
from lexitrain.data.generator.lexicon import LEVELS
from lexitrain.data.generator.sentence import FORMS, MISSPELLED, Sentence

T = TypeVar("T")


class Exchange(NamedTuple):
    """One question and its answer."""

    user: str
    assistant: str


class Document(NamedTuple):
    """Plain text (``exchanges`` empty), or a conversation with or without a system message."""

    text: str
    exchanges: tuple[Exchange, ...] = ()
    system: str = ""


KEYS = (
    "text", "word", "words", "note", "level", "type", "span", "score", "fluency", "reasoning",
    "corrected", "errors", "key", "response", "strategy", "pedagogical", "goal", "explanation",
    "title", "name", "label", "count", "items", "value", "answer", "old", "new", "size", "first",
)  # fmt: skip
COMPOUNDS = {"fluency_score", "key_words", "pedagogical_goal"}
HELD_BACK = COMPOUNDS | {"errors", "span", "explanation"}
"""Names that are no keys here: without them no object has the fields of a tutor answer."""
LABELS = (
    "praise", "recast", "hint", "explain", "encourage", "ask", "rule", "question", "article",
    "agreement", "tense", "noun", "number", "preposition", "word", "order", "missing", "spelling",
    "pronoun", "comparison", "form", "verb", "subject", "correct", "student", "teacher", "help",
)  # fmt: skip
SYSTEMS = (
    "You are a helpful assistant.",
    "You are a careful writer.",
    "Follow the instruction.",
    "You answer with short texts.",
    "You are a friendly helper. Do what the user asks.",
)
PHRASES = (
    "Well done!", "Very good!", "Excellent!", "Almost!", "Good try!", "Do not worry.",
    "You can do it!", "Try it again slowly.", "I am not sure.", "I do not know.", "Okay.", "Yes.",
    "This is too difficult for me.", "Let us go on.", "Hello!", "Good.", "Here is an example.",
    "Every mistake helps you to learn.", "You are learning.", "Your sentence is correct.",
    "The sentence reads well.", "Look again.", "Can you tell me more?", "Is this right?",
    "Can you explain the rule?", "We say it like this.", "There are two mistakes.",
    "I always make mistakes.", "Please write a sentence.", "Show the correct form.",
    "Build confidence.", "Keep the student trying.", "Get a longer answer.",
    "Let the student find the mistakes.", "Explain the rule.", "No mistakes.", "One mistake.",
    "Two mistakes.", "Three mistakes.", "Four mistakes.", "Now use the word in a sentence.",
)  # fmt: skip
VIETNAMESE = (
    "Danh từ là từ chỉ người hoặc vật.", "Động từ chỉ hành động.", "Tính từ đứng trước danh từ.",
    "Trạng từ đi với động từ.", "Chủ ngữ đứng trước động từ.", "Mạo từ đứng trước danh từ.",
    "Giới từ là một từ ngắn.", "Đại từ thay cho danh từ.", "Câu này có một lỗi.",
    "Câu này không có lỗi.", "Hãy viết lại câu này.", "Từ này viết đúng.", "Từ này viết sai.",
    "Hôm nay chúng ta học tiếng Anh.", "Tôi đọc một cuốn sách.", "Đây là một câu ngắn.",
)  # fmt: skip
_FORMS = tuple(FORMS)
_MISSPELLED = tuple(MISSPELLED)
_BY_LEVEL = tuple(tuple(w for w in _FORMS if FORMS[w] == level) for level in range(len(LEVELS)))
_VERBS = tuple(
    {v.base: v for table in lexicon.VERBS.values() for row in table for v in row}.values()
)
_NOUNS = tuple(
    {n.singular: n for table in lexicon.NOUNS.values() for row in table for n in row}.values()
)
_ADJECTIVES = tuple(
    {a.text: a for table in lexicon.ADJECTIVES.values() for row in table for a in row}.values()
)
_ADVERBS = tuple(a for row in lexicon.MANNERS for a in row)
_KINDS = (
    ("article", ("a", "an", "the")),
    ("pronoun", ("I", "me", "he", "him", "she", "her", "they", "them", "we", "us", "my", "our")),
    ("preposition", ("in", "on", "at", "to", "of", "about", "for", "with", "from")),
    ("number", ("two", "three", "four", "five", "many", "several")),
    ("verb", ("is", "are", "was", "were", "do", "does", "did")),
)
_LEARNERS = (0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5)


def pick(rng: Random, options: tuple[T, ...] | list[T]) -> T:
    return options[int(rng.random() * len(options))]


def dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def sentence(rng: Random) -> Sentence:
    return grammar.make(rng, pick(rng, _LEARNERS), rng.random() < 0.25)


def noisy(rng: Random, most: int = 3) -> tuple[Sentence, Attempt]:
    """A sentence and the same with one to ``most`` changes."""
    while True:
        right = sentence(rng)
        tried = attempt(right, 1 + int(rng.random() * most))
        if tried is not None:
            return right, tried


def scrambled(rng: Random, words: list[str]) -> list[str]:
    """Generic noise: a word dropped, doubled, moved or exchanged."""
    words = list(words)
    at = int(rng.random() * len(words))
    roll = rng.random()
    if roll < 0.3 and len(words) > 2:
        del words[at]
    elif roll < 0.5:
        words.insert(at, words[at])
    elif roll < 0.8:
        words.insert(int(rng.random() * len(words)), words.pop(at))
    else:
        words[at] = pick(rng, _FORMS)
    return words


def key(rng: Random) -> str:
    while True:
        text = pick(rng, KEYS)
        if rng.random() < 0.4:
            text += "_" + pick(rng, KEYS)
        if text not in HELD_BACK:
            return text


def value(rng: Random) -> object:  # noqa: PLR0911  (one return a kind of value)
    """Something to stand in a field."""
    roll = rng.random()
    if roll < 0.35:
        return sentence(rng).text
    if roll < 0.5:
        return pick(rng, _FORMS)
    if roll < 0.6:
        return "_".join(pick(rng, LABELS) for _ in range(1 + int(rng.random() * 2)))
    if roll < 0.7:
        return pick(rng, LEVELS)
    if roll < 0.8:
        return pick(rng, (0.0, 0.25, 0.5, 0.75, 1.0, 2, 3))
    if roll < 0.9:
        return [pick(rng, _FORMS) for _ in range(int(rng.random() * 4))]
    return pick(rng, PHRASES)


def table(rng: Random, most: int = 3) -> dict[str, object]:
    return {key(rng): value(rng) for _ in range(1 + int(rng.random() * most))}


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
    rows = [(pick(rng, LABELS), pick(rng, _FORMS)) for _ in range(int(rng.random() * 4))]
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


def _changes(tried: Attempt) -> str:
    return "; ".join(f"{error.span} -> {error.right}" for error in tried.errors)


def edits(rng: Random) -> Exchange:
    _, tried = noisy(rng)
    return Exchange(f"Which edits restore it?\nText: {tried.text}", _changes(tried))


def comparing(rng: Random) -> Exchange:
    right, tried = noisy(rng)
    if rng.random() < 0.15:
        return Exchange(f"Old: {right.text}\nNew: {right.text}\nWhat changed?", "nothing")
    return Exchange(f"Old: {tried.text}\nNew: {right.text}\nWhat changed?", _changes(tried))


_NUMBERS = ("zero", "one", "two", "three", "four")


def counting(rng: Random) -> Exchange:
    """How many edits a text needs, without and with the clean text beside it."""
    count = int(rng.random() * 5)
    while True:
        right = grammar.make(rng, pick(rng, _LEARNERS), count > 2 or rng.random() < 0.4)
        tried = attempt(right, count)
        if tried is not None:
            break
    if rng.random() < 0.25:
        return Exchange(f"Old: {tried.text}\nNew: {right.text}\nCount.", _NUMBERS[count])
    answer = _NUMBERS[count]
    if rng.random() < 0.5:
        spans = ", ".join(error.span for error in tried.errors)
        answer += f": {spans}" if spans else ""
    return Exchange(f"Count the edits.\nText: {tried.text}", answer)


def replacing(rng: Random) -> Exchange:
    right = sentence(rng)
    old, new = pick(rng, right.words), pick(rng, _FORMS)
    words = [new if word == old else word for word in right.words]
    return Exchange(f"Replace {old} by {new}: {' '.join(right.words)}", " ".join(words))


def ordering(rng: Random) -> Exchange:
    right = grammar.make(rng, pick(rng, _LEARNERS))
    words = list(right.words)
    rng.shuffle(words)
    return Exchange(f"Order: {' '.join(words)}", right.text)


def blanks(rng: Random) -> Exchange:
    right = sentence(rng)
    at = int(rng.random() * len(right.words))
    words = [*right.words[:at], "_", *right.words[at + 1 :]]
    return Exchange(f"Fill: {' '.join(words)}{right.mark}", right.text)


def leveling(rng: Random) -> Exchange:
    word = pick(rng, _BY_LEVEL[int(rng.random() * 6)])
    return Exchange(f"Level of {word}?", LEVELS[FORMS[word]])


def hardest(rng: Random) -> Exchange:
    """The hardest of some words, or all of them with their levels."""
    top = int(rng.random() * 6)
    words = [pick(rng, _BY_LEVEL[top])]
    words += [pick(rng, _BY_LEVEL[int(rng.random() * (top + 1))]) for _ in range(4)]
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
        verb = pick(rng, _VERBS)
        name, form = pick(
            rng, (("past", verb.past), ("-s form", verb.third), ("-ing form", verb.gerund))
        )
        return Exchange(f"{name} of {verb.base}?", form)
    if roll < 0.6:
        noun = pick(rng, _NOUNS)
        if rng.random() < 0.5:
            return Exchange(f"Plural of {noun.singular}?", noun.plural)
        return Exchange(f"a or an: {noun.singular}", f"{article(noun.singular)} {noun.singular}")
    if roll < 0.8:
        adjective = pick(rng, _ADJECTIVES)
        compared = adjective.comparative or f"more {adjective.text}"
        return Exchange(f"Comparative of {adjective.text}?", compared)
    adverb = pick(rng, _ADVERBS)
    return Exchange(f"Adverb of {adverb.adjective}?", adverb.text)


def spelling(rng: Random) -> Exchange:
    words = [pick(rng, _MISSPELLED) for _ in range(1 + int(rng.random() * 4))]
    wrong = [pick(rng, MISSPELLED[word]) for word in words]
    return Exchange(f"Spell: {' '.join(wrong)}", " ".join(words))


def kinds(rng: Random) -> Exchange:
    name, members = pick(rng, _KINDS)
    return Exchange(f"What kind of word is {pick(rng, members)}?", name)


def glossary(rng: Random) -> Exchange:
    kind = pick(rng, tuple(wording.NAMES))
    name, vietnamese = wording.NAMES[kind], wording.VIETNAMESE[kind][0].removeprefix("Lỗi ")
    if rng.random() < 0.5:
        return Exchange(f"In Vietnamese: {name}", vietnamese)
    return Exchange(f"In English: {vietnamese}", name)


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
        verb, noun, adjective = pick(rng, _VERBS), pick(rng, _NOUNS), pick(rng, _ADJECTIVES)
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


def vietnamese(rng: Random) -> str:
    roll = rng.random()
    if roll < 0.4:
        return pick(rng, VIETNAMESE)
    if roll < 0.7:
        rule = pick(rng, tuple(wording.VIETNAMESE.values()))[1]
        return rule[0].upper() + rule[1:] + "."
    word = pick(rng, _MISSPELLED)
    other = pick(rng, MISSPELLED[word]) if rng.random() < 0.5 else pick(rng, _FORMS)
    return f"Viết '{word}', không viết '{other}'."


GOALS = (
    "build confidence", "keep the student trying", "get a longer answer", "show the correct form",
    "let the student find the mistakes", "explain the rule", "learn the word", "read the sentence",
    "build a sentence", "keep the word", "get the book", "let him go", "show the way",
)  # fmt: skip
LESSONS = (
    "Lỗi này nằm ở đâu?", "Lỗi nằm ở động từ.", "Lỗi nằm ở danh từ.", "Lỗi rất nhỏ.", "Lỗi ở đây.",
    "Chính tả là cách viết từ.", "Hãy học chính tả.", "Chủ ngữ và động từ hòa hợp với nhau.",
    "Câu không thể thiếu động từ.", "Từ này có năm chữ cái.", "Hãy chú ý từng chữ cái.",
    "Đại từ và danh từ khác nhau.", "Tân ngữ đứng sau động từ.", "Trật tự từ rất quan trọng.",
    "So sánh hai vật với nhau.", "Hành động này trong quá khứ.", "Không viết số nhiều ở đây.",
    "Chúng ta dùng từ này khi so sánh.",
)  # fmt: skip


QUOTING = (
    "Look at '{}' and '{}'.", "Is it '{}' or '{}'?", "Can you use '{}' with '{}'?",
    "You used '{}' and '{}'.", "Viết '{}', không viết '{}'.", "What is '{}' in '{}'?",
)  # fmt: skip


def any_key(rng: Random) -> str:
    """A key, also one of those that the first stage holds back alone."""
    text = pick(rng, KEYS) + ("_" + pick(rng, KEYS) if rng.random() < 0.5 else "")
    return text if text not in COMPOUNDS else "other"


def label(rng: Random) -> str:
    return "_".join(pick(rng, LABELS) for _ in range(1 + int(rng.random() * 3)))


def lesson(rng: Random) -> str:
    roll = rng.random()
    if roll < 0.4:
        return pick(rng, LESSONS)
    if roll < 0.7:
        name = pick(rng, tuple(wording.VIETNAMESE.values()))[0].removeprefix("Lỗi ")
        return f"Bài học: {name}."
    return vietnamese(rng)


def short_value(rng: Random) -> str:
    roll = rng.random()
    if roll < 0.35:
        return label(rng)
    if roll < 0.5:
        return pick(rng, GOALS)
    if roll < 0.65:
        return pick(rng, PHRASES)
    if roll < 0.8:
        return lesson(rng)
    return " ".join(pick(rng, _FORMS) for _ in range(1 + int(rng.random() * 2)))


def nested(rng: Random) -> Exchange:
    """A text and a list of small objects in one object; the keys of no tutor answer together."""
    first, rows_key, one, two = (any_key(rng) for _ in range(4))
    rows_key, two = rows_key + "_items" * (rows_key == first), two + "_value" * (two == one)
    if {first, rows_key} == {"corrected", "errors"}:
        first = "text"
    text = sentence(rng).text
    rows = [(short_value(rng), pick(rng, _FORMS)) for _ in range(1 + int(rng.random() * 3))]
    asked = "; ".join(f"{a} / {b}" for a, b in rows)
    answer = {first: text, rows_key: [{one: a, two: b} for a, b in rows]}
    lines = f"{first}: {text}\n{rows_key} of {one} / {two}: {asked}"
    return Exchange(f"Write as JSON.\n{lines}", dumps(answer))


def fields(rng: Random) -> Exchange:
    """Short texts, labels and numbers under two or three keys."""
    pairs: dict[str, object] = {}
    for _ in range(2 + int(rng.random() * 2)):
        numeric = rng.random() < 0.2
        pairs[any_key(rng)] = (
            pick(rng, (0.0, 0.25, 0.5, 0.75, 1.0)) if numeric else short_value(rng)
        )
    pairs.setdefault("note", "other")
    lines = "\n".join(f"{k}: {v}" for k, v in pairs.items())
    return Exchange(f"Write as JSON.\n{lines}", dumps(pairs))


def logged(rng: Random) -> Exchange:
    """Restored text and a log of the edits."""
    right, tried = noisy(rng, 2)
    log = [{"old": error.span, "new": error.right} for error in tried.errors]
    answer = {"text": right.text, "log": log}
    return Exchange(f"Restore, JSON with text and log.\nText: {tried.text}", dumps(answer))


def counted(rng: Random) -> Exchange:
    """The count of edits first, then what they are."""
    while True:
        asked, answer = counting(rng)
        number, _, spans = answer.partition(": ")
        if spans or number == "zero":
            break
    said = "No" if number == "zero" else number.capitalize()
    edits_noun = "edit" if number == "one" else "edits"
    return Exchange(f"{asked}\nSay it.", f"{said} {edits_noun}{': ' if spans else ''}{spans}.")


def quoting(rng: Random) -> Exchange:
    """Words taken out of a text and put between quotation marks."""
    words = sentence(rng).words
    first, second = pick(rng, words), pick(rng, words)
    shape = pick(rng, QUOTING)
    text = " ".join(words)
    return Exchange(
        f"Write: {shape.format('1', '2')}\n1: {first}\n2: {second}\nText: {text}",
        shape.format(first, second),
    )


def repeating(rng: Random) -> Exchange:
    text = " ".join(short_value(rng) for _ in range(2))
    return Exchange(f"Repeat: {text}", text)


SECOND_SKILLS: tuple[tuple[Callable[[Random], Exchange], float], ...] = (
    (restoring, 18), (restoring_noise, 2), (restoring_json, 6), (logged, 9), (edits, 6),
    (comparing, 9), (counting, 7), (counted, 6), (copying, 1), (echo, 2), (items, 2), (nested, 5),
    (fields, 5), (quoting, 5), (repeating, 3), (picking, 1), (replacing, 1), (ordering, 1),
    (blanks, 1), (leveling, 2), (hardest, 6), (marking, 6), (forms, 3), (spelling, 7), (kinds, 0.5),
    (glossary, 2),
)  # fmt: skip
"""The mixture of the second stage: more of what was still weak after the first, and the words and
brackets that the first had shown too seldom."""


def bracketing(rng: Random) -> Exchange:
    """A text copied with brackets around what does not fit."""
    count = int(rng.random() * 4)
    while True:
        right = grammar.make(rng, pick(rng, _LEARNERS), rng.random() < 0.4)
        tried = attempt(right, count)
        if tried is not None:
            break
    marked, start = "", 0
    for error in tried.errors:
        at = tried.text.find(error.span, start)
        marked += tried.text[start:at] + "[" + error.span + "]"
        start = at + len(error.span)
    return Exchange(f"Bracket what does not fit.\nText: {tried.text}", marked + tried.text[start:])


def hardest_of_content(rng: Random) -> Exchange:
    """The hardest of the content words of a sentence, which itself is not shown."""
    right = grammar.make(rng, int(rng.random() * 6), rng.random() < 0.3)
    words = [word for _, word in right.graded]
    if len(words) < 2:
        return hardest(rng)
    listed = ", ".join(word for level, word in right.graded if level == right.level)
    return Exchange(f"Hardest: {' '.join(words)}", f"{LEVELS[right.level]}: {listed}")


THIRD_SKILLS: tuple[tuple[Callable[[Random], Exchange], float], ...] = (
    (restoring, 6), (restoring_noise, 1), (restoring_json, 2), (logged, 5), (edits, 5),
    (comparing, 7), (counting, 15), (counted, 8), (bracketing, 10), (copying, 1), (echo, 1),
    (items, 1), (nested, 2), (fields, 2), (quoting, 3), (repeating, 1), (picking, 1),
    (leveling, 2), (hardest, 6), (hardest_of_content, 8), (marking, 8), (forms, 2), (spelling, 4),
    (kinds, 0.5), (glossary, 1),
)  # fmt: skip
"""The mixture of the third stage: restoring is known by then, counting and levels are not."""
ASKED = (
    "Count the edits, JSON with {} and {}.", "How many edits? Answer as JSON: {}, {}.",
    "JSON, {} is the number of edits, {} tells which.", "{} and {} of the edits.",
)  # fmt: skip


def two_keys(rng: Random) -> tuple[str, str]:
    first, second = any_key(rng), any_key(rng)
    if first == second or {first, second} == {"corrected", "errors"}:
        second = "other"
    return first, second


def scored(rng: Random) -> tuple[Attempt, int]:
    """A text and how many edits it needs: often none or many."""
    count = pick(rng, (0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4))
    while True:
        tried = attempt(
            grammar.make(rng, pick(rng, _LEARNERS), count > 2 or rng.random() < 0.5), count
        )
        if tried is not None:
            return tried, count


def counting_json(rng: Random) -> Exchange:
    """The count of edits as a number in an object, and then what they are."""
    tried, count = scored(rng)
    first, second = two_keys(rng)
    spans = [error.span for error in tried.errors]
    said = f"{_NUMBERS[count].capitalize()}: {', '.join(spans)}." if spans else "No edits."
    number = float(count) if rng.random() < 0.5 else count
    answer = {first: number, second: spans if rng.random() < 0.5 else said}
    return Exchange(f"{pick(rng, ASKED).format(first, second)}\nText: {tried.text}", dumps(answer))


def comparing_json(rng: Random) -> Exchange:
    """What differs between two texts, as an object or between quotation marks."""
    right, tried = noisy(rng, 1)
    error = tried.errors[0]
    asked = f"'{tried.text}' and then '{right.text}'"
    if rng.random() < 0.5:
        return Exchange(
            f"What changed? {asked}", f"First '{error.span}', and then '{error.right}'."
        )
    first, second = two_keys(rng)
    return Exchange(
        f"What changed? JSON with {first} and {second}. {asked}",
        dumps({first: error.span, second: error.right}),
    )


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
STAGES = (SKILLS, SECOND_SKILLS, THIRD_SKILLS, FOURTH_SKILLS)


def documents(seed: int, stage: int = 1) -> Iterator[Document]:
    """Documents without end; one in seven is plain text."""
    rng = Random(seed if stage == 1 else f"{seed} {stage}")
    skills = STAGES[stage - 1]
    functions = [skill for skill, _ in skills]
    weights = [weight for _, weight in skills]
    while True:
        if rng.random() < 0.15:
            if stage > 1 and rng.random() < 0.3:
                yield Document(" ".join(lesson(rng) for _ in range(4)))
            else:
                yield plain(rng)
            continue
        turns = 1 if rng.random() < 0.5 else 2 + int(rng.random() * 3)
        chosen = rng.choices(functions, weights, k=turns)
        known = pick(rng, SYSTEMS) if stage < 4 and rng.random() < 0.5 else ""
        system = talk(rng) if stage > 3 else known
        yield Document("", tuple(skill(rng) for skill in chosen), system)
