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
