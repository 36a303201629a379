"""Answers held to a schema, written by models that know nothing: every one that ends satisfies it."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lexitrain.errors import ModelError, TaskError
from lexitrain.evaluation.generation import Decoding, SchemaMasks, ask, continuations
from lexitrain.evaluation.generation.picking import Choice, Picker
from lexitrain.records.record import Record
from lexitrain.samples.rendering import Renderer
from lexitrain.synthetic import generate as synthetic_records
from lexitrain.tasks import Task, registry
from lexitrain.tasks.schema import loads_strict, problem, schema_problem
from tests.samples.templates import tokenizer_of
from tests.taught import RECORDS, taught_model
from tests.tiny import tiny_model, tiny_tokenizer

pytest.importorskip("llguidance")

TASKS = registry()
LIMIT = 300


class AnyTask(Task):
    """A task of a user's own."""

    name = short = "own"

    def __init__(self, schema: Any) -> None:
        self.schema = schema  # pyright: ignore[reportAttributeAccessIssue]

    def statistics(self, *_: Any) -> Any:
        return {}

    def trivial(self, train_records: Any) -> Any:
        raise NotImplementedError


texts = st.text(st.characters(codec="utf-8"), max_size=6)
leaves = st.one_of(
    st.fixed_dictionaries({"type": st.just("string")}, optional={"minLength": st.integers(0, 5)}),
    st.fixed_dictionaries(
        {"type": st.just("string"), "enum": st.lists(texts, min_size=1, max_size=4)}
    ),
    st.fixed_dictionaries(
        {"type": st.just("number")},
        optional={"minimum": st.floats(-1e3, 10), "maximum": st.floats(10, 1e18)},
    ),
    st.fixed_dictionaries(
        {"type": st.just("number"), "minimum": st.integers(-5, 0), "maximum": st.integers(0, 5)}
    ),
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        objects(inner),
    )


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(texts, inner, min_size=1, max_size=3)
    return st.fixed_dictionaries({"type": st.just("object"), "properties": properties})


schemas = objects(st.recursive(leaves, containers, max_leaves=4))


def written(task: Task, tokenizer: Any, seed: int, width: int, end: float) -> str | None:
    """An answer by logits at random, `end` more likely to close what is open; None where it did not end."""
    generator = torch.Generator().manual_seed(seed)
    masks = SchemaMasks(tokenizer, {tokenizer.eos_token_id}, task)
    draws = torch.rand(1, LIMIT, generator=generator, dtype=torch.float64)
    picker = Picker(Choice(LIMIT, {tokenizer.eos_token_id}, 3.0, draws, masks), [0], "cpu")
    closing = [token for token, said in enumerate(masks.tokens) if said in {b'"', b"]", b"}"}]
    for _ in range(LIMIT):
        logits = torch.randn(1, width, generator=generator) * 3
        logits[:, closing] += end
        picker.pick(logits)
        if picker.ended[0]:
            masks.check(picker.answers[0])
            return tokenizer.decode(picker.answers[0], clean_up_tokenization_spaces=False)
    return None


@settings(max_examples=150, deadline=None)
@given(
    schemas,
    st.integers(0, 2**31),
    st.sampled_from(["bytes", "pieces, first", "pieces, normalizer"]),
    st.sampled_from([0, 7]),
)
def test_what_ends_satisfies_any_schema_of_any_user(
    schema: Any, seed: int, kind: str, padding: int
) -> None:
    assume(schema_problem(schema) is None)
    task, tokenizer = AnyTask(schema), tokenizer_of(kind)
    text = written(task, tokenizer, seed, len(tokenizer) + padding, 25.0)
    assume(text is not None)
    assert text is not None
    assert task.invalid(text) is None
    assert problem(loads_strict(text), schema) is None
    assert list(json.loads(text)) == list(schema["properties"])
    assert not re.search(r"\s", re.sub(r'"(\\.|[^"\\])*"', "", text.removeprefix(" ")))


@pytest.mark.parametrize("least", [1, 2, 3, 40])
def test_a_text_of_spaces_is_no_text(least: int) -> None:
    """What does not count for `minLength` is not taken for it, at whatever end it stands."""
    schema = {"type": "object", "properties": {"a": {"type": "string", "minLength": least}}}
    found = [written(AnyTask(schema), tiny_tokenizer(), seed, 403, 25.0) for seed in range(8)]
    lengths = [len(json.loads(text)["a"].strip()) for text in found if text]
    assert lengths
    assert min(lengths) >= least


@pytest.mark.parametrize(
    "kind",
    ["tiny", "bytes", "pieces, first", "pieces, always", "pieces, never", "pieces, normalizer"],
)
def test_every_answer_of_training_may_be_written_as_it_is_trained(kind: str) -> None:
    tokenizer = tiny_tokenizer() if kind == "tiny" else tokenizer_of(kind)
    masks = {short: SchemaMasks(tokenizer, set(), task) for short, task in TASKS.items()}
    records = [record for record in synthetic_records(40, seed=5) if record.messages is None]
    for record in (*records, *RECORDS):
        answer = TASKS[record.task].answer(record)
        tokens = tokenizer.encode(answer, add_special_tokens=False)
        rows = masks[record.task].rows(1)
        complete = []
        for token in tokens:
            assert rows.allowed([0], len(tokenizer) + 9)[0, token], answer
            complete.append(rows.take(0, token))
        assert complete == [False] * (len(tokens) - 1) + [True]
        masks[record.task].check(tokens)


@pytest.mark.parametrize("kind", ["unigrams", "words in small letters"])
def test_a_vocabulary_that_cannot_write_json_is_refused(kind: str) -> None:
    with pytest.raises(ModelError, match="no token for"):
        SchemaMasks(tokenizer_of(kind), set(), TASKS["fluency"])


def test_a_tokenizer_of_another_library_is_refused() -> None:
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        SchemaMasks(object(), set(), TASKS["fluency"])


def test_a_token_that_is_decoded_otherwise_in_company_is_refused() -> None:
    class Other:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def decode(self, *given: Any, **options: Any) -> str:
            return self.inner.decode(*given, **options).replace(":", " : ")

    masks = SchemaMasks(Other(tiny_tokenizer()), set(), TASKS["explanation"])
    with pytest.raises(ModelError, match="different company"):
        masks.check(tiny_tokenizer().encode('{"explanation":"a"}'))


def test_a_schema_that_no_float_satisfies_is_refused() -> None:
    number = {"type": "number", "minimum": 2**53 + 1, "maximum": 2**53 + 1}
    task = AnyTask({"type": "object", "properties": {"a": number}})
    with pytest.raises(TaskError, match="no number lies between"):
        SchemaMasks(tiny_tokenizer(), set(), task)


def test_where_llguidance_gives_up_is_said() -> None:
    rows = SchemaMasks(tiny_tokenizer(), set(), TASKS["fluency"]).rows(1)
    forbidden = int(np.flatnonzero(~rows.allowed([0], 400)[0])[0])
    with pytest.raises(TaskError, match="too large for llguidance"):
        rows.take(0, forbidden)


def test_rows_that_are_none_ask_for_nothing() -> None:
    rows = SchemaMasks(tiny_tokenizer(), set(), TASKS["fluency"]).rows(2)
    assert rows.allowed([], 403).shape == (0, 403)


def asked(model: Any, short: str, decoding: Decoding, **options: Any) -> list[list[Any]]:
    renderer = Renderer(tiny_tokenizer(), TASKS, 512)
    inputs = ["He go.", "She sings well.", "A garden is there, and the cats are in it.", "x", "cat"]
    records = [Record(short, text, None, {}) for text in inputs]
    prompts = [renderer.prompt_ids(record) for record in records]
    return ask(model, renderer, TASKS[short], prompts, decoding=decoding, **options)


@pytest.mark.parametrize("short", list(TASKS))
def test_an_untrained_base_at_temperature_3_answers_validly_or_is_cut_off(short: str) -> None:
    found = [
        each
        for answers in asked(tiny_model(), short, Decoding(3.0, 6, 1, True))
        for each in answers
    ]
    ended = [each for each in found if not each.truncated]
    assert len(found) == 30
    assert [each for each in ended if TASKS[short].parse(each.text) is None] == []
    # A tiny model seldom closes a text by itself; a task with a text alone to write gives enough that end.
    assert ended or short not in {"explanation", "vocabulary"}


@pytest.mark.parametrize("temperature", [0.0, 1.5])
@pytest.mark.parametrize("json_schema", [False, True])
def test_one_by_one_says_the_same_as_a_batch(
    temperature: float, json_schema: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding = Decoding(temperature, 2 if temperature else 1, 3, json_schema)
    for short in ("vocabulary", "grammar"):
        together = asked(taught_model(), short, decoding)
        assert asked(taught_model(), short, decoding, batch_size=2) == together
        with monkeypatch.context() as patch:
            patch.setattr(continuations, "_beyond", lambda *_: True)
            assert asked(taught_model(), short, decoding) == together


def test_a_model_that_knows_its_answers_says_the_same_with_the_schema() -> None:
    renderer = Renderer(tiny_tokenizer(), TASKS, 512)
    for record in RECORDS:
        prompts, task = [renderer.prompt_ids(record)], TASKS[record.task]
        free, held = (
            ask(taught_model(), renderer, task, prompts, decoding=Decoding(json_schema=held))
            for held in (False, True)
        )
        assert free == held
        assert free[0][0].text == task.answer(record)
