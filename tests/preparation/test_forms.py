"""The same sentences in several forms: no split may hold what another one holds, whatever stands around it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lexitrain.preparation.pipeline import prepare
from lexitrain.records.prepared import SPLITS, split_file
from tests.paths import ROOT

Form = Callable[[str, str, Random], dict[str, Any]]

SYSTEM = (
    "You are LexiLingo's unified English tutor model. Follow the task instruction and respond "
    "ONLY with valid JSON (no extra text)."
)
WORDS = (
    *(
        "she",
        "go",
        "to",
        "school",
        "every",
        "day",
        "with",
        "hers",
        "brother",
        "because",
        "the",
        "bus",
        "are",
    ),
    *(
        "late",
        "and",
        "it",
        "rain",
        "much",
        "they",
        "was",
        "happy",
        "about",
        "informations",
        "which",
        "teacher",
    ),
    *(
        "give",
        "us",
        "yesterday",
        "in",
        "a",
        "old",
        "library",
        "near",
        "my",
        "house",
        "where",
        "many",
        "childrens",
    ),
)


def chat(question: str, answer: str, *, system: str | None = None, **more: Any) -> dict[str, Any]:
    head = [] if system is None else [{"role": "system", "content": system}]
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": [*head, *turns], **more}


def as_answer(text: str) -> str:
    return json.dumps({"corrected": text, "errors": []})


FORMS: dict[str, Form] = {
    "plain": lambda text, right, _: {"input": text, "output": {"corrected": right, "errors": []}},
    "text": lambda text, right, _: {"input": text, "output": right},
    "own prompt": lambda text, right, _: chat(
        f"Task: grammar_correction\nText: {text}", as_answer(right)
    ),
    "own prompt and system": lambda text, right, _: chat(
        f"Task: grammar_correction\nText: {text}", as_answer(right), system=SYSTEM
    ),
    "bare": lambda text, right, _: chat(text, right),
    "another system": lambda text, right, _: chat(text, right, system="You are a strict teacher."),
    "instruction": lambda text, right, _: chat(f"Correct this sentence: {text}", right),
    "instructions": lambda text, right, draw: chat(
        draw.choice(
            (
                "Please fix the grammar.\n\n{}",
                "{}\n\nWhat is wrong with it?",
                'Is "{}" right? Explain.',
                "Rewrite the text between the tags. <text>{}</text> Thank you!",
                "Sentence: {}\nCorrection:",
            )
        ).format(text),
        right,
    ),
    "sharegpt": lambda text, right, _: {
        "conversations": [
            {"from": "system", "value": "Correct what the learner writes."},
            {"from": "human", "value": f"Correct the grammar: {text}"},
            {"from": "gpt", "value": right},
        ]
    },
    "alpaca": lambda text, right, _: {
        "instruction": "Correct the grammar of the sentence below.",
        "input": text,
        "output": right,
    },
    "prompt": lambda text, right, _: {"prompt": f"Fix: {text} ->", "completion": right},
    "several turns": lambda text, right, draw: {
        "messages": [
            {"role": "user", "content": draw.choice(("Hi!", "Hello, teacher."))},
            {"role": "assistant", "content": "Hello! What would you like to write?"},
            {"role": "user", "content": text},
            {"role": "assistant", "content": right},
        ]
    },
}


def sentences(count: int, draw: Random) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        text = " ".join(draw.choice(WORDS) for _ in range(draw.randrange(6, 14)))
        found[text.capitalize() + draw.choice((".", "", " .", "!"))] = None
    return list(found)


def questions(line: str) -> Iterable[str]:
    """Everything that a learner says in a written record, read independently of the product's own reading."""
    fields = json.loads(line)
    if "messages" in fields:
        return [turn["content"] for turn in fields["messages"] if turn["role"] == "user"]
    return [fields["input"]]


def plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


def leaked(folder: Path, texts: list[str]) -> dict[str, int]:
    """How many of the texts stand, alone or inside something, in two splits: exactly, and loosely word for word."""
    known_exactly = {split: "\n".join(all_questions(folder, split)) for split in SPLITS}
    known = {
        split: "|".join(f" {plain(question)} " for question in all_questions(folder, split))
        for split in SPLITS
    }
    alone = {split: {plain(q) for q in all_questions(folder, split)} for split in SPLITS}
    counts = {"exact": 0, "normalized": 0, "contained": 0}
    for one, other in combinations(SPLITS, 2):
        for text in texts:
            loose = plain(text)
            counts["exact"] += all(text in known_exactly[split] for split in (one, other))
            counts["normalized"] += loose in alone[one] and loose in alone[other]
            counts["contained"] += all(f" {loose} " in known[split] for split in (one, other))
    return counts


def all_questions(folder: Path, split: str) -> list[str]:
    lines = split_file(folder, split).read_text("utf-8").splitlines()
    return [question for line in lines for question in questions(line)]


def prepared(tmp_path: Path, rows: list[dict[str, Any]], name: str = "out") -> dict[str, Any]:
    source = tmp_path / "raw.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return prepare([str(source)], tmp_path / name, task="grammar", workers=0)


NOTHING = {"exact": 0, "normalized": 0, "contained": 0}
PAIRS = [("plain", other) for other in FORMS if other != "plain"]


@pytest.mark.parametrize(
    "names",
    [
        *PAIRS,
        ("instruction", "sharegpt"),
        ("alpaca", "instructions"),
        ("alpaca", "several turns"),
        ("plain", "own prompt", "instructions"),
        ("text", "sharegpt", "several turns"),
        ("bare", "alpaca", "prompt"),
        ("instruction", "instructions", "sharegpt"),
    ],
    ids=" + ".join,
)
def test_the_same_sentences_in_several_forms_lie_on_one_side(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    draw = Random(11)
    texts = sentences(1500, draw)
    rows = [FORMS[name](text, f"Right: {text}", draw) for name in names for text in texts]
    draw.shuffle(rows)
    report = prepared(tmp_path, rows)
    assert leaked(tmp_path / "out", texts) == NOTHING
    assert report["records"]["bad"] == 0
    kept = report["records"]["kept"]
    for split in ("validation", "test"):
        assert report["splits"][split]["records"] == pytest.approx(kept / 10, rel=0.2)
    assert report["groups"]["largest"] < 12 * len(names)


def test_the_same_prompt_in_two_forms_is_a_duplicate_and_another_wording_is_not(
    tmp_path: Path,
) -> None:
    texts = sentences(200, Random(3))
    for other, duplicates in (
        ("text", 200),
        ("own prompt", 200),
        ("own prompt and system", 200),
        ("instruction", 0),
        ("another system", 0),
        ("alpaca", 0),
    ):
        rows = [FORMS[name](text, text, Random(1)) for name in ("plain", other) for text in texts]
        report = prepared(tmp_path, rows)
        dropped = report["tasks"]["grammar"]["dropped"]
        assert dropped == ({"exact duplicate": duplicates} if duplicates else {}), other


def turns(*contents: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {
        "messages": [
            {"role": roles[place % 2], "content": content} for place, content in enumerate(contents)
        ]
    }


def test_conversations_with_other_tutor_turns_before_the_last_answer_are_other_records(
    tmp_path: Path,
) -> None:
    long = " ".join(f"word{n}" for n in range(60))
    rows = [
        turns("Start", "Past of go?", "I do not know", "went"),
        turns("Start", "Past of eat?", "I do not know", "ate"),
        turns("Start", "Past of eat?", "I do not know", "It is ate."),  # another answer
        turns("Start", "Past of eat?", "I do not know", "ate"),  # the same
        turns(long, "Yes?", "Go on", "a"),
        turns(long, "No?", "Go on", "b"),
        {"messages": [{"role": "system", "content": "Be kind."}, *turns(long, "x")["messages"]]},
        {"messages": [{"role": "system", "content": "Be brief."}, *turns(long, "x")["messages"]]},
    ]
    report = prepared(tmp_path, rows)
    assert report["records"]["kept"] == 6
    assert report["tasks"]["grammar"]["dropped"] == {
        "exact duplicate": 1,
        "exact duplicate with another answer": 1,
    }


def test_a_dialogue_lies_where_the_same_turns_lie_as_a_conversation(tmp_path: Path) -> None:
    draw = Random(5)
    rows: list[dict[str, Any]] = []
    talks = [[*sentences(1, draw), *sentences(1, draw), *sentences(1, draw)] for _ in range(300)]
    for first, reply, last in talks:
        rows.append(
            {
                "task": "dialogue",
                "input": f"Anna: {first}\nTutor: {reply}\nAnna: {last}",
                "output": {"response": "Yes.", "strategy": "hint"},
            }
        )
        rows.append(turns(first, reply, last, "Yes.") | {"task": "dialogue"})
    draw.shuffle(rows)
    prepared(tmp_path, rows)
    sides = [plain("\n".join(all_questions(tmp_path / "out", split))) for split in SPLITS]
    for first, _, last in talks:
        both = [plain(first) in side and plain(last) in side for side in sides]
        assert sum(both) == 1


def test_a_common_instruction_or_greeting_ties_nothing_together(tmp_path: Path) -> None:
    draw = Random(2)
    texts = sentences(400, draw)
    asked = [f"Correct the grammar of this sentence.\n\n{text}" for text in texts]
    for count in (12, 60, 400):
        report = prepared(tmp_path, [chat(question, "Yes.") for question in asked[:count]])
        assert report["groups"]["largest"] == 1
    polite = [turns("Hello!", "Hi!", text, "Yes.", "Thank you.", "Bye.") for text in texts]
    assert prepared(tmp_path, polite)["groups"]["largest"] <= 2


def test_the_case_of_the_same_user_turns(tmp_path: Path) -> None:
    """../shared/cases/data/same_user_turns.jsonl: what the model saw before the answers differs."""
    case = ROOT.parent / "shared" / "cases" / "data" / "same_user_turns.jsonl"
    if not case.is_file():
        pytest.skip(f"{case} is not there")
    report = prepare([str(case)], tmp_path / "out", task="dialogue", workers=0)
    assert report["records"] == {"read": 2, "bad": 0, "dropped": 0, "kept": 2}


def test_conversations_that_differ_in_which_earlier_answers_are_learnt_are_told_apart(
    tmp_path: Path,
) -> None:
    said = ["Hello", "Hi! How are you?", "I am fine", "Good."]
    rows: list[dict[str, Any]] = []
    for weight in (1, 0, 0):
        row = turns(*said)
        row["messages"][1]["weight"] = weight
        rows.append(row)
    report = prepared(tmp_path, rows)
    (dropped,) = (task["dropped"] for task in report["tasks"].values())
    assert sorted(dropped.values()) == [1, 1] or sum(dropped.values()) == 2
    assert any("other answer" in reason or "another answer" in reason for reason in dropped), (
        dropped
    )
