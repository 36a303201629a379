from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra ab is not installed")
pytest.importorskip("uvicorn", reason="the extra ab is not installed")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[object]:
    """A test of two models that answer as they are told."""
    from tests.abtest.served import ServedTest

    with ServedTest(tmp_path / "test.db") as found:
        yield found
