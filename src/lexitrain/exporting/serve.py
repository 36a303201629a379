"""`serve`: a GGUF file, or a run, behind an OpenAI-compatible address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lexitrain.errors import InputError, MissingExtra
from lexitrain.evaluation import answer_context, answer_gbnf, asked_gbnf, plain_text
from lexitrain.exporting.export import export
from lexitrain.models import WEIGHTS_FILE
from lexitrain.recipe import NO_SYSTEM
from lexitrain.runs import Run
from lexitrain.serving import (
    LlamaServer,
    Offer,
    file_facts,
    gateway,
    host_and_port,
    is_gguf_file,
    is_loopback,
    require_free,
    require_gguf_file,
    taken,
)
from lexitrain.storage import user_path
from lexitrain.tasks import Task, own_tasks, registry

LOOPBACK = "127.0.0.1"


def serve(
    model: str | Path,
    *,
    adapters: Mapping[str, str | Path] | None = None,
    host: str = LOOPBACK,
    port: int = 8080,
    key: str = "",
    quantize: str = "Q8_0",
    slots: int = 4,
    threads: int | None = None,
    custom_tasks: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Answer requests until the process is told to end.

    Args:
        model: a GGUF file, or a run: its export is taken, and one made where there is none as new as its adapter.
        adapters: name for clients -> GGUF adapter; a request names one as its model.
        host, port: where it listens.
        key: that clients need; beyond this machine there must be one.
        quantize: of the run's export.
        slots: requests answered at once.
        threads: that compute; by default one a core.
        custom_tasks: `path.py` or `module:attribute` of tasks of your own. Their code is executed.
        tell: called with sentences on what goes on.

    Raises:
        InputError: no key where others can reach it, or the port is taken.
        ModelError: there is no such file, or llama.cpp cannot load it.
        MissingExtra: a package is not installed.
    """
    try:
        import httpx  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise MissingExtra(error.name or "starlette", "export") from None
    if not all(33 <= ord(letter) < 127 for letter in key):
        raise InputError(
            "The key holds characters that no key can have (spaces, line ends, accents).",
            where="LEXITRAIN_API_KEY",
            fix="Set another one.",
        )
    if not key and not is_loopback(host):
        raise InputError(
            f"Others can reach {host}, and no key is set.",
            where="--host",
            fix="Set a key in the environment: LEXITRAIN_API_KEY=… lexitrain serve …",
        )
    require_free(host, port)
    named = {name: user_path(path) for name, path in (adapters or {}).items()}
    for path in named.values():
        require_gguf_file(path)
    file = _file(model, quantize, tell)
    if file.stem in named or "" in named:
        raise InputError(
            f"An adapter cannot be called {file.stem!r}, as the file is."
            if file.stem in named
            else "An adapter has no name.",
            where="--adapter",
            fix="Name it: --adapter NAME=FILE.",
        )
    facts = file_facts(file)
    known = registry(own_tasks(custom_tasks, (), given=custom_tasks, trust=False).sources, None)
    tasks = {name: task for name, task in known.items() if not facts.tasks or name in facts.tasks}
    if not tasks and facts.tasks:
        tell(f"The file's tasks are not known here: {', '.join(facts.tasks)}.")
    with LlamaServer(
        file,
        adapters=list(named.values()),
        slots=slots,
        threads=threads,
        context=answer_context(facts),
    ) as server:
        offer = Offer(
            model=file.stem,
            adapters=tuple(named),
            grammars={name: answer_gbnf(task) for name, task in tasks.items()},
            systems=_systems(tasks, facts.system),
            held_to=asked_gbnf,
            plain=plain_text(facts.specials),
            key=key,
        )
        tell(f"{file.name} answers at http://{host_and_port(host, port)}/v1")
        config = uvicorn.Config(
            gateway(server, offer, tell),
            host=host,
            port=port,
            http="h11",  # else another package decides how a wrong request is answered
            ws="none",
            log_level="warning",
            timeout_graceful_shutdown=5,
            server_header=False,
        )
        try:
            uvicorn.Server(config).run()  # `uvicorn.run` would keep Ctrl-C to itself
        except SystemExit:
            raise taken(host, port, "it was taken meanwhile") from None


def _systems(tasks: Mapping[str, Task], recipe: str | None) -> dict[str, str]:
    """The system turns of training: of each task's prompts, and of conversations that have none."""
    found = {name: task.system for name, task in tasks.items()}
    own = set(found.values())
    system = recipe if recipe is not None else own.pop() if len(own) == 1 else NO_SYSTEM
    return found if system == NO_SYSTEM else {**found, "": system}


def _file(model: str | Path, quantize: str, tell: Callable[[str], None]) -> Path:
    """The GGUF file; of a run its export, which is made where there is none, or an older one than its adapter."""
    if is_gguf_file(model):
        return user_path(model)
    path = user_path(model)
    if path.suffix == ".gguf" or path.is_file():
        require_gguf_file(path)
    if not Run(path).exists():
        raise InputError(
            "This is neither a GGUF file nor a run.",
            where=path,
            fix="Write a file with `lexitrain export MODEL --out DIR` and serve that.",
        )
    # By its name: the folder may hold the base alone too, for an adapter beside it.
    exported = path / "export" / f"{path.resolve().name}-{quantize.upper()}.gguf"
    if not is_gguf_file(exported):
        tell(f"There is no export of this run in {quantize} yet; it is made.")
    elif _written(exported) < _written(Run(path).adapter / WEIGHTS_FILE):
        tell(f"The export of this run in {quantize} is older than its adapter; it is made anew.")
    else:
        return exported
    return export(model, ["gguf"], quantize=[quantize]).files[0].path


def _written(path: Path) -> float:
    """When; 0 where there is no such file."""
    return path.stat().st_mtime if path.exists() else 0.0
