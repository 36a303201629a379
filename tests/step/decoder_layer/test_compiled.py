"""Chains compiled: the numbers of the operators one by one, compiled once, and those operators where that fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters
from torch.utils._python_dispatch import TorchDispatchMode

from lexitrain.errors import InputError
from lexitrain.recipe.schema import OptimizerSection, Recipe, StepSection
from lexitrain.runs.folder import Run
from lexitrain.step import TrainingStep, build_optimizer
from lexitrain.step.decoder_layer import chains, compiled_kernels
from lexitrain.step.decoder_layer.compiled_kernels import CompiledKernels, why_not_compiled
from lexitrain.step.graphs.cut_graphs import CutGraphs
from lexitrain.step.graphs.recording import Recording, Repeated, RepeatingRecorder, Work
from lexitrain.training import train
from tests.step.decoder_layer.bases import adapted, found_by, step_of
from tests.step.test_equality import random_samples

pytestmark = [
    pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="needs g++"),
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),  # of the compiler itself
    pytest.mark.timeout(600),
]


@pytest.fixture(autouse=True)
def nothing_compiled_before() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def compilations() -> int:
    """So far, whatever was compiled."""
    return counters["stats"]["unique_graphs"]


def both(kind: str, **settings: Any) -> tuple[TrainingStep, TrainingStep]:
    """The same step without and with compilation."""
    device = settings.pop("device", None)
    dtype = settings.pop("dtype", torch.float32)
    depth = settings.pop("depth", 2)
    plain, compiled = (
        step_of(adapted(kind, dtype=dtype, depth=depth), device=device, compile=how, **settings)
        for how in ("never", "always")
    )
    return plain, compiled


def assert_same(
    plain: TrainingStep, compiled: TrainingStep, samples: Any, tolerance: float
) -> None:
    loss, wanted = found_by(plain, samples)
    compiled_loss, found = found_by(compiled, samples)
    assert compiled_loss == pytest.approx(loss, rel=tolerance)
    assert found.keys() == wanted.keys()
    for name, each in wanted.items():
        assert torch.linalg.norm(each) > 0
        assert torch.linalg.norm(found[name] - each) <= tolerance * torch.linalg.norm(each), name
    assert compiled.notes == []
    assert isinstance(compiled._kernels, CompiledKernels)


def one_of(first: str, *others: str) -> list[Any]:
    """The first is always tried; for each of the others a compiler works for some seconds."""
    return [first, *(pytest.param(each, marks=pytest.mark.slow) for each in others)]


@pytest.mark.parametrize("kind", one_of("qwen2", "qwen2 windowed", "qwen3", "llama biased"))
def test_gradients_are_those_of_the_operators_in_every_layout(kind: str) -> None:
    for settings in (
        {"layout": "tree"},
        {"layout": "tree", "token_budget": 70, "gradient_checkpointing": "always"},
        {"layout": "packed", "attention": "dense", "token_budget": 100},
        {"layout": "padded", "micro_batch": 3, "attention": "dense"},
    ):
        plain, compiled = both(kind, **settings)
        for seed in range(2):
            assert_same(plain, compiled, random_samples(seed), 1e-5)
    assert 0 < compilations() < 40


@pytest.mark.usefixtures("gpu_norms")
@pytest.mark.parametrize("recomputed", ["always", "never"])
@pytest.mark.parametrize("kind", one_of("qwen2", "qwen3"))
def test_keys_and_values_that_are_spread_over_their_queries(kind: str, recomputed: str) -> None:
    """As on a GPU, where norms stay the kernels that they are."""
    plain, compiled = both(
        kind,
        device="cuda",
        layout="tree",
        attention="dense",
        gradient_checkpointing=recomputed,
        token_budget=90,
    )
    assert_same(plain, compiled, random_samples(0), 1e-5)


@pytest.mark.parametrize("kind", one_of("qwen2", "qwen3"))
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_as_near_to_the_truth(kind: str, dtype: torch.dtype) -> None:
    """Of the whole gradient against fp32 on the same weights, over several steps."""
    plain, compiled = both(kind, dtype=dtype, layout="tree")
    exact_model = adapted(kind, dtype=dtype)
    for parameter in exact_model.parameters():
        parameter.data = parameter.data.float()
    exact_step = step_of(exact_model, layout="tree")
    errors = [0.0, 0.0]
    for seed in range(4):
        samples = random_samples(seed)
        exact = torch.cat([each.flatten() for each in found_by(exact_step, samples)[1].values()])
        for place, step in enumerate((plain, compiled)):
            found = torch.cat([each.flatten() for each in found_by(step, samples)[1].values()])
            errors[place] += float(torch.linalg.norm(found - exact) / torch.linalg.norm(exact))
    assert compiled.notes == []
    assert 0 < errors[1] <= 1.05 * errors[0]


@pytest.mark.parametrize("kind", one_of("qwen2", "qwen3"))
def test_another_length_or_layer_compiles_nothing_new(kind: str) -> None:
    step = step_of(adapted(kind, depth=2), layout="tree", compile="always")
    step.gradients(random_samples(0))
    first = compilations()
    assert first == 7  # the probe; norm, heads and SwiGLU, each forward and backward
    for seed in range(1, 6):
        step.gradients(random_samples(seed))
        step.update(1e-3)
        step.loss(random_samples(seed))
    step.recompute()
    step.gradients(random_samples(0))
    assert compilations() == first
    deeper = step_of(adapted(kind, depth=5), layout="tree", compile="always", token_budget=90)
    for seed in range(3):
        deeper.gradients(random_samples(seed))
    assert compilations() == first
    assert step.notes == deeper.notes == []


def test_the_validation_loss_is_the_same() -> None:
    for kind in ("qwen2", "qwen3"):
        plain, compiled = both(kind, layout="tree")
        samples = random_samples(0)
        assert compiled.loss(samples)[0] == pytest.approx(plain.loss(samples)[0], rel=1e-5)
        assert not [each for each in compiled.parameters if each.grad is not None]


@pytest.mark.parametrize("kind", one_of("qwen2", "qwen3"))
def test_no_more_is_kept_for_the_backward_pass(kind: str) -> None:
    """A plan counts the memory of the operators, so a compiled step must need no more."""
    plain, compiled = both(kind, layout="tree", attention="dense")
    kept: list[int] = []
    for step in (plain, compiled):
        held: dict[int, torch.UntypedStorage] = {}

        def note(
            tensor: torch.Tensor, held: dict[int, torch.UntypedStorage] = held
        ) -> torch.Tensor:
            storage = tensor.untyped_storage()
            held[storage.data_ptr()] = storage  # held, so that no other comes to lie there
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            step.gradients(random_samples(0))
        kept.append(sum(each.nbytes() for each in held.values()))
    assert 0 < kept[1] <= kept[0]


class NothingNew(RepeatingRecorder):
    """Fails where recorded work compiles."""

    def record(self, work: Work) -> Recording:
        def watched() -> None:
            before = compilations()
            work()
            assert compilations() == before

        watched()
        return Repeated(watched)


@pytest.mark.parametrize("recompute", ["never", "always"])
def test_recorded_cuts_find_all_compiled(recompute: str) -> None:
    settings = {"token_budget": 70, "attention": "dense", "gradient_checkpointing": recompute}
    plain, step = (
        step_of(adapted("qwen3"), compile=how, graphs=how, **settings)
        for how in ("never", "always")
    )
    step.graphs = CutGraphs(
        step._add_gradients, step.adapter, torch.device("cpu"), torch.float32, NothingNew()
    )
    for number in range(8):
        samples = random_samples(number % 2)
        for each in (plain, step):
            each.gradients(samples)
            each.update(1e-3)
    assert step.graphs.recorded
    assert (step.graphs.told, step.notes) == ([], [])
    apart = torch.linalg.norm(step.adapter.values - plain.adapter.values)
    assert apart <= 1e-5 * torch.linalg.norm(plain.adapter.values)


def test_a_run_goes_on_as_if_it_had_not_been_stopped(
    recipe_of: Callable[..., Recipe], data_dir: Path, tmp_path: Path
) -> None:
    """Weights bit for bit; and the setting stays what it was."""
    recipe = recipe_of(["step.compile=always", "schedule.epochs=1"])
    train(recipe, data_dir, tmp_path / "whole")
    train(recipe, data_dir, tmp_path / "two", stop_after_step=3)
    train(recipe, data_dir, tmp_path / "two")
    one, other = (
        (tmp_path / name / "adapter" / "adapter_model.safetensors").read_bytes()
        for name in ("whole", "two")
    )
    assert one == other
    assert compilations() > 0
    train(recipe, data_dir, tmp_path / "changed", stop_after_step=3)
    with pytest.raises(InputError, match=r"step\.compile"):
        train(recipe_of(["schedule.epochs=1"]), data_dir, tmp_path / "changed")


def test_a_run_says_why_nothing_is_compiled(
    recipe_of: Callable[..., Recipe],
    data_dir: Path,
    tmp_path: Path,
) -> None:
    recipe = recipe_of(["step.compile=always", "schedule.epochs=1"])
    with torch.compiler.set_stance("force_eager"):
        train(recipe, data_dir, tmp_path / "run")
    told = [
        each.details["what"] for each in Run(tmp_path / "run").events() if each.event == "warning"
    ]
    assert any("torch.compile does not work here (it is switched off" in each for each in told)
    assert compilations() == 0


def test_a_compiler_that_fails_in_the_midst_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, step = both("qwen2", layout="tree")
    samples = random_samples(0)
    own = compiled_kernels._compiled

    def breaking(chain: Any) -> Any:
        if chain is chains.gated_gradient:
            raise RuntimeError("out of resource: shared memory\nmore")
        return own(chain)

    monkeypatch.setattr(compiled_kernels, "_compiled", breaking)
    loss, wanted = found_by(plain, samples)
    for _ in range(2):
        found_loss, found = found_by(step, samples)
        assert found_loss == pytest.approx(loss, rel=1e-5)
        for name, each in wanted.items():
            assert torch.linalg.norm(found[name] - each) <= 1e-5 * torch.linalg.norm(each)
    (told,) = step.notes
    assert "gated_gradient: RuntimeError: out of resource: shared memory)" in told


def test_memory_that_runs_out_is_the_steps_own_affair(monkeypatch: pytest.MonkeyPatch) -> None:
    _, step = both("qwen2", layout="tree")

    def failing(_chain: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(compiled_kernels, "_compiled", failing)
    with pytest.raises(Exception, match="out of memory"):
        step.gradients(random_samples(0))
    assert step.notes == []


class Watching(TorchDispatchMode):
    """Counts activations, which only operators one by one show."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen += func.overloadpacket is torch.ops.aten.silu
        return func(*args, **(kwargs or {}))


def test_while_operators_are_watched_they_go_one_by_one() -> None:
    plain, step = both("qwen2", layout="tree")
    samples = random_samples(0)
    with Watching() as watching:
        assert_same(plain, step, samples, 1e-5)
    assert watching.seen
    assert compilations() <= 1  # the probe
    assert_same(plain, step, samples, 1e-5)
    assert compilations() == 7
    with Watching() as watching:
        assert_same(plain, step, samples, 1e-5)
    assert watching.seen


@torch._dynamo.config.patch(recompile_limit=1)
def test_too_many_kinds_of_arguments_end_in_the_operators() -> None:
    plain, step = both("qwen2", layout="tree")
    step.gradients(random_samples(0))
    assert step.notes == []
    other = step_of(adapted("qwen2", dtype=torch.bfloat16), layout="tree", compile="always")
    other.gradients(random_samples(0))
    assert other.notes
    step.gradients(random_samples(0))
    plain.gradients(random_samples(0))
    assert step.grad_norm == pytest.approx(plain.grad_norm, rel=1e-5)


@pytest.mark.parametrize("dropout", [0.1, 0.0])
def test_layers_that_are_not_known_are_told_of_once(dropout: float) -> None:
    step = step_of(adapted("qwen2", dropout=dropout), layout="tree", compile="always")
    step.own_layers = not dropout
    for seed in range(3):
        step.gradients(random_samples(seed))
    (told,) = step.notes
    assert "Layers are not compiled" in told
    assert compilations() <= 1  # the probe, unless it was compiled before


def test_nothing_is_compiled_unless_asked_for() -> None:
    for how in ("auto", "never"):
        step = step_of(adapted("qwen2"), layout="tree", compile=how)
        step.gradients(random_samples(0))
        assert (compilations(), step.notes) == (0, [])


def test_a_compiler_that_is_switched_off_is_no_compiler() -> None:
    with torch.compiler.set_stance("force_eager"):
        reason = why_not_compiled(torch.device("cpu"), torch.float32)
    assert reason is not None
    assert "switched off" in reason


WITHOUT = """
from lexitrain.training import train
from tests.step.decoder_layer.bases import adapted, step_of
from tests.step.test_equality import random_samples

steps = [step_of(adapted("qwen2"), layout="tree", compile=each) for each in ("never", "always")]
losses = [each.gradients(random_samples(0)).loss for each in steps]
assert losses[0] == losses[1], losses
assert steps[0].grad_norm == steps[1].grad_norm
print(steps[1].notes)
"""


def test_without_a_compiler_a_step_goes_on_and_says_so(tmp_path: Any) -> None:
    """In a process of its own, with an empty cache: nothing compiled before may be found."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        env={
            **os.environ,
            "CXX": "/nowhere/g++",
            "TORCHINDUCTOR_CACHE_DIR": str(tmp_path),
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Layers are not compiled: torch.compile does not work here" in done.stdout


def test_an_eight_bit_optimizer_and_a_large_rank() -> None:
    pytest.importorskip("bitsandbytes")
    values = []
    for how in ("never", "always"):
        model = adapted("qwen2", dtype=torch.bfloat16, rank=129)
        step = TrainingStep(
            model,
            build_optimizer(model.named_parameters(), OptimizerSection(name="adamw_8bit")),
            StepSection(compile=how, micro_batch=5, effective_batch=10),
            max_length=64,
            pad_id=1,
            clip=1.0,
        )
        for seed in range(3):
            step.gradients(random_samples(seed))
            step.update(1e-4)
        assert step.notes == []
        values.append(step.adapter.values.clone())
    assert torch.linalg.norm(values[1] - values[0]) <= 1e-2 * torch.linalg.norm(values[0])
