"""Grammars for llama.cpp: what they hold, read by llama.cpp itself and by another reader."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from lexitrain.errors import TaskError
from lexitrain.evaluation import answer_gbnf, asked_gbnf, chosen_gbnf, schema_of
from lexitrain.evaluation.generation.token_bytes import token_bytes
from lexitrain.records.record import Record
from lexitrain.serving import LlamaServer, completion
from lexitrain.synthetic import generate as synthetic_records
from lexitrain.tasks import Task, registry
from lexitrain.tasks.schema import schema_problem
from tests.evaluation.generation.test_schema_masks import AnyTask, schemas
from tests.exported import nano_tokenizer, write_nano
from tests.gbnf_reader import pattern_of
from tests.paths import ROOT

pytest.importorskip("xllamacpp")

TASKS = registry()
SPELT = token_bytes(nano_tokenizer())
REAL = ROOT.parent / "shared" / "data" / "real"
PROMPT = [5, 6, 7]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    file = write_nano(tmp_path_factory.mktemp("gguf") / "nano.gguf", "Q8_0")
    with LlamaServer(file, slots=1, context=2048, threads=1) as started:
        yield started


def drawn(server: LlamaServer, grammar: str, seed: int, most: int = 1500) -> str | None:
    """An answer under a grammar at temperature 3, as the grammar read it; None where it did not end."""
    found = completion(
        server, PROMPT, most_tokens=most, temperature=3.0, seed=seed, grammar=grammar
    )
    if not found.finished:
        return None
    said = b"".join(SPELT[token] for token in found.tokens)
    assert said.decode(errors="replace") == found.text
    return read_as_llama_cpp(said)


def read_as_llama_cpp(said: bytes) -> str:
    """Bytes as its grammars read them: a character's first byte tells how many follow, and no more is asked.

    So U+0080 may be written in three bytes or four instead of two, and UTF-8 read strictly is U+FFFD there:
    that is llama.cpp's, and told in docs/export.md. What is held to a schema here is the text that the grammar saw.
    """
    text, at = "", 0
    while at < len(said):
        first = said[at]
        more = (first >= 0xC0) + (first >= 0xE0) + (first >= 0xF0)
        value = first & (0x7F, 0x1F, 0x0F, 0x0F)[more] if first >= 0x80 else first
        for byte in said[at + 1 : at + 1 + more]:
            value = value << 6 | byte & 0x3F
        text += chr(value)
        at += 1 + more
    return text


def one_text(**limits: Any) -> AnyTask:
    return AnyTask({"type": "object", "properties": {"a": {"type": "string", **limits}}})


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """JSON Schema's words that `schema_of` writes, as the standard has them."""
    kind = schema.get("type")
    if kind == "object":
        properties = schema["properties"]
        return (
            isinstance(value, dict)
            and set(schema["required"]) <= set(value) <= set(properties)
            and all(fits(value[key], inner) for key, inner in properties.items())
        )
    if kind == "array":
        most = schema.get("maxItems", len(value))
        return len(value) <= most and all(fits(each, schema["items"]) for each in value)
    if kind == "number":
        return schema.get("minimum", value) <= value <= schema.get("maximum", value)
    length = len(value)
    return schema.get("minLength", 0) <= length <= schema.get(
        "maxLength", length
    ) and value in schema.get("enum", [value])


@pytest.mark.slow
def test_500_answers_of_a_base_that_knows_nothing_are_valid(server: LlamaServer) -> None:
    ended = 0
    for number in range(500):
        task = list(TASKS.values())[number % len(TASKS)]
        text = drawn(server, answer_gbnf(task), number)
        if text is None:
            continue
        ended += 1
        assert task.invalid(text) is None, text
        assert fits(json.loads(text), schema_of(task)), text
        assert pattern_of(answer_gbnf(task)).fullmatch(text), text
    assert ended > 450


def test_an_answer_to_any_task_is_one_to_its_own(server: LlamaServer) -> None:
    grammar = chosen_gbnf(TASKS)
    for seed in range(20):
        text = drawn(server, grammar, seed)
        if text is not None:
            assert [name for name, task in TASKS.items() if task.invalid(text) is None], text


def test_a_character_in_too_many_bytes_is_read_as_the_grammar_does() -> None:
    for letter in "a", "\x7f", "\x80", "\u0840", "ế", "\uffff", "😀":
        assert read_as_llama_cpp(letter.encode()) == letter
    assert read_as_llama_cpp(b"\xe0\x82\x80|\xf0\x80\xa1\x80") == "\x80|\u0840"


@pytest.mark.slow
@example(
    {"type": "object", "properties": {"\x1f": {"type": "string", "enum": ["\x80", "\u0840"]}}}, 0
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(schemas, st.integers(0, 2**31))
def test_what_ends_satisfies_any_schema_of_any_user(
    server: LlamaServer, schema: Any, seed: int
) -> None:
    assume(schema_problem(schema) is None)
    task = AnyTask(schema)
    grammar = answer_gbnf(task)
    text = drawn(server, grammar, seed, 600)
    assume(text is not None)
    assert text is not None
    assert task.invalid(text) is None
    assert list(json.loads(text)) == list(schema["properties"])
    assert fits(json.loads(text), schema_of(task))
    assert pattern_of(grammar).fullmatch(text)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(schemas, st.randoms(use_true_random=False))
def test_an_answer_as_it_is_trained_is_in_the_grammar(schema: Any, at_random: Any) -> None:
    assume(schema_problem(schema) is None)
    task = AnyTask(schema)
    value = _valid(schema, at_random)
    text = task.format(value)
    assert task.invalid(text) is None
    assert pattern_of(answer_gbnf(task)).fullmatch(text), text
    assert fits(value, schema_of(task))


def _valid(schema: Any, at_random: random.Random) -> Any:
    kind = schema["type"]
    if kind == "object":
        return {key: _valid(inner, at_random) for key, inner in schema["properties"].items()}
    if kind == "array":
        return [_valid(schema["items"], at_random) for _ in range(at_random.randint(0, 16))]
    least = int(schema.get("minLength", 0))
    if kind == "string" and "enum" in schema:
        return at_random.choice([each for each in schema["enum"] if len(each.strip()) >= least])
    if kind == "string":
        return (
            "".join(at_random.choice('aß"\\/\n\t\x01€😀đ') for _ in range(least))
            .replace("\n", "n")
            .replace("\t", "t")
            .replace("\x01", "c")
        )
    bound = at_random.choice([schema.get("minimum", -2.5), schema.get("maximum", 1e17)])
    return float(bound) + 0.0  # the grammar writes -0.0 as the 0.0 that it is


def records() -> list[Record]:
    found = [each for each in synthetic_records(200, seed=3) if each.messages is None]
    for path in sorted(REAL.glob("*.jsonl")) if REAL.is_dir() else ():
        lines = path.read_text(encoding="utf-8").splitlines()
        for line in lines[:: max(1, len(lines) // 300)]:
            row = json.loads(line)
            found.append(Record(row["task"], row["input"], row["output"], row["metadata"]))
    return [each for each in found if TASKS[each.task].check(each) is None]


def test_every_gold_answer_of_a_length_that_is_asked_for_is_in_its_grammar() -> None:
    patterns = {name: pattern_of(answer_gbnf(task)) for name, task in TASKS.items()}
    whole = pattern_of(chosen_gbnf(TASKS))
    for record in records():
        task = TASKS[record.task]
        answer = task.answer(record)
        short = fits(json.loads(answer), schema_of(task))
        assert short == bool(patterns[record.task].fullmatch(answer)), answer
        assert short == bool(whole.fullmatch(answer)), answer
        assert short or len(answer) > 2 * task.maximum_answer_tokens, answer


@pytest.mark.slow
def test_gold_answers_can_be_written_by_llama_cpp_under_the_grammar(server: LlamaServer) -> None:
    """Each answer is the only choice of a task's, beside its own grammar: llama.cpp writes it out."""
    for record in records()[:40]:
        task = TASKS[record.task]
        answer = task.answer(record)
        literal = json.dumps(answer, ensure_ascii=False)
        assert drawn(server, f"root ::= {literal}", 0) == answer


@pytest.mark.parametrize("least", [0, 1, 2, 5, 700, 999, 1000, 1500, 2500])
@pytest.mark.parametrize("tokens", [1, 256, 500, 1000, 2048])
def test_a_text_is_as_long_as_it_may_be(least: int, tokens: int) -> None:
    """Also beyond what llama.cpp repeats: it would refuse the grammar, or drop the end of a text."""
    task = one_text(minLength=least)
    task.maximum_answer_tokens = tokens  # pyright: ignore[reportAttributeAccessIssue]
    pattern, schema = pattern_of(answer_gbnf(task)), schema_of(task)
    most = schema["properties"]["a"]["maxLength"]
    spaces = "    " if least else ""
    assert most == max(2 * tokens, least) + len(spaces)
    for length in {max(least, 1), most - len(spaces)}:
        assert pattern.fullmatch(task.format({"a": "x" * length})), length
    longest = spaces + "x" * (most - len(spaces))
    assert pattern.fullmatch(task.format({"a": longest}))
    assert not pattern.fullmatch(task.format({"a": longest + "x"}))
    if least:
        assert not pattern.fullmatch(task.format({"a": "x" * (least - 1)}))
        assert not pattern.fullmatch(task.format({"a": " " * most}))


@pytest.mark.slow
@pytest.mark.parametrize("least", [1999, 2000, 3500])
def test_llama_cpp_writes_long_texts(server: LlamaServer, least: int) -> None:
    task = one_text(minLength=least)
    found = completion(server, PROMPT, most_tokens=1900, grammar=answer_gbnf(task), seed=1)
    assert found.text.startswith('{"a":"')


def test_a_text_that_no_grammar_holds_is_refused() -> None:
    with pytest.raises(TaskError, match="longer than a grammar"):
        answer_gbnf(one_text(minLength=200_000))


@pytest.mark.parametrize(
    "choices",
    [
        ['a"b', "back\\slash", "\\n", "new\nline", "\t", "đúng", "e\u0301", "\x7f"],
        ["\u2028", "→", "ế", "\u3000", "한"],
        ["😀", "𐍈", "\U0010fffd", ""],
        ["%s", "]", "[^a]", "::=", "{0,3}", "root", "#", "'", "$", "\x00"],
    ],
)
def test_choices_of_any_letters_are_all_that_is_written(
    server: LlamaServer, choices: list[str]
) -> None:
    task = one_text(enum=choices)
    pattern = pattern_of(answer_gbnf(task))
    assert all(pattern.fullmatch(task.format({"a": each})) for each in choices)
    assert not pattern.fullmatch(task.format({"a": choices[0] + "x"}))
    found = {drawn(server, answer_gbnf(task), seed) for seed in range(40)} - {None}
    assert all(json.loads(str(each))["a"] in choices for each in found)
    assert len(found) > 1


def test_keys_of_any_letters_keep_apart(server: LlamaServer) -> None:
    keys = ["a b", "a-b", "a_b", "", " ", '"', "\\", "đ", "x" * 200, "root", "char", "1"]
    limits = {key: {"type": "number", "minimum": n, "maximum": n} for n, key in enumerate(keys)}
    task = AnyTask({"type": "object", "properties": limits})
    text = drawn(server, answer_gbnf(task), 1)
    assert text is not None
    assert json.loads(text) == {key: n for n, key in enumerate(keys)}


def test_tasks_of_like_names_keep_apart() -> None:
    """A task called `a b`, one called `a-b`, and a key `b` of a task called `a` would all be one rule."""
    tasks: dict[str, Task] = {}
    for number, name in enumerate(("a", "a b", "a-b", "root", "a_b")):
        limits = {"type": "number", "minimum": number, "maximum": number}
        tasks[name] = AnyTask({"type": "object", "properties": {"b": limits}})
    pattern = pattern_of(chosen_gbnf(tasks))
    for number in range(len(tasks)):
        assert pattern.fullmatch(f'{{"b":{number}.0}}')
    assert not pattern.fullmatch(f'{{"b":{len(tasks)}.0}}')


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.25, 0.75), (-3, 3), (1e-9, 2e-9), (5, 5), (-1e300, -1e299)]
)
def test_numbers_stay_between_their_bounds(server: LlamaServer, low: float, high: float) -> None:
    number = {"type": "number", "minimum": low, "maximum": high}
    task = AnyTask({"type": "object", "properties": {"a": number}})
    for seed in range(10):
        text = drawn(server, answer_gbnf(task), seed)
        assert text is not None
        assert low <= json.loads(text)["a"] <= high


def test_a_schema_of_a_client_is_held_to(server: LlamaServer) -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Answer",
        "type": "object",
        "properties": {
            "score": {"type": "number", "minimum": 0, "maximum": 1, "description": "how good"},
            "tags": {"type": "array", "items": {"type": "string", "enum": ["x", 'y"']}},
        },
        "required": ["score", "tags"],
        "additionalProperties": False,
    }
    for seed in range(10):
        text = drawn(server, asked_gbnf(schema), seed)
        assert text is not None
        found = json.loads(text)
        assert 0 <= found["score"] <= 1
        assert set(found["tags"]) <= {"x", 'y"'}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "integer"}, "type is none of"),
        ({"type": ["string", "null"]}, "type is none of"),
        ({}, "type is none of"),
        (True, "no object"),
        ({"type": "string", "pattern": "^a$"}, "'pattern', which is not understood"),
        ({"type": "string", "maxLength": 3}, "'maxLength'"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 3}, "'minItems'"),
        ({"type": "array"}, "items is no object"),
        ({"type": "object", "properties": {}}, "names no keys"),
        (
            {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["b"]},
            "required",
        ),
        ({"type": "object", "properties": {"a": {"$ref": "#/x"}}}, "type is none of"),
        ({"type": "string", "minLength": 10**9}, "at most"),
        ({"type": "string", "minLength": "3"}, "minLength"),
        ({"type": "string", "enum": ["a" * 30_000]}, "at most"),
        ({"type": "string", "enum": [1]}, "no text"),
        ({"type": "string", "enum": ["\ud800"]}, "no text"),
        ({"type": "number", "minimum": 2, "maximum": 1}, "maximum"),
        ({"type": "number", "minimum": float("nan")}, "minimum"),
        ({"type": "number", "minimum": 2**53 + 1, "maximum": 2**53 + 1}, "no number lies"),
        (
            {"type": "object", "properties": {str(n): {"type": "number"} for n in range(200)}},
            "100 parts at most",
        ),
    ],
)
def test_what_a_grammar_does_not_hold_is_refused(schema: Any, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        asked_gbnf(schema)


def test_a_schema_within_schemas_is_refused_at_some_depth() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(500):
        schema = {"type": "array", "items": schema}
    with pytest.raises(TaskError, match="within each other"):
        asked_gbnf(schema)


def test_the_schema_beside_a_grammar_has_the_same_ends(tmp_path: Path) -> None:
    from lexitrain.exporting.beside.grammars import write_grammars

    written = {
        path.name: path.read_text(encoding="utf-8") for path in write_grammars(tmp_path, TASKS)
    }
    assert set(written) == {
        f"{name}.{end}" for name in (*TASKS, "any-task") for end in ("gbnf", "schema.json")
    }
    for name, task in TASKS.items():
        assert written[f"{name}.gbnf"] == answer_gbnf(task)
        assert json.loads(written[f"{name}.schema.json"]) == schema_of(task)
    pattern_of(written["any-task.gbnf"])
