"""Characters that a base's vocabulary does not have are told, by task, for any kind of tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from benchmarks.qwen_vocabulary import qwen_tokenizer, vocabulary_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lexitrain.models import characters_learnt_as_bytes, load_tokenizer
from lexitrain.records import Record
from lexitrain.samples import Renderer, Sample, unlearnt_bytes
from lexitrain.synthetic import generate
from lexitrain.tasks import registry

VIETNAMESE = (
    "Tôi đi học mỗi ngày và tôi rất thích học tiếng Anh ở trường.",
    "Từ “goes” là đúng vì chủ ngữ “She” ở ngôi thứ ba số ít – đừng quên thêm “s”…",
    "Động từ phải hợp với chủ ngữ; hãy viết ‘He doesn’t know’ thay vì ‘He don’t know’.",
    "Em bé ngủ ngon giấc, còn mẹ thì ngồi đọc sách bên cửa sổ nhỏ.",
)
needs_qwen = pytest.mark.skipif(vocabulary_file() is None, reason="needs the package dashscope")


def samples_of(tokenizer: Any, answers: Sequence[str], task: str = "explanation") -> list[Sample]:
    prompt = tokenizer("Explain the error.", add_special_tokens=False)["input_ids"]
    found: list[Sample] = []
    for index, answer in enumerate(answers):
        ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
        found.append(
            Sample(
                prompt_ids=np.array(prompt, dtype=np.int32),
                completion_ids=np.array(ids, dtype=np.int32),
                supervised=np.ones(len(ids), dtype=np.bool_),
                task=task,
                index=index,
            )
        )
    return found


def sentencepiece_like(*, byte_fallback: bool) -> PreTrainedTokenizerFast:
    """Words and letters of a Unigram vocabulary; other characters by bytes, or as the unknown token."""
    pieces = [("<unk>", 0.0), ("</s>", 0.0), ("<pad>", 0.0)]
    if byte_fallback:
        pieces += [(f"<0x{byte:02X}>", -9.0) for byte in range(256)]
    pieces += [
        (letter, -5.0) for letter in "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,'\""
    ]
    model = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=byte_fallback))
    model.normalizer = normalizers.Replace(" ", "▁")
    parts: list[Any] = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    model.decoder = decoders.Sequence(parts)
    model.pre_tokenizer = pre_tokenizers.Sequence([])
    return PreTrainedTokenizerFast(
        tokenizer_object=model, unk_token="<unk>", eos_token="</s>", pad_token="<pad>"
    )


def test_curly_quotes_in_vietnamese_are_told_for_nano_and_named():
    nano = load_tokenizer("nano", None)
    found = unlearnt_bytes(nano, samples_of(nano, VIETNAMESE))
    assert len(found) == 1
    assert found[0].what.startswith("explanation: ")
    assert "“" in found[0].what
    assert "”" in found[0].what
    assert "in characters that it knows" in found[0].fix
    ordinary = '"go" là đúng, không viết "goes". Hãy dùng đúng dạng của động từ: đi học - mỗi ngày.'
    assert unlearnt_bytes(nano, samples_of(nano, [ordinary])) == []
    curly = ordinary.replace('"', "”").replace("-", "–")
    assert unlearnt_bytes(nano, samples_of(nano, [curly])) != []


@needs_qwen
def test_ordinary_vietnamese_is_nothing_to_qwen():
    qwen = qwen_tokenizer()
    assert unlearnt_bytes(qwen, samples_of(qwen, VIETNAMESE)) == []


def test_the_demo_s_records_are_nothing_to_nano():
    nano = load_tokenizer("nano", None)
    records: list[Record] = list(generate(200, seed=4))
    assert unlearnt_bytes(nano, Renderer(nano, registry(), 2048).render_all(records)) == []


@pytest.mark.parametrize(
    "text", ["我每天去学校", "Я хожу в школу", "Great 🎉 work 👍 🎉", "café naïve, señor"]
)
def test_other_scripts_and_symbols_are_told_too(text: str):
    nano = load_tokenizer("nano", None)
    (found,) = unlearnt_bytes(nano, samples_of(nano, [text]))
    strange = {letter for letter in text if ord(letter) > 127}
    assert any(letter in found.what for letter in strange)


def test_byte_fallback_is_counted_and_its_plain_line_breaks_are_not():
    tokenizer = sentencepiece_like(byte_fallback=True)
    (found,) = unlearnt_bytes(tokenizer, samples_of(tokenizer, ["He said “go”"]))
    assert "“" in found.what
    assert unlearnt_bytes(tokenizer, samples_of(tokenizer, ["He\n\n\nsaid\tgo"])) == []


def test_the_unknown_token_is_told_where_there_are_no_bytes():
    tokenizer = sentencepiece_like(byte_fallback=False)
    (found,) = unlearnt_bytes(tokenizer, samples_of(tokenizer, ["He said “go”"]))
    assert "<unk>" in found.what


def test_each_task_is_told_of_by_itself_and_a_few_are_tolerated():
    nano = load_tokenizer("nano", None)
    quoted = samples_of(nano, ["“a”"], task="grammar")
    long = samples_of(nano, ["I go to school every day. " * 60 + "“"], task="dialogue")
    assert [each.what.split(":")[0] for each in unlearnt_bytes(nano, quoted + long)] == ["grammar"]
    assert unlearnt_bytes(nano, []) == []


def test_what_the_base_is_known_to_have_learnt_is_not_told() -> None:
    nano = load_tokenizer("nano")
    samples = samples_of(nano, VIETNAMESE)
    assert unlearnt_bytes(nano, samples, characters_learnt_as_bytes("nano")) == []
    some = unlearnt_bytes(nano, samples, "“”‘’–…")
    assert len(some) == 1
    assert "“" not in some[0].what
    chinese = samples_of(nano, ["他说“她去学校”"])
    (found,) = unlearnt_bytes(nano, chinese, characters_learnt_as_bytes("nano"))
    assert "学" in found.what
    assert "“" not in found.what
    assert characters_learnt_as_bytes("team/model") == ""
