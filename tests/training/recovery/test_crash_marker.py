"""What a killed process leaves behind, and when it is taken for a matter of memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lexitrain.recipe.schema import Recipe
from lexitrain.runs.folder import Run
from lexitrain.training import train
from lexitrain.training.recovery import crash_marker as step_mark
from lexitrain.training.recovery.crash_marker import CrashMarker, memory_kills


class Machine:
    """A root folder with the kernel's counts."""

    def __init__(self, root: Path, group: bool = True) -> None:
        self.root, self._group = root, group
        (root / "proc/self").mkdir(parents=True)
        (root / "sys/fs/cgroup/box").mkdir(parents=True)
        (root / "proc/self/cgroup").write_text("0::/box\n" if group else "1:name=x:/\n")
        self.count(0, 0)

    def count(self, group: int, machine: int) -> None:
        (self.root / "sys/fs/cgroup/box/memory.events").write_text(
            f"low 0\noom 7\noom_kill {group}\n"
        )
        (self.root / "proc/vmstat").write_text(f"nr_free_pages 5\noom_kill {machine}\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "root")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def killed(folder: Path, machine: Machine, *steps: int) -> None:
    """A process that began these steps and ended without a word."""
    mark = CrashMarker(folder, root=machine.root)
    for step in steps:
        mark.begin(step)


def crash_step(folder: Path, machine: Machine) -> int | None:
    crash = CrashMarker(folder, root=machine.root).crash
    return None if crash is None else crash.step


def test_a_kill_for_memory_is_known_by_the_groups_count(folder: Path, machine: Machine) -> None:
    machine.count(3, 9)
    killed(folder, machine, 4, 5)
    assert crash_step(folder, machine) is None
    machine.count(4, 10)
    assert crash_step(folder, machine) == 5


def test_the_machines_count_tells_only_with_a_second_kill_in_the_same_step(
    folder: Path, tmp_path: Path
) -> None:
    machine = Machine(tmp_path / "other", group=False)
    killed(folder, machine, 5)
    machine.count(0, 1)
    assert crash_step(folder, machine) is None
    killed(folder, machine, 4, 5)
    assert crash_step(folder, machine) is None
    machine.count(0, 2)
    assert crash_step(folder, machine) == 5


def test_three_kills_in_the_same_step_tell_without_any_count(
    folder: Path, machine: Machine
) -> None:
    for _ in range(2):
        killed(folder, machine, 4, 5)
        assert crash_step(folder, machine) is None
    killed(folder, machine, 4, 5)
    assert crash_step(folder, machine) == 5


def test_disconnects_do_not_look_like_that(folder: Path, machine: Machine) -> None:
    for last in (5, 6, 7, 6, 5, 6, 6, 7):
        killed(folder, machine, *range(3, last + 1))
        assert crash_step(folder, machine) is None


def test_another_start_of_the_machine_counts_anew(
    folder: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(folder, machine, 5)
    machine.count(9, 9)
    monkeypatch.setattr(step_mark, "boot_id", lambda: "another")
    assert crash_step(folder, machine) is None


def test_any_end_but_a_kill_leaves_nothing(folder: Path, machine: Machine) -> None:
    def interrupted() -> None:
        with CrashMarker(folder, root=machine.root) as mark:
            mark.begin(1)
            assert len(list(folder.iterdir())) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"step": 1}', b"\xff" * 9])
def test_a_damaged_mark_tells_nothing(folder: Path, machine: Machine, content: bytes) -> None:
    (folder / ".in-step").write_bytes(content)
    assert crash_step(folder, machine) is None
    killed(folder, machine, 3)
    assert json.loads((folder / ".in-step").read_bytes())["step"] == 3


def test_a_folder_that_cannot_be_written_does_no_harm(machine: Machine, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with CrashMarker(missing, root=machine.root) as mark:
        mark.begin(1)
        assert not missing.exists()  # nor is it made
        missing.mkdir()
        mark.begin(2)
        assert list(missing.iterdir()) == []  # after a refusal nothing is tried again
    assert crash_step(missing, machine) is None


def test_the_counts_are_those_of_the_kernels_files(machine: Machine, tmp_path: Path) -> None:
    machine.count(3, 9)
    assert memory_kills(machine.root) == (3, 9)
    (machine.root / "proc/vmstat").write_text("nr_free_pages 5\noom_kill many\n")
    assert memory_kills(machine.root) == (3, None)
    (machine.root / "proc/self/cgroup").write_text("0::/elsewhere\n")
    assert memory_kills(machine.root) == (None, None)
    assert memory_kills(tmp_path / "nowhere") == (None, None)


@pytest.mark.skipif(not Path("/proc/vmstat").is_file(), reason="not Linux")
def test_the_count_of_this_machine_is_read() -> None:
    counts = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    if "oom_kill" not in counts:
        pytest.skip("this kernel does not count")
    _, on_machine = memory_kills()
    assert on_machine is not None
    assert on_machine >= int(counts["oom_kill"])


def test_a_crash_loop_climbs_one_rung_on_resume(
    recipe_of: Callable[..., Recipe], data_dir: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(recipe_of(), data_dir, run, stop_after_step=5)
    for _ in range(3):
        CrashMarker(run).begin(6)
    train(recipe_of(), data_dir, run, stop_after_step=8)
    climbed = [each for each in Run(run).events() if each.event == "rung"]
    assert [each.details["rung"] for each in climbed] == [1]
    assert "step 7" in climbed[0].details["cause"]
    assert not (run / ".in-step").exists()
    train(recipe_of(), data_dir, run)
    assert len([each for each in Run(run).events() if each.event == "rung"]) == 1
