"""What checkpoints take is what the checkpoint code writes."""

from __future__ import annotations

import json

import pytest

from lexitrain.batching.sample_order import Cursor
from lexitrain.models import CONFIG_FILE, WEIGHTS_FILE, attach_adapter
from lexitrain.models.architecture import architecture_of
from lexitrain.planning.estimate.disk import disk_use
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.step import build_optimizer
from lexitrain.training.recovery.checkpoint_content import AdapterFiles, checkpoint_files
from lexitrain.training.recovery.state import TrainingState
from tests.paths import ROOT
from tests.tiny import tiny_model

MEASURED = json.loads((ROOT / "benchmarks" / "results" / "checkpoint_size.json").read_text())


@pytest.mark.parametrize("row", MEASURED["results"], ids=lambda row: row["recipe"])
def test_the_sizes_that_were_measured(row: dict[str, object]):
    recipe = load_recipe(str(row["recipe"]))
    disk = disk_use(architecture_of(recipe.model.base).config, recipe, 100_000)
    assert disk.each / 1e6 == pytest.approx(row["each_mb"], rel=0.01)
    assert disk.kept / 1e6 == pytest.approx(row["kept_mb"], rel=0.01)


@pytest.mark.parametrize("optimizer", ["adamw", "adamw_8bit", "paged_adamw_32bit"])
@pytest.mark.parametrize(
    "levers",
    [
        ("lora.rank=64",),
        ("lora.rank=64", "lora.layers=[1]", "optimizer.lora_plus=4"),
        ("lora.rank=16", "lora.init=pissa", "model.quantization=none"),
    ],
    ids=" ".join,
)
def test_a_checkpoint_that_is_written(levers: tuple[str, ...], optimizer: str):
    recipe = load_recipe("fast", [f"optimizer.name={optimizer}", *levers])
    base = tiny_model()
    model = attach_adapter(base, recipe.lora, 1)
    files = checkpoint_files(
        AdapterFiles(model, "tiny"),
        model,
        build_optimizer(model.named_parameters(), recipe.optimizer),
        TrainingState(),
        Cursor(0, 0, 0),
    )
    written = sum(map(len, files.values()))
    adapter = len(files[WEIGHTS_FILE]) + len(files[CONFIG_FILE])
    assert disk_use(base.config.to_dict(), recipe, 10).adapter == pytest.approx(adapter, rel=0.05)
    assert disk_use(base.config.to_dict(), recipe, 10).each == pytest.approx(written, rel=0.05)


def test_what_is_kept_grows_with_keep_and_is_mirrored():
    config = architecture_of("nano").config
    two = disk_use(config, load_recipe("demo", ["checkpoints.keep=2"]), 1000)
    three = disk_use(config, load_recipe("demo", ["checkpoints.keep=3"]), 1000)
    assert three.kept - two.kept == two.each
    assert two.most == two.kept + two.each
    assert two.mirror == 0
    mirrored = disk_use(config, load_recipe("demo", ["checkpoints.mirror=/x"]), 1000)
    assert mirrored.mirror == mirrored.kept
    assert mirrored.seconds > two.seconds
    short = disk_use(config, load_recipe("demo", ["checkpoints.keep=3"]), 10)
    assert short.kept == short.each + short.adapter
