"""From a model's name to what answers for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lexitrain.abtest.engines.api_engine import ApiEngine
from lexitrain.abtest.engines.file_engine import FileEngine
from lexitrain.abtest.engines.process_engine import ProcessEngine
from lexitrain.errors import TaskError
from lexitrain.evaluation import locate_model, require_model, tasks_of

if TYPE_CHECKING:
    from lexitrain.abtest.engines.engine import Engine
    from lexitrain.evaluation import LocatedModel
    from lexitrain.tasks import Task


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How models are asked, both in the same way.

    Attributes:
        json_schema: whether answers are held to the task's schema.
        seconds: longest wait for an answer.
        at_once: most requests under way at one arm.
        slots: prompts that llama.cpp answers together.
        threads: that compute for one model; by default one a core.
        custom_tasks: `path.py` or `module:attribute` of tasks of your own. Their code is executed.
        tell: called with a sentence where a model that runs here ends.
    """

    json_schema: bool = False
    seconds: float = 60.0
    at_once: int = 64
    slots: int = 4
    threads: int | None = None
    custom_tasks: tuple[str, ...] = ()
    tell: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Arms:
    """Attributes:
    a, b: what answers, not opened yet.
    tasks_a, tasks_b: short name -> task, by which each arm is asked; the names are the same.
    """

    a: Engine
    b: Engine
    tasks_a: dict[str, Task]
    tasks_b: dict[str, Task]


def arms_of(a: str, b: str, tasks: Sequence[str], settings: EngineSettings) -> Arms:
    """What answers for both arms.

    Args:
        a, b: a run, an adapter or a base, a GGUF file, `BASE.gguf+ADAPTER.gguf`, or an address such as
            `http://localhost:8000/v1#model`.
        tasks: short names to offer; none: all that both models know.

    Raises:
        ModelError, RunError: there is no such model, or a server does not answer.
        TaskError: a task is unknown to one of them, or there is none that both know.
        MissingExtra: llama.cpp is not installed.
    """
    located = {name: locate_model(name) for name in dict.fromkeys((a, b))}
    for name, found in located.items():
        if found.remote is None:
            require_model(name)
    known_a, known_b = (_known(located[name], settings) for name in (a, b))
    wanted = list(tasks) or sorted(known_a.keys() & known_b.keys(), key=_in_order)
    for name in wanted:
        for arm, known in ((a, known_a), (b, known_b)):
            if name not in known:
                raise TaskError(
                    f"The task {name!r} is unknown to it.",
                    where=arm,
                    fix=f"It knows: {', '.join(known)}.",
                )
    if not wanted:
        raise TaskError(
            "There is no task that both models know.",
            where=f"{a}, {b}",
            fix=f"The first knows {', '.join(known_a)}, the second {', '.join(known_b)}.",
        )
    return Arms(
        _engine(located[a], wanted, settings),
        _engine(located[b], wanted, settings),
        {name: known_a[name] for name in wanted},
        {name: known_b[name] for name in wanted},
    )


def _in_order(name: str) -> tuple[bool, str]:
    """Learners are offered first what most of them come for."""
    return name != "grammar", name


def _known(located: LocatedModel, settings: EngineSettings) -> dict[str, Task]:
    found, _ = tasks_of(located, settings.custom_tasks, trust_tasks=False)
    return {
        name: task for name, task in found.items() if not located.tasks or name in located.tasks
    }


def _engine(located: LocatedModel, tasks: Sequence[str], settings: EngineSettings) -> Engine:
    if located.remote is not None:
        return ApiEngine(
            located.remote,
            json_schema=settings.json_schema,
            seconds=settings.seconds,
            at_once=settings.at_once,
        )
    if located.file is not None:
        return FileEngine(
            located.name,
            located.file,
            located.file_adapter,
            slots=settings.slots,
            threads=settings.threads,
            json_schema=settings.json_schema,
            seconds=settings.seconds,
            at_once=settings.at_once,
            tell=settings.tell,
        )
    return ProcessEngine(
        located.name,
        tasks=tasks,
        threads=settings.threads,
        json_schema=settings.json_schema,
        seconds=settings.seconds,
        custom_tasks=settings.custom_tasks,
        tell=settings.tell,
    )
