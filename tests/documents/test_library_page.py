"""docs/library.md runs as it is written, and its plain PEFT code says what `Tutor` says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.documents.markdown import read_document
from tests.paths import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT's own
def test_the_examples_run_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    blocks = read_document(ROOT / "docs" / "library.md").code("python")
    found: dict[str, Any] = {}
    # The short program at the beginning asks a run that the others make.
    for number, block in [*enumerate(blocks[1:], 1), (0, blocks[0])]:
        exec(compile(block, f"library.md, example {number + 1}", "exec"), found)
    out = capsys.readouterr().out
    assert "h on a T4, predicted" in out
    assert "stopped 10" in out
    assert "finished best" in out
    assert "lora.rnak" in out
    assert found["given"].text == found["said"]
    assert len(found["many"]) == 3
    assert found["exported"].files[0].path.is_file()
    assert set(found["report"].evaluation.tasks) <= set(found["tutor"].tasks)
