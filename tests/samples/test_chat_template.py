"""What is learnt as an answer is what inference has to say after its prompt, whatever template and tokenizer."""

from __future__ import annotations

import json
from copy import copy
from datetime import date
from functools import cache
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lexitrain.errors import DataError, ModelError
from lexitrain.evaluation.conversations.turns import supervised_spans, turns_of
from lexitrain.records.record import Record
from lexitrain.samples.chat_template import ChatTemplate, chosen_template
from lexitrain.samples.rendering import Renderer
from lexitrain.tasks import registry
from tests.paths import ROOT
from tests.samples.templates import KINDS, LOSSY, REFUSED, TEMPLATES, tokenizer_of

TASKS = registry()
DAY = date(2026, 2, 3)
CASES = ROOT.parent / "shared" / "cases" / "templates"


def tokenizer_with(kind: str, template: Any) -> Any:
    tokenizer = copy(tokenizer_of(kind))
    tokenizer.chat_template = template
    return tokenizer


@cache
def renderer(kind: str, name: str) -> Renderer:
    return Renderer(tokenizer_with(kind, TEMPLATES[name]), TASKS, 4096, day=DAY)


def decoded(renderer: Renderer, ids: Any) -> str:
    return renderer.tokenizer.decode(list(map(int, ids)), clean_up_tokenization_spaces=False)


def texts(letters: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Tidy texts, as `data prepare` leaves them."""
    found = st.text(letters, min_size=1, max_size=30)
    return found.map(lambda text: " ".join(text.split()) or "a")


def texts_for(kind: str) -> st.SearchStrategy[str]:
    """Of characters that the tokenizer can write."""
    known = st.sampled_from("abcdefghijklmnopqrstuvwxyz S.,{}[]:'/")
    if kind == "unigrams":
        return texts(known)
    return texts(
        known | st.sampled_from("<>;éĐ“”\n") | st.characters(codec="ascii", categories=["L", "P"])
    )


PAIRS = [
    (kind, name) for kind in KINDS if kind not in LOSSY for name in TEMPLATES if name not in REFUSED
]


@pytest.mark.parametrize(("kind", "name"), PAIRS)
@given(data=st.data())
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_perfect_model_is_valid(kind: str, name: str, data: st.DataObject):
    """The prompt of a question is that of training; the supervised tokens say the answer and end the turn."""
    learner, answer = data.draw(texts_for(kind)), data.draw(texts_for(kind))
    answer = renderer(kind, name)._plain(answer)  # what looks like a special token is broken up
    rendered = renderer(kind, name)
    output = {"corrected": answer, "errors": [{"type": "x", "span": answer[:3].strip() or "a"}]}
    record = Record("grammar", learner, output, {})
    sample = rendered.render(record)
    asked = rendered.prompt_ids(Record("grammar", learner, None, {}))
    assert asked.tolist() == sample.prompt_ids.tolist()
    assert sample.supervised.all()
    *said, end = sample.completion_ids.tolist()
    assert end == rendered.end_of_turn_id
    assert rendered.stop_ids.isdisjoint(said)
    text = decoded(rendered, said)
    assert TASKS["grammar"].parse(text) == output
    assert text.strip() == TASKS["grammar"].answer(record)


@pytest.mark.parametrize(("kind", "name"), PAIRS)
@given(data=st.data())
@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_learnt_turn_follows_what_the_model_is_asked_with(
    kind: str, name: str, data: st.DataObject
):
    said = data.draw(st.lists(texts_for(kind), min_size=2, max_size=6))
    rendered = renderer(kind, name)
    turns = [
        {"role": ("user", "assistant")[place % 2], "content": text}
        for place, text in enumerate(said[: len(said) // 2 * 2])
    ]
    record = Record("dialogue", said[0], None, {}, tuple(turns))
    if TASKS["dialogue"].check(record):
        return
    samples, found = turns_of(rendered, 0, record)
    assert sum(len(supervised_spans(sample)) for sample in samples) == len(found)
    assert len(found) == len(turns) // 2
    for turn, place in zip(found, range(2, len(turns) + 1, 2), strict=True):
        asked = (*turns[: place - 1], {"role": "assistant", "content": "answer"})
        question = rendered.render(Record("dialogue", said[0], None, {}, asked))
        start = supervised_spans(question)[-1][0]
        assert question.token_ids[:start].tolist() == turn.prompt.tolist()
        # As any other program has it that asks the model to go on with these turns.
        text = rendered.template.prompt(rendered._clean(TASKS["dialogue"].messages(record))[:place])
        plain = rendered.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert plain == turn.prompt.tolist()
        answer = turn.answer_ids
        assert answer[-1] == rendered.end_of_turn_id
        shown = rendered._plain(turns[place - 1]["content"])
        assert decoded(rendered, answer[:-1]).strip() == shown.strip()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in LOSSY])
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_template_that_cannot_be_learnt_with_is_refused(kind: str, name: str):
    with pytest.raises((ModelError, DataError), match=REFUSED[name]):
        renderer(kind, name)


@pytest.mark.parametrize("name", sorted(set(TEMPLATES) - set(REFUSED)))
def test_a_tokenizer_that_does_not_write_what_it_reads_is_refused(name: str):
    with pytest.raises(ModelError, match="does not write what it has read"):
        renderer(LOSSY[0], name)


@pytest.mark.parametrize(
    "name", ["marks and a line", "trimmed, two lines", "system inside the first question"]
)
@pytest.mark.parametrize("kind", ["bytes", "pieces, first", "pieces, always", "unigrams"])
def test_a_sample_has_the_tokens_of_the_whole_text(kind: str, name: str):
    """As any other program tokenizes a conversation."""
    rendered = renderer(kind, name)
    record = Record("grammar", "He go.", {"corrected": "He goes.", "errors": []}, {})
    sample = rendered.render(record)
    plain = rendered.tokenizer.apply_chat_template(
        TASKS["grammar"].messages(record), tokenize=True, return_dict=False
    )
    ids = [*sample.prompt_ids.tolist(), *sample.completion_ids.tolist()]
    assert ids == list(plain)[: len(ids)]


def test_what_a_template_writes_between_header_and_answer_belongs_to_the_prompt():
    for name in ("a thought can be left out", "a thought is always written"):
        rendered = renderer("bytes", name)
        record = Record("grammar", "He go.", {"corrected": "He goes.", "errors": []}, {})
        sample = rendered.render(record)
        assert decoded(rendered, sample.prompt_ids).endswith("<thought>\n\n</thought>\n\n")
        assert decoded(rendered, sample.completion_ids).startswith('{"corrected"')
        assert (
            "thoughts" if "left out" in name else "part of the prompt"
        ) in rendered.template.notes[0]


def test_a_system_turn_that_is_refused_stands_before_the_first_question():
    rendered = renderer("bytes", "answers by model, no system")
    record = Record("grammar", "He go.", {"corrected": "He goes.", "errors": []}, {})
    prompt = decoded(rendered, rendered.render(record).prompt_ids)
    assert prompt.startswith("<s><open>user\nYou are LexiLingo")
    assert prompt.endswith("Text: He go.<close>\n<open>model\n")
    assert "takes no system turn" in rendered.template.notes[0]


def test_a_date_is_that_of_the_day_that_was_given():
    rendered = renderer("bytes", "dated")
    record = Record("grammar", "He go.", None, {})
    assert "Today is 03 Feb 2026." in decoded(rendered, rendered.prompt_ids(record))
    assert rendered.template.dated
    assert not renderer("bytes", "marks and a line").template.dated


def test_of_named_templates_the_default_is_taken_or_the_names_are_told():
    plain = TEMPLATES["marks and a line"]
    named = tokenizer_with("bytes", {"tool_use": "x", "default": plain})
    assert chosen_template(named) == plain
    assert Renderer(named, TASKS, 512).stop_ids
    assert chosen_template(tokenizer_with("bytes", {"chat": plain})) == plain
    with pytest.raises(ModelError, match="rag, tool_use"):
        chosen_template(tokenizer_with("bytes", {"tool_use": "x", "rag": "y"}))
    for nothing in (None, {}, ""):
        with pytest.raises(ModelError, match="no chat template"):
            chosen_template(tokenizer_with("bytes", nothing))


@pytest.mark.parametrize("broken", ["{% for m in messages %}", "{{ messages[0].content | nope }}"])
def test_a_template_that_is_none_is_refused(broken: str):
    with pytest.raises(ModelError, match="cannot be trained with"):
        ChatTemplate(tokenizer_with("bytes", broken), DAY)


def test_a_slow_tokenizer_is_refused():
    class Slow:
        is_fast = False
        name_or_path = "some/model"
        added_tokens_decoder: ClassVar[dict[int, Any]] = {}

    with pytest.raises(ModelError, match="slow"):
        Renderer(Slow(), TASKS, 512)


def test_a_template_that_takes_no_turns_leaves_such_conversations_out_with_its_reason():
    rendered = renderer("bytes", "turns have to take turns")
    turns = (
        {"role": "assistant", "content": "Hi!"},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Well done"},
    )
    reasons: list[str] = []
    good = Record("grammar", "He go.", {"corrected": "He goes.", "errors": []}, {})
    talk = Record("dialogue", "Hello", None, {}, turns)
    samples = rendered.render_all([good, talk], on_unfit=lambda _, why: reasons.append(why))
    assert len(samples) == 1
    assert "roles must take turns" in reasons[0]


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not beside the checkout")
@pytest.mark.parametrize(
    "case", ["qwen3_think.jinja", "gemma2_raise.jinja", "no_genprompt.jinja", "end_only_last.jinja"]
)
def test_the_cases(case: str):
    from transformers import AutoTokenizer

    nano: Any = AutoTokenizer.from_pretrained(ROOT / "src" / "lexitrain" / "models" / "nano")
    nano.chat_template = (CASES / case).read_text(encoding="utf-8")
    rendered = Renderer(nano, TASKS, 512)
    record = Record("grammar", "He go.", {"corrected": "He goes.", "errors": []}, {})
    sample = rendered.render(record)
    prompt, said = (nano.decode(ids.tolist()) for ids in (sample.prompt_ids, sample.completion_ids))
    assert json.loads(said.removesuffix("<|im_end|>")) == record.output
    ends = {"qwen3_think.jinja": "</think>", "gemma2_raise.jinja": "<|im_start|>model"}
    assert prompt.rstrip().endswith(ends.get(case, "<|im_start|>assistant"))
    assert "LexiLingo" in prompt
    assert rendered.prompt_ids(Record("grammar", "He go.", None, {})).tolist() == list(
        sample.prompt_ids
    )
    talk = tuple(
        {"role": role, "content": text}
        for role, text in zip(
            ["user", "assistant"] * 2, ["One", "Two", "Three", "Four"], strict=True
        )
    )
    samples, turns = turns_of(rendered, 0, Record("dialogue", "One", None, {}, talk))
    assert [turn.text for turn in turns] == ["Two", "Four"]
    # Where the template writes the first answer otherwise once a question follows, each has a sample of its own.
    assert len(samples) == (1 if case in {"no_genprompt.jinja", "gemma2_raise.jinja"} else 2)
