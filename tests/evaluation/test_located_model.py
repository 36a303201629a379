from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lexitrain.errors import InputError
from lexitrain.evaluation.sources.located_model import load_model, locate_model
from lexitrain.runs.checkpoints import Checkpoints
from lexitrain.runs.folder import Run
from tests.taught import save_run
from tests.tiny import tiny_tokenizer


def logits(model: object) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.arange(9)[None], use_cache=False).logits  # type: ignore[operator]


def test_a_run_gives_its_base_with_its_adapter(base: Path, tmp_path: Path):
    run = save_run(tmp_path / "run", base, tasks=("grammar",), scale=0.5)
    subject = locate_model(run.path)
    assert (subject.tasks, subject.max_length, subject.run is not None) == (("grammar",), 256, True)
    loaded = load_model(subject)
    model, tokenizer = loaded.model, loaded.tokenizer
    plain = load_model(locate_model(base)).model
    assert not torch.allclose(logits(model), logits(plain))
    assert tokenizer.chat_template == tiny_tokenizer().chat_template
    of_adapter = load_model(locate_model(run.adapter)).model
    assert torch.equal(logits(of_adapter), logits(model))


def test_an_adapter_folder_elsewhere_names_its_base(base: Path, tmp_path: Path):
    run = save_run(tmp_path / "run", base)
    alone = run.adapter.rename(tmp_path / "alone")
    config = alone / "adapter_config.json"
    text = json.loads(config.read_text()) | {"base_model_name_or_path": str(base)}
    config.write_text(json.dumps(text))
    model = load_model(locate_model(alone)).model
    assert torch.equal(logits(model), logits(load_model(locate_model(base)).model))
    assert locate_model(alone).run is None
    config.write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        locate_model(alone)


def test_one_adapter_a_task_is_changed_in_place(base: Path, tmp_path: Path):
    save_run(tmp_path / "run/grammar", base, tasks=("grammar",), scale=0.5)
    save_run(tmp_path / "run/fluency", base, tasks=("fluency",), scale=-0.7)
    loaded = load_model(locate_model(tmp_path / "run"))
    assert set(loaded.located.tasks) == {"fluency", "grammar"}
    seen = {}
    for task in ("grammar", "fluency", "grammar"):
        loaded.select(task)
        expected = load_model(locate_model(tmp_path / "run" / task)).model
        seen[task] = logits(loaded.model)
        assert torch.equal(seen[task], logits(expected))
    assert not torch.equal(seen["grammar"], seen["fluency"])
    with pytest.raises(InputError, match="no adapter for the task dialogue"):
        loaded.select("dialogue")


def test_the_tasks_of_a_run_are_those_of_its_samples(base: Path, tmp_path: Path):
    run = save_run(tmp_path / "run", base)
    assert locate_model(run.path).tasks == ()
    content = {
        **{"folder": "d", "files": {}, "samples": {"train": {"grammar": 3}}, "skipped": {}},
        **{"truncated": {}, "token_lengths": {}, "rendered_sha256": ""},
    }
    run.data_file.write_text(json.dumps(content))
    subject = locate_model(run.path)
    assert (subject.tasks, subject.data) == (("grammar",), Path("d"))


def test_what_is_not_there_is_said(base: Path, tmp_path: Path):
    with pytest.raises(InputError, match="no such run or model"):
        locate_model(tmp_path / "missing")
    with pytest.raises(InputError, match="no run, no adapter and no model"):
        locate_model(tmp_path)
    run = save_run(tmp_path / "run", base)
    (run.adapter / "adapter_config.json").unlink()
    with pytest.raises(InputError, match="no adapter yet"):
        locate_model(Run(run.path).path)


def stopped(run: Run) -> None:
    """The run as one that was stopped: checkpoints, no adapter; each step's weights are its own."""
    files = {path.name: path.read_bytes() for path in run.adapter.iterdir() if path.is_file()}
    kept = {name: files[name] for name in ("adapter_model.safetensors", "adapter_config.json")}
    checkpoints = Checkpoints(run.checkpoints, keep=3)
    checkpoints.save_best(5, kept, {"validation_loss": 1.0})
    checkpoints.save(5, {**kept, "state.json": b"{}"})
    checkpoints.save(10, {**kept, "state.json": b"{}"})
    for path in run.adapter.iterdir():
        path.unlink()


def test_a_stopped_run_stands_for_its_best_checkpoint_and_says_so(base: Path, tmp_path: Path):
    run = save_run(tmp_path / "run", base, scale=0.5)
    whole = logits(load_model(locate_model(run.path)).model)
    assert locate_model(run.path).unfinished == ()
    stopped(run)
    subject = locate_model(run.path)
    assert subject.unfinished == ("checkpoints/best-000005",)
    assert torch.equal(logits(load_model(subject).model), whole)
    best = run.checkpoints / "best-000005" / "adapter_model.safetensors"
    best.write_bytes(best.read_bytes()[:-1])
    assert locate_model(run.path).unfinished == ("checkpoints/step-000010",)
    (run.checkpoints / "step-000010" / "MANIFEST.json").write_text("{}")
    assert locate_model(run.path).unfinished == ("checkpoints/step-000005",)
    (run.checkpoints / "step-000005" / "MANIFEST.json").unlink()
    with pytest.raises(InputError, match=r"no adapter yet.*best-000005"):
        locate_model(run.path)


def test_parts_that_have_not_finished_are_named_by_their_folder(base: Path, tmp_path: Path):
    save_run(tmp_path / "run/grammar", base, tasks=("grammar",))
    stopped(save_run(tmp_path / "run/fluency", base, tasks=("fluency",)))
    subject = locate_model(tmp_path / "run")
    assert subject.unfinished == ("fluency/checkpoints/best-000005",)


def test_a_checkpoint_of_a_run_knows_its_run(base: Path, tmp_path: Path):
    run = save_run(tmp_path / "run", base)
    stopped(run)
    subject = locate_model(run.checkpoints / "best-000005")
    assert subject.run is not None
    assert subject.max_length == 256
    assert subject.unfinished == ()  # it is what was asked for, and stands for nothing else


def test_a_name_is_a_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "nano").mkdir()
    monkeypatch.chdir(tmp_path)
    assert locate_model("nano").model.base == "nano"
    assert locate_model("Qwen/Qwen2.5-0.5B-Instruct").adapters == {}


def test_a_file_is_no_model_unless_it_is_whole_gguf(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"no model")
    with pytest.raises(InputError, match="a GGUF file"):
        locate_model(path)
    path.write_bytes(b"GGUF")
    with pytest.raises(InputError, match="cannot be read as GGUF"):
        locate_model(path)
