"""`tune` end to end on a tiny base: what it finds, writes, refuses, and how it goes on."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import pytest

from lexitrain import TuningResult, load_recipe, tune
from lexitrain.errors import DataError, InputError, RunChanged, RunError, Stopped
from lexitrain.recipe import training_differences
from lexitrain.runs import Run
from tests.disks import mounted
from tests.small_runs import write_data


class Watch:
    """Keeps what it is told, and may interrupt."""

    def __init__(self, stop_at: tuple[str, int] | None = None) -> None:
        self.said: list[str] = []
        self.planned: TuningResult | None = None
        self._stop_at = stop_at

    def priced(self, planned: TuningResult) -> None:
        self.planned = planned

    def say(self, text: str) -> None:
        self.said.append(text)

    def step(self, trial: str, step: int, total_steps: int) -> None:  # noqa: ARG002
        if self._stop_at is not None and self._stop_at[0] == trial and step >= self._stop_at[1]:
            self._stop_at = None
            signal.raise_signal(signal.SIGINT)


def journals(out: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(out.glob("trials/*/events.jsonl"))}


@pytest.mark.slow
def test_a_race_finds_writes_and_is_not_run_again(
    recipe_file: Path, data_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "race"
    found = tune(recipe_file, data_dir, out, trials=8)
    assert (found.state, found.kind, len(found.outcomes)) == ("complete", "race", 8)
    best, whole = found.best, [each for each in found.outcomes if each.unit.share == 1]
    assert best is not None
    assert best.loss == min(each.loss for each in whole if each.loss is not None)
    assert best.baseline == next(each.loss for each in whole if not each.unit.changes)
    # What it says is what its run says, and best.yaml is that run's recipe.
    run = Run(best.run)
    assert run.events()[-1].details["best_loss"] == best.loss
    assert found.best_recipe is not None
    assert training_differences(run.read_recipe(), load_recipe(found.best_recipe)) == []
    text = found.best_recipe.read_text()
    assert text.startswith(f"extends: {recipe_file}\n")
    for word in (f"{best.loss:.4f}", f"{best.baseline:.4f}", "8 trials", "race"):
        assert word in " ".join(text.split())
    document = json.loads((out / "result.json").read_text())
    assert document == json.loads(json.dumps(found.to_json()))
    before = journals(out)
    again = tune(recipe_file, data_dir, out, trials=8)
    assert again.outcomes == found.outcomes
    fewer = tune(recipe_file, data_dir, out, trials=4)
    assert fewer.outcomes == found.outcomes
    assert journals(out) == before


@pytest.mark.slow
def test_a_larger_budget_goes_on_from_what_is_done(
    recipe_file: Path, data_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "race"
    first = tune(recipe_file, data_dir, out, trials=4)
    before = journals(out)
    more = tune(recipe_file, data_dir, out, trials=8)
    assert all(each in more.outcomes for each in first.outcomes)
    whole = [each.run for each in first.outcomes if each.unit.share == 1]
    after = journals(out)
    assert all(after[name] == before[name] for name in before if Path(name).parent.name in whole)


@pytest.mark.slow
def test_ctrl_c_saves_the_trial_and_the_same_call_goes_on_from_there(
    recipe_file: Path, data_dir: Path, tmp_path: Path
) -> None:
    undisturbed = tune(recipe_file, data_dir, tmp_path / "one", sweep=["lora.rank=2,4"])
    out = tmp_path / "two"
    with pytest.raises(Stopped) as caught:
        tune(recipe_file, data_dir, out, sweep=["lora.rank=2,4"], observer=Watch(("001", 12)))
    assert caught.value.exit_code == 4
    found = tune(recipe_file, data_dir, out, sweep=["lora.rank=2,4"])
    assert [each.losses for each in found.points] == [each.losses for each in undisturbed.points]
    events = [each.event for each in Run(out / "trials" / "001").events()]
    assert events.count("started") == 1
    assert events.count("resumed") == 1
    assert len(journals(out)) == 2


def test_a_sweep_gives_a_curve_with_intervals(
    recipe_file: Path, data_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sweep"
    found = tune(recipe_file, data_dir, out, sweep=["lora.rank=1,4"], seeds=3)
    assert [each.title for each in found.points] == ["lora.rank=1", "lora.rank=4"]
    assert found.scale == 2
    for point in found.points:
        assert point.loss is not None
        assert point.loss.low is not None
        assert point.loss.high is not None
        assert point.loss.low < point.loss.mean < point.loss.high
        assert len(point.losses) == 3
    one, four = (each.parameters or 0 for each in found.points)
    assert four == 4 * one
    assert found.diminishing in {"lora.rank=1", "lora.rank=4"}
    recipes = [Run(path).read_recipe() for path in sorted(out.glob("trials/*"))]
    assert {(each.lora.rank, each.lora.alpha) for each in recipes} == {(1, 2), (4, 8)}
    assert {each.seed for each in recipes} == {42, 43, 44}


def test_another_recipe_data_or_space_is_refused_and_named(
    recipe_file: Path, data_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    tune(recipe_file, data_dir, out, sweep=["lora.rank=2"])
    with pytest.raises(RunChanged, match=r"optimizer\.clip: 1\.0 -> 2\.0"):
        tune(recipe_file, data_dir, out, sweep=["lora.rank=2"], overrides=["optimizer.clip=2"])
    with pytest.raises(RunChanged, match=r"'lora.rank': \[2\]\} -> \{'lora.rank': \[2, 4\]\}"):
        tune(recipe_file, data_dir, out, sweep=["lora.rank=2,4"])
    with pytest.raises(RunChanged, match="kind: sweep -> race"):
        tune(recipe_file, data_dir, out)
    other = write_data(tmp_path / "other", train=44)
    with pytest.raises(RunChanged, match=r"train\.jsonl is another file"):
        tune(recipe_file, other, out, sweep=["lora.rank=2"])
    with pytest.raises(RunChanged, match="the study 'study', not of 'mine'"):
        tune(recipe_file, data_dir, out, sweep=["lora.rank=2"], study="mine")
    with pytest.raises(RunChanged, match="in another folder"):
        tune(
            recipe_file,
            data_dir,
            tmp_path / "elsewhere",
            sweep=["lora.rank=2"],
            study="study",
            storage=f"sqlite:///{out}/study.db",
        )
    tune(recipe_file, data_dir, out, sweep=["lora.rank=2"], overrides=["log_every=3"])


@pytest.mark.slow
def test_wrong_folders_data_and_numbers_are_refused_before_anything(
    recipe_file: Path, data_dir: Path, tmp_path: Path
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="something else than a study"):
        tune(recipe_file, data_dir, full)
    with pytest.raises(InputError, match="a file, not a folder"):
        tune(recipe_file, data_dir, full / "mine.txt")
    out = tmp_path / "out"
    with pytest.raises(InputError, match="Several seeds belong to a sweep"):
        tune(recipe_file, data_dir, out, seeds=2)
    with pytest.raises(InputError, match="needs what an hour costs"):
        tune(recipe_file, data_dir, out, money=3.0)
    with pytest.raises(InputError, match="too small for a race: the smallest one takes 4 trials"):
        tune(recipe_file, data_dir, out, trials=3)
    with pytest.raises(InputError, match="too small for a race"):
        tune(recipe_file, data_dir, out, hours=1e-9)
    (data_dir / "validation.jsonl").write_text("")
    with pytest.raises(DataError, match="no validation records"):
        tune(recipe_file, data_dir, out)
    assert not out.exists()


def test_a_dry_run_prices_and_writes_nothing(
    recipe_file: Path, data_dir: Path, tmp_path: Path
) -> None:
    watch = Watch()
    found = tune(recipe_file, data_dir, tmp_path / "out", price=2.0, dry_run=True, observer=watch)
    assert found == watch.planned
    price = found.price
    assert price is not None
    assert price.hours.low <= price.hours.expected <= price.hours.high
    assert price.dollars is not None
    assert price.dollars.expected == pytest.approx(2 * price.hours.expected)
    assert sum(each.trials for each in price.stages) > 18
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_trial_that_cannot_be_trained_fails_and_the_others_go_on(
    recipe_file: Path, data_dir: Path, tmp_path: Path
) -> None:
    found = tune(
        recipe_file,
        data_dir,
        tmp_path / "out",
        overrides=["optimizer.clip=1e30"],
        sweep=["lora.alpha=8,1e38"],
    )
    good, bad = found.points
    assert good.loss is not None
    assert bad.loss is None
    assert "nan" in bad.failed[0] or "not a number" in bad.failed[0] or "inf" in bad.failed[0]
    assert found.best is not None
    assert found.best.changes == {"lora.alpha": 8.0}
    assert found.state == "complete"


@pytest.mark.slow
def test_a_spent_budget_ends_the_study_and_a_larger_one_goes_on(
    recipe_file: Path, data_dir: Path, tmp_path: Path
) -> None:
    out, sweep = tmp_path / "out", ["lora.rank=1,2,4"]
    found = tune(recipe_file, data_dir, out, sweep=sweep, trials=2)
    assert (found.state, len(found.outcomes)) == ("budget", 2)
    spent = tune(recipe_file, data_dir, out, sweep=sweep, hours=found.hours / 2)
    assert (spent.state, len(spent.outcomes)) == ("budget", 2)
    money = tune(recipe_file, data_dir, out, sweep=sweep, money=100 * found.hours, price=1.0)
    assert (money.state, len(money.outcomes)) == ("complete", 3)


@pytest.mark.slow
def test_one_adapter_a_task_is_raced_too(recipe_file: Path, data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    overrides = ["data.adapters=per_task", "step.effective_batch=1"]
    found = tune(recipe_file, data_dir, out, overrides=overrides, trials=5)
    assert len(found.outcomes) in {4, 5}  # four where the recipe itself goes on
    assert found.best is not None
    parts = [Run(path).events()[-1] for path in sorted(found.best.run.glob("*/"))]
    assert [each.event for each in parts] == ["finished", "finished"]
    losses = [each.details["best_loss"] for each in parts]
    assert found.best.loss == pytest.approx(sum(losses) / 2)


@pytest.mark.slow
def test_more_workers_than_trials_share_what_there_is(
    recipe_file: Path, data_dir: Path, tmp_path: Path
) -> None:
    """Two workers are two processes; what they find is what one finds."""
    watch = Watch()
    out, sweep = tmp_path / "two", ["lora.rank=1,2"]
    found = tune(recipe_file, data_dir, out, sweep=sweep, workers=9, observer=watch)
    alone = tune(recipe_file, data_dir, tmp_path / "one", sweep=sweep)
    assert [each.losses for each in found.points] == [each.losses for each in alone.points]
    assert {each.partition(":")[0] for each in watch.said} == {"worker 1", "worker 2"}
    assert threading.active_count() < 10


@pytest.mark.slow
def test_a_value_that_the_base_refuses_fails_and_data_that_are_gone_stop_the_study(
    recipe_file: Path, data_dir: Path, tmp_path: Path
) -> None:
    out, sweep = tmp_path / "out", ["step.attention=blocks,flex"]
    found = tune(recipe_file, data_dir, out, sweep=sweep)
    assert found.points[0].loss is not None
    assert "flex" in found.points[1].failed[0].lower()
    assert found.best is not None
    assert "flex" not in str(found.best.changes)
    recipe_file.write_text(recipe_file.read_text().replace("epochs: 4", "epochs: 3"))
    base = Path(load_recipe(recipe_file).model.base)
    aside = base.rename(base.with_name("aside"))
    try:
        with pytest.raises(InputError):
            tune(recipe_file, data_dir, tmp_path / "other", sweep=["lora.rank=1,2"])
    finally:
        aside.rename(base)
    # No trial was held against what was missing.
    again = tune(recipe_file, data_dir, tmp_path / "other", sweep=["lora.rank=1,2"])
    assert all(each.loss is not None for each in again.points)


@pytest.mark.slow
def test_losses_over_other_tokens_have_no_best(
    recipe_file: Path, data_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    overrides = ["step.layout=packed", "schedule.epochs=1"]
    found = tune(
        recipe_file, data_dir, out, overrides=overrides, sweep=["step.loss=completion,all_tokens"]
    )
    assert "which tokens" in found.incomparable
    assert (found.best, found.best_recipe, found.diminishing) == (None, None, None)
    lengths = tune(
        recipe_file,
        data_dir,
        tmp_path / "two",
        overrides=overrides,
        sweep=["data.max_length=160,256"],
    )
    assert "in tokens" in lengths.incomparable
    assert all(each.loss is not None for each in lengths.points)
    alike = tune(
        recipe_file,
        data_dir,
        tmp_path / "three",
        overrides=overrides,
        sweep=["step.layout=tree,packed"],
    )
    assert alike.incomparable == ""
    assert alike.best is not None


@pytest.mark.slow
@pytest.mark.parametrize("ballast_bytes", [2_850_000, 3_000_000], ids=["trial", "database"])
def test_a_full_disk_stops_the_study_and_room_lets_it_go_on(
    ballast_bytes: int, recipe_file: Path, data_dir: Path, tmp_path: Path
) -> None:
    with mounted(tmp_path / "disk", "size=3m") as disk:
        out, sweep = disk / "study", ["lora.rank=1,2"]
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(ballast_bytes))
        with pytest.raises(Stopped) as caught:
            tune(recipe_file, data_dir, out, sweep=sweep)
        assert "full" in str(caught.value)
        ballast.unlink()
        found = tune(recipe_file, data_dir, out, sweep=sweep, heartbeat=1)
        assert all(each.loss is not None for each in found.points)
