"""What a build refuses before it prepares a record: nothing is written, and no hour is spent."""

from __future__ import annotations

from pathlib import Path

import pytest

from lexitrain import Choices, build, generate_file, outlook
from lexitrain.building.beforehand import files_of, one_build
from lexitrain.errors import DataError, InputError, MissingExtra, RunInUse
from lexitrain.storage import Lock, is_held
from lexitrain.watching.trackers import places as places_module


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("records") / "records.jsonl"
    generate_file(path, 60, 7)
    return path


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"quantize": ("Q9",)}, "--quantize"),
        ({"to": ("bset",)}, "Did you mean best"),
        ({"to": ()}, "--to"),
        ({"margin": float("nan")}, "--margin"),
        ({"margin": -1.0}, "--margin"),
        ({"max_mb": float("inf")}, "--max-mb"),
        ({"overrides": ("lora.rnak=8",)}, "lora.rank"),
        ({"recipe": "fsat"}, "fast"),
        ({"overrides": ("data.adapters=per_task",)}, "data.adapters=one"),
        ({"mirror": Path("/nowhere/at/all")}, "mirror cannot be made"),
        ({"overrides": ("checkpoints.mirror=/nowhere/at/all",)}, "mirror cannot be made"),
        ({"trackers": ("tensorbord",)}, "no tracker"),
    ],
)
def test_a_wrong_word_is_told_at_once(
    wrong: dict[str, object], told: str, records: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tutor"
    choices = Choices((str(records),), out, **{"recipe": "demo", **wrong})  # pyright: ignore[reportArgumentType]
    for call in (build, outlook):
        with pytest.raises(InputError, match=told):
            call(choices)
    assert not out.exists()


@pytest.mark.parametrize("below", ["", "x", "x/y"])
def test_a_file_is_no_folder_to_build_in(records: Path, tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for call in (build, outlook):
        with pytest.raises(InputError, match="This is a file"):
            call(Choices((str(records),), file / below, recipe="demo"))
    assert file.read_text() == "mine"


def test_a_place_that_takes_no_folder_is_refused(records: Path) -> None:
    with pytest.raises(InputError, match="/proc/nothing"):
        build(Choices((str(records),), Path("/proc/nothing"), recipe="demo"))


@pytest.mark.parametrize("below", ["", "tutor", "a/b"])
def test_a_build_among_its_records_is_refused(records: Path, tmp_path: Path, below: str) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "records.jsonl").write_bytes(records.read_bytes())
    with pytest.raises(InputError, match="among the records"):
        build(Choices((str(folder),), folder / below, recipe="demo"))
    assert [each.name for each in folder.iterdir()] == ["records.jsonl"]


def test_two_builds_in_one_folder_are_one_too_many(records: Path, tmp_path: Path) -> None:
    choices = Choices((str(records),), tmp_path / "tutor", recipe="demo")
    with (
        one_build(choices),
        pytest.raises(RunInUse, match=r"building in this folder[^$]*--out"),
        one_build(choices),
    ):
        pass
    assert not choices.folder.exists()


def test_a_build_that_ends_leaves_the_lock_of_the_next(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = Choices((str(records),), tmp_path / "tutor", recipe="demo")
    let_go = Lock.__exit__
    later: list[Lock] = []

    def then_another_begins(lock: Lock, *error: object) -> None:
        let_go(lock, *error)
        monkeypatch.setattr(Lock, "__exit__", let_go)
        later.append(Lock(choices.folder))
        later[0].__enter__()

    with one_build(choices):
        (choices.folder / "made").touch()
        monkeypatch.setattr(Lock, "__exit__", then_another_begins)
    assert is_held(choices.folder)
    with pytest.raises(RunInUse), one_build(choices):
        pass
    later[0].__exit__()


def test_records_of_which_none_is_held_out_are_refused_before_training(
    records: Path, tmp_path: Path
) -> None:
    alike = tmp_path / "alike.jsonl"
    alike.write_text(records.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    choices = Choices((str(alike),), tmp_path / "tutor", recipe="demo")
    with pytest.raises(DataError, match="held out"):
        build(choices)
    assert not choices.run.exists()


def test_an_outlook_counts_all_of_the_records(records: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    more = tmp_path / "more.jsonl"
    generate_file(more, 240, 8)
    out = tmp_path / "tutor"
    few, many = (
        outlook(Choices(sources, out, recipe="demo"))
        for sources in (
            (str(empty), str(records)),
            (str(empty), str(records), str(more)),
        )
    )
    assert many.plan.hours.expected > 2 * few.plan.hours.expected
    assert not out.exists()


def test_the_name_of_a_file_in_a_folder_counts_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "same.jsonl").write_text("1")
    before = files_of([str(tmp_path)])
    (tmp_path / "a" / "same.jsonl").rename(tmp_path / "b" / "same.jsonl")
    assert files_of([str(tmp_path)]) != before


def test_a_mirror_that_is_the_builds_own_folder_is_refused(records: Path, tmp_path: Path) -> None:
    choices = Choices((str(records),), tmp_path / "tutor", recipe="demo", mirror=tmp_path / "tutor")
    for call in (build, outlook):
        with pytest.raises(InputError, match="own place"):
            call(choices)
    assert not choices.folder.exists()


def test_a_missing_tracker_is_told_by_an_outlook_too(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places_module, "find_spec", lambda _: None)
    choices = Choices((str(records),), tmp_path / "tutor", recipe="demo", trackers=("tensorboard",))
    for call in (build, outlook):
        with pytest.raises(MissingExtra, match="tensorboard"):
            call(choices)
    assert not choices.folder.exists()
