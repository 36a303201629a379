"""The ONNX folder: onnxruntime-genai loads it, and ends an answer where training did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lexitrain import export
from lexitrain.errors import MissingExtra
from tests.exported import random_adapter


def test_a_missing_package_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import util

    known = util.find_spec
    monkeypatch.setattr(
        "lexitrain.exporting.onnx_folder.find_spec",
        lambda name: None if name == "onnxruntime_genai" else known(name),
    )
    with pytest.raises(MissingExtra, match="onnxruntime_genai"):
        export("nano", ["onnx"], out=tmp_path / "out")
    assert not (tmp_path / "out" / "onnx").exists()


@pytest.mark.slow
def test_the_folder_answers_and_stops(tmp_path: Path) -> None:
    og = pytest.importorskip("onnxruntime_genai", reason="the extra onnx is not installed")
    adapter = random_adapter(tmp_path / "adapter", 1)
    export(adapter, ["onnx"], out=tmp_path / "out")
    folder = tmp_path / "out" / "onnx"
    told = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))["model"]
    assert told["eos_token_id"] == [2]
    assert told["pad_token_id"] == 0
    model = og.Model(str(folder))
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=60, do_sample=False)
    generator = og.Generator(model, parameters)
    generator.append_tokens([1, 74, 75])
    while not generator.is_done():
        generator.generate_next_token()
    assert 3 < len(generator.get_sequence(0)) <= 60
