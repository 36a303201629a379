from __future__ import annotations

from pathlib import Path

import pytest

from tests.taught import save_base, taught_model


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a base that knows the taught records by heart."""
    return save_base(tmp_path_factory.mktemp("base"), taught_model())
