"""What a configuration says of windows, positions and costs is heeded, or the base refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexitrain.batching.layout import lay_out
from lexitrain.errors import ModelError
from lexitrain.models import attach_adapter
from lexitrain.models.architecture import Architecture, architecture_of
from lexitrain.models.families import EVERY_LAYOUT, most_tokens, unknown_cost
from lexitrain.planning.devices.catalogue import find_gpu
from lexitrain.planning.estimate.plan import make_plan
from lexitrain.planning.estimate.planned_data import mixture_data
from lexitrain.planning.estimate.step_costs import step_costs
from lexitrain.planning.rehearsal.cut_shape import CutShape, blank_micro_batch
from lexitrain.planning.rehearsal.rehearse import rehearse_work
from lexitrain.planning.rehearsal.target import Target
from lexitrain.recipe import load_recipe
from lexitrain.samples.sample import Sample
from tests.bases.families import FAMILIES, projections, tiny_base

pytestmark = pytest.mark.filterwarnings("ignore")  # of the families' own code


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


QUICK = {"qwen2", "gemma2", "gpt_neox", "mixtral", "lfm2"}


@pytest.mark.parametrize(
    "family",
    [f if f in QUICK else pytest.param(f, marks=pytest.mark.slow) for f in sorted(FAMILIES)],
)
def test_a_family_is_planned_or_refused_with_the_reason(family: str, tmp_path: Path):
    base = tiny_base(family)
    base.config.save_pretrained(tmp_path)
    layout = "tree" if family in EVERY_LAYOUT else "padded"
    targets = ",".join(projections(base))
    recipe = load_recipe(
        "fast",
        [
            f"model.base={tmp_path}",
            f"lora.targets=[{targets}]",
            f"step.layout={layout}",
            "model.quantization=none",
        ],
    )

    def planned(device: str):
        return make_plan(recipe, find_gpu(device), mixture_data(40), calibrated=False)

    for device in ("cpu", "T4"):
        if unknown_cost(base.config):
            with pytest.raises(ModelError):
                planned(device)
        else:
            plan = planned(device)
            assert plan.flops > 0
            adapted = attach_adapter(tiny_base(family), recipe.lora, seed=0)
            trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
            assert plan.trainable_parameters == trained


def test_positions_that_depend_on_the_batch_end_where_they_begin_to():
    assert most_tokens({"model_type": "llama"}) is None
    plain = {"model_type": "llama", "max_position_embeddings": 4096}
    assert (most_tokens(plain) or (0,))[0] == 4096
    for rope in (
        {"type": "dynamic", "factor": 2.0},
        {"rope_type": "longrope", "original_max_position_embeddings": 4096},
        {"full_attention": {"rope_type": "dynamic"}},
    ):
        config = {**plain, "max_position_embeddings": 4096, "rope_scaling": rope}
        limit = most_tokens(config)
        assert limit is not None
        assert limit[0] == 4096
    long = {**plain, "max_position_embeddings": 131072}
    long["rope_scaling"] = {"rope_type": "longrope", "original_max_position_embeddings": 4096}
    assert (most_tokens(long) or (0,))[0] == 4096
    yarn = {**long, "rope_scaling": {"rope_type": "yarn", "original_max_position_embeddings": 4096}}
    assert (most_tokens(yarn) or (0,))[0] == 131072


WINDOWS = st.integers(min_value=2, max_value=400)


def samples(seed: int) -> list[Sample]:
    random = np.random.default_rng(seed)
    shared = random.integers(3, 90, int(random.integers(1, 300)))
    found: list[Sample] = []
    for index in range(int(random.integers(1, 9))):
        prompt = np.concatenate([shared, random.integers(3, 90, int(random.integers(1, 200)))])
        answer = random.integers(3, 90, int(random.integers(1, 60)))
        every = np.ones(len(answer), bool)
        kind = (np.int32, np.int32)
        found.append(
            Sample(prompt.astype(kind[0]), answer.astype(kind[1]), every, "grammar", index)
        )
    return found


@given(seed=st.integers(0, 10_000), window=WINDOWS, layout=st.sampled_from(["tree", "packed"]))
@settings(max_examples=60, deadline=None)
def test_blocks_under_a_window_hold_all_that_is_seen_and_no_more_columns_than_before(
    seed: int, window: int, layout: str
):
    for batch in lay_out(
        samples(seed),
        layout=layout,  # pyright: ignore[reportArgumentType]
        loss="completion",
        max_length=600,
        pad_id=0,
        blocks=True,
        window=window,
    ):
        depth, reach = batch.positions[0], batch.reach[0]
        assert bool(batch.window_blocks) == (depth.max() >= window)
        if not batch.window_blocks:
            continue
        queries, keys = np.arange(len(depth))[:, None], np.arange(len(depth))[None]
        seen = (keys <= queries) & (queries < reach[None]) & (depth[:, None] - depth[None] < window)
        covered = np.zeros_like(seen)
        for block in batch.window_blocks:
            assert len(np.unique(block.columns)) == len(block.columns)
            covered[block.start : block.end, block.columns] = True
        assert not (seen & ~covered).any()
        assert covered.sum() <= batch.cells


def windowed_nano(window: int) -> Architecture:
    """The shape of the nano base, were every second of its layers windowed."""
    config = architecture_of("nano").config
    types = ["sliding_attention", "full_attention"] * config["num_hidden_layers"]
    return Architecture(
        "windowed",
        {
            **config,
            "use_sliding_window": True,
            "sliding_window": window,
            "layer_types": types[: config["num_hidden_layers"]],
        },
    )


@pytest.mark.slow
@given(seed=st.integers(0, 10_000), window=WINDOWS, capability=st.sampled_from([None, (7, 5)]))
@settings(max_examples=12, deadline=None)
def test_a_window_makes_the_plan_cheaper_not_dearer(
    seed: int, window: int, capability: tuple[int, int] | None
):
    narrow = windowed_nano(window)
    plain = architecture_of("nano")
    recipe = load_recipe("fast", ["model.base=nano", "model.quantization=none"])
    target = Target.of("auto", capability)

    work: list[float] = []
    for architecture, reach in ((narrow, window), (plain, None)):
        batches = lay_out(
            samples(seed),
            layout="tree",
            loss="completion",
            max_length=600,
            pad_id=0,
            blocks=capability is None,
            window=reach,
        )
        costs = step_costs(architecture, recipe, target)
        step = tuple(CutShape.of(batch) for batch in batches)
        work.append(sum(line.flops for cut in step for line in costs.operations(cut)))
    # A second mask is asked for, and the trunk's keys are copied into the blocks that see them.
    assert work[0] <= work[1] * (1 + 1e-4)


def test_the_cost_under_a_window_is_what_a_rehearsal_of_all_layers_counts():
    narrow = windowed_nano(64)
    assert narrow.windowed_layers == 3
    recipe = load_recipe("fast", ["model.base=nano", "model.quantization=none"])
    target = Target.of("auto", None)
    batches = lay_out(
        samples(3),
        layout="tree",
        loss="completion",
        max_length=600,
        pad_id=0,
        blocks=True,
        window=64,
    )
    cuts = [CutShape.of(batch) for batch in batches]
    assert all(cut.window_blocks for cut in cuts)
    costs = step_costs(narrow, recipe, target)
    rehearsed = rehearse_work(narrow, recipe, target, cuts)
    for cut, lines in zip(cuts, rehearsed.operations, strict=True):
        counted = sum(line.flops for line in lines)
        assert sum(line.flops for line in costs.operations(cut)) == pytest.approx(counted, rel=0.01)
    whole = [replace(cut, windowed=False, window_blocks=()) for cut in cuts]
    assert sum(sum(w.flops for w in costs.operations(c)) for c in cuts) < sum(
        sum(w.flops for w in costs.operations(c)) for c in whole
    )
    assert blank_micro_batch(cuts[0], window=64).window == 64
