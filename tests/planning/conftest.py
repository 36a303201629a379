"""Plans of the tests keep what they find in a folder of the test session, not in the user's."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def _folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("config")


@pytest.fixture(autouse=True)
def _own_folders(_folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(_folders[0]))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(_folders[1]))
