"""Cuts that are recorded and replayed: the same gradients, the same memory, and the plain computation where that fails.

Without a GPU a recording does its work anew on the same tensors, so that everything but CUDA's own graph is held here.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lexitrain.batching import IGNORED
from lexitrain.recipe import load_recipe
from lexitrain.recipe.schema import OptimizerSection, StepSection
from lexitrain.samples import Sample
from lexitrain.step import TrainingStep, build_optimizer
from lexitrain.step.graphs.cut_graphs import CutGraphs
from lexitrain.step.graphs.recording import Recording, Repeated, RepeatingRecorder, Work
from lexitrain.training.recovery.memory_ladder import MemoryLadder
from tests.step.decoder_layer.bases import KINDS, adapted, step_of
from tests.step.test_equality import random_samples

LAYOUTS = [
    {"layout": "tree"},
    {"layout": "tree", "token_budget": 70},
    {"layout": "packed", "token_budget": 100},
    {"layout": "padded", "micro_batch": 3},
]

ONE_CUT = {"micro_batch": 10}


def a_step(settings: dict[str, Any], *, graphs: str, kind: str = "qwen2") -> TrainingStep:
    return step_of(adapted(kind), attention="dense", graphs=graphs, **settings)


def gradients(step: TrainingStep) -> torch.Tensor:
    return torch.cat([each.grad.ravel() for each in step.parameters if each.grad is not None])


def close(one: torch.Tensor, other: torch.Tensor, tolerance: float) -> bool:
    return bool((one - other).norm() <= tolerance * other.norm())


def attended_by_tables(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, scale: float | None
) -> torch.Tensor:
    """FlexAttention as its tables say, with a backward pass on a CPU too: tiles seen in part are looked at, those seen
    whole are not, and others are not there."""
    length, size = query.shape[2], mask.BLOCK_SIZE[0]
    places = torch.arange(length)
    seen = torch.zeros(len(query), length, length, dtype=torch.bool)
    for row in range(len(query)):
        looked_at = torch.stack(
            [mask.mask_mod(torch.tensor(row), torch.tensor(0), each, places) for each in places]
        )
        for counts, listed, whole in (
            (mask.kv_num_blocks, mask.kv_indices, False),
            (mask.full_kv_num_blocks, mask.full_kv_indices, True),
        ):
            for above, count in enumerate(counts[row, 0].tolist()):
                for beside in listed[row, 0, above, :count].tolist():
                    tile = (
                        slice(above * size, (above + 1) * size),
                        slice(beside * size, (beside + 1) * size),
                    )
                    seen[row][tile] = True if whole else looked_at[tile]
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=seen[:, None], scale=scale, enable_gqa=True
    )


@pytest.mark.parametrize(
    "settings", [{"layout": "tree"}, {"token_budget": 600}, {"layout": "packed"}, LAYOUTS[3]]
)
@pytest.mark.parametrize("kind", ["qwen2", "qwen2 windowed"])
def test_tiles_are_inputs_of_a_recording(
    settings: dict[str, Any], kind: str, monkeypatch: pytest.MonkeyPatch
):
    """Cuts of one form see other tiles: what is replayed goes by those of its own samples."""
    monkeypatch.setattr("lexitrain.step.decoder_layer.decoder.attend_in_tiles", attended_by_tables)
    plain, graphs = (a_step(settings, graphs=each, kind=kind) for each in ("never", "always"))
    graphs.attention = "flex"
    graphs.step_layout = replace(graphs.step_layout, tiles=True, bucket=128)
    assert graphs.graphs is not None
    tables: set[bytes] = set()
    for number in range(8):
        samples = [each for seed in range(3) for each in random_samples(3 * (number % 4) + seed)]
        expected, found = plain.gradients(samples), graphs.gradients(samples)
        assert found.loss == pytest.approx(expected.loss, rel=1e-5)
        assert close(gradients(graphs), gradients(plain), 1e-5)
        tables |= {
            b"".join(each.tobytes() for each in cut.tiles.tables())
            for cut in graphs.lay_out(samples)
            if cut.tiles
        }
    assert graphs.graphs.recorded
    assert not graphs.notes
    assert len(tables) > 2 or "micro_batch" in settings  # padded rows see the same tiles


@pytest.mark.parametrize("settings", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_replayed_cuts_give_the_gradient_of_the_plain_ones(settings: dict[str, Any], kind: str):
    plain, graphs = (a_step(settings, graphs=each, kind=kind) for each in ("never", "always"))
    for number in range(8):
        samples = random_samples(number % 2)
        expected, found = plain.gradients(samples), graphs.gradients(samples)
        assert found.loss == pytest.approx(expected.loss, rel=1e-5)
        assert found.supervised_tokens == expected.supervised_tokens
        assert graphs.grad_norm == pytest.approx(plain.grad_norm, rel=1e-5)
        assert close(gradients(graphs), gradients(plain), 1e-5)
    assert graphs.graphs is not None
    # Frequencies that the base's own code scales may depend on what else is in the batch.
    assert bool(graphs.graphs.recorded) == (kind != "llama stretched")
    assert bool(graphs.graphs.told) == (kind == "llama stretched")


def test_weights_are_the_same_after_twenty_updates_a_rung_and_another_rate():
    plain, graphs = (a_step({"token_budget": 70}, graphs=each) for each in ("never", "always"))
    for number in range(20):
        samples = random_samples(number % 3)
        if number == 12:
            plain.recompute()
            graphs.recompute()
        for step in (plain, graphs):
            step.gradients(samples)
            step.update(1e-3 * (1 + number % 4))
    assert graphs.graphs is not None
    assert graphs.graphs.recorded
    values = (graphs.adapter.values, plain.adapter.values)
    assert close(*values, 1e-6)


def test_pads_enter_neither_the_loss_nor_its_count():
    step = a_step(ONE_CUT, graphs="always")
    samples = random_samples(0)
    (batch,) = step.lay_out(samples)
    assert batch.tokens.shape[1] in (128, 256, 384, 512)
    assert len(batch.predict) % 128 == 0
    assert np.count_nonzero(batch.labels == IGNORED) > 0
    assert batch.supervised_tokens == sum(int(each.supervised.sum()) for each in samples)


def test_adapters_that_are_loaded_and_weights_that_move_are_followed():
    plain, graphs = (a_step(ONE_CUT, graphs=each) for each in ("never", "always"))
    samples = random_samples(0)
    for _ in range(4):
        graphs.gradients(samples)
    assert graphs.graphs is not None
    assert graphs.graphs.recorded == 1
    torch.manual_seed(5)
    for one, other in zip(plain.parameters, graphs.parameters, strict=True):
        numbers = torch.randn_like(one) * 0.1
        one.data.copy_(numbers)
        other.data = numbers.clone()  # other memory, as loading with `assign` gives
    plain.gradients(samples)
    graphs.gradients(samples)
    assert close(gradients(graphs), gradients(plain), 1e-5)
    base: Any = graphs.model.get_base_model()
    for each in base.parameters():
        if not each.requires_grad:
            each.data = each.data.clone()
    graphs.gradients(samples)
    assert close(gradients(graphs), gradients(plain), 1e-5)


class Stays(TorchDispatchMode):
    """Fails on what a graph cannot hold: a number read by the host, a size that depends on numbers."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.overloadpacket not in {
            torch.ops.aten._local_scalar_dense,
            torch.ops.aten.nonzero,
            torch.ops.aten.masked_select,
            torch.ops.aten.unique_consecutive,
        }, func
        if func.overloadpacket in {torch.ops.aten.index, torch.ops.aten.index_put_}:
            assert all(each is None or each.dtype != torch.bool for each in args[1]), func
        return func(*args, **(kwargs or {}))


class Watched(RepeatingRecorder):
    """Records under the watch, and notes where the inputs lie at each replay."""

    def record(self, work: Work) -> Recording:
        def watched() -> None:
            with Stays():
                work()

        watched()
        return Repeated(watched)


@pytest.mark.parametrize("recompute", [False, True])
def test_recorded_work_reads_no_number_and_has_no_size_that_depends_on_one(recompute: bool):
    step = a_step({"token_budget": 70}, graphs="always")
    if recompute:
        step.recompute()
    step.graphs = CutGraphs(
        step._add_gradients, step.adapter, torch.device("cpu"), torch.float32, Watched()
    )
    samples = random_samples(0)
    for _ in range(4):
        step.gradients(samples)
    assert step.graphs.recorded
    assert not step.graphs.told


class Reads(TorchDispatchMode):
    """Notes the memory that work reads and has not made itself, and holds it: nothing else can come to lie there."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: dict[int, torch.Tensor] = {}
        self._made: dict[int, torch.Tensor] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for each in tree_leaves((args, kwargs)):
            if isinstance(each, torch.Tensor) and each.numel():
                place = each.untyped_storage().data_ptr()
                if place not in self._made:
                    self.outside[place] = each
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, torch.Tensor) and each.numel():
                place = each.untyped_storage().data_ptr()
                if place not in self.outside:
                    self._made[place] = each
        return result


class Followed(RepeatingRecorder):
    """Fails where a replay reads other memory than the recorded work did, which a graph would go on to read."""

    def record(self, work: Work) -> Recording:
        first = Reads()
        with first:
            work()

        def again() -> None:
            now = Reads()
            with now:
                work()
            moved = [now.outside[place].shape for place in now.outside.keys() - first.outside]
            assert not moved

        return Repeated(again)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rank", [4, pytest.param(129, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["qwen2 windowed", "qwen3", "qwen3 biased", "llama biased"])
def test_replays_read_the_memory_that_was_recorded(
    kind: str, rank: int, dtype: torch.dtype, recompute: bool
):
    """Also where A matrices of one input do not lie side by side: 129 x 32 numbers end inside a block of 256."""
    pytest.importorskip("bitsandbytes")
    model = adapted(kind, dtype=dtype, rank=rank)
    step = TrainingStep(
        model,
        build_optimizer(model.named_parameters(), OptimizerSection(name="adamw_8bit")),
        StepSection(attention="dense", graphs="always", micro_batch=10, effective_batch=10),
        max_length=64,
        pad_id=1,
        clip=1.0,
    )
    if recompute:
        step.recompute()
    step.graphs = CutGraphs(
        step._add_gradients, step.adapter, torch.device("cpu"), dtype, Followed()
    )
    step.loss_graphs = step.graphs.of_losses(step._recordable_loss)
    samples = random_samples(0)
    for number in range(12):
        step.gradients(samples)
        step.update(1e-3)
        if number % 2:
            step.loss(samples)
    assert step.graphs.recorded == step.loss_graphs.recorded == 1
    assert not step.graphs.told


class Broken(RepeatingRecorder):
    def __init__(self, spoil: Callable[[Work], None]) -> None:
        self.spoil = spoil

    def record(self, work: Work) -> Recording:
        return Repeated(lambda: self.spoil(work))


def raising(error: Exception) -> Callable[[Work], None]:
    def spoil(_: Work) -> None:
        raise error

    return spoil


@pytest.mark.parametrize("settings", LAYOUTS)
@pytest.mark.parametrize(
    "kind",
    [each if each == "qwen2" else pytest.param(each, marks=pytest.mark.slow) for each in KINDS],
)
def test_replayed_validations_give_the_loss_of_plain_ones(settings: dict[str, Any], kind: str):
    """Between steps, with weights that move, and without a word in the gradient."""
    plain, graphs = (a_step(settings, graphs=each, kind=kind) for each in ("never", "always"))
    for number in range(6):
        for step in (plain, graphs):
            step.gradients(random_samples(number % 2))
            step.update(1e-2)
        before = gradients(graphs)
        for seed in (7, 8):
            loss, count = graphs.loss(random_samples(seed))
            expected, tokens = plain.loss(random_samples(seed))
            assert (loss, count) == (pytest.approx(expected, rel=1e-5), tokens)
        assert torch.equal(gradients(graphs), before)
    assert graphs.loss_graphs is not None
    assert bool(graphs.loss_graphs.recorded) == (kind != "llama stretched")
    assert close(graphs.adapter.values, plain.adapter.values, 1e-5)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda _: None, "a cut has a loss of nan"),
        (raising(torch.OutOfMemoryError("CUDA out of memory")), "there is no memory"),
    ],
)
def test_a_recorded_validation_that_fails_is_never_used(spoil: Any, said: str):
    plain, step = (a_step(ONE_CUT, graphs=each) for each in ("never", "always"))
    graphs = CutGraphs(
        step._recordable_loss, None, torch.device("cpu"), torch.float32, Broken(spoil), step.notes
    )
    step.loss_graphs = graphs
    samples = random_samples(0)
    for _ in range(5):
        assert step.loss(samples)[0] == pytest.approx(plain.loss(samples)[0], rel=1e-6)
    assert not graphs.recorded
    (told,) = step.notes
    assert said in told


def test_memory_that_runs_out_in_a_validation_ends_all_recordings(
    monkeypatch: pytest.MonkeyPatch,
):
    """The ladder does it again, with the memory that recordings held."""
    step = a_step(ONE_CUT, graphs="always")
    samples = random_samples(0)
    for _ in range(4):
        step.gradients(samples)
        expected = step.loss(samples)
    assert step.graphs is not None
    assert step.loss_graphs is not None
    assert step.graphs.recorded == step.loss_graphs.recorded == 1
    failed: list[Any] = []

    def once(batch: Any) -> None:
        if not failed:
            failed.append(batch)
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(step.loss_graphs, "replayed", once)
    nothing: Any = None
    ladder = MemoryLadder(load_recipe("demo"), nothing, step, nothing, nothing, nothing)
    assert ladder.loss(samples) == (pytest.approx(expected[0], rel=1e-6), expected[1])
    assert not step.graphs.recorded
    assert not step.loss_graphs.recorded
    (told,) = step.notes
    assert "memory ran out in a validation" in told


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda _: None, "its gradient is"),
        (lambda work: (work(), work()), "its gradient is"),
        (raising(RuntimeError("operation not permitted when stream is capturing")), "capturing"),
        (raising(torch.OutOfMemoryError("CUDA out of memory")), "there is no memory"),
    ],
)
def test_a_recording_that_gives_something_else_or_fails_is_never_used(
    spoil: Callable[[Work], None], said: str
):
    plain, step = (a_step(ONE_CUT, graphs=each) for each in ("never", "always"))
    step.graphs = CutGraphs(
        step._add_gradients, step.adapter, torch.device("cpu"), torch.float32, Broken(spoil)
    )
    samples = random_samples(0)
    for _ in range(5):
        plain.gradients(samples)
        step.gradients(samples)
        assert close(gradients(step), gradients(plain), 1e-6)
    assert not step.graphs.recorded
    (told,) = step.graphs.told
    assert said in told


def test_memory_that_runs_out_in_a_step_ends_the_recordings(monkeypatch: pytest.MonkeyPatch):
    step = a_step(ONE_CUT, graphs="always")
    samples = random_samples(0)
    for _ in range(4):
        step.gradients(samples)
    graphs = step.graphs
    assert graphs is not None
    real, failed = graphs.replayed, []

    def once(batch: Any) -> Any:
        if not failed:
            failed.append(batch)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(batch)

    monkeypatch.setattr(graphs, "replayed", once)
    with pytest.raises(Exception, match="out of memory"):
        step.gradients(samples)
    step.gradients(samples)
    assert not graphs.recorded
    assert "memory ran out" in graphs.told[0]


def test_a_gradient_that_is_no_number_is_not_what_a_recording_is_held_against():
    step = a_step(ONE_CUT, graphs="always")
    samples = random_samples(0)
    good = step.adapter.values.clone()
    step.adapter.values[:] = float("nan")
    for _ in range(4):
        step.gradients(samples)
    assert step.graphs is not None
    assert (step.graphs.recorded, step.graphs.told) == (0, [])
    step.adapter.values[:] = good
    step.gradients(samples)
    assert step.graphs.recorded == 1


def test_layers_that_cannot_be_recorded_are_told_of_once():
    dropped, stretched = (
        step_of(model, attention="dense", graphs="always", **ONE_CUT)
        for model in (adapted("qwen2", dropout=0.1), adapted("llama stretched"))
    )
    for step in (dropped, stretched):
        for _ in range(4):
            step.gradients(random_samples(0))
        assert step.graphs is not None
        (told,) = step.notes
        assert "without CUDA graphs" in told


class Ordered(RepeatingRecorder):
    """Notes the recordings that live, in their order, and what each was recorded with."""

    def __init__(self) -> None:
        self.living: list[tuple[weakref.ref[Recording], tuple[bool, int]]] = []

    def record(self, work: Work) -> Recording:
        found = Repeated(work)
        cells = work.__closure__ or ()
        inputs = next(each.cell_contents for each in cells if hasattr(each.cell_contents, "fill"))
        with_gradients = any(
            getattr(each.cell_contents, "_adapter", None) is not None for each in cells
        )
        need = (with_gradients, inputs.batch.tokens.size)
        self.living = [each for each in self.living if each[0]() is not None]
        self.living.append((weakref.ref(found), need))
        return found


def test_the_largest_of_the_recordings_that_share_a_pool_was_recorded_first():
    """What comes after it fits into what it has left in the pool; the other way round the pool would grow each time."""
    plain, step = (a_step({"micro_batch": 1}, graphs=each) for each in ("never", "always"))
    recorder = Ordered()
    step.graphs = CutGraphs(
        step._add_gradients, step.adapter, torch.device("cpu"), torch.float32, recorder
    )
    step.loss_graphs = step.graphs.of_losses(step._recordable_loss)
    random = np.random.default_rng(0)
    (first, *_) = random_samples(0)
    prompts = [random.integers(2, 400, each).astype(np.int32) for each in (300, 20, 900, 150, 500)]
    samples = [
        Sample(each, first.completion_ids, first.supervised, "grammar", 0) for each in prompts
    ]
    for number in range(20):
        one = [samples[number // 3 % 5]]
        assert step.loss(one)[0] == pytest.approx(plain.loss(one)[0], rel=1e-5)
        for each in (plain, step):
            each.gradients(one)
        assert close(gradients(step), gradients(plain), 1e-5)
        needs = [need for each, need in recorder.living if each() is not None]
        assert needs == [] or needs[0] == max(needs)
    for number in (*range(5), *range(5)):
        step.gradients([samples[number]])
        step.loss([samples[number]])
    assert (step.graphs.recorded, step.loss_graphs.recorded) == (5, 5)


def test_few_forms_are_recorded_however_many_come_by():
    step = a_step({"micro_batch": 1}, graphs="always")
    random = np.random.default_rng(0)
    (first, *_) = random_samples(0)
    for length in reversed(range(1, 2400, 150)):
        prompt = random.integers(2, 400, length).astype(np.int32)
        for _ in range(3):
            step.gradients([Sample(prompt, first.completion_ids, first.supervised, "grammar", 0)])
    assert step.graphs is not None
    assert 6 < step.graphs.recorded <= 12
