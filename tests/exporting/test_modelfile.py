"""A Modelfile's Go template writes the prompts of the chat template, or there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lexitrain import export
from lexitrain.errors import ModelError
from lexitrain.exporting.beside.modelfile import write_modelfile
from lexitrain.samples import Renderer
from lexitrain.tasks import registry
from tests.exporting.go_template import executed
from tests.exporting.small_bases import save_base, tokenizer_of
from tests.samples.templates import SPECIALS, TEMPLATES
from tests.tiny import CHAT_TEMPLATE

_EACH = "{% for m in messages %}"
_DONE = "{% endfor %}"
OWN: dict[str, str] = {
    "ChatML": CHAT_TEMPLATE,
    "headers and a beginning": "<s>"
    + _EACH
    + "<open>{{ m.role }}<close>\n\n{{ m.content }}</s>"
    + _DONE
    + "{% if add_generation_prompt %}<open>assistant<close>\n\n{% endif %}",
    "braces around": _EACH
    + "{{ '{{{' + m.role + '{' + m.content + '</s>}}}{' }}\n"
    + _DONE
    + "{% if add_generation_prompt %}{{ '{{{assistant{' }}{% endif %}",
    "quotes": _EACH
    + "{{ '\"' + m.role + '\" - ' + m.content }}</s> - \n"
    + _DONE
    + "{% if add_generation_prompt %}{{ '\"assistant\" - ' }}{% endif %}",
}
WRITTEN = {
    **OWN,
    **{
        name: TEMPLATES[name]
        for name in (
            "marks and a line",
            "default system",
            "trimmed, two lines",
            "turns have to take turns",
            "a thought can be left out",
            "a thought is always written",
            "no header when asked",
            "end after the last answer only",
        )
    },
}
CONVERSATIONS = (
    [("system", "Be kind."), ("user", "Task: grammar_correction\nText: He go.")],
    [("system", "{{ .Role }}"), ("user", '{"a": "{{ end }}"}'), ("assistant", "{}"), ("user", "}")],
    [("system", "Thầy"), *[("user", "một"), ("assistant", "hai")] * 3, ("user", "ba <think>")],
)


def renderer_of(template: str) -> Renderer:
    from tokenizers import AddedToken

    tokenizer: Any = tokenizer_of()
    tokenizer.add_tokens([AddedToken(text, special=True) for text in SPECIALS])
    tokenizer.chat_template = template
    return Renderer(tokenizer, registry(), 512)


def fields(path: Path) -> dict[str, str]:
    """Instruction of a Modelfile -> what stands behind it; texts may have several lines."""
    found: dict[str, str] = {}
    rest = path.read_text(encoding="utf-8")
    while rest:
        name, _, rest = rest.partition(" ")
        if name == "PARAMETER":
            name, _, rest = rest.partition(" ")
        if rest.startswith('"""'):
            value, _, rest = rest[3:].partition('"""\n')
        else:
            value, _, rest = rest.partition("\n")
        found[name] = value
    return found


@pytest.mark.parametrize("name", WRITTEN)
def test_it_writes_the_prompts_of_the_chat_template(name: str, tmp_path: Path) -> None:
    renderer = renderer_of(WRITTEN[name])
    path = tmp_path / "Modelfile"
    write_modelfile(path, renderer, 'Say "yes".', model="a.gguf", context=1024)
    found = fields(path)
    for turns in CONVERSATIONS:
        messages = [{"role": role, "content": content} for role, content in turns]
        assert executed(found["TEMPLATE"], turns) == renderer.template.prompt(messages)
    assert found["SYSTEM"] == 'Say "yes".'
    assert found["FROM"] == "./a.gguf"
    assert found["stop"] == f'"{renderer.end_of_turn}"'
    assert found["num_ctx"] == "1024"


@pytest.mark.parametrize(
    "name",
    [
        "system inside the first question",
        "answers by model, no system",
        "no space around",
        "words for marks",
    ],
)
def test_templates_that_do_more_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no form in a Modelfile"):
        write_modelfile(
            tmp_path / "Modelfile", renderer_of(TEMPLATES[name]), "s", model="a", context=1
        )
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_where_there_is_none(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base", "llama")
    (base / "chat_template.jinja").write_text(
        "{% for m in messages %}{% if m.role == 'system' %}[{{ m.content }}]"
        "{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
        "{% if messages[0].role == 'system' and messages | length > 3 %}<|im_start|>{% endif %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    with pytest.raises(ModelError, match="has no form in a Modelfile"):
        export(base, ["merged", "ollama"], out=tmp_path / "out")
    assert not [each for each in (tmp_path / "out").rglob("*") if each.is_file()]


def test_a_system_text_that_would_end_early_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match='holds """'):
        write_modelfile(
            tmp_path / "Modelfile", renderer_of(CHAT_TEMPLATE), 'a """ b', model="a", context=1
        )
    assert not list(tmp_path.iterdir())


def test_nano_has_one_beside_its_file(tmp_path: Path) -> None:
    report = export("nano", ["ollama"], quantize=["Q8_0"], out=tmp_path)
    found = fields(tmp_path / "Modelfile")
    assert tmp_path / "Modelfile" in report.beside
    assert (tmp_path / found["FROM"]).is_file()
    assert found["SYSTEM"] == next(iter(registry().values())).system
    assert found["temperature"] == "0"
