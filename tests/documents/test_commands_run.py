"""The commands of the documents run. Whether those are there that are not run: test_commands.py.

In README.md and docs/, a fenced block of the language `console` is what a user types and sees. Every line of it
that starts with `$ lexitrain` is run, top to bottom, in one empty folder a document; a command may end in `# exit 4`
or `# exit 0 or 2` where it is meant to end so. The output shown is real but not compared, because times and versions
differ.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents.markdown import read_document
from tests.paths import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

EXIT = re.compile(r"\s+# exit (\d+(?: or \d+)*)$")


def commands(document: Path) -> list[str]:
    blocks = read_document(document).code("console")
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ lexitrain")]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "document", [each for each in DOCUMENTS if commands(each)], ids=lambda path: path.name
)
def test_the_commands_of_a_document_run(document: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HOME": str(tmp_path / "home"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    folder = tmp_path / "work"
    folder.mkdir()
    for command in commands(document):
        expected = EXIT.search(command)
        done = subprocess.run(
            EXIT.sub("", command),
            shell=True,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        wanted = expected.group(1).split(" or ") if expected else ["0"]
        assert str(done.returncode) in wanted, f"{command}\n{done.stdout}\n{done.stderr}"
