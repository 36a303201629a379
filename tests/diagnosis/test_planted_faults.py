"""Each fault that is refused: `preflight` names it, and `train` ends with exit code 2 before a step is taken."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lexitrain.cli.main import run
from lexitrain.diagnosis import preflight
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.runs import Run
from tests.disks import mounted
from tests.small_runs import write_data


class Command:
    """A command of `train`, and the same for `preflight`."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder = folder
        self.data = write_data(folder / "data")
        self.run = folder / "run"
        self.mirror: Path | None = None
        self.settings = [
            f"model.base={base}",
            "lora.rank=4",
            "step.effective_batch=5",
            "data.workers=0",
        ]

    def train(self, *more: str) -> int:
        line = ["train", "--recipe", "demo", "--data", str(self.data), "--run", str(self.run)]
        for each in self.settings:
            line += ["--set", each]
        return run([*line, *(["--mirror", str(self.mirror)] if self.mirror else []), *more])

    def refused(self) -> list[str]:
        recipe = load_recipe("demo", self.settings)
        found = preflight(recipe, self.data, self.run, mirror=self.mirror)
        assert all(each.found and each.why and each.fix for each in found.refused)
        return [each.name for each in found.refused]


@pytest.fixture
def command(tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    return Command(tmp_path, tiny_base)


def assert_refused(command: Command, name: str) -> None:
    assert command.refused() == [name]
    assert command.train() == 2
    assert not Run(command.run).metrics_file.exists()
    assert not any(each.event == "started" for each in Run(command.run).events())


def test_without_a_fault_nothing_is_refused(command: Command):
    assert command.refused() == []
    assert command.train() == 0


def test_a_folder_of_something_else(command: Command):
    command.run.mkdir()
    (command.run / "thesis.txt").write_text("mine")
    assert_refused(command, "run folder")


def test_a_disk_without_room_for_one_checkpoint(command: Command):
    command.settings.append("lora.rank=64")
    with mounted(command.folder / "disk", "size=300k") as disk:
        command.run = disk / "run"
        assert_refused(command, "disk")


def test_a_mirror_that_is_not_mounted(command: Command):
    command.mirror = command.folder / "drive" / "MyDrive" / "mirror"
    assert_refused(command, "mirror")
    assert not (command.folder / "drive").exists()


def test_a_torchao_that_peft_refuses(command: Command, monkeypatch: pytest.MonkeyPatch):
    from peft import import_utils

    packages = command.folder / "packages"
    about = packages / "torchao-0.10.0.dist-info"
    (packages / "torchao").mkdir(parents=True)
    (packages / "torchao" / "__init__.py").touch()
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: torchao\nVersion: 0.10.0\n")
    monkeypatch.syspath_prepend(packages)
    importlib.invalidate_caches()
    import_utils.is_torchao_available.cache_clear()
    try:
        found = preflight(load_recipe("demo", command.settings), command.data, command.run)
        names = {each.name for each in found.refused}
        assert "peft" in names
        assert names <= {"peft", "layout"}  # no adapter can be put on the base either
        (check,) = (each for each in found.refused if each.name == "peft")
        assert "0.10.0" in check.found
        assert "pip uninstall -y torchao" in check.fix
        assert command.train() == 2
        assert not command.run.exists()
    finally:
        import_utils.is_torchao_available.cache_clear()


@pytest.mark.parametrize("how", ["other numbers", "an error"])
@pytest.mark.parametrize(
    ("setting", "function"),
    [
        ("optimizer.name=adamw_8bit", "dequantize_blockwise"),
        ("model.quantization=nf4", "dequantize_4bit"),
    ],
)
def test_bitsandbytes_that_does_not_work(
    command: Command, monkeypatch: pytest.MonkeyPatch, setting: str, function: str, how: str
):
    functional = importlib.import_module("bitsandbytes.functional")
    real: Callable[..., Any] = getattr(functional, function)

    def broken(*arguments: Any, **options: Any) -> Any:
        if how == "an error":
            raise RuntimeError("no kernel image is available for execution on the device")
        return 1.2 * real(*arguments, **options)

    monkeypatch.setattr(functional, function, broken)
    command.settings.append(setting)
    recipe = load_recipe("demo", command.settings)
    names = [each.name for each in preflight(recipe, command.data, command.run).refused]
    assert "bitsandbytes" in names
    assert set(names) <= {"bitsandbytes", "layout"}  # where the base cannot be loaded with it
    assert command.train() == 2
    assert not command.run.exists()


def test_samples_whose_end_is_not_learnt(command: Command, monkeypatch: pytest.MonkeyPatch):
    from lexitrain.samples.rendering import Renderer

    rendered = Renderer.render_all

    def masked(renderer: Renderer, *arguments: Any, **options: Any) -> Any:
        samples = rendered(renderer, *arguments, **options)
        cut = [replace(each, supervised=each.supervised.copy()) for each in samples]
        for each in cut:
            each.supervised[-1] = False
        return cut

    monkeypatch.setattr(Renderer, "render_all", masked)
    assert_refused(command, "data")
    assert not command.run.exists()


def test_a_tokenizer_without_a_token_to_pad_with(command: Command):
    base = Path(command.settings[0].partition("=")[2])
    copy = command.folder / "base"
    copy.mkdir()
    for file in base.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    settings["pad_token"] = settings["unk_token"] = settings["eos_token"]
    (copy / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    for each in tokenizer["added_tokens"]:
        if each["content"] != "<|im_end|>":
            each["special"] = False
            each["content"] = each["content"].replace("endoftext", "other")
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    command.settings[0] = f"model.base={copy}"
    assert_refused(command, "data")
    assert not command.run.exists()


def test_a_layout_that_is_wrong_for_longer_samples_alone(
    command: Command, monkeypatch: pytest.MonkeyPatch
):
    """The made-up samples are shorter than what is planted here: the data's own ones find it."""
    from lexitrain.step.attention import BatchTensors

    of = BatchTensors.of

    def wrong(batch: Any, device: Any) -> Any:
        return of(replace(batch, positions=np.minimum(batch.positions, 20)), device)

    monkeypatch.setattr(BatchTensors, "of", wrong)
    assert_refused(command, "layout")
    assert not command.run.exists()


def test_data_that_are_not_there(command: Command):
    command.data = command.folder / "nowhere"
    assert_refused(command, "data")
    assert not command.run.exists()


def test_a_run_that_goes_on_is_not_asked_again(command: Command, monkeypatch: pytest.MonkeyPatch):
    """What was right at the start is not looked at when the run goes on: its checkpoint holds what matters."""
    from lexitrain.training import build

    assert command.train("--stop-after-step", "2") == 4

    def never(*arguments: Any) -> None:
        raise AssertionError("asked again")

    for name in ("require_disk_room", "require_bitsandbytes", "require_layout_of"):
        monkeypatch.setattr(build, name, never)
    assert command.train() == 0
