"""How tutors speak of errors: names, rules and advice in English, explanations in Vietnamese."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lexitrain.synthetic.learner_errors import Error

NAMES: Mapping[str, str] = {
    "article": "article",
    "agreement": "subject-verb agreement",
    "tense": "verb tense",
    "noun_number": "noun number",
    "preposition": "preposition",
    "word_order": "word order",
    "missing_word": "missing word",
    "spelling": "spelling",
    "pronoun": "pronoun",
    "comparison": "comparison",
    "word_form": "word form",
    "verb_form": "verb form",
}

RULES: Mapping[str, str] = {
    "article": "A noun for one thing needs an article, and 'an' stands before a vowel sound.",
    "agreement": "The verb must agree with its subject.",
    "tense": "A word for the past needs a verb in the past tense.",
    "noun_number": "Think whether the noun is one thing, many things, or cannot be counted.",
    "preposition": "Learn each word together with its preposition.",
    "word_order": "Each word has its place: an adjective before its noun, 'do' before its subject.",
    "missing_word": "An English sentence needs this small word.",
    "spelling": "Learn the spelling of this word by heart.",
    "pronoun": "A subject, an object and an owner need different pronouns.",
    "comparison": "A short adjective takes '-er', a long one 'more', and then comes 'than'.",
    "word_form": "The place of a word in the sentence decides its form.",
    "verb_form": "The word before a verb decides its form.",
}

VIETNAMESE: Mapping[str, tuple[str, str]] = {
    "article": ("Lỗi mạo từ", "hãy chú ý mạo từ trước danh từ"),
    "agreement": ("Lỗi hòa hợp chủ ngữ và động từ", "động từ phải hợp với chủ ngữ"),
    "tense": ("Lỗi thì của động từ", "hành động trong quá khứ cần thì quá khứ"),
    "noun_number": ("Lỗi số của danh từ", "hãy chú ý danh từ số ít và số nhiều"),
    "preposition": ("Lỗi giới từ", "từ này đi với một giới từ khác"),
    "word_order": ("Lỗi trật tự từ", "các từ phải đứng đúng vị trí"),
    "missing_word": ("Lỗi thiếu từ", "câu tiếng Anh không thể thiếu từ này"),
    "spelling": ("Lỗi chính tả", "hãy viết đúng từng chữ cái"),
    "pronoun": ("Lỗi đại từ", "chủ ngữ, tân ngữ và sở hữu cần đại từ khác nhau"),
    "comparison": ("Lỗi so sánh", "hãy dùng đúng dạng so sánh hơn và 'than'"),
    "word_form": ("Lỗi dạng từ", "hãy chọn đúng dạng của từ trong câu"),
    "verb_form": ("Lỗi dạng động từ", "hãy dùng đúng dạng của động từ"),
}

_COUNTS = ("No", "One", "Two", "Three", "Four")


def fluency_score(errors: int) -> float:
    """1 for a faultless sentence, a quarter less for each error, never below 0."""
    return max(0.0, 1.0 - errors / 4)


def reasoning(kinds: Sequence[str]) -> str:
    """Why a sentence has its score: *Two mistakes: article, verb tense.*"""
    if not kinds:
        return "No mistakes. The sentence reads well."
    noun = "mistake" if len(kinds) == 1 else "mistakes"
    return f"{_COUNTS[len(kinds)]} {noun}: {', '.join(NAMES[kind] for kind in kinds)}."


def explanation(error: Error) -> str:
    """What is wrong and why, in Vietnamese, with the right words."""
    name, rule = VIETNAMESE[error.kind]
    return f"{name}: {rule}. Viết '{error.right}', không viết '{error.span}'."
