"""Train one run in several processes, in all the ways that can go wrong; started by `test_processes.py`.

The libraries are imported once, then every process is a fork that gets what a launcher would give it. Prints one JSON
object: scenario -> exit codes by rank.

    python -m tests.training.together RECIPE DATA FOLDER
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

# What `train` imports when it needs it, so that no child has to.
import peft  # noqa: F401
import pytest
import torch
from safetensors.torch import save_file
from transformers.models.qwen2 import modeling_qwen2, tokenization_qwen2  # noqa: F401

from lexitrain.cli.main import run as command
from lexitrain.step import joined_processes
from lexitrain.step.update.flat_adapter import FlatAdapter
from lexitrain.training import train as _train  # noqa: F401
from tests.step import test_equality as equality
from tests.training.allocator import Allocator, allocate_through

#: Step settings -> cuts of the ten samples of the equality test; with one cut a process has nothing to do.
CUTS: dict[str, dict[str, Any]] = {
    "one": {"micro_batch": 10},
    "five": {"micro_batch": 2},
    "by_cost": {},
    "compiled": {"micro_batch": 2, "compile": "always"},
}
#: The adapter's start comes out of the base's weights, and matrices learn at two rates.
LEVERS = (
    *("model.quantization=none", "lora.init=pissa", "lora.scaling=rslora"),
    *("optimizer.lora_plus=4", "optimizer.learning_rate=0.0005"),
)


def launch(count: int, work: Callable[[], int]) -> list[int]:
    """Start `count` processes that do `work`; returns their process ids by rank."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children: list[int] = []
    for rank in range(count):
        child = os.fork()
        if child == 0:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            os._exit(work())
        children.append(child)
    return children


def codes(children: Sequence[int]) -> list[int]:
    """Exit codes, the number of the signal negated where one ended the process."""
    return [os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) for each in children]


def wait_for_lines(file: Path, lines: int) -> None:
    """Wait until a journal has so many lines."""
    while not file.exists() or file.read_bytes().count(b"\n") < lines:
        time.sleep(0.001)


def save_gradients(folder: Path) -> int:
    """Each process's gradients of the equality test's step, cut in several ways."""
    samples = equality.random_samples(0)
    with joined_processes() as processes:
        for name, settings in CUTS.items():
            step = equality.training_step(equality.adapted_model(), layout="tree", **settings)
            step.processes = processes
            result = step.gradients(samples)
            assert step.notes == []  # what was to be compiled was
            found = {**equality.gradients_of(step.model), "loss": torch.tensor(result.loss)}
            save_file(
                {key: value.contiguous() for key, value in found.items()},
                folder / f"{name}-{processes.rank}.safetensors",
            )
    return 0


def run_out_of_memory(rank: int, times: int, work: Callable[[], int]) -> int:
    """Do `work`; in one process, that many first backward passes find no memory."""
    left = times if int(os.environ["RANK"]) == rank else 0

    def fails(backward: bool) -> bool:
        nonlocal left
        if not backward or not left:
            return False
        left -= 1
        return True

    with pytest.MonkeyPatch.context() as patch:
        allocate_through(Allocator(fails=fails), patch)
        return work()


def run_out_of_memory_in(rank: int, what: str, times: int, work: Callable[[], int]) -> int:
    """Do `work`; in one process, a part of the step that needs memory after its backward passes finds none at first.

    Args:
        rank: the process.
        what: `buffer` of the gradient sum, or the gradient's `norm`, or the `sum` itself.
        times: how often it fails.
        work: what is done.
    """
    left = times if int(os.environ["RANK"]) == rank else 0
    place, name = {
        "buffer": (FlatAdapter, "beside"),
        "norm": (torch.linalg, "vector_norm"),
        "sum": (torch.distributed, "all_reduce"),
    }[what]
    original = getattr(place, name)

    def failing(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        of = args[0]
        size = of.numel() if isinstance(of, torch.Tensor) else of.size
        # Not what the processes tell each other besides, nor the norms of a layer, which say a dimension.
        if left and size > 20 and not kwargs:
            left -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate: a test")
        return original(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, name, failing)
        return work()


def main() -> None:
    recipe, data, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    ended: dict[str, list[int]] = {}

    def training(name: str, *more: str) -> Callable[[], int]:
        arguments = ["train", "--recipe", recipe, "--data", data, "--run", str(folder / name)]
        return lambda: command([*arguments, *more])

    ended["gradients"] = codes(launch(2, lambda: save_gradients(folder)))
    ended["one"] = codes(launch(1, training("one")))
    ended["two"] = codes(launch(2, training("two", "--json")))

    levers = [f"--set={each}" for each in LEVERS]
    ended["levers of one"] = codes(launch(1, training("levers of one", *levers)))
    stopped = training("levers", *levers, "--stop-after-step", "9")
    ended["levers of two"] = codes(launch(2, stopped))
    ended["levers resumed"] = codes(launch(2, training("levers", *levers)))

    ended["part of three"] = codes(launch(3, training("changing", "--stop-after-step", "9")))
    ended["rest of one"] = codes(launch(1, training("changing")))

    ended["memory"] = codes(launch(2, lambda: run_out_of_memory(1, 3, training("memory"))))

    for what in ("buffer", "norm", "sum"):
        failing = partial(run_out_of_memory_in, 1, what, 2)
        ended[what] = codes(launch(2, lambda f=failing, w=what: f(training(f"memory of {w}"))))
        ended[f"after {what}"] = codes(launch(1, training(f"memory of {what}")))

    for rank, number in ((1, signal.SIGTERM), (1, signal.SIGKILL), (0, signal.SIGKILL)):
        name = f"{number.name} to {rank}"
        children = launch(2, training(name))
        wait_for_lines(folder / name / "metrics.jsonl", 2)
        os.kill(children[rank], number)
        ended[name] = codes(children)
        ended[f"after {name}"] = codes(launch(1, training(name)))
    sys.stdout.write(f"\n{json.dumps(ended)}\n")


if __name__ == "__main__":
    main()
