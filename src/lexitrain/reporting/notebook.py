"""A notebook for Colab or Kaggle: thin cells over the commands, so that it has nothing of its own to go wrong.

It is written as JSON of nbformat 4.5, without outputs, the same bytes for the same choices.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lexitrain.errors import InputError, nearest
from lexitrain.storage import disk_errors, user_path, write_file

_NAMES = {"colab": "Colab", "kaggle": "Kaggle"}
"""Platform -> as it calls itself."""


def write_notebook(
    path: str | Path,
    platform: str = "colab",
    *,
    recipe: str = "fast",
    records: str | None = None,
    package: str = "lexitrain[all]",
) -> Path:
    """Write the notebook; returns its path.

    Args:
        platform: `colab` or `kaggle`: whose storage is used.
        recipe: that the first cell names.
        records: file or folder that it names; by default none, and some are generated, so that every cell runs before
            own records are there.
        package: what pip installs; empty: nothing, where it is installed already.

    Raises:
        InputError: there is no such platform, the file cannot be written, or it holds something else than an unchanged
            notebook of this function.
    """
    if platform not in _NAMES:
        close = nearest(platform, _NAMES)
        raise InputError(
            f"There is no notebook for {platform!r}.",
            where="--platform",
            fix=f"Did you mean {close}?" if close else f"There are: {', '.join(_NAMES)}.",
        )
    target = user_path(path)
    with disk_errors(target):
        if target.exists() and not _is_unchanged(target):
            raise InputError(
                "This is there already, and is not as LexiTrain writes it: it was changed, or is something else.",
                where=target,
                fix="Give another --out, or move it away.",
            )
        write_file(target, notebook_bytes(_cells(platform, recipe, records or "", package)))
    return target


def _is_unchanged(path: Path) -> bool:
    """Whether the cells are those that were written; what they have printed may be replaced."""
    try:
        found: Any = json.loads(path.read_bytes())
        return found["metadata"]["lexitrain"]["cells"] == _cells_hash(found["cells"])
    except (ValueError, KeyError, TypeError, RecursionError, IsADirectoryError):
        return False


def _cells_hash(cells: Sequence[Mapping[str, Any]]) -> str:
    """Of what stands in cells; editors keep it as one text or as a list of lines."""
    texts = [[each["cell_type"], "".join(each["source"])] for each in cells]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def notebook_bytes(cells: Sequence[tuple[str, str]]) -> bytes:
    """A notebook file without outputs.

    Args:
        cells: `code` or `markdown`, and the text of each.
    """
    made = [_cell(number, kind, lines) for number, (kind, lines) in enumerate(cells)]
    content = {
        "cells": made,
        "metadata": {
            "accelerator": "GPU",
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "lexitrain": {"cells": _cells_hash(made)},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def _cell(number: int, kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "cell_type": kind,
        "id": f"cell-{number:02d}",
        "metadata": {},
        "source": text.strip("\n").splitlines(keepends=True),
    }
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def _literal(text: str) -> str:
    """The text as Python writes it, whatever quotes and backslashes a path has."""
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def _cells(platform: str, recipe: str, records: str, package: str) -> Sequence[tuple[str, str]]:
    choices = {"recipe": recipe, "records": records, "package": package}
    return [
        ("markdown", _TITLE.format(name=_NAMES[platform])),
        ("code", _CHOICES.format(**{name: _literal(each) for name, each in choices.items()})),
        ("markdown", _ABOUT_STORAGE[platform]),
        ("code", _STORAGE[platform]),
        ("markdown", _ABOUT_INSTALLING),
        ("code", _INSTALLING),
        (
            "markdown",
            "## Records\n\nWithout records of your own, some are generated, so that every cell can be tried.",
        ),
        ("code", _RECORDS),
        (
            "markdown",
            "## What it will take\n\nPredicted, not measured: hours, memory, and what each setting costs.",
        ),
        ("code", _PLAN),
        ("markdown", _ABOUT_BUILD),
        ("code", _BUILD),
        ("markdown", "## What came out"),
        ("code", _LOOK),
        ("code", _ASK),
        ("markdown", _LAST[platform]),
    ]


_TITLE = """# A tutor model on {name}

From your records to a file for phones. Run the cells from top to bottom; after a disconnect run them all again: the
build goes on where it was stopped, and does nothing twice.
"""

_CHOICES = """# What to build. Everything else has a default.
RECIPE = {recipe}  # `lexitrain recipes` lists them
RECORDS = {records}  # a file or a folder of records; empty: generated ones
SETTINGS = []  # such as ["schedule.epochs=3"]
PACKAGE = {package}  # what pip installs; empty: nothing
"""

_ABOUT_STORAGE = {
    "colab": "## Storage\n\nA Colab machine forgets its disk. Checkpoints go to your Drive, so that a disconnect\n"
    "costs minutes and never the run.\n",
    "kaggle": "## Storage\n\n`/kaggle/working` is kept when you save a version. Turn on *Persistence: Files* in the\n"
    "notebook's settings, so that it also outlives the session.\n",
}

_STORAGE = {
    "colab": """from pathlib import Path

try:
    from google.colab import drive
    drive.mount("/content/drive")
    HOME = Path("/content/drive/MyDrive/lexitrain")
except ImportError:  # not on Colab
    HOME = Path("lexitrain-notebook").absolute()
HOME.mkdir(parents=True, exist_ok=True)
print(HOME)
""",
    "kaggle": """from pathlib import Path

HOME = Path("/kaggle/working" if Path("/kaggle/working").is_dir() else "lexitrain-notebook").absolute()
HOME.mkdir(parents=True, exist_ok=True)
print(HOME)
""",
}

_ABOUT_INSTALLING = """## Installing

What the machine brings (torch with CUDA, numpy) is kept as it is: pip is told not to touch it. If something that is
loaded already was replaced all the same, the cell says so; restart the session then, and run all cells again.
"""

_INSTALLING = """import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version


def installed(names):
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            pass
    return found


KEPT = installed(["torch", "torchvision", "torchaudio", "numpy"])
if PACKAGE:
    constraints = HOME / "constraints.txt"
    constraints.write_text("".join(f"{name}=={kept.split('+')[0]}\\n" for name, kept in KEPT.items()))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", str(constraints), PACKAGE]
    subprocess.run(pip, check=True)
now = installed(KEPT)
changed = {name: now.get(name) for name, kept in KEPT.items() if name in sys.modules and now.get(name) != kept}
print(f"Restart the session: {changed} were replaced." if changed else "Installed; no restart is needed.")


def lexitrain(*arguments, ends=(0,)):
    \"\"\"Run a command and show what it says; a failure stops the notebook here.\"\"\"
    done = subprocess.run([sys.executable, "-m", "lexitrain", *map(str, arguments)])
    assert done.returncode in ends, f"lexitrain {arguments[0]} ended with {done.returncode}; its message is above."
"""

_RECORDS = """records = RECORDS or HOME / "records.jsonl"
if not RECORDS:
    lexitrain("data", "generate", "--count", 2000, "--out", records)
settings = [part for each in SETTINGS for part in ("--set", each)]
"""

_PLAN = """import torch

gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"
print(gpu)
lexitrain("build", records, "--out", HOME / "tutor", "--recipe", RECIPE, *settings, "--dry-run")
"""

_ABOUT_BUILD = """## Build

Prepare, plan, train, evaluate, export and verify. This cell takes the hours; run it again after a disconnect. The
exported file may miss the margin where records are few: it is there all the same (exit code 3).
"""

_BUILD = """lexitrain("build", records, "--out", HOME / "tutor", "--recipe", RECIPE, *settings, ends=(0, 3))
"""

_LOOK = """lexitrain("runs", HOME / "tutor")
"""

_ASK = """lexitrain("predict", HOME / "tutor" / "run", "--task", "grammar", "She go to school every day.")
"""

_LAST = {
    "colab": "The file for phones lies in `tutor/run/export` on your Drive, and beside it a grammar of each task's\n"
    "answers.\n",
    "kaggle": "The file for phones lies in `tutor/run/export`, and beside it a grammar of each task's answers. Save a\n"
    "version to keep them.\n",
}
