"""Which process is which: number, start, and the machine's start."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from lexitrain.errors import InputError
from lexitrain.storage.process_identity import boot_id, is_running, launcher_number, process_start


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_a_process_runs_until_it_has_ended(child: subprocess.Popen[bytes]) -> None:
    assert is_running(os.getpid())
    assert is_running(child.pid)
    child.kill()
    child.wait()
    assert not is_running(child.pid)
    assert process_start(child.pid) is None


@pytest.mark.parametrize("number", [0, -1, 2**22 + 1, 2**70])
def test_a_number_of_no_process_does_not_run(number: int) -> None:
    assert not is_running(number)


def test_the_start_tells_processes_apart_and_stays(child: subprocess.Popen[bytes]) -> None:
    before = process_start(os.getpid()), process_start(child.pid)
    assert None not in before
    assert before[0] != before[1]
    time.sleep(0.05)
    assert (process_start(os.getpid()), process_start(child.pid)) == before


@pytest.mark.skipif(sys.platform != "linux", reason="ticks are Linux's")
def test_the_ticks_are_the_kernels_and_do_not_depend_on_the_clock() -> None:
    """psutil's moment is the machine's start, by the clock, and these ticks."""
    ticks = float(process_start(os.getpid()) or 0) / os.sysconf("SC_CLK_TCK")
    moment = psutil.Process().create_time() - psutil.boot_time()
    assert ticks == pytest.approx(moment, abs=1.5)


def test_elsewhere_the_moment_of_the_start_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert process_start(os.getpid()) == str(psutil.Process().create_time())
    assert process_start(2**22 + 1) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells one")
def test_the_boot_id_stays_while_the_machine_runs() -> None:
    assert boot_id()
    assert boot_id() == boot_id()


@pytest.mark.parametrize("said", ["0", "00", "-1", "two", "1.0", "٣", "9" * 5000])
def test_a_number_of_processes_is_one_or_more(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("WORLD_SIZE", said)
    with pytest.raises(InputError, match="WORLD_SIZE") as refusal:
        launcher_number("WORLD_SIZE", 1)
    assert "unset WORLD_SIZE" in str(refusal.value)


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK"])
def test_a_process_is_one_of_those_that_were_started(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for said, number in (("", 0), ("0", 0), (" 1 ", 1)):
        monkeypatch.setenv(name, said)
        assert launcher_number(name, 0) == number
    for wrong in ("2", "-1", "x"):
        monkeypatch.setenv(name, wrong)
        with pytest.raises(InputError, match=rf"{name}: This is '{wrong}'"):
            launcher_number(name, 0)
