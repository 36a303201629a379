"""The process that llama.cpp runs in: `python -m lexitrain.serving.child`, started by `llama_server.py`.

It reads its settings as one line of JSON from standard input, says as one line of JSON where it listens, and ends when
standard input does: also when the process that started it is killed.
"""

from __future__ import annotations

import json
import sys
from typing import Any

_QUIET = -1  # llama.cpp's log: errors alone


def parameters(settings: dict[str, Any]) -> Any:
    """llama.cpp's own form of what `LlamaServer` was given."""
    import xllamacpp as module

    xllamacpp: Any = module  # its names come from compiled code
    found: Any = xllamacpp.CommonParams()
    found.model.path = settings["file"]
    found.model_alias = {settings["alias"]}
    found.n_parallel = settings["slots"]
    found.n_ctx = settings["slots"] * settings["context"]
    found.n_batch = found.n_ubatch = max(512, min(settings["context"], 2048))
    for threads in (found.cpuparams, found.cpuparams_batch):
        threads.n_threads = settings["threads"]
        threads.poll = 0  # waiting threads leave their core to others
    found.hostnames = [settings["host"]]
    found.port = settings["port"]
    found.api_keys = settings["keys"]
    found.cache_prompt = settings["cache_prompt"]
    found.cache_ram_mib = 0  # prompts are kept in their slots; by default 8 GiB more would be
    found.ui = False
    found.verbosity = _QUIET
    found.warmup = False
    if settings["embeddings"]:
        found.embedding = True
        found.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_NONE
        found.embd_normalize = -1
    found.lora_adapters = [
        xllamacpp.CommonAdapterLoraInfo(path, settings["adapter_scale"])
        for path in settings["adapters"]
    ]
    return found


def main() -> None:
    settings: dict[str, Any] = json.loads(sys.stdin.readline())
    import xllamacpp as module

    xllamacpp: Any = module
    server: Any = xllamacpp.Server(parameters(settings))
    print(json.dumps({"address": server.listening_address}), flush=True)  # noqa: T201 - what it is for
    sys.stdin.read()


if __name__ == "__main__":
    main()
