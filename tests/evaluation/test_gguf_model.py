"""A GGUF file as a model that is evaluated and compared: its answers are those of the same weights in torch."""

from __future__ import annotations

import unicodedata
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lexitrain import compare, evaluate
from lexitrain.errors import LexiTrainError, ModelError
from lexitrain.evaluation import Decoding, EvaluationReport
from lexitrain.evaluation.sources.gguf_model import gguf_files, plain_text, with_adapter
from lexitrain.evaluation.sources.located_model import locate_model
from lexitrain.exporting.gguf import writing
from lexitrain.exporting.gguf.metadata import About
from lexitrain.exporting.gguf.mixtures import mixture
from lexitrain.exporting.merging.merged_weights import MergedWeights
from lexitrain.serving import LlamaServer
from lexitrain.synthetic import generate
from tests.exported import NANO, nano_tokenizer, random_adapter, write_adapter, write_nano

pytest.importorskip("xllamacpp")


@pytest.fixture(scope="module")
def nano_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nano(tmp_path_factory.mktemp("gguf") / "nano.gguf")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_adapter(tmp_path_factory.mktemp("adapter") / "peft", 7, r=4, lora_alpha=8)


def data_of(folder: Path, count: int, tasks: tuple[str, ...] = ()) -> Path:
    """Short records, so that an answer's limit is soon met."""
    found = [
        each
        for each in generate(4 * count, seed=11)
        if each.messages is None and (not tasks or each.task in tasks)
    ]
    path = folder / "records.jsonl"
    path.write_text("".join(each.to_json() + "\n" for each in found[:count]), encoding="utf-8")
    return path


def texts(report: EvaluationReport) -> dict[Any, str]:
    return {
        (name, each.key): each.text
        for name, task in report.evaluation.tasks.items()
        for each in task.answers
    }


def equal(first: EvaluationReport, other: EvaluationReport) -> tuple[int, int]:
    """Answers that both give letter by letter, and all."""
    one, two = texts(first), texts(other)
    assert one.keys() == two.keys()
    return sum(one[key] == two[key] for key in one), len(one)


@pytest.mark.slow
def test_a_file_answers_as_its_weights_do(
    nano_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One prompt at a time: which prompts share a batch depends on the moment, and sums in another order break ties.
    alone = partial(LlamaServer, slots=1)
    monkeypatch.setattr("lexitrain.evaluation.sources.gguf_model.LlamaServer", alone)
    data = data_of(tmp_path, 100)
    same, answers = equal(evaluate("nano", data), evaluate(nano_file, data))
    assert answers == 100
    assert same >= 97


@pytest.mark.slow
def test_a_file_with_its_adapter_answers_as_the_adapter_does(
    nano_file: Path, adapter: Path, tmp_path: Path
) -> None:
    data = data_of(tmp_path, 60, ("fluency", "vocabulary"))
    beside = write_adapter(tmp_path / "adapter.gguf", adapter)
    merged = write_nano(tmp_path / "merged.gguf", "F32", adapter)
    reference = evaluate(adapter, data)
    for name in (with_adapter(nano_file, beside), str(merged)):
        same, answers = equal(reference, evaluate(name, data))
        assert answers == 60
        assert same >= 57
    base = evaluate(nano_file, data)
    assert equal(reference, base)[0] < 30, "the adapter changes answers"


@pytest.mark.slow
def test_a_run_s_task_and_system_stand_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "nano.gguf"
    tokenizer = nano_tokenizer()
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    about = About("nano", ("fluency", "vocabulary"), "Be kind.", 300)
    with MergedWeights(NANO, None) as weights:
        writing.write_gguf(file, weights, tokenizer, end, mixture("F16"), about)
    located = locate_model(file)
    assert located.tasks == ("fluency", "vocabulary")
    assert (located.system, located.max_length) == ("Be kind.", 300)
    assert evaluate(file, data_of(tmp_path, 4, ("fluency",))).evaluation.tasks.keys() == {"fluency"}


@pytest.mark.slow
def test_answers_under_a_schema_are_valid_or_cut(nano_file: Path, tmp_path: Path) -> None:
    data = data_of(tmp_path, 20)
    report = evaluate(nano_file, data, decoding=Decoding(1.5, 2, 1, json_schema=True))
    for task in report.evaluation.tasks.values():
        for each in task.answers:
            assert each.answer is not None or each.truncated, each.text


@pytest.mark.slow
def test_an_evaluation_that_was_cut_off_goes_on(
    nano_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_of(tmp_path, 60, ("fluency",))
    whole = evaluate(nano_file, data)
    seen: list[int] = []

    def stop(stage: str, done: int, total: int) -> None:
        seen.append(done)
        if done >= 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(nano_file, data, out=tmp_path / "kept", resumable=True, progress=stop)
    first: list[int] = []
    again = evaluate(
        nano_file,
        data,
        out=tmp_path / "kept",
        resumable=True,
        progress=lambda _stage, done, _total: first.append(done),
    )
    assert equal(whole, again)[0] >= 59
    assert first
    assert first[0] >= 32, "what was answered before is not asked again"


@pytest.mark.slow
def test_a_file_is_compared_with_its_base(nano_file: Path, tmp_path: Path) -> None:
    data = data_of(tmp_path, 30, ("fluency",))
    report = compare(["nano", str(nano_file)], data)
    assert report is not None


def test_names_with_a_plus_are_taken_apart_at_files_alone(nano_file: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a+b"
    odd.mkdir()
    base, beside = odd / "x+y.gguf", odd / "l+o+r+a.gguf"
    for path in (base, beside):
        path.symlink_to(nano_file)
    assert gguf_files(str(base)) == (base, None)
    assert gguf_files(with_adapter(base, beside)) == (base, beside)
    assert gguf_files(str(odd / "x")) is None
    assert gguf_files(f"{base}+") is None
    assert gguf_files("Qwen/Qwen2.5+x") is None


def test_an_adapter_alone_is_no_model(adapter: Path, tmp_path: Path) -> None:
    beside = write_adapter(tmp_path / "adapter.gguf", adapter)
    data = data_of(tmp_path, 2)
    with pytest.raises(ModelError, match="an adapter and no model"):
        evaluate(beside, data)


@pytest.mark.slow
def test_two_models_are_no_model_with_its_adapter(nano_file: Path, tmp_path: Path) -> None:
    data = data_of(tmp_path, 2)
    with pytest.raises(LexiTrainError, match="cannot load"):
        evaluate(with_adapter(nano_file, nano_file), data)


@pytest.mark.parametrize("specials", [("<|im_end|>", "<|im", "[x]", "a.b"), (), ("<s>", "</s>")])
def test_no_special_token_is_left_in_a_text(specials: tuple[str, ...]) -> None:
    plain = plain_text(specials)
    for text in ("<|im_end|>", "<|im<|im_end|>_end|>", "[x][x]", "a.b axb", "<<s>s>", "é"):
        decomposed = unicodedata.normalize("NFD", text)
        assert not any(each in plain(text) for each in specials)
        assert plain(plain(text)) == plain(text) == plain(decomposed)
    assert plain("axb") == "axb"
