"""Paths as users write them, and the folders that are kept for them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lexitrain.errors import InputError
from lexitrain.storage.user_paths import cache_folder, configuration_folder, user_path


def test_the_home_folder_is_put_in_and_an_unknown_user_told() -> None:
    assert user_path("~/data") == Path.home() / "data"
    assert user_path(Path("data")) == Path("data")
    with pytest.raises(InputError, match="no user of this name"):
        user_path("~nobody-of-this-name/data")


@pytest.mark.skipif(sys.platform != "linux", reason="these are Linux's names")
def test_what_is_kept_for_the_user_lies_where_it_always_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("rehearsals") == tmp_path / ".cache" / "lexitrain" / "rehearsals"
    assert configuration_folder("devices") == tmp_path / ".config" / "lexitrain" / "devices"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "b"))
    assert cache_folder("samples") == tmp_path / "a" / "lexitrain" / "samples"
    assert configuration_folder("devices") == tmp_path / "b" / "lexitrain" / "devices"
    assert list(tmp_path.iterdir()) == []
