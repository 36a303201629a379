"""The lock: held by one process, never by a dead one, also where the system has no locks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lexitrain.errors import InputError
from lexitrain.storage import lock as lock_module
from lexitrain.storage.lock import STALE_SECONDS, Lock, is_held

HOLD = """
import sys, time
from pathlib import Path
from lexitrain.storage.lock import Lock
with Lock(Path(sys.argv[1]), system=sys.argv[2] == "True"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("system", [True, False])
def test_a_living_process_holds_it_and_a_killed_one_does_not(tmp_path: Path, system: bool) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path), str(system)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        assert is_held(tmp_path)
        with pytest.raises(InputError, match="Another process"), Lock(tmp_path, system=system):
            pass
    finally:
        holder.kill()
        holder.communicate()
    assert not is_held(tmp_path)
    with Lock(tmp_path, system=system):
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


@pytest.mark.parametrize("system", [True, False])
def test_another_machine_holds_it_as_long_as_it_gives_a_sign_of_life(
    tmp_path: Path, system: bool
) -> None:
    record = {"machine": "another one", "born": "77", "pid": os.getpid(), "time": time.time() - 40}
    (tmp_path / ".lock").write_text(json.dumps(record))
    assert is_held(tmp_path)
    with (
        pytest.raises(InputError, match=r"Another machine.*4[0-9] s ago") as caught,
        Lock(tmp_path, system=system),
    ):
        pass
    assert "try again in" in str(caught.value)

    record["time"] -= STALE_SECONDS
    (tmp_path / ".lock").write_text(json.dumps(record))
    assert not is_held(tmp_path)
    with Lock(tmp_path, system=system):
        pass


def test_a_reused_process_number_is_not_taken_for_the_holder(tmp_path: Path) -> None:
    with Lock(tmp_path):
        record = json.loads((tmp_path / ".lock").read_text())
    record["born"] = "1"
    (tmp_path / ".lock").write_text(json.dumps(record))
    assert not is_held(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"time": "now", "pid": {}}', b"\xff"])
def test_a_damaged_lock_file_holds_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".lock").write_bytes(content)
    assert not is_held(tmp_path)
    with Lock(tmp_path, system=False):
        assert is_held(tmp_path)


def test_the_holder_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "BEAT_SECONDS", 0.01)
    with Lock(tmp_path):
        first = json.loads((tmp_path / ".lock").read_text())["time"]
        end = time.monotonic() + 30
        while json.loads((tmp_path / ".lock").read_text() or '{"time": 0}')["time"] <= first:
            assert time.monotonic() < end


def test_a_sign_of_life_is_never_shorter_than_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written over the other one in place, and others may read before the file is cut to its length."""
    lengths: list[int] = []
    with Lock(tmp_path) as held:
        for now in (1795917768.758049, 1795917800.5, 1795917801.0, 1795917802.1234567):
            monkeypatch.setattr(lock_module.time, "time", lambda now=now: now)
            lock_module._renew(held.path)
            lengths.append(held.path.stat().st_size)
            assert json.loads(held.path.read_bytes())["time"] == now
    assert len(set(lengths)) == 1


def test_a_file_that_its_holder_has_deleted_is_nobodys_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened before the holder deleted it, locked after he let go: another file may be the lock by then."""
    first = Lock(tmp_path)
    first.__enter__()
    opened = os.open

    def slowly(path: Path, *rest: int) -> int:
        descriptor = opened(path, *rest)
        if first.path.exists() and first._descriptor is not None:  # pyright: ignore[reportPrivateUsage]
            first.path.unlink()
            first.__exit__()
        return descriptor

    monkeypatch.setattr(lock_module.os, "open", slowly)
    second = Lock(tmp_path)
    with second:
        assert is_held(tmp_path)
        with pytest.raises(InputError, match="Another process"), Lock(tmp_path):
            pass


def test_who_lets_go_leaves_the_lock_of_who_came_after(tmp_path: Path) -> None:
    first, second = Lock(tmp_path), Lock(tmp_path)
    first.__enter__()
    first.path.unlink()
    second.__enter__()
    first.__exit__()
    assert is_held(tmp_path)
    second.__exit__()
    assert not is_held(tmp_path)
