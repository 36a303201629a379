"""Signals are noted, and the meaning they had before comes back."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lexitrain.errors import Stopped
from lexitrain.recipe.schema import Recipe
from lexitrain.runs.folder import Run
from lexitrain.training import Progress, Silent, train
from lexitrain.training.stopping import Interrupt
from tests.training.test_train import assert_equal_runs


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_noted(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Interrupt() as interrupt:
        assert interrupt.noted is None
        os.kill(os.getpid(), number)
        assert interrupt.noted == number.name
    assert signal.getsignal(number) is before


def test_what_was_started_with_nohup_goes_on_when_its_terminal_is_closed() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupt.noted is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_sigint_acts_at_once() -> None:
    with Interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.noted == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    handlers: list[object] = []

    def work() -> None:
        with Interrupt():
            handlers.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [before]


class Impatient(Silent):
    """Presses Ctrl+C twice at a step."""

    def progress(self, progress: Progress) -> None:
        if progress.step == 7:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)


def test_a_second_sigint_ends_a_run_at_once_and_loses_nothing_saved(
    recipe_of: Callable[..., Recipe], data_dir: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Stopped, match=r"at once.*step 5 is intact") as caught:
        train(recipe_of(), data_dir, run, observer=Impatient())
    assert caught.value.exit_code == 4
    assert signal.getsignal(signal.SIGINT) is before
    assert Run(run).checkpoint_steps() == [5]
    assert Run(run).events()[-1].event == "stopped"
    assert not (run / ".in-step").exists()
    train(recipe_of(), data_dir, run)
    train(recipe_of(), data_dir, tmp_path / "straight")
    assert_equal_runs(tmp_path / "straight", run)
