"""A file that is the adapter's passes; one that is not is caught, each for its own reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lexitrain import evaluate, export, generate_file, load_recipe, prepare, train
from lexitrain.errors import ModelError
from lexitrain.exporting.exported_model import ExportedModel
from lexitrain.exporting.gguf.mixtures import mixture
from lexitrain.exporting.gguf.writing import write_gguf
from lexitrain.exporting.merging.merged_weights import MergedWeights
from lexitrain.exporting.verification.verification import Verifier

pytestmark = pytest.mark.slow
LIMIT = 60
MARGIN = 0.4
"""Wide: with so few records little can be shown."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    generate_file(folder / "records.jsonl", 1500, 3)
    prepare([str(folder / "records.jsonl")], folder / "data", workers=0)
    return folder / "data"


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "first"
    train(load_recipe("demo", ["validation.limit=20"]), data, folder)
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> ExportedModel:
    return ExportedModel.found(run, None, (), trust_tasks=False)


@pytest.fixture(scope="module")
def verifier(model: ExportedModel, run: Path, data: Path) -> Verifier:
    reference = evaluate(run, data, limit=LIMIT)
    samples = model.samples([record for _, record in reference.data.records])
    return Verifier(model.loaded, model.renderer, samples, reference, data, LIMIT, None, MARGIN)


def written(
    model: ExportedModel,
    path: Path,
    *,
    adapter: bool = True,
    tokenizer: Any = None,
    kind: str = "F16",
) -> Path:
    with model.weights(adapter=adapter) as weights:
        write_gguf(
            path,
            weights,
            tokenizer or model.tokenizer,
            model.renderer.end_of_turn_id,
            mixture(kind),
            model.about,
        )
    return path


def test_the_exported_file_is_the_adapter(run: Path, data: Path, tmp_path: Path) -> None:
    report = export(
        run,
        ["merged", "gguf", "gguf-lora", "ollama"],
        quantize=("F32", "F16", "Q8_0"),
        out=tmp_path / "out",
        verify=data,
        limit=2 * LIMIT,
        margin=MARGIN,
    )
    told = json.loads((tmp_path / "out" / "export.json").read_text(encoding="utf-8"))
    assert [each["form"] for each in told["files"]] == [
        "merged",
        *["gguf"] * 3,
        "base",
        "gguf-lora",
    ]
    # Over twice the records of the other tests: of few positions two ties are already more than one in a thousand.
    for file, most, least in zip(
        report.files[1:4], (1e-5, 1e-4, 1e-3), (0.999, 0.999, 0.98), strict=True
    ):
        found = file.verification
        assert found is not None
        far = found.distances.to_json()
        assert far["mean_kl"] <= most
        assert far["top_1"] >= least, far
        assert found.text.same
        assert found.text.texts > found.text.prompts > 0
        assert found.held.answers == found.held.finished + (
            found.held.answers - found.held.finished
        )
        assert found.held.invalid == 0
        assert found.speed.tokens_per_second
        assert found.speed.memory_mb > 10
    assert report.files[0].merge is not None
    assert report.files[0].merge.kl / report.files[0].merge.positions < 1e-3
    assert report.files[0].merge_tasks
    lora = report.files[-1].verification
    assert lora is not None
    assert lora.equal_answers > 0.5
    for name in (
        "Modelfile",
        "Modelfile.adapter",
        "grammars/any-task.gbnf",
        "grammars/grammar.schema.json",
    ):
        assert (tmp_path / "out" / name).is_file()


def test_a_file_of_the_base_is_caught_by_its_distributions_and_scores(
    model: ExportedModel, verifier: Verifier, tmp_path: Path
) -> None:
    found = verifier.verify(written(model, tmp_path / "base.gguf", adapter=False), "F16")
    assert any("KL" in reason for reason in found.missed)
    assert found.distances.kl / found.distances.positions > 0.1
    assert found.equal_answers < 0.2


def test_a_file_is_as_far_from_the_adapter_each_time(
    model: ExportedModel, verifier: Verifier, tmp_path: Path
) -> None:
    file = written(model, tmp_path / "again.gguf", kind="Q8_0")
    first, second = (verifier.verify(file, "Q8_0").distances.to_json() for _ in range(2))
    assert first == second


def test_another_template_is_caught(
    model: ExportedModel, verifier: Verifier, tmp_path: Path
) -> None:
    from copy import copy

    other = copy(model.tokenizer)
    other.chat_template = model.tokenizer.chat_template.replace("<|im_end|>\\n", "<|im_end|>", 1)
    found = verifier.verify(written(model, tmp_path / "other.gguf", tokenizer=other), "F16")
    assert found.text.other_prompts > 0
    assert any("llama.cpp reads" in reason for reason in found.missed)


def test_wrong_rows_are_caught(model: ExportedModel, verifier: Verifier, tmp_path: Path) -> None:
    """A file whose values are right and stand in other places: what a wrong permutation would be."""

    class Shuffled(MergedWeights):
        def tensor(self, name: str) -> Any:
            weight = super().tensor(name)
            return weight.flip(0) if name.endswith("k_proj.weight") else weight

        def in_rows(self, name: str) -> Any:
            yield self.tensor(name)

    path = tmp_path / "wrong.gguf"
    with Shuffled(model.located.model, model.adapter) as weights:
        write_gguf(
            path,
            weights,
            model.tokenizer,
            model.renderer.end_of_turn_id,
            mixture("F16"),
            model.about,
        )
    found = verifier.verify(path, "F16")
    assert any("KL" in reason for reason in found.missed)


def test_the_best_file_is_the_smallest_that_passes(run: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "best"
    report = export(run, ["best"], out=out, verify=data, limit=LIMIT, margin=0.9, max_mb=2.2)
    assert report.chosen is not None
    assert report.missed == []
    assert [path.name for path in out.glob("*.gguf")] == [report.chosen.name]
    assert report.chosen.stat().st_size <= 2.2e6
    tried = [each.quantization for each in report.files]
    assert tried == sorted(
        tried, key=lambda name: next(f.bytes for f in report.files if f.quantization == name)
    )


def test_no_file_within_the_limit_is_told(run: Path, data: Path, tmp_path: Path) -> None:
    report = export(run, ["best"], out=tmp_path, verify=data, limit=LIMIT, max_mb=0.5)
    assert report.chosen is None
    (missed,) = report.missed
    assert missed.startswith("No file within the limit is shown to be no worse than the adapter.")
    assert "--max-mb" in missed


def test_importance_needs_the_records_of_training(run: Path, data: Path, tmp_path: Path) -> None:
    plain = export(run, ["gguf"], quantize=("Q4_0",), out=tmp_path / "plain")
    weighed = export(run, ["gguf"], quantize=("Q4_0",), out=tmp_path / "weighed", importance=30)
    files = [each.files[0].path.read_bytes() for each in (plain, weighed)]
    assert files[0] != files[1]
    assert len(files[0]) == len(files[1])
    with pytest.raises(ModelError, match="not at hand"):
        export("nano", ["gguf"], quantize=("Q4_0",), out=tmp_path / "none", importance=30)
