"""The notebooks: valid, as written, and executed from top to bottom on nano."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lexitrain import InputError, write_notebook
from tests.paths import ROOT

PLATFORMS = ("colab", "kaggle")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_those_in_the_repository_are_what_is_written(platform: str, tmp_path: Path) -> None:
    written = write_notebook(tmp_path / "a.ipynb", platform)
    assert (ROOT / "notebooks" / f"lexitrain_{platform}.ipynb").read_bytes() == written.read_bytes()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_they_are_notebooks_without_outputs_whose_code_compiles(
    platform: str, tmp_path: Path
) -> None:
    import nbformat

    path = write_notebook(tmp_path / "a.ipynb", platform, recipe="demo")
    nbformat.validate(nbformat.read(path, as_version=4))
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            compile("".join(cell["source"]), cell["id"], "exec")
    assert 'RECIPE = "demo"' in "".join(cells[1]["source"])
    assert len({cell["id"] for cell in cells}) == len(cells)


@pytest.mark.parametrize(
    "records",
    ['my "best" records.jsonl', r"C:\new\tutor.jsonl", "học sinh 😀.jsonl", "a\nb", "x\udce9"],
)
def test_the_first_cell_names_any_path(records: str, tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "a.ipynb", records=records)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    found: dict[str, object] = {}
    exec("".join(cells[1]["source"]), found)
    assert found["RECORDS"] == records


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="written"):
        write_notebook(tmp_path / "file" / "a.ipynb")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_they_run_from_top_to_bottom_and_again(platform: str, tmp_path: Path) -> None:
    """With what is installed: the cell that installs is left out, as a checkout is no package of an index."""
    import nbformat
    from nbclient import NotebookClient

    path = write_notebook(
        tmp_path / "a.ipynb",
        platform,
        recipe="demo",
        package="",
    )
    notebook = nbformat.read(path, as_version=4)
    settings = '["schedule.epochs=1", "validation.limit=20"]'
    notebook.cells[1].source = notebook.cells[1].source.replace(
        "SETTINGS = []", f"SETTINGS = {settings}"
    )
    for _ in range(2):
        NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            resources={"metadata": {"path": str(tmp_path)}},
        ).execute()
    said = json.dumps(notebook)
    assert "no restart is needed" in said
    exported = list((tmp_path / "lexitrain-notebook" / "tutor" / "run" / "export").glob("*.gguf"))
    assert len(exported) == 1


def test_an_unknown_platform_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lexitrain", "notebook", "--platform", "colap", "--out", "a.ipynb"],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Did you mean colab?" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_notebook_that_was_changed_is_not_written_over(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "a.ipynb")
    book = json.loads(path.read_bytes())
    book["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "ran"}]
    path.write_text(json.dumps(book))
    assert write_notebook(path, "kaggle") == path  # executed, not changed
    book = json.loads(path.read_bytes())
    book["cells"][1]["source"] = "RECIPE = 'mine'"
    path.write_text(json.dumps(book))
    for content in (path.read_bytes(), b"", b"[]", b"\xff", b'{"metadata": 3}', b'{"cells": []}'):
        path.write_bytes(content)
        with pytest.raises(InputError, match="there already"):
            write_notebook(path)
        assert path.read_bytes() == content
    with pytest.raises(InputError, match="there already"):
        write_notebook(tmp_path)
