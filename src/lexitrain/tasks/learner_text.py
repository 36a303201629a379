"""The learner's words in a question, whatever stands around them: what duplicates, groups and splits are told by.

The same sentence may come as `input`, inside the task's own prompt (`Task: …`, `Text: …`), or inside somebody's own
instruction. The task's prompt is known and is peeled off. Any other instruction is not known: its question is cut at
every place where an instruction might end or go on (line, colon, quotation mark, bracket, sentence), and each part
that may be the learner's is an `Excerpt`. Which of them is, is decided where all records are known
(`preparation/groups.py`). An excerpt of a typical question costs about 3 microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from lexitrain.records import is_learnt, loose_words

_PROMPT = re.compile(
    r"\s*Task:[^\n]*\n"
    r"(?:Strategy:[^\n]*\n)?"
    r"(?:Context:\s*(?P<context>.*?)\s*\n)?"
    r"\s*Text:\s*(?P<text>.*?)\s*",
    re.DOTALL | re.IGNORECASE,
)
_CUT = re.compile(
    r"[\n:：\"“”„«»`<>\[\](){}|*#=]"
    r"|(?<!\w)['‘’]|['‘’](?!\w)"  # an apostrophe inside a word is none
    r"|[.!?…。！？](?!\w)|[;,](?=\s)"
    r"|(?<=\s)[-–—→](?=\s)"
)
_SPEAKER = re.compile(r"(?:^|\n)\w[^:\n]{0,30}: ")
_MARK = "\ue000"  # a private character, which no text holds
_FIRST = _LAST = 4  # cuts from each end between which every part is an excerpt
_MOST = 24  # cuts from each end in all
_MOST_EXCERPTS = 200  # of a record
_SENTENCE = 4  # words of a part of a longer talk that may be another record's text


class Excerpt(NamedTuple):
    """A part of a question that may be the learner's text.

    Attributes:
        words: its loose words, joined.
        length: how many they are; 0 where they are part of a longer talk.
        around: the words before and after it; None of a whole turn or more.
    """

    words: str
    length: int
    around: str | None


class Asked(NamedTuple):
    """All that a prompt shows of a record.

    Attributes:
        prompt: everything that the model sees before the answer that is learnt last. Records of a task with equal
            prompts are exact duplicates.
        said: the learner's text: of a conversation every question, a line each, without the task's own prompt.
        beside: what else the model sees: a system turn of one's own, the tutor's turns. Empty in most records.
        excerpts: parts of `said` that may be the whole text of another record.
    """

    prompt: str
    said: str
    beside: str = ""
    excerpts: tuple[Excerpt, ...] = ()


def peeled(question: str, own_prompt: str) -> str | None:
    """The learner's text in a question that is a task's prompt; None where it is none.

    Args:
        own_prompt: the prompt that the task at hand would write around `prompt_mark()`; empty where it has none.
    """
    if found := _PROMPT.fullmatch(question):
        context = found["context"]
        return f"{context}\n{found['text']}" if context else found["text"]
    before, mark, after = own_prompt.partition(_MARK)
    text = question.strip()
    if mark and before and text.startswith(before) and text.endswith(after):
        return text[len(before) : len(text) - len(after)].strip()
    return None


def prompt_mark() -> str:
    """What stands for the learner's text where only the prompt around it is wanted."""
    return _MARK


def before_last_answer(messages: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The turns of a conversation that the model sees before its last learnt answer; all where there is none."""
    answers = [i for i, turn in enumerate(messages) if is_learnt(turn)]
    return list(messages[: answers[-1]] if answers else messages)


def conversation_excerpts(
    turns: Sequence[Mapping[str, str]],
    questions: Sequence[str],
    texts: Sequence[str | None],
) -> tuple[Excerpt, ...]:
    """The excerpts of a conversation: every question, the parts of those with a foreign instruction, and all of it.

    Args:
        turns: before the last answer.
        questions: the user turns among them.
        texts: the learner's text of each that is a task's prompt, else None.
    """
    found: list[Excerpt] = []
    several = len(questions) > 1
    for question, text in zip(questions, texts, strict=True):
        if several:
            found.append(_alone(question if text is None else text))
        if text is None:
            parts = excerpts(question)
            found += (
                (_of_talk(part) for part in parts if part.length >= _SENTENCE) if several else parts
            )
    if any(turn["role"] == "assistant" for turn in turns):
        exchange = (turn["content"] for turn in turns if turn["role"] != "system")
        found.append(_all_turns("\n".join(exchange)))
    return tuple(each for each in found[:_MOST_EXCERPTS] if each.words)


def exchange_excerpt(text: str) -> tuple[Excerpt, ...]:
    """A dialogue that is one text, a turn a line, as the same turns would be without speakers in a conversation."""
    spoken, names = _SPEAKER.subn("\n", text)
    return (_all_turns(spoken),) if names else ()


def _all_turns(text: str) -> Excerpt:
    words = loose_words(text)
    return Excerpt("".join(words), len(words), None)


def _alone(text: str) -> Excerpt:
    """One whole turn of several: no instruction stands around it."""
    return Excerpt("".join(loose_words(text)), 0, None)


def _of_talk(part: Excerpt) -> Excerpt:
    """A part of one of several questions: what people say twice in a talk is no sentence that somebody corrects."""
    return part._replace(length=0)


def excerpts(question: str) -> Iterator[Excerpt]:
    """The parts of a question between two places where an instruction may end or go on; the whole is none of them.

    All that end with the question or begin with it, all between two neighbouring cuts, and those that leave a few
    cuts on both sides.
    """
    words: list[str] = []
    starts = [0]
    place = 0
    for cut in _CUT.finditer(question):
        words += loose_words(question[place : cut.start()])
        place = cut.start()
        if len(words) > starts[-1]:
            starts.append(len(words))
    words += loose_words(question[place:])
    if starts[-1] != len(words):
        starts.append(len(words))
    if len(starts) > 2 * _MOST:
        starts = starts[:_MOST] + starts[-_MOST:]
    last = len(starts) - 1
    for one in range(last):
        for other in range(one + 1, last + 1):
            whole = one == 0 and other == last
            at_an_end = one == 0 or other == last or other == one + 1
            if not whole and (at_an_end or (one <= _FIRST and other >= last - _LAST)):
                start, end = starts[one], starts[other]
                around = f"{' '.join(words[:start])}\0{' '.join(words[end:])}"
                yield Excerpt("".join(words[start:end]), end - start, around)
