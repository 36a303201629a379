"""llama.cpp begins and ends a prompt as training did, whatever the tokenizer adds to texts by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lexitrain import export
from lexitrain.exporting.exported_model import ExportedModel
from lexitrain.serving import LlamaServer, applied_template
from tests.exporting.small_bases import save_base
from tests.tiny import CHAT_TEMPLATE

_BEGIN, _END = "<|endoftext|>", "<|im_end|>"
_MESSAGES = [{"role": "system", "content": "s"}, {"role": "user", "content": "học"}]


def adding(base: Path, *around: str) -> None:
    """Let the tokenizer put tokens around every text; A stands for the text."""
    path = base / "tokenizer.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    ids = {each["content"]: each["id"] for each in written["added_tokens"]}
    special = [each for each in around if each != "A"]
    single = [
        {"Sequence": {"id": "A", "type_id": 0}}
        if each == "A"
        else {"SpecialToken": {"id": each, "type_id": 0}}
        for each in around
    ]
    written["post_processor"] = {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            each: {"id": each, "ids": [ids[each]], "tokens": [each]} for each in special
        },
    }
    path.write_text(json.dumps(written), encoding="utf-8")
    path = base / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= {"bos_token": _BEGIN, "pad_token": "<|im_start|>"}
    path.write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("around", [(_BEGIN, "A"), ("A", _END), (_BEGIN, "A", _END), ("A",)])
@pytest.mark.parametrize("written", ["{{ bos_token }}", ""])
def test_prompts_are_those_of_training(
    around: tuple[str, ...], written: str, tmp_path: Path
) -> None:
    base = save_base(tmp_path / "base", "llama", rule="llama-bpe")
    adding(base, *around)
    (base / "chat_template.jinja").write_text(written + CHAT_TEMPLATE, encoding="utf-8")
    file = export(base, quantize=["F16"], out=tmp_path / "out").files[0].path
    model = ExportedModel.found(base, None, (), False)
    prompt = model.renderer.template.prompt(_MESSAGES)
    assert prompt.startswith(_BEGIN) == bool(written)
    tokens = len(model.tokenizer(prompt, add_special_tokens=False)["input_ids"])
    with LlamaServer(file, slots=1, context=128, threads=1) as server:
        assert applied_template(server, _MESSAGES) == prompt
        asked = {"messages": _MESSAGES, "max_tokens": 1}
        assert server.ask("/v1/chat/completions", asked)["usage"]["prompt_tokens"] == tokens
        assert server.ask("/completion", {"prompt": prompt, "n_predict": 1})[
            "tokens_evaluated"
        ] == (tokens)
