"""What `prepare` says of the data, on records made so that the answer is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lexitrain.preparation import prepare, saved_advice
from lexitrain.preparation.advice.signs import MOST_CLASSES, TOO_MANY, Labels
from lexitrain.records.normalization import loose_words
from lexitrain.synthetic import generate
from lexitrain.tasks import may_be_english
from tests.corpora import real_data

WORDS = ["Water", "River", "Window", "Garden", "Kitchen", "Doctor", "Summer", "Teacher"]
VIETNAMESE = "Chủ ngữ số ít cần động từ thêm -es trong câu này."


def vocabulary(text: str, level: str) -> dict[str, Any]:
    return {"task": "vocabulary", "input": text, "output": {"level": level, "key_words": []}}


def fluency(text: str, score: float) -> dict[str, Any]:
    return {"task": "fluency", "input": text, "output": {"fluency_score": score, "reasoning": ""}}


def explanation(text: str, said: str) -> dict[str, Any]:
    return {"task": "explanation", "input": text, "output": {"explanation": said}}


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def prepared(tmp_path: Path, rows: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    return prepare([write(tmp_path / "raw.jsonl", rows)], tmp_path / "out", **options)


def of_kind(report: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each for each in report["advice"] if each["kind"] == kind]


def test_a_class_that_crowds_out_the_others_and_those_hardly_there(tmp_path: Path) -> None:
    rows = [vocabulary(f"the word {n}", "B1") for n in range(200)]
    rows += [vocabulary(f"the word {n}", "A1") for n in range(200, 300)]
    rows += [vocabulary(f"the word {n}", "C1") for n in range(300, 305)]
    report = prepared(tmp_path, rows)
    train = [json.loads(line) for line in lines(tmp_path / "out" / "train.jsonl")]
    levels = [row["output"]["level"] for row in train]
    [crowding] = of_kind(report, "class_imbalance")
    assert (crowding["task"], crowding["field"]) == ("vocabulary", "level")
    assert (crowding["count"], crowding["of"]) == (levels.count("B1"), len(levels))
    assert crowding["scores"] == ["accuracy", "macro_f1"]
    [rare] = of_kind(report, "rare_classes")
    assert rare["count"] == levels.count("C1")
    assert "A2 0, B2 0, C2 0" in rare["what"]  # listed in the schema, in no record
    assert f"C1 {levels.count('C1')}" in rare["what"]


def test_even_classes_and_few_records_are_not_mentioned(tmp_path: Path) -> None:
    levels = ["A1", "A2", "B1", "B2", "C1", "C2"]
    rows = [vocabulary(f"the word {n}", levels[n % 6]) for n in range(300)]
    assert prepared(tmp_path, rows)["advice"] == []
    few = [vocabulary(f"the word {n}", "B1") for n in range(12)]
    report = prepare([write(tmp_path / "few.jsonl", few)], tmp_path / "few")
    assert report["advice"] == []


def test_free_texts_are_no_classes(tmp_path: Path) -> None:
    rows = [
        {"task": "dialogue", "input": f"A question {n}", "output": {"response": f"Reply {n}", "strategy": "hint"}}
        for n in range(60)
    ]  # fmt: skip
    report = prepared(tmp_path, rows)
    assert [(each["kind"], each["field"]) for each in report["advice"]] == [
        ("class_imbalance", "strategy")
    ]
    for row in rows:
        row["metadata"] = {"requested_strategy": "hint"}  # in the prompt: nothing to learn
    report = prepare([write(tmp_path / "asked.jsonl", rows)], tmp_path / "asked")
    assert report["advice"] == []


def test_labels_that_contradict_for_the_same_words(tmp_path: Path) -> None:
    rows = [vocabulary(word, "A1") for word in WORDS]
    rows += [
        vocabulary("water!", "B2"),  # kept: another spelling of the same words
        vocabulary("River", "C1"),  # an exact duplicate: dropped, and a contradiction all the same
        vocabulary("window", "A1"),
    ]
    rows += [fluency("He go home now", 0.3), fluency("he go home now.", 0.9)]
    rows += [fluency("She goes home", 0.6), fluency("she goes home!", 0.7)]  # as annotators differ
    report = prepared(tmp_path, rows)
    score, level = of_kind(report, "contradicting_labels")
    raw = tmp_path / "raw.jsonl"
    assert (level["task"], level["count"], level["of"]) == ("vocabulary", 4, 11)
    assert level["examples"] == [f"{raw}:1 (A1), {raw}:9 (B2)", f"{raw}:2 (A1), {raw}:10 (C1)"]
    assert (score["task"], score["field"], score["count"]) == ("fluency", "fluency_score", 2)
    assert score["examples"] == [f"{raw}:12 (0.3), {raw}:13 (0.9)"]
    assert not of_kind(report, "other_answers")


def test_numbers_that_contradict_are_shown_by_those_farthest_apart(tmp_path: Path) -> None:
    """The second differs from the first as annotators do; the third and the fourth do not."""
    scores = {
        "He go home now": 0.5,
        "he go home now": 0.55,
        "He go home now!": 0.9,
        "He go, home now": 0.2,
    }
    report = prepared(tmp_path, [fluency(text, score) for text, score in scores.items()])
    [found] = of_kind(report, "contradicting_labels")
    raw = tmp_path / "raw.jsonl"
    assert found["examples"] == [f"{raw}:3 (0.9), {raw}:4 (0.2)"]


def test_near_duplicates_count_as_the_same_input(tmp_path: Path) -> None:
    words = [f"word{n}" for n in range(80)]
    rows = [
        vocabulary(" ".join(words), "A1"),
        vocabulary(" ".join([*words[:40], "x", *words[41:]]), "B2"),
    ]
    report = prepared(tmp_path, rows)
    [found] = of_kind(report, "contradicting_labels")
    assert found["count"] == 2


def test_places_in_an_array_and_of_the_second_file_are_named(tmp_path: Path) -> None:
    one, two = tmp_path / "a.json", tmp_path / "b.jsonl"
    one.write_text(json.dumps([vocabulary(word, "A1") for word in WORDS]))
    write(two, [vocabulary("garden", "B2")])
    report = prepare([str(one), str(two)], tmp_path / "out")
    [found] = of_kind(report, "contradicting_labels")
    assert found["examples"] == [f"{one}:1, element 4 (A1), {two}:1 (B2)"]


def test_answers_that_are_none_and_other_answers(tmp_path: Path) -> None:
    def conversation(text: str, answer: str) -> dict[str, Any]:
        turns = [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
        return {"task": "grammar", "messages": turns}

    rows = [conversation(f"Mend number {n}", '{"corrected":"It is.","errors":[]}') for n in range(9)]  # fmt: skip
    rows += [conversation("Mend this", "It is right."), conversation("Mend that", "It is.")]
    rows += [conversation("Mend this", "It was right.")]
    rows += [{"task": "fluency", "input": "A text", "output": {"fluency_score": 7}}]
    report = prepared(tmp_path, rows, max_dropped=0.9)
    raw = tmp_path / "raw.jsonl"
    [none] = of_kind(report, "unparsed_answers")
    assert (none["task"], none["count"], none["of"]) == ("grammar", 2, 11)
    assert none["examples"] == [f"{raw}:10", f"{raw}:11"]
    [other] = of_kind(report, "other_answers")
    assert (other["task"], other["count"]) == ("grammar", 1)
    assert other["scores"] == ["f0.5", "gleu", "exact_match"]
    [invalid] = of_kind(report, "invalid_answers")
    assert (invalid["task"], invalid["count"], invalid["of"]) == ("fluency", 1, 1)
    assert invalid["examples"][0].startswith(f"{raw}:13: invalid: output.fluency_score is 7")


def test_languages(tmp_path: Path) -> None:
    rows = [explanation(f"He go to school number {n}", VIETNAMESE) for n in range(50)]
    rows += [explanation(f"She go home number {n}", "The verb needs an s.") for n in range(3)]
    rows += [explanation(f"Я хожу в школу {n}", VIETNAMESE) for n in range(4)]
    report = prepared(tmp_path, rows)
    [answers], [texts] = of_kind(report, "answer_language"), of_kind(report, "text_language")
    assert (answers["count"], answers["of"]) == (3, 57)
    assert answers["scores"] == ["chrf", "vietnamese"]
    assert (texts["count"], texts["of"]) == (4, 57)
    assert texts["examples"][0] == f"{tmp_path / 'raw.jsonl'}:54"


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("Yesterday I go to the shop with my friends", True),
        ("word", True),
        ("12 + 7 = 19", True),
        ("I go to school by bus every day", True),
        ("Ich gehe jeden Tag mit meinem Bruder in die Schule", False),
        ("Yo voy todos los dias con mi hermano menor", False),
        ("Tôi đi học mỗi ngày", False),
        ("我每天去学校", False),
        ("Saya pergi ke sekolah setiap hari dengan kakak saya", False),
    ],
)
def test_what_looks_english(text: str, english: bool) -> None:
    assert may_be_english(text, loose_words(text)) is english


def test_hardly_any_real_learner_text_looks_another_language() -> None:
    for file in sorted(real_data().glob("*.jsonl")):
        texts = [json.loads(line)["input"] for line in lines(file)]
        other = [text for text in texts if not may_be_english(text, loose_words(text))]
        assert len(other) <= max(1, 0.005 * len(texts)), (file.name, other[:3])


def test_own_splits_that_overlap_are_told(tmp_path: Path) -> None:
    rows = [vocabulary(word, "A1") for word in WORDS]
    write(tmp_path / "train.jsonl", rows)
    write(tmp_path / "test.jsonl", [vocabulary("water.", "A1"), vocabulary("Mountain", "A1")])
    sources = [str(tmp_path / "train.jsonl"), str(tmp_path / "test.jsonl")]
    report = prepare(sources, tmp_path / "out")
    [overlap] = of_kind(report, "own_splits_overlap")
    assert (overlap["count"], overlap["of"]) == (1, 10)
    assert report["across_splits"] == {"same_text": 0, "nearly_the_same": 0}


def test_a_long_text_that_two_tasks_hold_in_nearly_the_same_words(tmp_path: Path) -> None:
    """Groups tie equal texts of two tasks, not nearly equal ones: what is then on two sides is counted."""
    rows: list[dict[str, Any]] = []
    for n in range(60):
        words = [f"the{n}word{k}" for k in range(60)]
        rows.append(vocabulary(" ".join(words), "A1"))
        rows.append(fluency(" ".join([*words[:30], "changed", *words[31:]]), 0.5))
    report = prepared(tmp_path, rows)
    sides: dict[str, list[str]] = {}
    for split in report["splits"]:
        for line in lines(tmp_path / "out" / f"{split}.jsonl"):
            sides.setdefault(json.loads(line)["input"].split()[0], []).append(split)
    apart = sum(("train" in pair) and set(pair) != {"train"} for pair in sides.values())
    assert report["across_splits"] == {"same_text": 0, "nearly_the_same": apart}
    assert apart > 0
    [told] = of_kind(report, "across_splits")
    assert told["count"] == apart


def test_advice_is_the_same_with_any_number_of_workers_and_is_saved(tmp_path: Path) -> None:
    rows = [json.loads(record.to_json()) for record in generate(4000, 7)]
    rows += [vocabulary(word, level) for word in WORDS for level in ("A1", "C2")]
    source = write(tmp_path / "raw.jsonl", rows)
    alone = prepare([source], tmp_path / "a", workers=0)
    shared = prepare([source], tmp_path / "b", workers=2)
    assert alone == shared
    assert of_kind(alone, "contradicting_labels")
    assert saved_advice(tmp_path / "a") == alone["advice"]
    assert saved_advice(source) == saved_advice(tmp_path / "nowhere") == []


def test_labels_of_chunks_get_the_numbers_of_the_whole() -> None:
    import numpy as np

    from lexitrain.preparation.advice.signs import SIGN

    whole = Labels()
    for chunk in (["b", "a"], ["c", "a", "b"]):
        part, signs = Labels(), np.zeros(len(chunk), SIGN)
        signs["labels"][:, 0] = [part.number(3, 0, text) for text in chunk]
        whole.take(part, np.full(len(chunk), 3), signs)
        names = whole.names(3, 0)
        assert names is not None
        assert [names[code - 1] for code in signs["labels"][:, 0]] == chunk
    assert [whole.number(3, 1, str(n)) for n in range(MOST_CLASSES + 1)][-1] == TOO_MANY
    assert whole.names(3, 1) is None
