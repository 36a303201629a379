"""Without a network the Hub is asked once, and not for long."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from lexitrain.errors import InputError
from lexitrain.models import load_tokenizer
from lexitrain.records import chunks
from lexitrain.storage import hub


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def silent(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Hub that takes every connection and never says a word; `asked` holds the first line of each request."""
    server = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                held.append(server.accept()[0])
                asked.append(held[-1].recv(1000).decode().partition("\r\n")[0])
            except OSError:
                return

    threading.Thread(target=accept, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(
        "huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}"
    )
    monkeypatch.setattr(hub, "_SECONDS", 0.3)
    hub._answers.cache_clear()  # pyright: ignore[reportPrivateUsage]
    yield
    server.close()
    for each in held:
        each.close()


@pytest.mark.usefixtures("silent")
def test_a_hub_that_is_silent_is_asked_once(asked: list[str]) -> None:
    begin = time.monotonic()
    for _ in range(2):
        with pytest.raises(InputError, match="cannot be loaded") as caught:
            load_tokenizer("somebody/some-base")
        assert "HF_HUB_OFFLINE=1" in str(caught.value)
    pytest.importorskip("datasets")
    with pytest.raises(InputError, match="The Hub does not answer") as caught:
        list(chunks("somebody/corpus"))
    assert "HF_HUB_OFFLINE=1" in str(caught.value)
    assert not hub.hub_answers()
    # The Hub's client has a question of its own once a day, which names no model.
    assert [line for line in asked if "/api/agent-harnesses" not in line] == ["HEAD / HTTP/1.1"]
    assert time.monotonic() - begin < 10


def test_offline_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "_ask", lambda _: pytest.fail("asked"))
    hub._answers.cache_clear()  # pyright: ignore[reportPrivateUsage]
    assert not hub.hub_answers()
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set, so only") as caught:
        load_tokenizer("somebody/some-base")
    assert "HF_HUB_OFFLINE=1" not in str(caught.value)  # it is set already


def test_the_limit_is_short() -> None:
    assert hub._SECONDS <= 10  # pyright: ignore[reportPrivateUsage]
