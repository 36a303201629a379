"""The house: who may import whom, how large a file may be, what its name may be."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "lexitrain"
FILES = sorted(SOURCE.rglob("*.py"))

#: The rooms from the top of the house to its ground: a module imports only what stands above it.
ROOMS = (
    "errors", "storage", "recipe", "runs", "records", "tasks", "preparation", "synthetic", "samples", "batching",
    "models", "step", "planning", "training", "evaluation", "reporting", "cli",
)  # fmt: skip

#: Rooms that may import torch and its neighbours at the top of a file.
HEAVY_ROOMS = {"models", "step", "planning", "training", "evaluation"}
HEAVY = {"torch", "transformers", "peft", "datasets", "bitsandbytes", "accelerate"}


def room_of(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def imports_of(tree: ast.AST) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def eager_imports_of(tree: ast.Module) -> list[str]:
    """Imports that run when the module is imported: not those in functions or under TYPE_CHECKING."""
    eager = [
        node
        for node in tree.body
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    ]
    return imports_of(ast.Module(body=eager, type_ignores=[]))


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_only_what_stands_above_it(path: Path) -> None:
    room = room_of(path)
    if room in {"__init__", "__main__"}:
        return
    for name in imports_of(parse(path)):
        if name.startswith("lexitrain.") and name != "lexitrain.__version__":
            other = name.split(".")[1]
            assert ROOMS.index(other) <= ROOMS.index(room), f"{room} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_heavy_libraries_stay_in_their_rooms(path: Path) -> None:
    if room_of(path) in HEAVY_ROOMS:
        return
    eager = {name.partition(".")[0] for name in eager_imports_of(parse(path))}
    assert not eager & HEAVY
    if room_of(path) == "cli":
        own = {n for n in eager_imports_of(parse(path)) if n.startswith("lexitrain.")}
        light = ("lexitrain.errors", "lexitrain.cli", "lexitrain.__version__")
        assert all(name.startswith(light) for name in own)
        assert not eager & {"pydantic", "yaml", "rich", "numpy"}


def test_files_within_a_room_do_not_import_in_circles() -> None:
    graph: dict[str, set[str]] = {}
    names = {
        ".".join(("lexitrain", *path.relative_to(SOURCE).with_suffix("").parts)): path
        for path in FILES
    }
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    for name, path in names.items():
        found = set()
        for imported in eager_imports_of(parse(path)):
            module = imported if imported in names else imported.rpartition(".")[0]
            if module in names and module != name:
                found.add(module)
        graph[name] = found
    settled: set[str] = set()
    while True:
        free = {name for name in graph if name not in settled and graph[name] <= settled}
        if not free:
            break
        settled |= free
    assert set(graph) - settled == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_is_small_named_and_introduced(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc"}
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "a module says what it is for"
