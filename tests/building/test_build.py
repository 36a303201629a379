"""The whole way on nano: done once, gone on with after kills, done again where something has changed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lexitrain import Choices, build, generate_file, outlook
from lexitrain.building.observer import Unwatched
from lexitrain.errors import InputError, LimitNotMet

pytestmark = pytest.mark.slow

SETTINGS = ("schedule.epochs=1", "checkpoints.every=10", "validation.limit=20")
STAGES = ["prepare", "plan", "preflight", "train", "evaluate", "export", "report"]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("records") / "records.jsonl"
    generate_file(path, 400, 7)
    return path


def choices(records: Path, folder: Path, **more: object) -> Choices:
    given = {"recipe": "demo", "overrides": SETTINGS, "limit": 20, "quantize": ("Q8_0",), **more}
    return Choices((str(records),), folder, **given)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def undisturbed(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build") / "tutor"
    result = build(choices(records, folder))
    assert list(result.seconds) == STAGES
    assert result.skipped == []
    return folder


def hashes(folder: Path) -> dict[str, str]:
    """Of all that counts: adapter, exported files, answers."""
    places = [
        *(folder / "run" / "adapter").glob("adapter_model.safetensors"),
        *(folder / "run" / "export").glob("*.gguf"),
        *(folder / "run" / "export" / "grammars").iterdir(),
        *(folder / "run" / "evaluation").glob("*.answers.jsonl"),
        *(folder / "data").glob("*.jsonl"),
    ]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in places
    }


def test_nothing_is_done_twice(records: Path, undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*") if path.is_file()}
    result = build(choices(records, undisturbed))
    assert result.skipped == STAGES
    after = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*") if path.is_file()}
    assert after == before


def test_a_changed_export_does_the_export_alone(records: Path, undisturbed: Path) -> None:
    result = build(choices(records, undisturbed, quantize=("Q8_0", "F16")))
    assert result.skipped == STAGES[:-2]
    (file,) = (undisturbed / "run" / "export").glob("*-F16.gguf")
    file.unlink()  # what an earlier export wrote stays until somebody deletes it
    build(choices(records, undisturbed))


def test_missing_files_are_made_again(records: Path, undisturbed: Path) -> None:
    file = undisturbed / "run" / "export" / "export.json"
    file.unlink()
    assert "export" not in build(choices(records, undisturbed)).skipped
    assert file.is_file()


def test_what_is_gone_or_cut_short_is_made_again(records: Path, undisturbed: Path) -> None:
    page = undisturbed / "run" / "report.html"
    (exported,) = (undisturbed / "run" / "export").glob("*.gguf")
    whole, told = exported.read_bytes(), page.read_bytes()
    page.unlink()
    assert build(choices(records, undisturbed)).skipped == STAGES[:-1]
    assert page.read_bytes() == told
    exported.write_bytes(whole[: len(whole) // 2])
    assert build(choices(records, undisturbed)).skipped == STAGES[:-2]
    assert exported.read_bytes() == whole


def test_another_margin_judges_the_same_answers_anew(records: Path, undisturbed: Path) -> None:
    result = build(choices(records, undisturbed, margin=0.4))
    assert result.skipped == STAGES[:4]
    kept = json.loads((undisturbed / "comparison" / "comparison.json").read_text())
    assert kept["margin"] == 0.4
    build(choices(records, undisturbed))


@pytest.mark.parametrize("name", ["recipe.yaml", "data/train.jsonl"])
def test_what_the_user_changed_is_neither_used_nor_written_over(
    records: Path, undisturbed: Path, name: str
) -> None:
    file = undisturbed / name
    before = file.read_bytes()
    file.write_bytes(before + b"\n")
    with pytest.raises(InputError, match="not as the build has written it") as told:
        build(choices(records, undisturbed))
    assert name in str(told.value)
    assert file.read_bytes() == before + b"\n"
    file.unlink()
    build(choices(records, undisturbed))
    assert file.read_bytes() == before


def test_a_mirror_that_comes_later_is_caught_up_with(
    records: Path, undisturbed: Path, tmp_path: Path
) -> None:
    class Told(Unwatched):
        def __init__(self) -> None:
            self.said: list[str] = []

        def says(self, sentence: str) -> None:
            self.said.append(sentence)

    observer, mirror = Told(), tmp_path / "drive" / "mirror"
    mirror.parent.mkdir()
    result = build(choices(records, undisturbed, mirror=mirror), observer)
    assert "train" in result.skipped
    assert observer.said == []
    copy = (mirror / "run" / "adapter" / "adapter_model.safetensors").read_bytes()
    assert copy == (undisturbed / "run" / "adapter" / "adapter_model.safetensors").read_bytes()
    shutil.rmtree(mirror.parent)  # the drive is gone, and all is built
    assert build(choices(records, undisturbed), observer).skipped == result.skipped
    (said,) = observer.said
    assert "as they were" in said
    assert str(mirror) in said
    assert build(choices(records, undisturbed, mirror=Path("none")), observer).skipped == STAGES
    assert build(choices(records, undisturbed), observer).skipped == STAGES
    assert len(observer.said) == 1


def test_changed_records_move_the_run_aside(records: Path, tmp_path: Path) -> None:
    own = tmp_path / "records.jsonl"
    own.write_bytes(records.read_bytes())
    folder = tmp_path / "tutor"
    first = build(choices(own, folder))
    lines = own.read_text(encoding="utf-8").splitlines()
    own.write_text("\n".join(lines[:-40]) + "\n", encoding="utf-8")
    second = build(choices(own, folder))
    assert second.skipped == []
    assert (folder / "run.old-1" / "adapter").is_dir()
    assert first.made["prepare"] != second.made["prepare"]


def test_killed_at_random_moments_it_ends_in_the_same(
    records: Path, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "tutor"
    command = [
        *(sys.executable, "-m", "lexitrain", "build", str(records), "--out", str(folder)),
        *("--recipe", "demo", "--limit", "20", "--quantize", "Q8_0"),
        *(part for each in SETTINGS for part in ("--set", each)),
    ]
    draw, kills = random.Random(3), 0
    for _ in range(40):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        try:
            _, said = process.communicate(timeout=draw.uniform(1.5, 9.0) if kills < 10 else None)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
            time.sleep(0.1)
            continue
        assert process.returncode in {0, 3}, said.decode()
        break
    assert kills >= 3
    assert hashes(folder) == hashes(undisturbed)
    assert json.loads((folder / "build.json").read_text())["stages"].keys() == set(STAGES)


def test_limits_that_cannot_be_kept_are_told_before_training(records: Path, tmp_path: Path) -> None:
    with pytest.raises(LimitNotMet, match="GB"):
        build(choices(records, tmp_path / "a", memory_gb=0.01))
    assert not (tmp_path / "a" / "run").exists()


def test_an_outlook_writes_nothing(records: Path, tmp_path: Path) -> None:
    found = outlook(choices(records, tmp_path / "a"))
    assert found.stages == dict.fromkeys(STAGES, False)
    assert found.plan.hours.expected > 0
    assert not (tmp_path / "a").exists()


def test_no_records_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Give records"):
        build(Choices((), tmp_path / "a"))
