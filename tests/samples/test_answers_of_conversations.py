"""Templates and tokenizers at their edges: what each answer stands behind, what ends it, and what is refused."""

from __future__ import annotations

from copy import copy
from datetime import date
from typing import Any

import pytest

from lexitrain.errors import DataError, ModelError
from lexitrain.evaluation.conversations.turns import supervised_spans
from lexitrain.records.record import Record
from lexitrain.samples.rendering import Renderer
from lexitrain.samples.sample import Sample
from lexitrain.samples.store import collect
from lexitrain.samples.template_date import date_in, with_date
from lexitrain.tasks import registry
from lexitrain.training.recovery.shortening import Shortener
from tests.samples.templates import TEMPLATES, tokenizer_of

TASKS = registry()
DAY = date(2026, 2, 3)
SPOKEN = ("One", "Two", "Three", "Four", "Five", "Six")
CHATML = TEMPLATES["marks and a line"]


def renderer(template: str, kind: str = "bytes", **about: Any) -> Renderer:
    tokenizer = copy(tokenizer_of(kind))
    tokenizer.chat_template = template
    for name, value in about.items():
        setattr(tokenizer, name, value)
    return Renderer(tokenizer, TASKS, 2048, day=DAY)


def talk(*texts: str, unlearnt: tuple[int, ...] = ()) -> Record:
    turns: list[dict[str, Any]] = [
        {"role": ("user", "assistant")[place % 2], "content": text}
        for place, text in enumerate(texts)
    ]
    for place in unlearnt:
        turns[place]["weight"] = 0
    return Record("dialogue", texts[0], None, {}, tuple(turns))


def read(rendered: Renderer, ids: Any) -> str:
    return rendered.tokenizer.decode(list(map(int, ids)), clean_up_tokenization_spaces=False)


def learnt(rendered: Renderer, samples: list[Sample]) -> list[tuple[str, str]]:
    """The prompt and the answer of each supervised turn."""
    return [
        (read(rendered, sample.token_ids[:start]), read(rendered, sample.token_ids[start:end]))
        for sample in samples
        for start, end in supervised_spans(sample)
    ]


def test_where_thoughts_are_stripped_each_answer_has_a_sample_of_its_own():
    rendered = renderer(TEMPLATES["a thought can be left out"])
    samples = rendered.render_parts(talk(*SPOKEN))
    found = learnt(rendered, samples)
    assert [answer for _, answer in found] == ["Two<close>", "Four<close>", "Six<close>"]
    turns = TASKS["dialogue"].messages(talk(*SPOKEN))
    for (prompt, _), place in zip(found, (2, 4, 6), strict=True):
        assert prompt == rendered.tokenizer.apply_chat_template(
            turns[:place], tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
    assert len(samples) == 3
    assert "Two<close>" in found[1][0]
    assert found[1][0].count("<thought>") == 1


def test_an_answer_that_is_not_learnt_gives_no_sample():
    rendered = renderer(TEMPLATES["a thought can be left out"])
    found = learnt(rendered, rendered.render_parts(talk(*SPOKEN, unlearnt=(1, 3))))
    assert [answer for _, answer in found] == ["Six<close>"]


def test_a_template_that_ends_text_too_teaches_both_ends():
    both = CHATML.replace("<close>\n", "<close></s>\n")
    rendered = renderer(both)
    [(_, answer)] = learnt(rendered, rendered.render_parts(talk("One", "Two")))
    assert answer == "Two<close></s>"
    close, end = rendered.tokenizer.convert_tokens_to_ids(["<close>", "</s>"])
    assert rendered.stop_ids == {close, end}


def test_a_thought_that_is_closed_when_an_answer_is_asked_for_belongs_to_the_prompt():
    closed = CHATML.replace(
        "<open>assistant\n{% endif %}", "<open>assistant\n<thought></thought>{% endif %}"
    )
    rendered = renderer(closed)
    found = learnt(rendered, rendered.render_parts(talk("One", "Two", "Three", "Four")))
    assert [answer for _, answer in found] == ["Two<close>", "Four<close>"]
    assert all(prompt.endswith("<open>assistant\n<thought></thought>") for prompt, _ in found)


@pytest.mark.parametrize("opened", ["<thought>\n", "<think>\n", "Let me think: "])
def test_a_thought_that_stays_open_is_refused(opened: str):
    template = CHATML.replace(
        "<open>assistant\n{% endif %}", f"<open>assistant\n{opened}{{% endif %}}"
    )
    with pytest.raises(ModelError, match="begins an answer with"):
        renderer(template)


@pytest.mark.parametrize("kind", ["bytes", "pieces, first", "pieces, always", "pieces, normalizer"])
@pytest.mark.parametrize(
    ("asked", "written"), [("[/INST]\n", "\n\n   "), ("[/INST]", " "), ("A:", " "), ("A:\n\n", "")]
)
def test_blanks_before_an_answer_keep_prompt_and_answer_apart(kind: str, asked: str, written: str):
    """Tokens that would reach across the border are divided there, and no word marker comes in."""
    template = (
        "{% for m in messages %}{% if m.role == 'assistant' %}"
        + f"{written}{{{{ m.content }}}}</s>"
        + "{% else %}[{{ m.role }}] {{ m.content }}{% endif %}{% if m.role == 'user' %}"
        + f"{asked}{{% endif %}}{{% endfor %}}"
    )
    rendered = renderer(template, kind)
    samples = rendered.render_parts(talk(*SPOKEN))
    turns = TASKS["dialogue"].messages(talk(*SPOKEN))
    spans = [
        (sample.token_ids[:start], sample.token_ids[start:end])
        for sample in samples
        for start, end in supervised_spans(sample)
    ]
    assert len(spans) == 3
    for (prompt, answer), place in zip(spans, (2, 4, 6), strict=True):
        text = rendered.tokenizer.apply_chat_template(turns[:place], tokenize=False)
        assert rendered.tokenizer(text, add_special_tokens=False)["input_ids"] == prompt.tolist()
        assert read(rendered, answer).strip() == f"{turns[place]['content']}</s>"
        whole = rendered.tokenizer.apply_chat_template(turns[: place + 1], tokenize=False)
        plain = rendered.tokenizer(whole, add_special_tokens=False)["input_ids"]
        assert read(rendered, [*prompt, *answer]) == read(rendered, plain)


def test_an_answer_that_the_template_rewrites_is_left_out_and_said():
    cuts = CHATML.replace("{{ m.content }}", "{{ m.content.split('</think>')[-1] }}")
    rendered = renderer(cuts)
    reasons: list[str] = []
    samples = rendered.render_all(
        [talk("One", "Two"), talk("One", "Hm</think>Two")],
        on_unfit=lambda _, why: reasons.append(why),
    )
    assert [sample.index for sample in samples] == [0]
    assert reasons == ["The chat template does not write this answer as it stands."]


def test_an_answer_with_characters_that_the_tokenizer_lacks_is_left_out_and_said():
    rendered = renderer(CHATML, "unigrams")
    with pytest.raises(DataError, match="lacks or folds characters"):
        rendered.render(talk("One", "Two \u2603"))


def test_a_tokenizer_that_folds_characters_refuses_the_answers_that_it_changes():
    from tokenizers import normalizers

    tokenizer = tokenizer_of("bytes").__class__(
        tokenizer_object=type(tokenizer_of("bytes").backend_tokenizer).from_str(
            tokenizer_of("bytes").backend_tokenizer.to_str()
        ),
        eos_token="</s>",
        pad_token="<pad>",
    )
    tokenizer.backend_tokenizer.normalizer = normalizers.NFKC()
    tokenizer.chat_template = CHATML
    rendered = Renderer(tokenizer, TASKS, 2048)
    rendered.render(talk("One", "Two"))
    with pytest.raises(DataError, match="lacks or folds characters"):
        rendered.render(talk("One", "\uff34wo"))


def test_a_template_that_writes_at_random_is_refused():
    with pytest.raises(ModelError, match="at random"):
        renderer("{{ ['a', 'b'] | random }}" + CHATML)


def test_a_system_text_that_a_template_drops_stands_before_the_first_question():
    drops = CHATML.replace(
        "{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"
    )
    rendered = renderer(drops)
    prompt, _ = learnt(rendered, rendered.render_parts(talk("One", "Two")))[0]
    assert "LexiLingo" in prompt
    assert "takes no system turn" in rendered.template.notes[0]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ strftime_now('%d %b %Y') }}", "03 Feb 2026"),
        ("\n{% if strftime_now is defined %}{{ strftime_now('%B') }}{% endif %}", "\nFebruary"),
        ("{% set f = '%d' ~ '.%m' %}{{ strftime_now(f) }}", "03.02"),
        ("{{ strftime_now('100%% on %A, %H:%M') }}", "100% on Tuesday, 00:00"),
    ],
)
def test_a_date_is_that_of_the_given_day_however_it_is_asked_for(template: str, expected: str):
    tokenizer = tokenizer_of("bytes")
    dated = with_date(template, DAY)
    turns = [{"role": "user", "content": "a"}]
    written = tokenizer.apply_chat_template(turns, chat_template=dated, tokenize=False)
    assert written == expected
    assert date_in(dated) == "2026-02-03"
    assert with_date(dated, date(2027, 1, 1)) == dated
    assert with_date(CHATML, DAY) == CHATML
    assert date_in(CHATML) == ""


def test_conversations_of_several_samples_are_shortened_together(tmp_path: Any):
    tokenizer = copy(tokenizer_of("bytes"))
    tokenizer.chat_template = TEMPLATES["a thought can be left out"]
    rendered = Renderer(tokenizer, TASKS, 2048)
    records = [talk("One", "Two"), talk("word " * 60, "Two", "Three", "Four"), talk("Hi", "Ho")]
    file = tmp_path / "train.jsonl"
    file.write_text("".join(record.to_json() + "\n" for record in records))
    samples = collect(rendered.render_all(records))
    assert samples.rows.tolist() == [0, 1, 1, 2]
    limit = int(samples.lengths.max()) - 30
    short, changed, left = Shortener(file, TASKS, tokenizer).shortened(samples, limit)
    assert (changed, left) == (1, 0)
    assert short.rows.tolist() == [0, 1, 1, 2]
    assert max(short.lengths) <= limit
    assert [read(rendered, s.completion_ids) for s in short] == [
        read(rendered, s.completion_ids) for s in samples
    ]
