"""The stream of synthetic records: repeatable, well formed, and true to what it says of itself."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import islice

import pytest

from lexitrain.errors import InputError
from lexitrain.records.record import Record
from lexitrain.synthetic import generate
from lexitrain.synthetic.lexicon import LEVELS, graded_forms
from lexitrain.synthetic.records import PROPORTIONS
from lexitrain.synthetic.sentence import ERROR_TYPES

KEYS = {
    "fluency": ["fluency_score", "reasoning"],
    "vocabulary": ["level", "key_words"],
    "grammar": ["corrected", "errors"],
    "dialogue": ["response", "strategy", "pedagogical_goal"],
    "explanation": ["explanation"],
}


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return list(generate(5_000, seed=11))


def of(records: list[Record], task: str) -> list[Record]:
    return [record for record in records if record.task == task]


def output(record: Record) -> dict[str, object]:
    assert isinstance(record.output, dict)
    return record.output


def test_same_seed_same_records_and_a_prefix_of_more() -> None:
    few = [record.to_json() for record in generate(200, seed=3)]
    assert few == [record.to_json() for record in islice(generate(10_000, seed=3), 200)]
    assert few != [record.to_json() for record in generate(200, seed=4)]


def test_all_tasks_come_in_their_proportions(records: list[Record]) -> None:
    shares = Counter(record.task for record in records)
    for task, share in PROPORTIONS.items():
        assert shares[task] / len(records) == pytest.approx(share, abs=0.03)


def test_outputs_have_the_keys_of_their_task_in_order(records: list[Record]) -> None:
    for record in records:
        assert list(output(record)) == KEYS[record.task]
        assert json.loads(record.to_json())["metadata"]["source"] == "synthetic"
        assert re.fullmatch("[0-9a-f]{16}", record.metadata["group"])


def test_chosen_tasks_only_and_unknown_ones_refused() -> None:
    assert {record.task for record in generate(50, 1, tasks=["fluency", "dialogue"])} == {
        "fluency",
        "dialogue",
    }
    with pytest.raises(InputError, match="grammer"):
        list(generate(5, 1, tasks=["grammer"]))
    with pytest.raises(InputError):
        list(generate(-1, 1))


def test_every_correction_differs_from_its_input(records: list[Record]) -> None:
    for record in of(records, "grammar"):
        corrected = output(record)["corrected"]
        assert corrected != record.input
        assert record.metadata["references"] == [corrected]
        assert record.metadata["error_types"]


def test_all_error_types_occur_and_each_span_stands_in_the_input(records: list[Record]) -> None:
    seen: Counter[str] = Counter()
    for record in of(records, "grammar"):
        errors = output(record)["errors"]
        assert isinstance(errors, list)
        assert [error["type"] for error in errors] == record.metadata["error_types"]
        for error in errors:
            assert error["span"] in record.input
            seen[error["type"]] += 1
    assert set(seen) == set(ERROR_TYPES)
    assert min(seen.values()) >= 15


def test_fluency_counts_errors_and_its_scores_spread(records: list[Record]) -> None:
    scores: list[float] = []
    for record in of(records, "fluency"):
        score = output(record)["fluency_score"]
        assert isinstance(score, float)
        assert score == pytest.approx(1 - len(record.metadata["error_types"]) / 4)
        scores.append(score)
    mean = sum(scores) / len(scores)
    # The error of always saying the mean must leave room for a model to do better.
    assert sum(abs(score - mean) for score in scores) / len(scores) > 0.35


def test_vocabulary_level_is_that_of_the_hardest_word(records: list[Record]) -> None:
    forms = graded_forms()
    levels: Counter[str] = Counter()
    for record in of(records, "vocabulary"):
        words = re.findall(r"[a-z]+", record.input.lower())
        hardest = max(forms.get(word, 0) for word in words)
        answer = output(record)
        assert answer["level"] == LEVELS[hardest]
        key_words = answer["key_words"]
        assert isinstance(key_words, list)
        assert key_words
        assert all(forms[word] == hardest and word in words for word in key_words)
        levels[LEVELS[hardest]] += 1
    assert set(levels) == set(LEVELS)
    assert max(levels.values()) < 2 * min(levels.values())


def test_dialogues_end_with_the_student_and_strategies_are_even(records: list[Record]) -> None:
    strategies: Counter[object] = Counter()
    for record in of(records, "dialogue"):
        lines = record.input.split("\n")
        assert lines[0].startswith("Tutor: ")
        assert lines[-1].startswith("Student: ")
        strategies[output(record)["strategy"]] += 1
    assert len(strategies) >= 6
    assert max(strategies.values()) < 2 * min(strategies.values())


def test_explanations_are_vietnamese_and_name_the_right_words(records: list[Record]) -> None:
    for record in of(records, "explanation"):
        text = output(record)["explanation"]
        assert isinstance(text, str)
        assert text.startswith("Lỗi ")
        assert text.endswith("'.")
        assert record.metadata["language"] == "vi"
        wrong, right = re.fullmatch("Error: '(.*)' → Correct: '(.*)'", record.input).groups()  # type: ignore[union-attr]
        named = re.search("Viết '(.*)', không viết '(.*)'", text)
        assert named
        assert named[1] in right
        assert named[2] in wrong


def test_inputs_are_hardly_ever_the_same(records: list[Record]) -> None:
    assert len({record.input for record in records}) > 0.97 * len(records)
