"""Signals are noted, and the meaning they had before comes back."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from lexitrain.training.signals import Interrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Interrupt() as interrupt:
        assert interrupt.noted is None
        os.kill(os.getpid(), number)
        assert interrupt.noted == number.name
    assert signal.getsignal(number) is before


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
