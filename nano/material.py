"""What pretraining exercises are made of: sentences, noise, field names, labels, phrases."""

from __future__ import annotations

import json
from random import Random
from typing import NamedTuple, TypeVar

from lexitrain.synthetic import grammar, lexicon, wording
from lexitrain.synthetic.learner_errors import Attempt, attempt
from lexitrain.synthetic.lexicon import LEVELS
from lexitrain.synthetic.sentence import FORMS, MISSPELLED, Sentence

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
GENERAL_VIETNAMESE = (
    "Hôm qua trời mưa rất to.", "Chúng tôi sống ở một thành phố nhỏ gần biển.", "Mẹ tôi nấu cơm mỗi buổi tối.",
    "Anh ấy đang đợi xe buýt ở ngoài đường.", "Bạn đã ăn sáng chưa?", "Cô giáo kể cho lớp một câu chuyện vui.",
    "Xin lỗi, tôi đến muộn vì kẹt xe.", "Ngày mai em sẽ gọi điện cho bà ngoại.", "Quyển vở màu xanh ở trên bàn.",
    "Cả nhà cùng đi chợ vào sáng chủ nhật.", "Tôi thích uống cà phê sữa đá.", "Trường học của em có nhiều cây lớn.",
    "Con mèo ngủ dưới ghế.", "Bạn có thể nói chậm hơn không?", "Hãy đọc kỹ trước khi trả lời.",
    "Thầy khen em vì em cố gắng nhiều.", "Bài tập này khó nhưng rất thú vị.", "Chúng ta nghỉ mười phút nhé!",
    "Em hiểu nghĩa của từ mới rồi ạ.", "Gia đình họ vừa chuyển đến Đà Nẵng.", "Mùa hè ở đây nóng và ẩm.",
    "Đừng quên mang theo áo mưa.", "Quê ngoại tôi có cánh đồng lúa rộng.", "Ông nội trồng hoa và nuôi gà.",
    "Tôi muốn mua hai ký xoài chín.", "Trẻ em chạy nhảy ngoài sân.", "Câu hỏi thứ ba dễ nhất.",
    "Tuyệt vời, em làm tốt lắm!", "Chúc mừng sinh nhật bạn!", "Khi nào rảnh, chúng mình đi xem phim.",
    "Phần này nói về thì hiện tại.",
    "Người Việt thường dùng đũa khi ăn.", "Nếu trời đẹp, bọn trẻ sẽ ra công viên.", "Bác sĩ khuyên tôi ngủ sớm.",
    "Học ngoại ngữ cần kiên nhẫn và luyện tập đều đặn.", "Giờ học bắt đầu lúc bảy giờ rưỡi.",
    "Tớ vẫn chưa quyết định.", "Vì sao bạn chọn nghề này?", "Những quyển sách ấy thuộc về thư viện.",
    "Sau bữa tối, bố rửa bát còn mẹ gấp quần áo.",
)  # fmt: skip
"""Everyday Vietnamese of the fifth stage."""
ALL_FORMS = tuple(FORMS)
MISSPELLED_WORDS = tuple(MISSPELLED)
FORMS_BY_LEVEL = tuple(
    tuple(w for w in ALL_FORMS if FORMS[w] == level) for level in range(len(LEVELS))
)
ALL_VERBS = tuple(
    {v.base: v for table in lexicon.VERBS.values() for row in table for v in row}.values()
)
ALL_NOUNS = tuple(
    {n.singular: n for table in lexicon.NOUNS.values() for row in table for n in row}.values()
)
ALL_ADJECTIVES = tuple(
    {a.text: a for table in lexicon.ADJECTIVES.values() for row in table for a in row}.values()
)
ALL_ADVERBS = tuple(a for row in lexicon.MANNERS for a in row)
KINDS = (
    ("article", ("a", "an", "the")),
    ("pronoun", ("I", "me", "he", "him", "she", "her", "they", "them", "we", "us", "my", "our")),
    ("preposition", ("in", "on", "at", "to", "of", "about", "for", "with", "from")),
    ("number", ("two", "three", "four", "five", "many", "several")),
    ("verb", ("is", "are", "was", "were", "do", "does", "did")),
)
TARGETS = (0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5)


def pick(rng: Random, options: tuple[T, ...] | list[T]) -> T:
    return options[int(rng.random() * len(options))]


def dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def sentence(rng: Random) -> Sentence:
    return grammar.make(rng, pick(rng, TARGETS), rng.random() < 0.25)


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
        words[at] = pick(rng, ALL_FORMS)
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
        return pick(rng, ALL_FORMS)
    if roll < 0.6:
        return "_".join(pick(rng, LABELS) for _ in range(1 + int(rng.random() * 2)))
    if roll < 0.7:
        return pick(rng, LEVELS)
    if roll < 0.8:
        return pick(rng, (0.0, 0.25, 0.5, 0.75, 1.0, 2, 3))
    if roll < 0.9:
        return [pick(rng, ALL_FORMS) for _ in range(int(rng.random() * 4))]
    return pick(rng, PHRASES)


def table(rng: Random, most: int = 3) -> dict[str, object]:
    return {key(rng): value(rng) for _ in range(1 + int(rng.random() * most))}


def vietnamese(rng: Random) -> str:
    roll = rng.random()
    if roll < 0.4:
        return pick(rng, VIETNAMESE)
    if roll < 0.7:
        rule = pick(rng, tuple(wording.VIETNAMESE.values()))[1]
        return rule[0].upper() + rule[1:] + "."
    word = pick(rng, MISSPELLED_WORDS)
    other = pick(rng, MISSPELLED[word]) if rng.random() < 0.5 else pick(rng, ALL_FORMS)
    return f"Viết '{word}', không viết '{other}'."
