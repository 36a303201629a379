"""Names of checkpoint folders."""

from __future__ import annotations

from pathlib import Path

from lexitrain.runs.checkpoint_names import (
    MANIFEST,
    best_folders,
    best_name,
    checkpoint_folders,
    checkpoint_name,
    is_best,
    step_of,
)
from lexitrain.runs.folder import Run


def test_a_name_says_what_it_is_and_of_which_step() -> None:
    assert checkpoint_name(150) == "step-000150"
    assert best_name(150) == "best-000150"
    for name in (checkpoint_name(1_234_567), best_name(1_234_567)):
        assert step_of(Path("run") / name) == 1_234_567
    assert is_best(Path(best_name(3)))
    assert not is_best(Path(checkpoint_name(3)))


def test_folders_are_found_by_their_names_alone_the_newest_first(tmp_path: Path) -> None:
    assert checkpoint_folders(tmp_path / "missing") == []
    names = ("step-000009", "step-1000000", "step-000010", "best-000009", ".tmp-step-000011-7")
    for name in (*names, "000012", "step-", "step-x"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        (tmp_path / "checkpoints" / name / MANIFEST).touch()
    found = [path.name for path in checkpoint_folders(tmp_path / "checkpoints")]
    assert found == ["step-1000000", "step-000010", "step-000009"]
    assert [path.name for path in best_folders(tmp_path / "checkpoints")] == ["best-000009"]
    assert Run(tmp_path).checkpoint_steps() == [9, 10, 1_000_000]
