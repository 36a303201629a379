from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def served(tmp_path: Path) -> Iterator[object]:
    """A test of two models that answer as they are told."""
    from tests.abtest.served import ServedTest

    with ServedTest(tmp_path / "test.db") as found:
        yield found
