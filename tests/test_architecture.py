"""The house: who may import whom and how, how large a file and a folder may be, what their names may be."""

from __future__ import annotations

import ast
import importlib
from functools import cache
from pathlib import Path

import pytest

from tests.paths import ROOT

SOURCE = ROOT / "src" / "lexitrain"
FILES = sorted(SOURCE.rglob("*.py"))

#: The rooms in the order in which data flows through them: a module imports only rooms that stand before its own.
ROOMS = (
    "errors", "storage", "recipe", "runs", "watching", "records", "tasks", "preparation", "synthetic", "samples",
    "batching", "models", "step", "planning", "training", "serving", "evaluation", "comparison", "exporting",
    "diagnosis", "tuning", "abtest", "reporting", "building", "cli",
)  # fmt: skip

#: Rooms that may import torch and its neighbours at the top of a file.
HEAVY_ROOMS = {"models", "step", "planning", "training", "evaluation", "exporting", "diagnosis"}
HEAVY = {"torch", "transformers", "peft", "datasets", "bitsandbytes", "accelerate"}

MOST_MODULES = 12
#: Folders that hold more, and why.
LARGER_FOLDERS = {"cli": "a file a command", "cli/views": "a file a command's result"}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    parts = ("lexitrain", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(tree: ast.AST) -> list[tuple[str, str | None]]:
    """All imports, those in functions and under TYPE_CHECKING too, as (module, name)."""
    found: list[tuple[str, str | None]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found += [(str(node.module), alias.name) for alias in node.names]
    return found


def eager_imports_of(tree: ast.Module) -> set[str]:
    """Packages that are imported when the module is: not those in functions or under TYPE_CHECKING."""
    eager = [
        node
        for node in tree.body
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    ]
    return {
        name.partition(".")[0] for name, _ in imports_of(ast.Module(body=eager, type_ignores=[]))
    }


def own_imports_of(path: Path) -> list[tuple[str, str | None]]:
    return [
        (module, name)
        for module, name in imports_of(parse(path))
        if module == "lexitrain" or module.startswith("lexitrain.")
    ]


def relative(path: Path) -> str:
    return str(path.relative_to(SOURCE))


each_file = pytest.mark.parametrize("path", FILES, ids=relative)
each_room = pytest.mark.parametrize("room", [room for room in ROOMS if room != "errors"])


def test_every_room_is_there_and_nothing_beside_them() -> None:
    there = {
        path.name.removesuffix(".py")
        for path in SOURCE.iterdir()
        if path.suffix == ".py" or (path.is_dir() and path.name != "__pycache__")
    }
    assert there - {"__init__", "__main__"} == set(ROOMS)


@each_file
def test_a_module_imports_only_what_stands_above_it(path: Path) -> None:
    room = room_of(path)
    if room in {"__init__", "__main__"}:
        return
    for module, name in own_imports_of(path):
        if room == "cli" and module == "lexitrain":
            continue  # the public names
        parts = module.split(".")
        other = parts[1] if len(parts) > 1 else str(name)
        assert other != "__version__"
        assert ROOMS.index(other) <= ROOMS.index(room), f"{room} imports {module}"


@each_file
def test_another_room_is_entered_through_its_front(path: Path) -> None:
    """`from lexitrain.records import Record`, never `from lexitrain.records.record import Record`; the command line
    knows nothing but what `lexitrain` itself exports."""
    room = room_of(path)
    if room in {"__init__", "__main__"}:
        return
    for module, name in own_imports_of(path):
        parts = module.split(".")
        if module == "lexitrain.errors":
            continue
        if len(parts) > 1 and parts[1] == room:
            own_module = (SOURCE / "/".join(parts[1:]) / f"{name}.py").is_file()
            assert own_module or len(parts) > 2, f"{module} is this room's own front"
            continue
        assert room != "cli" or module == "lexitrain", f"a command calls the library: {module}"
        assert len(parts) <= 2, f"{module}: import from lexitrain.{parts[1]}"
        assert name is not None
        if (module, name) == ("lexitrain", "__version__"):
            continue
        assert name in exported(module), f"{module} does not export {name}"


@cache
def exported(package: str) -> set[str]:
    return set(importlib.import_module(package).__all__)


@each_room
def test_what_a_front_names_is_there_and_somebody_outside_needs_it(room: str) -> None:
    package = importlib.import_module(f"lexitrain.{room}")
    if room == "cli":
        return
    used = {
        str(name)
        for path in [*FILES, SOURCE / "__init__.pyi"]
        if room_of(path).removesuffix(".pyi") != room
        for module, name in front_imports_of(path)
        if module == f"lexitrain.{room}"
    }
    for name in package.__all__:
        assert hasattr(package, name)
    assert set(package.__all__) - used - FOR_TASK_FILES.get(room, set()) == set()


#: What users' own task files import; docs/tasks.md says so.
FOR_TASK_FILES = {
    "tasks": {"Task", "bootstrap", "chrf", "distinct", "macro_f1", "mean", "pearson", "texts", "most_frequent"}
}  # fmt: skip


def front_imports_of(path: Path) -> list[tuple[str, str | None]]:
    if path.suffix == ".py":
        return own_imports_of(path)
    found: list[tuple[str, str | None]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 1
            found += [(f"lexitrain.{node.module}", alias.name) for alias in node.names]
    return found


def test_no_public_function_has_the_name_of_a_room() -> None:
    """Importing the room would put the package in the function's place."""
    assert exported("lexitrain").isdisjoint(ROOMS)


@each_file
def test_heavy_libraries_stay_in_their_rooms(path: Path) -> None:
    if room_of(path) in HEAVY_ROOMS:
        return
    eager = eager_imports_of(parse(path))
    assert not eager & HEAVY
    if room_of(path) == "cli":
        assert not eager & {"pydantic", "yaml", "rich", "numpy"}


def test_modules_do_not_import_in_circles_not_even_for_their_types() -> None:
    modules = {module_of(path): path for path in FILES}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        found: set[str] = set()
        for imported, name in own_imports_of(path):
            inner = f"{imported}.{name}"
            found.add(inner if inner in modules else imported)
        # Fronts import their own modules; that way round it is no circle.
        graph[module] = {each for each in found if each in modules} - {module, "lexitrain"}
    settled: set[str] = set()
    while free := {name for name in graph if name not in settled and graph[name] <= settled}:
        settled |= free
    assert set(graph) - settled == set()


@each_file
def test_a_file_is_small_named_and_introduced(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc"}
    assert ast.get_docstring(parse(path)), "a module says what it is for"


@pytest.mark.parametrize(
    "folder",
    sorted({path.parent for path in FILES}),
    ids=lambda path: relative(path) or "lexitrain",
)
def test_a_folder_is_a_room_and_holds_a_dozen_modules_at_most(folder: Path) -> None:
    assert (folder / "__init__.py").is_file()
    modules = [path for path in folder.glob("*.py") if path.stem != "__init__"]
    assert modules or folder == SOURCE, "an empty room"
    if relative(folder) not in LARGER_FOLDERS:
        assert len(modules) <= MOST_MODULES
