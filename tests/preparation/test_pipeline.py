from __future__ import annotations

import hashlib
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lexitrain.errors import DataError, Stopped, TaskError
from lexitrain.preparation.pipeline import prepare
from lexitrain.records.normalization import loose_words
from lexitrain.records.prepared import SPLITS, read_split, split_file
from lexitrain.records.record import Record
from lexitrain.synthetic import generate
from lexitrain.tasks.dialogue import Dialogue
from tests.corpora import real_data
from tests.disks import mounted

DIALOGUE = Dialogue()


def grammar(text: str, corrected: str = "It is right.", **metadata: Any) -> dict[str, Any]:
    return {
        "task": "grammar",
        "input": text,
        "output": {"corrected": corrected, "errors": []},
        "metadata": metadata,
    }


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def generated(path: Path, count: int) -> str:
    path.write_text(
        "".join(record.to_json() + "\n" for record in generate(count, 7)), encoding="utf-8"
    )
    return str(path)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def everything(folder: Path) -> list[Record]:
    return [record for split in SPLITS for record in read_split(split_file(folder, split))]


def test_same_input_and_seed_give_the_same_bytes_with_any_number_of_workers(tmp_path: Path) -> None:
    source = generated(tmp_path / "raw.jsonl", 4000)
    for name, workers in (("a", 0), ("b", 2)):
        prepare([source], tmp_path / name, workers=workers)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    prepare([source], tmp_path / "c", workers=0, seed=43)
    assert content(tmp_path / "a")["train.jsonl"] != content(tmp_path / "c")["train.jsonl"]


def test_nothing_leaks_between_splits(tmp_path: Path) -> None:
    report = prepare([generated(tmp_path / "raw.jsonl", 6000)], tmp_path / "out")
    sides: dict[str, set[str]] = {}
    for split in SPLITS:
        for record in read_split(split_file(tmp_path / "out", split)):
            for key in (f"g{record.metadata['group']}", "".join(loose_words(record.input))):
                sides.setdefault(key, set()).add(split)
    assert all(len(found) == 1 for found in sides.values())
    for task in report["tasks"].values():
        assert task["train"] / task["kept"] == pytest.approx(0.8, abs=0.04)
        assert min(task["validation"], task["test"]) / task["kept"] == pytest.approx(0.1, abs=0.04)


def test_the_report_adds_up_and_names_the_bytes_written(tmp_path: Path) -> None:
    rows = [grammar(f"Sentence number {n} .") for n in range(300)]
    rows += [
        grammar("Sentence number  7 ."),  # the same after normalizing
        grammar("Sentence number 8 .", "Another answer."),
        grammar("..."),
        grammar(""),
        {"task": "grammar", "input": "A sentence.", "output": {"errors": []}},
        {"task": "fluency", "input": "A sentence.", "output": {"fluency_score": 7, "reasoning": ""}},
    ]  # fmt: skip
    source = tmp_path / "raw.jsonl"
    write(source, rows)
    source.write_text(source.read_text() + "{broken\n")
    report = prepare([str(source)], tmp_path / "out")
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["records"] == {"read": 307, "bad": 1, "dropped": 6, "kept": 300}
    dropped = report["tasks"]["grammar"]["dropped"]
    assert dropped["exact duplicate"] == 1
    assert dropped["exact duplicate with another answer"] == 1
    assert dropped["input too short"] == 1
    assert dropped["empty input"] == 1
    assert report["tasks"]["fluency"]["kept"] == 0
    assert report["bad_records"][0].startswith(f"{source}:307: malformed JSON")
    assert f"{source}:303" in report["examples_of_dropped"].values()
    assert report["inputs"][0]["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    for split, facts in report["splits"].items():
        written = (split_file(tmp_path / "out", split)).read_bytes()
        assert facts["sha256"] == hashlib.sha256(written).hexdigest()
        assert facts["bytes"] == len(written)
        assert facts["records"] == written.count(b"\n")
    assert everything(tmp_path / "out")[0].metadata == {}


def test_long_texts_that_differ_in_case_or_a_word_are_near_duplicates_short_ones_are_not(
    tmp_path: Path,
) -> None:
    draw = Random(1)
    long = [f"word{draw.randrange(900)}" for _ in range(80)]
    upper, other = " ".join(long).upper() + " !", " ".join([*long[:40], "changed", *long[41:]])
    short = ["I like green tea.", "i like green tea!", "I like black tea."]
    rows = [grammar(text) for text in (" ".join(long), upper, other, *short)]
    rows.append(rows[0] | {"task": "fluency", "output": {"fluency_score": 1, "reasoning": "."}})
    report = prepare([write(tmp_path / "raw.jsonl", rows)], tmp_path / "out")
    assert report["tasks"]["grammar"]["dropped"] == {"near duplicate": 2}
    kept = {(record.task, record.input) for record in everything(tmp_path / "out")}
    assert kept == {("grammar", text) for text in (" ".join(long), *short)} | {
        ("fluency", " ".join(long))
    }


def test_records_that_share_a_text_or_a_group_stay_together(tmp_path: Path) -> None:
    """A chain over both kinds of links and two tasks, spelt differently, among enough others."""
    chain = [
        grammar("It ca n't be .", group="one"),
        {"task": "fluency", "input": "It can't be.", "output": {"fluency_score": 1, "reasoning": "."}},
        grammar("Another text", group="one"),
        grammar("A third text", group="two"),
        {"task": "fluency", "input": "a third text", "output": {"fluency_score": 1, "reasoning": "."}}
        | {"metadata": {"group": "one"}},
    ]  # fmt: skip
    others = [grammar(f"Other text {n}") for n in range(60)]
    source = write(tmp_path / "raw.jsonl", chain + others)
    for seed in range(6):
        out = tmp_path / str(seed)
        prepare([source], out, seed=seed)
        inputs = {row["input"] for row in chain}
        sides = [
            {record.input for record in read_split(split_file(out, split))} & inputs
            for split in SPLITS
        ]
        assert sorted(map(len, sides)) == [0, 0, 5]


def test_too_many_bad_records_write_nothing(tmp_path: Path) -> None:
    rows = [grammar(f"Text {n}") for n in range(97)]
    bad: list[Any] = [{"task": "grammar"}, {"task": "gramar", "input": "a", "output": "b"}, [1]]
    source = write(tmp_path / "raw.jsonl", rows + bad)
    with pytest.raises(DataError, match="3 of 100 records are bad") as failed:
        prepare([source], tmp_path / "deep" / "out")
    assert f"{source}:99: unknown task 'gramar' (did you mean 'grammar'?)" in str(failed.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw.jsonl"]
    assert prepare([source], tmp_path / "out", max_bad=0.03)["records"]["bad"] == 3


def test_a_reason_that_holds_for_many_records_is_told_once_and_whole(tmp_path: Path) -> None:
    rows = [{"learner": f"Text {n}", "corrected": "b"} for n in range(50)]
    rows += [{"task": "haiku", "input": "a", "output": "b"}]
    source = write(tmp_path / "raw.jsonl", rows)
    with pytest.raises(DataError, match="51 of 51 records are bad") as failed:
        prepare([source], tmp_path / "out")
    told = str(failed.value)
    assert told.count("none of its keys is a known one (it has `learner`, `corrected`)") == 1
    assert f"must be a header that names its columns so (also {source}:2, {source}:3)" in told
    assert "unknown task 'haiku' (known: dialogue" in told
    assert "one of your own: --custom-task FILE.py" in told


def test_a_task_that_is_not_known_is_reported_before_any_work(tmp_path: Path) -> None:
    source = write(tmp_path / "raw.jsonl", [grammar("a")])
    with pytest.raises(TaskError, match="Did you mean grammar") as caught:
        prepare([source], tmp_path / "out", task="gramar")
    assert caught.value.where == "--task"
    with pytest.raises(TaskError, match="no such file of tasks"):
        prepare([source], tmp_path / "out", custom_tasks=["missing.py"])
    assert not (tmp_path / "out").exists()


def test_rows_without_a_task_get_the_one_given_by_either_of_its_names(tmp_path: Path) -> None:
    rows = [
        {key: value for key, value in grammar(f"Text {n}").items() if key != "task"}
        for n in range(9)
    ]
    source = write(tmp_path / "raw.jsonl", rows)
    for name in ("grammar", "grammar_correction"):
        report = prepare([source], tmp_path / name, task=name, minimum_characters=5)
        assert report["minimum_characters"] == 5
        assert report["tasks"]["grammar"]["kept"] == 9
    assert content(tmp_path / "grammar") == content(tmp_path / "grammar_correction")
    with pytest.raises(DataError, match="input too short"):
        prepare([source], tmp_path / "out", task="grammar", minimum_characters=9)


def test_duplicates_keep_their_name_however_many_reasons_there_are(tmp_path: Path) -> None:
    rows = [
        {"task": "fluency", "input": f"A text {n}", "output": {"fluency_score": n, "reasoning": ""}}
        for n in range(2, 300)
    ]
    source = write(tmp_path / "raw.jsonl", [*rows, grammar("Same"), grammar("Same")])
    report = prepare([source], tmp_path / "out", max_dropped=1)
    assert report["tasks"]["grammar"]["dropped"] == {"exact duplicate": 1}
    dropped = report["tasks"]["fluency"]["dropped"]
    assert len(dropped) == 201
    assert dropped["invalid: other reasons"] == 98
    assert report["records"]["dropped"] == 299


def test_a_missing_source_is_reported_before_any_work(tmp_path: Path) -> None:
    source = write(tmp_path / "raw.jsonl", [grammar("a")])
    with pytest.raises(DataError, match="no such file"):
        prepare([source, str(tmp_path / "missing.jsonl")], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("rows", [[], [grammar("...")]])
def test_nothing_left_is_an_error(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError, match="No record is left"):
        prepare([write(tmp_path / "raw.jsonl", rows)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_preparing_a_prepared_file_into_its_own_folder_changes_no_record(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare([generated(tmp_path / "raw.jsonl", 500)], out)
    before = {record.to_json() for record in everything(out)}
    prepare([str(split_file(out, split)) for split in SPLITS], out)
    assert {record.to_json() for record in everything(out)} == before


def test_a_part_of_a_prepared_folder_does_not_take_the_place_of_all(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare([generated(tmp_path / "raw.jsonl", 500)], out)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(
        DataError, match=r"test\.jsonl would be lost|validation\.jsonl would be lost"
    ):
        prepare([str(split_file(out, "train"))], out)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_a_full_disk_stops_and_leaves_nothing(tmp_path: Path) -> None:
    source = generated(tmp_path / "raw.jsonl", 3000)
    with mounted(tmp_path / "small", "size=256k") as disk:
        with pytest.raises(Stopped, match="disk is full"):
            prepare([source], disk / "out")
        assert list(disk.iterdir()) == []
    with mounted(tmp_path / "small", "size=1600k") as disk:  # room for the first pass only
        with pytest.raises(Stopped, match="disk is full"):
            prepare([source], disk / "out")
        assert list(disk.iterdir()) == []


def test_records_that_are_no_text_or_too_deep_are_bad(tmp_path: Path) -> None:
    deep = '{"a":' * 950 + "1" + "}" * 950
    lines = [
        json.dumps(grammar("half \ud800")),
        f'{{"task": "grammar", "input": "a", "output": "b", "metadata": {deep}}}',
        json.dumps(grammar("whole", score=float("nan"))),
    ]
    path = tmp_path / "raw.jsonl"
    path.write_text("\n".join(lines))
    report = prepare([str(path)], tmp_path / "out", max_bad=0.9)
    assert [bad.rpartition(":")[0] for bad in report["bad_records"]] == [
        f"{path}:1: half a surrogate pair",
        f"{path}:2",
    ]
    assert (
        report["bad_records"][1].endswith("nested too deeply")
        or "malformed" in report["bad_records"][1]
    )
    [kept] = everything(tmp_path / "out")
    assert kept.metadata == {"score": None}


def test_progress_ends_at_the_size_of_the_input(tmp_path: Path) -> None:
    source = write(tmp_path / "raw.jsonl", [grammar(f"Text {n}") for n in range(50)])
    told: list[tuple[str, int, int]] = []
    prepare([source], tmp_path / "out", progress=lambda *step: told.append(step))
    size = Path(source).stat().st_size
    assert ("reading", size, size) in told
    assert {stage for stage, _, _ in told} == {
        "reading", "finding duplicates", "splitting", "writing",
    }  # fmt: skip


@pytest.mark.real_data
def test_the_real_corpora(tmp_path: Path) -> None:
    sources = [str(path) for path in sorted(real_data().glob("*.jsonl"))]
    report = prepare(sources, tmp_path / "out", workers=0)
    assert report["records"]["read"] == 23_326
    assert report["records"]["bad"] == 0
    tasks = report["tasks"]
    assert tasks["grammar"]["kept"] == 1501
    assert tasks["vocabulary"]["dropped"]["exact duplicate with another answer"] > 500  # CEFR-J
    assert all(min(tasks[task][split] for split in SPLITS) > 0 for task in tasks)


def dialogue(context: str, last: str = "I don't know.", **metadata: Any) -> dict[str, Any]:
    return {
        "task": "dialogue",
        "input": last,
        "output": {"response": "Look at the verb.", "strategy": "hint", "pedagogical_goal": ""},
        "metadata": {"context": context, **metadata},
    }


def test_a_dialogue_is_told_apart_by_what_was_said_before(tmp_path: Path) -> None:
    rows = [dialogue(f"Tutor: What is {n} plus {n}?") for n in range(12)]
    rows += [dialogue("Tutor: What is 1 plus 1?", requested_strategy="praise")]
    rows += [dialogue("Tutor: What is 3 plus 3?")]  # the only true repetition
    report = prepare([write(tmp_path / "raw.jsonl", rows)], tmp_path / "out")
    assert report["records"]["kept"] == 13


def test_an_empty_group_ties_nothing_together(tmp_path: Path) -> None:
    rows = [grammar(f"Sentence number {n} stand alone.", group="") for n in range(60)]
    prepare([write(tmp_path / "raw.jsonl", rows)], tmp_path / "out")
    sizes = [len(read_split(split_file(tmp_path / "out", split))) for split in SPLITS]
    assert sizes == [48, 6, 6]


def sides_of(folder: Path, inputs: set[str]) -> list[int]:
    """How many of the `inputs` each split holds, fewest first."""
    found = (read_split(split_file(folder, split)) for split in SPLITS)
    return sorted(len({record.input for record in records} & inputs) for records in found)


def test_a_dropped_duplicate_still_ties_its_group_to_the_record_it_repeats(tmp_path: Path) -> None:
    long = " ".join(f"word{n}" for n in range(80))
    chain = [
        grammar("One text", group="a"),
        grammar("One text", group="b"),  # an exact duplicate
        grammar("Another text", group="b"),
        grammar(long, group="b"),
        grammar(long + " more", group="c"),  # a near duplicate
        grammar("A third text", group="c"),
    ]
    source = write(tmp_path / "raw.jsonl", chain + [grammar(f"Other {n}") for n in range(60)])
    kept = {"One text", "Another text", long, "A third text"}
    for seed in range(6):
        prepare([source], tmp_path / str(seed), seed=seed)
        assert sides_of(tmp_path / str(seed), kept) == [0, 0, 4]


def talk(*turns: str) -> dict[str, Any]:
    return {
        "task": "dialogue",
        "input": "\n".join(turns),
        "output": {"response": "Yes.", "strategy": "hint", "pedagogical_goal": ""},
    }


def test_a_conversation_stays_with_the_one_it_goes_on_from_and_a_greeting_ties_nothing(
    tmp_path: Path,
) -> None:
    hello = "Tutor: Hello!"
    grown = [talk(hello, *(f"Student: turn {n}" for n in range(length))) for length in range(1, 6)]
    grown.append(
        {
            "task": "dialogue",
            "input": "Student: the last turn",
            "metadata": {"context": "Tutor: Hello!\n" + "\n".join(f"Student: turn {n}" for n in range(5))},
            "output": {"response": "Yes.", "strategy": "hint", "pedagogical_goal": ""},
        }
    )  # fmt: skip
    others = [talk(hello, f"Student: I am number {n}") for n in range(90)]
    source = write(tmp_path / "raw.jsonl", [talk(hello), *grown, *others])
    for seed in range(6):
        out = tmp_path / str(seed)
        report = prepare([source], out, seed=seed)
        assert sides_of(out, {record["input"] for record in grown}) == [0, 0, len(grown)]
        assert report["groups"] == {"count": 92, "largest": len(grown)}


@pytest.mark.real_data
def test_no_real_conversation_is_the_beginning_of_one_in_another_split(tmp_path: Path) -> None:
    sources = [str(path) for path in sorted(real_data().glob("dialogue_*.jsonl"))]
    prepare(sources, tmp_path / "out", workers=0)
    whole: dict[tuple[str, ...], set[str]] = {}
    begun: dict[tuple[str, ...], set[str]] = {}
    for split in SPLITS:
        for record in read_split(split_file(tmp_path / "out", split)):
            turns = tuple(DIALOGUE.asked(record)[1].split("\n"))
            whole.setdefault(turns, set()).add(split)
            for length in range(1, len(turns)):
                begun.setdefault(turns[:length], set()).add(split)
    shared = whole.keys() & begun.keys()
    assert len(shared) > 500
    assert [turns for turns in shared if len(whole[turns] | begun[turns]) > 1] == []
