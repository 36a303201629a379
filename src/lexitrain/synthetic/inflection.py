"""English word forms: regular rules first, then the irregular words of the lexicon.

Only what the lexicon needs; spelling is British where the two differ. Cheap: string operations.
"""

from __future__ import annotations

_VOWELS = "aeiou"
_PLURALS = {
    "child": "children",
    "woman": "women",
    "man": "men",
    "potato": "potatoes",
    "tomato": "tomatoes",
}
_PASTS = {
    "eat": "ate", "buy": "bought", "drink": "drank", "find": "found", "lose": "lost",
    "choose": "chose", "read": "read", "write": "wrote", "leave": "left", "meet": "met",
    "see": "saw", "feed": "fed", "swim": "swam", "sing": "sang", "run": "ran", "go": "went",
    "drive": "drove", "give": "gave", "send": "sent", "speak": "spoke", "think": "thought",
}  # fmt: skip
_DOUBLING = {"swim", "run", "extol", "travel", "stop"}
_COMPARATIVES = {
    "good": "better", "big": "bigger", "hot": "hotter", "red": "redder", "small": "smaller",
    "new": "newer", "old": "older", "cheap": "cheaper", "kind": "kinder", "young": "younger",
    "tall": "taller", "busy": "busier", "happy": "happier", "lazy": "lazier", "angry": "angrier",
    "brave": "braver", "heavy": "heavier", "clean": "cleaner", "strange": "stranger",
    "quiet": "quieter", "long": "longer", "short": "shorter", "funny": "funnier",
    "cold": "colder", "sweet": "sweeter", "fresh": "fresher", "friendly": "friendlier",
    "spicy": "spicier",
}  # fmt: skip
# Written with a vowel and spoken with a consonant, or the reverse.
_CONSONANT_SOUND = ("uni", "use", "eu")
_VOWEL_SOUND = ("honest", "hour", "heir")


def _consonant_y(word: str) -> bool:
    return word.endswith("y") and word[-2] not in _VOWELS


def _with_s(word: str) -> str:
    if _consonant_y(word):
        return word[:-1] + "ies"
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    return word + "s"


def plural(noun: str) -> str:
    """The plural of a countable noun."""
    return _PLURALS.get(noun) or _with_s(noun)


def third_person(verb: str) -> str:
    """The form after *she* in the present: go → goes."""
    return "goes" if verb == "go" else _with_s(verb)


def past(verb: str) -> str:
    """The simple past."""
    if verb in _PASTS:
        return _PASTS[verb]
    if verb in _DOUBLING:
        return verb + verb[-1] + "ed"
    if verb.endswith("e"):
        return verb + "d"
    return verb[:-1] + "ied" if _consonant_y(verb) else verb + "ed"


def gerund(verb: str) -> str:
    """The -ing form."""
    if verb in _DOUBLING:
        return verb + verb[-1] + "ing"
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    return verb + "ing"


def comparative(adjective: str) -> str:
    """The one-word comparative, or an empty string where *more* is used."""
    return _COMPARATIVES.get(adjective, "")


def adjective_of(adverb: str) -> str:
    """The adjective from which an adverb of manner is made: happily → happy."""
    if adverb == "well":
        return "good"
    if adverb.endswith("ically"):
        return adverb[:-4]
    return adverb[:-3] + "y" if adverb.endswith("ily") else adverb[:-2]


def article(word: str) -> str:
    """``a`` or ``an``, by the sound with which the following word begins."""
    if word.startswith(_VOWEL_SOUND):
        return "an"
    if word.startswith(_CONSONANT_SOUND):
        return "a"
    return "an" if word[0].lower() in _VOWELS else "a"
