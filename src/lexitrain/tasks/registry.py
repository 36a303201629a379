"""Where tasks come from: the five built in, installed packages, and the user's own files.

An installed package offers tasks under the entry point group `lexitrain.tasks`; a recipe names a file (`path.py`) or
an attribute (`module:attribute`) in `data.custom_tasks`. A file brings every `Task` subclass that it defines. A task
that the user or a record names is found here, and so is the error where there is none of that name.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import cast

from lexitrain.errors import RecipeError, TaskError, nearest
from lexitrain.storage import user_path
from lexitrain.tasks.dialogue import Dialogue
from lexitrain.tasks.explanation import Explanation
from lexitrain.tasks.fluency import Fluency
from lexitrain.tasks.grammar import Grammar
from lexitrain.tasks.schema import schema_problem
from lexitrain.tasks.task import Targets, Task
from lexitrain.tasks.vocabulary import Vocabulary

GROUP = "lexitrain.tasks"
BUILT_IN: tuple[type[Task], ...] = (Fluency, Vocabulary, Grammar, Dialogue, Explanation)
OWN_TASK = "A task of your own is named with --custom-task FILE.py."
"""The end of an error about an unknown task, where the command has that option."""

_FIX = "A task is a subclass of lexitrain.tasks.Task with name, short, schema, statistics, trivial."


def registry(custom: Sequence[str] = (), system: str | None = None) -> dict[str, Task]:
    """All tasks by their short name: built-in, then installed, then the `custom` ones, in that order.

    Args:
        custom: `path.py` or `module:attribute` of the user's own tasks. Their code is executed: what a received run
            folder names goes through `own_tasks` first.
        system: the recipe's `data.system`.

    Raises:
        TaskError: a custom or installed task cannot be loaded, or two tasks share a name.
    """
    tasks: dict[str, Task] = {}
    for task, source in _all_tasks(custom):
        for other in tasks.values():
            if {task.name, task.short} & {other.name, other.short}:
                raise TaskError(
                    f"The task {task.short} ({task.name}) has the name of another one.",
                    where=source,
                    fix="Give it a name and a short name of its own.",
                )
        tasks[task.short] = copy(task)  # a task that a module holds is shared by all registries
        tasks[task.short].conversation_system = system
    return tasks


def aliases(tasks: Mapping[str, Task]) -> dict[str, str]:
    """Every name that a record may give its task, to the short name."""
    return {name: task.short for task in tasks.values() for name in (task.name, task.short)}


def find_task(
    name: str, tasks: Mapping[str, Task], *, where: object | None = None, fix: str = ""
) -> Task:
    """The task of this short name or name in the prompt.

    Args:
        tasks: by short name, as `registry` gives them.
        where: what named the task: an option, a field, a file.
        fix: what the user can do besides mending the name.

    Raises:
        TaskError: there is none.
    """
    short = aliases(tasks).get(name)
    if short is None:
        raise unknown_task(name, tasks, where=where, fix=fix)
    return tasks[short]


def unknown_task(
    name: str, tasks: Mapping[str, Task], *, where: object | None = None, fix: str = ""
) -> TaskError:
    """The error for a name that is no task's, or no short name where only those are accepted.

    Args:
        tasks, where, fix: as of `find_task`.
    """
    names = aliases(tasks)
    meant = names.get(name) or nearest(name, names)
    # The short name is accepted everywhere, the name in the prompt is not.
    hint = f"Did you mean {names[meant]}?" if meant else f"Tasks: {', '.join(tasks)}."
    return TaskError(f"There is no task {name!r}.", where=where, fix=f"{hint} {fix}".rstrip())


def own_targets(
    bounds: Mapping[str, Mapping[str, float]],
    tasks: Mapping[str, Task],
    *,
    where: object,
    skip_unknown: bool = False,
) -> dict[str, Targets]:
    """A recipe's own targets by task, with the side on which a score is to lie.

    Args:
        bounds: `evaluation.targets`.
        tasks: by short name.
        where: what errors name.
        skip_unknown: leave out tasks that there are not, as a run's own ones were not loaded.

    Raises:
        RecipeError: a target is of no task or no score, no score can reach it, or there is no better or worse in it.
    """
    found: dict[str, Targets] = {}
    for name, by_score in bounds.items():
        if name not in tasks and skip_unknown:
            continue
        if name not in tasks:
            raise RecipeError(
                f"evaluation.targets names the task {name!r}, which there is not.",
                where=where,
                fix=f"Tasks: {', '.join(tasks)}.",
            )
        for score, bound in by_score.items():
            _require_target(tasks[name], score, bound, where)
        lower = tasks[name].lower_is_better
        found[name] = {s: ("<" if s in lower else ">", bound) for s, bound in by_score.items()}
    return found


def _require_target(task: Task, score: str, bound: float, where: object) -> None:
    named = f"evaluation.targets.{task.short}.{score}"
    built_in = type(task) in BUILT_IN
    # One that is derived from another task has that one's names, and scores of its own beside.
    known: frozenset[str] = vars(type(task)).get("score_names", frozenset())
    if known and score not in known:
        close = nearest(score, known)
        hint = f"Did you mean {close}? " if close else ""
        raise RecipeError(
            f"{named}: the task has no such score.",
            where=where,
            fix=f"{hint}Scores: {', '.join(sorted(known))}.",
        )
    if score in task.neither_is_better:
        raise RecipeError(
            f"{named}: this score is no better higher or lower.", where=where, fix="Leave it out."
        )
    if built_in and not -1 <= bound <= 1:
        raise RecipeError(
            f"{named} is {bound:g}, which no score reaches: the highest is 1.",
            where=where,
            fix=f"Ninety of a hundred are 0.9. Did you mean {bound / 100:g}?",
        )


def _all_tasks(custom: Sequence[str]) -> Iterator[tuple[Task, str]]:
    for kind in BUILT_IN:
        yield kind(), "built in"
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        source = f"entry point {point.name} = {point.value}"
        try:
            found: object = point.load()
        except Exception as error:
            raise TaskError(f"It cannot be loaded: {_said(error)}", where=source) from error
        yield _task(found, source), source
    for source in dict.fromkeys(custom):
        for found in _custom(source):
            yield _task(found, source), source


def _custom(source: str) -> list[object]:
    if source.endswith(".py"):
        return _defined(_module_of_file(user_path(source)), source)
    module_name, _, attribute = source.partition(":")
    if not attribute:
        raise TaskError(
            "This names no task.", where=source, fix="Write path.py or module:attribute."
        )
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise TaskError(f"It cannot be imported: {_said(error)}", where=source) from error
    try:
        return [getattr(module, attribute)]
    except AttributeError:
        raise TaskError(f"{module_name} has no {attribute}.", where=source, fix=_FIX) from None


def _module_of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise TaskError("There is no such file of tasks.", where=path)
    name = f"lexitrain_task_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TaskError("This is no Python file.", where=path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look the module up by its name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise TaskError(f"It cannot be loaded: {_said(error)}", where=path) from error
    return module


def _defined(module: ModuleType, source: str) -> list[object]:
    found: list[object] = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Task)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]
    if not found:
        raise TaskError("No task is defined here.", where=source, fix=_FIX)
    return found


def _task(found: object, source: str) -> Task:
    try:
        task = cast("type[Task]", found)() if inspect.isclass(found) else found
    except TypeError as error:
        raise TaskError(f"It is no task: {error}.", where=source, fix=_FIX) from error
    if not isinstance(task, Task):
        raise TaskError(f"It is no task but {type(task).__name__}.", where=source, fix=_FIX)
    for attribute in ("name", "short", "schema"):
        if not getattr(task, attribute, None):
            raise TaskError(f"{type(task).__name__} lacks `{attribute}`.", where=source, fix=_FIX)
    reason = schema_problem(task.schema)
    if reason is None and task.schema["type"] != "object":
        reason = "schema.type is not object: an answer is one JSON object"
    if reason is not None:
        raise TaskError(f"The task {task.short} cannot be used: {reason}.", where=source)
    return task


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
