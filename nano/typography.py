"""The exercises of the fifth stage: typographic quotes and dashes, and Vietnamese text of any syllable.

Before it the base had seen no byte of a curly quote, of a dash or of most Vietnamese letters, and records that hold
them could not be learnt.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from added_skills import any_key, label
from material import (
    ALL_FORMS,
    GENERAL_VIETNAMESE,
    Exchange,
    dumps,
    noisy,
    pick,
    sentence,
    vietnamese,
)

PAIRS = (("“", "”"), ("‘", "’"), ("«", "»"), ("„", "“"), ('"', '"'), ("'", "'"), ("「", "」"))
"""Opening and closing quotation marks; the straight ones are there so that both kinds stay known."""
USUAL_PAIRS = 2
"""The first of them stand in most texts."""
DASHES = (" – ", " — ", "—", "–", " - ", "…", "… ", " • ")
ONSETS = (
    "", "b", "c", "ch", "d", "đ", "g", "gh", "gi", "h", "k", "kh", "l", "m", "n", "ng", "ngh", "nh", "p", "ph", "qu",
    "r", "s", "t", "th", "tr", "v", "x",
)  # fmt: skip
VOWELS = "aàáảãạăằắẳẵặâầấẩẫậeèéẻẽẹêềếểễệiìíỉĩịoòóỏõọôồốổỗộơờớởỡợuùúủũụưừứửữựyỳýỷỹỵ"
CODAS = ("", "", "", "n", "ng", "nh", "m", "c", "ch", "p", "t", "i", "o", "u", "a", "y")


def syllable(rng: Random) -> str:
    """A syllable spelt as Vietnamese spells them; every letter with every tone comes up as often as any other."""
    vowel = pick(rng, tuple(VOWELS))
    text = pick(rng, ONSETS) + vowel + pick(rng, CODAS)
    return (
        text.capitalize() if rng.random() < 0.15 else text.upper() if rng.random() < 0.05 else text
    )


def vietnamese_text(rng: Random) -> str:
    """A sentence of the language, or words of syllables that mean nothing."""
    roll = rng.random()
    if roll < 0.4:
        return pick(rng, GENERAL_VIETNAMESE)
    if roll < 0.55:
        return vietnamese(rng)
    words = " ".join(syllable(rng) for _ in range(2 + int(rng.random() * 7)))
    return words[0].upper() + words[1:] + pick(rng, (".", "?", "!", "", ":"))


def quoted(rng: Random, text: str) -> str:
    left, right = pick(rng, PAIRS[:USUAL_PAIRS] if rng.random() < 0.8 else PAIRS)
    return f"{left}{text}{right}"


def words_of(rng: Random) -> str:
    """One to three words of either language."""
    count = 1 + int(rng.random() * 3)
    if rng.random() < 0.4:
        return " ".join(syllable(rng) for _ in range(count))
    return " ".join(pick(rng, ALL_FORMS) for _ in range(count))


SHAPES = (
    "{} – {}", "{} — {}", "{}—{}", "{}… {}", "Use {}, not {}.", "Viết {}, không viết {}.", "Is it {} or {}?",
    "Dùng {} thay cho {}.", "She said {} – and then {}.", "{} (not {})", "Từ {} khác với {}.", "{}/{}",
    "Look at {} and {}!", "It’s {}, isn’t it? {}…", "Don’t write {}; it’s {}.",
)  # fmt: skip
"""Where two quoted texts stand."""


def typeset(rng: Random) -> str:
    """A text with quotes or dashes in it."""
    roll = rng.random()
    if roll < 0.45:
        return pick(rng, SHAPES).format(quoted(rng, words_of(rng)), quoted(rng, words_of(rng)))
    if roll < 0.6:
        return quoted(rng, sentence(rng).text)
    if roll < 0.75:
        return pick(rng, DASHES).join((sentence(rng).text, vietnamese_text(rng)))
    words = sentence(rng).text.split()
    at = int(rng.random() * len(words))
    words[at] = quoted(rng, words[at])
    return " ".join(words)


def any_text(rng: Random) -> str:
    return typeset(rng) if rng.random() < 0.5 else vietnamese_text(rng)


def repeating_text(rng: Random) -> Exchange:
    text = any_text(rng)
    return Exchange(f"Repeat: {text}", text)


def text_as_json(rng: Random) -> Exchange:
    """Fields that hold such texts, written as JSON."""
    pairs = {any_key(rng): any_text(rng) for _ in range(1 + int(rng.random() * 2))}
    if rng.random() < 0.3:
        pairs["label"] = label(rng)
    pairs.setdefault("note", "other")
    lines = "\n".join(f"{key}: {text}" for key, text in pairs.items())
    return Exchange(f"Write as JSON.\n{lines}", dumps(pairs))


def placing(rng: Random) -> Exchange:
    """Words taken out of a sentence and put between quotation marks of a given kind."""
    words = sentence(rng).words
    first, second = pick(rng, words), pick(rng, words)
    left, right = pick(rng, PAIRS[:USUAL_PAIRS] if rng.random() < 0.8 else PAIRS)
    shape = pick(rng, SHAPES).replace("{}", f"{left}{{}}{right}")
    asked = f"Write: {shape.format('1', '2')}\n1: {first}\n2: {second}\nText: {' '.join(words)}"
    return Exchange(asked, shape.format(first, second))


def restoring_quoted(rng: Random) -> Exchange:
    """A noisy sentence between quotation marks, restored, which stay."""
    right, tried = noisy(rng, 2)
    left, close = pick(rng, PAIRS[:USUAL_PAIRS])
    asked = pick(rng, ("Restore: {}", "Text: {}\nRestore it.", "Clean copy of: {}"))
    return Exchange(asked.format(f"{left}{tried.text}{close}"), f"{left}{right.text}{close}")


def swapping(rng: Random) -> Exchange:
    """One kind of quotation marks made another."""
    text = words_of(rng)
    one, two = pick(rng, PAIRS), pick(rng, PAIRS)
    return Exchange(f"Write {two[0]}{two[1]}: {one[0]}{text}{one[1]}", f"{two[0]}{text}{two[1]}")


TYPOGRAPHY: tuple[tuple[Callable[[Random], Exchange], float], ...] = (
    (repeating_text, 14), (text_as_json, 16), (placing, 10), (restoring_quoted, 8), (swapping, 4),
)  # fmt: skip
"""Each exercise with its weight in the fifth stage's mixture."""
