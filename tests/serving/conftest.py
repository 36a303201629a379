from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lexitrain.serving import LlamaServer
from tests.exported import write_nano
from tests.serving.served import Served, nano_offer

pytest.importorskip("xllamacpp")


@pytest.fixture(scope="session")
def nano_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nano base as a GGUF file in fp32."""
    return write_nano(tmp_path_factory.mktemp("gguf") / "nano-F32.gguf")


@pytest.fixture(scope="module")
def served(nano_file: Path) -> Iterator[Served]:
    """The nano base behind the gateway, with a key."""
    server = LlamaServer(nano_file, slots=4, context=1024, threads=1)
    with server, Served(server, nano_offer(nano_file, key="the-key")) as found:
        yield found
