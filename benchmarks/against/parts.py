"""The parts of the benchmark, each in a process of its own; what is done is kept, and is not done again.

Standard library only. A part's result is a file of its own, written at once: a session that ends takes with it the part
that was running, and nothing else. A part that was made with other settings, another commit, or (where it was timed) on
another card is made anew, so that no figure is set beside one from elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.against.card import MemoryWatch, card, device_name
from benchmarks.against.clock import BEGAN
from benchmarks.against.places import (
    BASE,
    COMPARISON,
    DATA,
    OWN_ADAPTER,
    OWN_RUN,
    RECIPE,
    RIVAL,
    RIVAL_ADAPTER,
    TRAIN_ONLY,
)
from benchmarks.against.settings import Settings

ROOT = Path(__file__).parents[2]
SETTINGS = "settings.json"
_TAIL = 1500  # characters of a failed part's last words


@dataclass(frozen=True, slots=True)
class Part:
    """One process.

    Attributes:
        name: of its result.
        module, function: what it runs, `(work, settings) -> figures`, of `benchmarks.against`.
        keeps: files and folders of the work folder that later parts need, copied to where results are kept.
        makes: what it leaves beside that, and makes again on a new machine: the base comes from the Hub.
        needs: parts that must be done before.
        timed: whether its figures depend on the card.
        rival: whether it runs in the rival's environment.
    """

    name: str
    module: str
    function: str = "main"
    keeps: Sequence[str] = ()
    makes: Sequence[str] = ()
    needs: Sequence[str] = ("data",)
    timed: bool = True
    rival: bool = False


PARTS = (
    Part(
        "data",
        "records",
        keeps=(DATA, TRAIN_ONLY, RIVAL, RECIPE),
        makes=(BASE,),
        needs=(),
        timed=False,
    ),
    Part("lexitrain", "lexitrain_half", keeps=(OWN_RUN, OWN_ADAPTER)),
    Part("unsloth", "unsloth_half", keeps=(RIVAL_ADAPTER,), rival=True),
    Part("loss", "scorer", needs=("lexitrain",), timed=False),
    Part("scores", "scorer", "compare", keeps=(COMPARISON,), needs=("lexitrain",), timed=False),
    Part("disconnect", "lexitrain_half", "disconnect", needs=("lexitrain",)),
    Part("export", "lexitrain_half", "exported", needs=("lexitrain",), timed=False),
    Part("old_way", "lexitrain_half", "old_way"),
)
NO_GPU = "there is no NVIDIA GPU here, and Unsloth trains on a GPU alone"
BOTH_SIDES = ("loss", "scores")
"""Parts that look at both adapters: made again when the rival's has come since."""


def checkout_commit() -> str:
    """Of the checkout; with a hash of its code where that is not the commit's, or no commit is known."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        return f"unknown, code {_code()}"
    said = [
        subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "src", "benchmarks"))
    ]
    commit = said[0].stdout.strip() or "unknown"
    return f"{commit}, code {_code()}" if said[1].stdout.strip() or commit == "unknown" else commit


def _code() -> str:
    """A hash of all Python files of the package and of the benchmarks."""
    found = hashlib.sha256()
    for folder in ("src", "benchmarks"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            found.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return found.hexdigest()[:12]


@dataclass
class Bench:
    """One call.

    Attributes:
        settings: what is trained.
        work: a folder on this machine's disk.
        keep: where results and what they need are kept, such as a mounted drive.
        pythons: interpreter of each side; empty: that side has none.
        why_not: why a side has none.
        parts: results by name, as they come.
        commit: of the checkout when the call began.
    """

    settings: Settings
    work: Path
    keep: Path
    pythons: dict[str, str]
    why_not: str = ""
    parts: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    commit: str = field(default_factory=checkout_commit)

    def run(self, only: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
        """Every part that is not done yet; all results."""
        for folder in (self.work, self.keep / "parts", self.work / "logs"):
            folder.mkdir(parents=True, exist_ok=True)
        (self.work / SETTINGS).write_text(json.dumps(asdict(self.settings)), encoding="utf-8")
        for part in PARTS:
            asked = not only or part.name in only
            self.parts[part.name] = self._part(part) if asked else self._before(part)
        return self.parts

    def _before(self, part: Part) -> dict[str, Any]:
        """What an earlier call has found, where it still holds; else that it was not asked for."""
        file = self.keep / "parts" / f"{part.name}.json"
        before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        holds = before.get("state") == "done" and before.get("key") == self.key(part)
        if holds and self._brought_back(part):
            return before
        return {"state": "not run", "reason": "not asked for"}

    def key(self, part: Part) -> str:
        """What a finished result must carry to be taken again."""
        seen = [*part.needs, *(["unsloth"] if part.name in BOTH_SIDES else [])]
        before = [self.parts[name]["key"] for name in seen if self._done(name)]
        return self.settings.key(self.commit, device_name() if part.timed else "", *before)

    def _done(self, name: str) -> bool:
        return self.parts.get(name, {}).get("state") == "done"

    def _part(self, part: Part) -> dict[str, Any]:
        before = self._before(part)
        if before["state"] == "done":
            print(f"{part.name}: done before", flush=True)
            return before
        print(f"{part.name} ...", flush=True)
        began = time.time()
        found = self._found(part)
        found |= {"key": self.key(part), "seconds_of_part": round(time.time() - began, 1)}
        if found["state"] == "done":
            self._keep(part)
        write_whole(self.keep / "parts" / f"{part.name}.json", found)
        said = found.get("reason", f"{found['seconds_of_part']:.0f} s")
        print(f"{part.name}: {found['state']}, {said}", flush=True)
        return found

    def _found(self, part: Part) -> dict[str, Any]:
        """What the part's process found, or why there is nothing."""
        missing = [name for name in part.needs if not self._done(name)]
        if missing:
            return {"state": "not run", "reason": f"it needs {', '.join(missing)}"}
        if part.name == "old_way" and not self.settings.old_way_steps:
            return {"state": "not run", "reason": "not asked for"}
        if part.rival and card() is None:
            return {"state": "not run", "reason": NO_GPU}
        python = self.pythons.get("unsloth" if part.rival else "lexitrain", "")
        if not python:
            return {"state": "not run", "reason": self.why_not or "it has no environment"}
        out, log = self.work / f"{part.name}.json", self.work / "logs" / f"{part.name}.txt"
        out.unlink(missing_ok=True)
        environment = {**os.environ, BEGAN: str(time.time()), "PYTHONUNBUFFERED": "1"}
        with log.open("w", encoding="utf-8") as said, MemoryWatch() as watch:
            done = subprocess.run(
                [
                    *(python, "-m", "benchmarks.against", "--part", part.name),
                    *("--work", str(self.work), "--out", str(out)),
                ],
                cwd=ROOT,
                env=environment,
                stdout=said,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode or not out.is_file():
            tail = log.read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip()
            return {"state": "failed", "reason": f"it ended with {done.returncode}: {tail}"}
        found = json.loads(out.read_text(encoding="utf-8"))
        if part.timed and found["state"] == "done":
            found |= watch.figures()
        return found

    def _keep(self, part: Part) -> None:
        """Copy what later parts need, unless it lies there already."""
        if self.keep.resolve() == self.work.resolve():
            return
        for name in part.keeps:
            _copied(self.work / name, self.keep / name)

    def _brought_back(self, part: Part) -> bool:
        """Whether what a part left is there again; on a new machine it is copied from where it was kept."""
        for name in part.keeps:
            if not (self.work / name).exists():
                if not (self.keep / name).exists():
                    return False
                _copied(self.keep / name, self.work / name)
        return all((self.work / name).exists() for name in part.makes)


def _copied(source: Path, target: Path) -> None:
    """The file or folder, under another name until it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(f".{target.name}.half")
    for old in (half, target):
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
    if source.is_dir():
        shutil.copytree(source, half, ignore=shutil.ignore_patterns("*.gguf", "checkpoints"))
    else:
        shutil.copy(source, half)
    half.rename(target)


def write_whole(file: Path, content: dict[str, Any]) -> None:
    """As JSON, there whole or not at all."""
    half = file.with_name(f".{file.name}.half")
    half.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    half.replace(file)


def own_interpreter() -> dict[str, str]:
    """Without environments of their own: this one for our half, none for the rival."""
    return {"lexitrain": sys.executable, "unsloth": ""}
