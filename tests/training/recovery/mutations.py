"""Damaged inputs: a recipe, records, and every file of a run folder, changed at random; and what each may lead to.

Whatever a file holds, the command line answers with exit code 0, 2, 3 or 4, never with a traceback, and reading a
checkpoint ends in the checkpoint or in `BrokenCheckpoint`. Mutations are bytes that change, lines that go, come twice
or trade places, values of another type, and manifests that are wrong although their seal is right.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from lexitrain.cli.main import run as lexitrain
from lexitrain.errors import LexiTrainError
from lexitrain.recipe.yaml_file import load_recipe, recipe_to_yaml
from lexitrain.runs.checkpoint_names import MANIFEST
from lexitrain.runs.checkpoints import BrokenCheckpoint, canonical, read_checkpoint
from lexitrain.runs.folder import Run
from lexitrain.synthetic import generate
from lexitrain.training import train
from lexitrain.training.environment import changes
from lexitrain.training.recovery.accepted_changes import data_differences
from lexitrain.training.recovery.checkpoint_content import STATE_FILE, state_of
from tests.small_runs import write_data
from tests.tiny import tiny_model, tiny_tokenizer

CLEAN = {0, 2, 3, 4}
ODD_VALUES: list[Any] = [
    *(None, True, -1, 0, 1e308, 2**70, "", "x" * 300, "../../etc/passwd", "nan", [], [[]], {}, {"a": None}),
]  # fmt: skip
ODD_BYTES = (
    b"",
    b"\0",
    b"\xff\xfe",
    b"\n",
    b"{",
    b"}",
    b'"',
    b": ",
    b"- ",
    b"&a *a",
    b"!!python/object:os.system",
    b"1e999",
    b"null",
    "ị".encode(),
)


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """Other bytes than `content`, mostly alike."""
    kind = draw(st.sampled_from(["flip", "cut", "insert", "lines", "value", "value"]))
    place = draw(st.integers(0, max(0, len(content) - 1)))
    if kind == "flip" and content:
        changed = bytearray(content)
        changed[place] ^= 1 << draw(st.integers(0, 7))
        return bytes(changed)
    if kind == "cut":
        return content[:place] + content[place + draw(st.integers(0, 200)) :]
    if kind == "insert":
        return content[:place] + draw(st.sampled_from(ODD_BYTES)) + content[place:]
    if kind == "lines":
        lines = content.splitlines(keepends=True)
        one, other = (draw(st.integers(0, max(0, len(lines) - 1))) for _ in range(2))
        if lines:
            lines[one] = draw(st.sampled_from([b"", lines[one] * 2, lines[other]]))
        return b"".join(lines)
    return draw(with_odd_value(content))


@st.composite
def with_odd_value(draw: st.DrawFn, content: bytes) -> bytes:
    """JSON or JSON lines in which one value is of another kind; YAML in which the rest of one line is."""
    lines = content.splitlines(keepends=True) or [b""]
    number = draw(st.integers(0, len(lines) - 1))
    odd = draw(st.sampled_from(ODD_VALUES))
    for start, end in ((0, len(lines)), (number, number + 1)):
        try:
            value = json.loads(b"".join(lines[start:end]))
        except ValueError:
            continue
        changed = json.dumps(draw(replaced(value, odd))).encode() + b"\n"
        return b"".join(lines[:start]) + changed + b"".join(lines[end:])
    key, colon, _ = lines[number].partition(b":")
    lines[number] = key + colon + b" " + json.dumps(odd).encode() + b"\n"
    return b"".join(lines)


@st.composite
def replaced(draw: st.DrawFn, value: Any, odd: Any) -> Any:
    """A JSON value with `odd` in one place, or without what is there."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 3)) == 0:
        return odd
    keys = sorted(value) if isinstance(value, dict) else list(range(len(value)))
    key = draw(st.sampled_from(keys))
    changed = dict(value) if isinstance(value, dict) else list(value)
    if draw(st.integers(0, 4)) == 0:
        del changed[key]
    else:
        changed[key] = draw(replaced(value[key], odd))
    return changed


class Material:
    """An intact run folder, a recipe and records, to be damaged one at a time.

    Args:
        run: a run that was stopped, with a checkpoint and a best adapter.
        folder: an empty one to work in.
    """

    def __init__(self, run: Path, folder: Path) -> None:
        self._run, self._folder = Run(run), folder
        self._recipe = recipe_to_yaml(load_recipe("demo")).encode()
        self._records = "".join(each.to_json() + "\n" for each in generate(30, seed=1)).encode()
        self._newest = self._run.checkpoint(self._run.checkpoint_steps()[-1])
        self._targets: dict[str, Callable[[st.DrawFn], str]] = {
            "recipe": self._damaged_recipe,
            "records": self._damaged_records,
            "run folder": self._damaged_run,
            "manifest": self._damaged_manifest,
            "checkpoint": self._damaged_checkpoint,
            "state": self._damaged_state,
        }
        self.outcomes: dict[str, dict[str, int]] = {name: {} for name in self._targets}

    @classmethod
    def made(cls, folder: Path) -> Material:
        """Train a tiny run in an empty folder, and stop it."""
        tiny_model().save_pretrained(folder / "base")
        tiny_tokenizer().save_pretrained(folder / "base")
        settings = ["lora.rank=2", "data.workers=0", "checkpoints.every=2", "log_every=1"]
        recipe = load_recipe("demo", [f"model.base={folder / 'base'}", *settings])
        train(recipe, write_data(folder / "data"), folder / "run", stop_after_step=2)
        (folder / "work").mkdir()
        return cls(folder / "run", folder / "work")

    def damage(self, draw: st.DrawFn) -> None:
        """Damage something, read it, note what came of it, mend it. Raises AssertionError for what is not clean."""
        target = draw(st.sampled_from(sorted(self._targets)))
        outcome = self._targets[target](draw)
        counts = self.outcomes[target]
        counts[outcome] = counts.get(outcome, 0) + 1

    def _damaged_recipe(self, draw: st.DrawFn) -> str:
        file = self._folder / "recipe.yaml"
        file.write_bytes(draw(mutated(self._recipe)))
        return command("recipes", str(file))

    def _damaged_records(self, draw: st.DrawFn) -> str:
        file = self._folder / "records.jsonl"
        file.write_bytes(draw(mutated(self._records)))
        return command(
            "data", "prepare", str(file), "--out", str(self._folder / "out"), "--workers", "0"
        )

    def _damaged_run(self, draw: st.DrawFn) -> str:
        files = ["recipe.yaml", "data.json", "environment.json", "events.jsonl", "metrics.jsonl"]
        file = self._run.path / draw(st.sampled_from([*files, ".lock", ".in-step"]))
        intact = (
            file.read_bytes() if file.exists() else b'{"time": 1, "pid": 1, "step": 3, "kills": 1}'
        )
        with damaged(file, draw(mutated(intact))):
            outcome = command("runs", str(self._run.path), "--json")
            try:
                now = self._run.read_data()
                data_differences(now, now)
                changes(self._run.read_environment(), {"versions": {}})
                self._run.is_locked()
            except LexiTrainError as error:
                outcome = type(error).__name__
        return outcome

    def _damaged_manifest(self, draw: st.DrawFn) -> str:
        file = self._newest / MANIFEST
        intact = file.read_bytes()
        if draw(st.booleans()):
            content = draw(mutated(intact))
        else:  # wrong, but sealed
            manifest = json.loads(intact)
            del manifest["sha256"]
            changed = draw(replaced(manifest, draw(st.sampled_from(ODD_VALUES))))
            content = canonical(changed) if isinstance(changed, dict) else b"[]"
        with damaged(file, content):
            assert command("runs", "verify", str(self._run.path)) in {"exit 0", "exit 2"}
            return reading(self._newest)

    def _damaged_checkpoint(self, draw: st.DrawFn) -> str:
        names = sorted(each.name for each in self._newest.iterdir())
        file = self._newest / draw(st.sampled_from(names))
        intact = file.read_bytes()
        content = draw(mutated(intact))
        with damaged(file, content):
            outcome = reading(self._newest)
        assert (outcome == "read") == (content == intact)
        return outcome

    def _damaged_state(self, draw: st.DrawFn) -> str:
        """A state that is wrong although its hash is right."""
        checkpoint = read_checkpoint(self._newest)
        checkpoint.files[STATE_FILE] = draw(mutated(checkpoint.files[STATE_FILE]))
        try:
            state_of(checkpoint)
        except LexiTrainError as error:
            return type(error).__name__
        return "read"


class damaged:  # noqa: N801
    """While entered, a file has another content."""

    def __init__(self, file: Path, content: bytes) -> None:
        self._file, self._content = file, content
        self._intact = file.read_bytes() if file.exists() else None

    def __enter__(self) -> None:
        self._file.write_bytes(self._content)

    def __exit__(self, *_: object) -> None:
        if self._intact is None:
            self._file.unlink()
        else:
            self._file.write_bytes(self._intact)


def command(*arguments: str) -> str:
    """Run a command line; its exit code must be one that is meant for the user."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = lexitrain(list(arguments))
    assert code in CLEAN, f"{arguments}: exit {code}: {said.getvalue()}"
    return f"exit {code}"


def reading(path: Path) -> str:
    try:
        read_checkpoint(path)
    except BrokenCheckpoint:
        return "broken"
    return "read"
