"""The exercises that later stages add: nested JSON, brackets, counts and comparisons as JSON."""

from __future__ import annotations

from random import Random

from material import (
    ALL_FORMS,
    COMPOUNDS,
    KEYS,
    LABELS,
    PHRASES,
    TARGETS,
    Exchange,
    dumps,
    noisy,
    pick,
    sentence,
    vietnamese,
)
from skills import COUNTS, counting, hardest

from lexitrain.synthetic import grammar, wording
from lexitrain.synthetic.learner_errors import Attempt, attempt
from lexitrain.synthetic.lexicon import LEVELS

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
    return " ".join(pick(rng, ALL_FORMS) for _ in range(1 + int(rng.random() * 2)))


def nested(rng: Random) -> Exchange:
    """A text and a list of small objects in one object; the keys of no tutor answer together."""
    first, rows_key, one, two = (any_key(rng) for _ in range(4))
    rows_key, two = rows_key + "_items" * (rows_key == first), two + "_value" * (two == one)
    if {first, rows_key} == {"corrected", "errors"}:
        first = "text"
    text = sentence(rng).text
    rows = [(short_value(rng), pick(rng, ALL_FORMS)) for _ in range(1 + int(rng.random() * 3))]
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


def bracketing(rng: Random) -> Exchange:
    """A text copied with brackets around what does not fit."""
    count = int(rng.random() * 4)
    while True:
        right = grammar.make(rng, pick(rng, TARGETS), rng.random() < 0.4)
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
            grammar.make(rng, pick(rng, TARGETS), count > 2 or rng.random() < 0.5), count
        )
        if tried is not None:
            return tried, count


def counting_json(rng: Random) -> Exchange:
    """The count of edits as a number in an object, and then what they are."""
    tried, count = scored(rng)
    first, second = two_keys(rng)
    spans = [error.span for error in tried.errors]
    said = f"{COUNTS[count].capitalize()}: {', '.join(spans)}." if spans else "No edits."
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
