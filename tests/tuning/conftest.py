from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def recipe_file(tmp_path: Path, tiny_base: Path) -> Path:
    """A recipe for the tiny base: 40 samples, 4 to a step, 4 epochs give 40 steps."""
    path = tmp_path / "tiny.yaml"
    path.write_text(
        f"extends: demo\nmodel: {{base: {tiny_base}}}\nlora: {{rank: 4, alpha: 8}}\n"
        "data: {workers: 0}\nstep: {effective_batch: 4}\nschedule: {epochs: 4}\n"
        "checkpoints: {every: 5}\n",
        encoding="utf-8",
    )
    return path
