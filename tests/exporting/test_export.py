"""`export` as a whole: what is asked for wrongly, models that are not one, disks that are full."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lexitrain import export, train
from lexitrain.errors import InputError, LexiTrainError, ModelError, Stopped, TaskError
from lexitrain.recipe.schema import Recipe
from tests.disks import mounted
from tests.exporting.small_bases import save_base, save_lora
from tests.taught import save_base as save_taught
from tests.taught import save_run
from tests.tiny import tiny_model


def files_of(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file()] if folder.exists() else []


ASKED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown form": ({"to": ["ggfu"]}, "no form 'ggfu'.*Did you mean gguf"),
    "no form": ({"to": []}, "No form is named"),
    "an unknown quantization": ({"quantize": ["Q4_KM"]}, "no quantization.*Did you mean Q4_K_M"),
    "no quantization": ({"quantize": []}, "No quantization is named"),
    "no folder": ({"out": None}, "no folder of its own.*--out"),
    "no records": ({"to": ["best"]}, "records that the model was not trained on.*--verify"),
    "a negative number of samples": ({"importance": -1}, "--importance"),
    "no size": ({"max_mb": float("nan")}, "--max-mb"),
    "a negative margin": ({"margin": -0.1}, "--margin"),
    "an adapter of a base": ({"to": ["gguf", "gguf-lora"]}, "base without an adapter"),
    "records that are not there": ({"verify": "none.jsonl"}, "none.jsonl"),
}


@pytest.mark.parametrize("fault", ASKED)
def test_what_is_asked_for_wrongly(fault: str, tmp_path: Path, tiny_base: Path) -> None:
    options, reason = ASKED[fault]
    with pytest.raises(LexiTrainError, match=f"(?s){reason}") as caught:
        export(tiny_base, **{"out": tmp_path / "out", **options})
    assert caught.value.exit_code == 2
    assert not files_of(tmp_path / "out")


def test_a_file_is_written_once_in_any_case(tmp_path: Path, tiny_base: Path) -> None:
    report = export(tiny_base, ["gguf", "gguf"], quantize=["q8_0", "Q8_0"], out=tmp_path)
    assert [each.path.name for each in report.files] == ["tiny-Q8_0.gguf"]


def test_an_exported_file_is_not_exported_again(tmp_path: Path, tiny_base: Path) -> None:
    file = export(tiny_base, quantize=["Q8_0"], out=tmp_path / "a").files[0].path
    with pytest.raises(ModelError, match="exported already"):
        export(file, ["merged"], out=tmp_path / "b")


def test_the_base_beside_an_adapter_has_a_name_of_its_own(tmp_path: Path) -> None:
    """A run may be called as its base is."""
    base = save_base(tmp_path / "bases" / "nano")
    adapter = save_lora(tmp_path / "runs" / "nano", base)
    report = export(adapter, ["gguf", "gguf-lora"], quantize=["Q8_0"], out=tmp_path / "out")
    names = [each.path.name for each in report.files]
    assert names == ["nano-Q8_0.gguf", "nano-base-Q8_0.gguf", "nano-adapter.gguf"]
    merged, alone = (each.path.read_bytes() for each in report.files[:2])
    assert merged != alone


def test_adapters_of_single_tasks_are_chosen_by_name(tmp_path: Path) -> None:
    base = save_taught(tmp_path / "base", tiny_model())
    for task in ("grammar", "fluency"):
        save_run(tmp_path / "run" / task, base, tasks=(task,), scale=0.1)
    with pytest.raises(TaskError, match=r"(?s)an adapter of its own.*--task: .*grammar"):
        export(tmp_path / "run", ["merged"], out=tmp_path / "out")
    with pytest.raises(TaskError, match="--task"):
        export(tmp_path / "run", ["merged"], out=tmp_path / "out", task="dialogue")
    assert not files_of(tmp_path / "out")
    export(tmp_path / "run", ["merged"], out=tmp_path / "out", task="fluency")
    assert (tmp_path / "out" / "merged" / "config.json").is_file()


@pytest.mark.slow
def test_a_run_is_exported_with_the_base_that_it_was_trained_on(
    recipe_of: Callable[..., Recipe], data_dir: Path, tmp_path: Path
) -> None:
    base = save_taught(tmp_path / "base", tiny_model())
    recipe = recipe_of([f"model.base={base}", "schedule.epochs=1"])
    run = train(recipe, data_dir, tmp_path / "run").run
    out = tmp_path / "out"
    for other in (tiny_model(seed=1), tiny_model(hidden=64)):
        other.save_pretrained(base)
        for form in ("merged", "gguf", "gguf-lora"):
            with pytest.raises(LexiTrainError, match="base") as caught:
                export(run, [form], out=out)
            assert caught.value.exit_code == 2
    assert not files_of(out)
    tiny_model().save_pretrained(base)
    assert export(run, quantize=["Q8_0"]).folder == run / "export"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["merged", "gguf", "gguf-lora", "ollama"])
def test_a_full_disk_is_said_wherever_it_fills(form: str, tmp_path: Path) -> None:
    """In the weights, in the tokenizer, in the grammars: what is there afterwards is whole."""
    base = save_base(tmp_path / "base")
    adapter = save_lora(tmp_path / "adapter", base)
    whole = tmp_path / "whole"
    export(adapter, [form], quantize=["F32"], out=whole)
    finished = 0
    for kilobytes in range(4, 1000, 44):
        with mounted(tmp_path / "small", f"size={kilobytes}k") as disk:
            with suppress(Stopped):
                export(adapter, [form], quantize=["F32"], out=disk / "out")
                finished += 1
            for file in files_of(disk):
                expected = whole / file.relative_to(disk / "out")
                assert file.name == "export.json" or file.read_bytes() == expected.read_bytes()
    assert 0 < finished < 15


@pytest.mark.parametrize("form", ["merged", "gguf", "gguf-lora"])
def test_a_folder_that_cannot_be_written(form: str, tmp_path: Path) -> None:
    base = save_base(tmp_path / "base")
    adapter = save_lora(tmp_path / "adapter", base)
    with (
        mounted(tmp_path / "fixed", "size=1m,ro") as disk,
        pytest.raises(InputError, match=r"(?i)read-only|written") as caught,
    ):
        export(adapter, [form], quantize=["F32"], out=disk / "out")
    assert caught.value.exit_code == 2
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError):
        export(adapter, [form], out=tmp_path / "file")


@pytest.mark.slow
@pytest.mark.parametrize("package", ["gguf", "libgguf", "xllamacpp"])
def test_a_missing_package_is_named(package: str, tmp_path: Path, tiny_base: Path) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("raise ImportError('not installed')")
    if package == "xllamacpp":  # it is only looked for
        blocked = "import importlib.util as u; f = u.find_spec\nu.find_spec = lambda n, *a: "
        blocked += f"None if n == {package!r} else f(n, *a)\n"
    else:
        blocked = f"import sys; sys.modules[{package!r}] = None\n"
    code = (
        f"{blocked}from lexitrain import export\nfrom lexitrain.errors import MissingExtra\n"
        f"try:\n    export({str(tiny_base)!r}, out={str(tmp_path / 'out')!r}, verify={str(tiny_base)!r})\n"
        "except MissingExtra as error:\n    print(error.exit_code, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert package in done.stdout, done.stderr
    assert "export" in done.stdout
    assert not files_of(tmp_path / "out")
