"""Where the time of a run went, from what its files say: each planted figure comes back as minutes and a setting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lexitrain.cli.main import run as command
from lexitrain.diagnosis import MachineFacts, slow_run
from lexitrain.diagnosis.slowness.causes import Evidence, causes_of
from lexitrain.diagnosis.slowness.load import Load
from lexitrain.diagnosis.slowness.profile import Profile
from lexitrain.diagnosis.slowness.recorded import Recorded, Saved, Stretch, recorded
from lexitrain.errors import RunError
from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.runs import Run
from lexitrain.training import train

RecipeOf = Callable[..., Recipe]
QUIET = Load(0.0, 0.0)
STEPS = 600
CPU = {"device": "cpu", "threads": 2, "cores": 2, "dtype": "float32"}


def a_run(*settings: str, **changes: Any) -> Recorded:
    """A run of 600 steps of 0.5 s, 1,000 tokens each, that lost no time."""
    stretch = Stretch(steps=10, seconds=5.0, tokens=10_000, data_wait=0.0, cpu_wait=0.0)
    made = Recorded(
        run=Run("nowhere"),
        recipe=load_recipe("demo", ["checkpoints.every=150", *settings]),
        state="finished",
        total_steps=STEPS,
        stretches=[stretch] * (STEPS // 10),
        saved=[Saved(0.01, 0.05, 0.0)] * 4,
        validations=[],
        mirror_waits=[],
        **CPU,  # pyright: ignore[reportArgumentType]
        planned_step=None,
        kinds={},
        cut_cost=None,
        complete=True,
    )
    return replace(made, **changes)


def causes(made: Recorded, **changes: Any) -> dict[str, Any]:
    evidence = Evidence(made, Profile(step_seconds=0.5), MachineFacts(cores=2, threads=2), QUIET)
    return {each.name: each for each in causes_of(replace(evidence, **changes))}


def stretches(**changes: Any) -> list[Stretch]:
    stretch = Stretch(steps=10, seconds=5.0, tokens=10_000, data_wait=0.0, cpu_wait=0.0)
    return [replace(stretch, **changes)] * (STEPS // 10)


def test_a_run_that_lost_no_time_has_no_cause():
    assert causes(a_run()) == {}


def test_waiting_for_data_is_given_back_and_needs_workers():
    made = a_run("data.workers=1", stretches=stretches(seconds=8.0, data_wait=3.0))
    (found,) = causes(made).values()
    assert (found.name, found.basis) == ("data", "recorded")
    assert found.gain_minutes == pytest.approx(0.3 * STEPS / 60)
    assert "data.workers=3" in found.fix


def test_checkpoints_cost_what_the_loop_stood_still_and_how_much_slower_steps_were():
    made = a_run("checkpoints.every=1", saved=[Saved(0.1, 0.3, 0.0)] * STEPS)
    made = replace(made, stretches=stretches(seconds=6.0))
    (found,) = causes(made).values()
    assert found.name == "checkpoints"
    assert found.gain_minutes == pytest.approx((0.1 + 0.1) * (1 - 1 / 150) * STEPS / 60)
    assert "checkpoints.every=150" in found.fix


def test_validations_of_dense_checkpoints_go_with_them():
    made = a_run("checkpoints.every=1", saved=[Saved(0.1, 0.02, 0.0)] * STEPS)
    found = causes(replace(made, validations=[0.5] * STEPS))
    assert list(found) == ["checkpoints"]
    assert found["checkpoints"].gain_minutes == pytest.approx(0.6 * (1 - 1 / 150) * STEPS / 60)


def test_dense_validations_are_told_by_what_the_fewer_ones_save():
    made = a_run("validation.every=10", validations=[3.0] * 61)
    (found,) = causes(made).values()
    assert found.name == "validation"
    assert found.gain_minutes == pytest.approx(3.0 * (60 - 5) / 60)
    assert "validation.every=120" in found.fix
    assert causes(a_run(validations=[0.5] * 5)) == {}


def test_a_mirror_that_is_waited_for():
    (found,) = causes(a_run(mirror_waits=[12.0, 18.0])).values()
    assert (found.name, found.gain_minutes) == ("mirror", 0.5)
    behind = a_run(state="running", saved=[Saved(0.0, 0.0, 24.0)])
    assert causes(behind)["mirror"].gain_minutes == pytest.approx(0.4)


def test_other_work_is_told_by_what_steps_waited_and_by_how_fast_they_are_now():
    made = a_run(stretches=stretches(seconds=10.0, cpu_wait=4.0))
    (found,) = causes(made).values()
    assert (found.name, found.basis) == ("busy machine", "profiled")
    assert found.gain_minutes == pytest.approx(0.5 * STEPS / 60)
    (found,) = causes(made, profile=Profile(why_not="as asked")).values()
    assert (found.basis, found.gain_minutes) == ("recorded", pytest.approx(0.4 * STEPS / 60))


def test_steps_that_grow_without_waiting_are_a_device_that_slows_down():
    slower = [
        replace(each, seconds=5.0 if number < 20 else 8.0)
        for number, each in enumerate(stretches())
    ]
    found = causes(a_run(stretches=slower))
    assert next(iter(found)) == "throttling"
    assert found["throttling"].gain_minutes == pytest.approx(40 * 3.0 / 60)


def test_other_work_that_came_later_is_told_once():
    busy = [
        replace(each, seconds=5.0 if number < 20 else 25.0, cpu_wait=0.0 if number < 20 else 3.0)
        for number, each in enumerate(stretches())
    ]
    found = causes(a_run(stretches=busy))
    assert list(found) == ["busy machine"]
    assert found["busy machine"].gain_minutes == pytest.approx(400 * 2.0 / 60)


@pytest.mark.parametrize(
    ("name", "settings", "environment"),
    [
        ("layout", ["step.layout=padded"], CPU),
        ("threads", [], {**CPU, "threads": 1}),
        ("precision", ["model.precision=bf16"], {**CPU, "dtype": "bfloat16"}),
    ],
)
def test_a_setting_is_told_by_its_profile(name: str, settings: list[str], environment: Any):
    made = a_run(*settings, **environment)
    (found,) = causes(made, profile=Profile(0.5, {name: 0.4})).values()
    assert (found.name, found.basis) == (name, "profiled")
    assert found.gain_minutes == pytest.approx(0.5 * 0.6 * STEPS / 60)
    (found,) = causes(made, profile=Profile(why_not="as asked")).values()
    assert (found.name, found.gain_minutes, found.basis) == (name, None, "planned")
    assert causes(made, profile=Profile(0.5, {name: 0.99})) == {}


def test_a_gpu_that_is_not_used_and_launches_are_told():
    facts = MachineFacts(driver_gpus=("Tesla T4",), cores=2, threads=2)
    assert list(causes(a_run(), facts=facts)) == ["device"]
    on_gpu = a_run(device="Tesla T4, 15.8 GB", kinds={"matmul": 0.2, "launches": 0.3})
    assert causes(on_gpu)["launches"].gain_minutes == pytest.approx(0.1 * STEPS / 60)


def test_the_largest_gain_comes_first():
    made = a_run("data.workers=1", stretches=stretches(seconds=8.0, data_wait=3.0))
    found = causes(replace(made, mirror_waits=[2000.0]))
    assert list(found) == ["mirror", "data"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """A run that trained for real: 16 steps with a checkpoint at each second one."""
    from tests.small_runs import write_data

    folder = tmp_path_factory.mktemp("trained")
    recipe = load_recipe(
        "demo",
        [
            f"model.base={tiny_base}", "lora.rank=4", "data.workers=0", "step.effective_batch=5",
            "schedule.epochs=2", "checkpoints.every=2", "log_every=2", "step.layout=padded",
        ],
    )  # fmt: skip
    train(recipe, write_data(folder / "data"), folder / "run", mirror=folder / "drive")
    return folder / "run"


def test_a_run_records_what_the_doctor_asks_for(trained: Path):
    found = recorded(Run(trained))
    assert (found.steps, found.total_steps, found.state) == (16, 16, "finished")
    assert found.complete
    assert len(found.saved) == 8
    assert all(each.loop is not None and each.loop > 0 for each in found.saved)
    assert len(found.validations) == 9  # before the first step, and at each checkpoint
    assert found.data_wait > 0  # no workers: each step is laid out while it is waited for
    whole = found.seconds + sum(each.loop or 0 for each in found.saved) + sum(found.validations)
    events = Run(trained).events()
    assert whole > 0
    assert [each.event for each in events].count("checkpoint") == 8


@pytest.mark.slow
def test_a_real_run_is_profiled_and_shown(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    found = slow_run(trained)
    assert not any("no steps were profiled" in each for each in found.notes)
    names = [each.name for each in found.causes]
    assert "layout" in names
    assert found.to_json()["total_steps"] == 16
    assert sum(found.parts.values()) == pytest.approx(60 * found.minutes / 16, rel=1e-6)
    assert command(["doctor", str(trained), "--no-profile"]) == 0
    shown = capsys.readouterr().out
    assert "step.layout=tree" in shown
    assert "Is the GPU used?" in shown


def test_what_is_no_run_is_refused(tmp_path: Path, trained: Path):
    with pytest.raises(RunError, match="no run here"):
        slow_run(tmp_path / "nowhere")
    with pytest.raises(RunError, match="no run of its own") as caught:
        slow_run(trained.parent)
    assert "run" in str(caught.value.fix)
    assert command(["doctor", str(tmp_path / "nowhere")]) == 2
    assert command(["doctor", str(trained), "--recipe", "demo"]) == 2
    assert command(["doctor", "--no-profile"]) == 2


@pytest.mark.slow
def test_a_run_of_an_older_version_is_read():
    from tests.paths import ROOT

    found = slow_run(ROOT / "tests" / "fixtures" / "written_by_0.1.0" / "finished")
    assert found.steps == 24
    assert any("did not time" in each for each in found.notes)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("plan.json", '{"step_seconds_by_kind": [1], "choices": {}}'),
        ("plan.json", '{"choices": {"nothing": 3}}'),
        ("environment.json", '{"threads": "many"}'),
        ("events.jsonl", '{"event": "checkpoint", "step": 2, "time": "", "loop_seconds": [1]}\n'),
    ],
)
def test_files_that_something_else_has_written_are_told(
    trained: Path, tmp_path: Path, file: str, content: str
):
    import shutil

    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / file).write_text(content)
    assert command(["doctor", str(tmp_path / "run"), "--no-profile"]) == 2
