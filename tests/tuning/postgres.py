"""A PostgreSQL server of its own for a test, in a temporary folder, on a Unix socket."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

_USER = "postgres"


def _programs() -> Path | None:
    """The folder of initdb and pg_ctl: on the PATH, or where Debian puts the newest version."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda each: int(each.parts[-3])
    )
    return versions[-1].parent if versions else None


@contextmanager
def postgres() -> Generator[str]:
    """Yields the URL of an empty database; skips the test where PostgreSQL is not installed."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    # The server refuses to run as root, and a socket's path must be short.
    as_user: list[str] = []
    if os.geteuid() == 0:
        as_user = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"]
        if shutil.which("setpriv") is None:
            pytest.skip("root cannot start PostgreSQL without setpriv")

    def run(*command: str) -> None:
        subprocess.run([*as_user, *command], check=True, capture_output=True, cwd="/tmp")

    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        if as_user:
            shutil.chown(folder, _USER, _USER)
        data = f"{folder}/data"
        run(str(programs / "initdb"), "-D", data, "-A", "trust", "-U", _USER, "--no-sync")
        server = subprocess.Popen(
            [
                *as_user, str(programs / "postgres"), "-D", data, "-k", folder,
                "-c", "listen_addresses=", "-c", "fsync=off",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/tmp",
        )  # fmt: skip
        try:
            _wait_for(programs, folder)
            run(str(programs / "createdb"), "-h", folder, "-U", _USER, "studies")
            yield f"postgresql://{_USER}:not-asked-for@/studies?host={folder}"
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(programs: Path, folder: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        asked = [str(programs / "pg_isready"), "-h", folder, "-q"]
        if subprocess.run(asked, check=False).returncode == 0:
            return
        assert time.monotonic() < deadline, "PostgreSQL does not start"
        time.sleep(0.2)
