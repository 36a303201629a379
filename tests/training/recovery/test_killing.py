"""A run that is killed again and again ends with the bytes of one that never was."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import recipe_to_yaml
from tests.paths import ROOT
from tests.training.test_train import assert_equal_runs, events


def test_kills_at_any_moment_change_nothing(
    recipe_of: Callable[..., Recipe], data_dir: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(recipe_to_yaml(recipe_of()))
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.recovery.killing", recipe, data_dir, tmp_path],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kills = dict(re.findall(r"(\w+): (\d+) kills", done.stdout))
    assert int(kills["random"]) >= 3
    assert int(kills["syncs"]) >= 3
    for killed in ("random", "syncs"):
        assert "resumed" in events(tmp_path / killed)
        assert_equal_runs(tmp_path / "straight", tmp_path / killed)
        leftovers = [each.name for each in (tmp_path / killed).rglob(".*tmp*")]
        assert leftovers == []
