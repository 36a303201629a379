"""llama.cpp as a process of its own: a GGUF file that answers at a local address.

It never runs in this process: a damaged file may end it, its threads and torch's get in each other's way, and its
memory is measured alone. Costs loading the file, which is mapped and not read.
"""

from __future__ import annotations

from lexitrain.serving.file_facts import MAX_LENGTH, SYSTEM, TASKS, FileFacts, file_facts
from lexitrain.serving.gateway import gateway
from lexitrain.serving.listening import (
    host_and_port,
    host_name,
    is_loopback,
    require_free,
    taken,
)
from lexitrain.serving.llama_server import (
    LlamaServer,
    is_gguf_file,
    require_gguf_file,
    require_llama_cpp,
)
from lexitrain.serving.native_requests import (
    Completion,
    applied_template,
    completion,
    hidden_states,
    tokenized,
)
from lexitrain.serving.offer import Offer

__all__ = [
    "MAX_LENGTH",
    "SYSTEM",
    "TASKS",
    "Completion",
    "FileFacts",
    "LlamaServer",
    "Offer",
    "applied_template",
    "completion",
    "file_facts",
    "gateway",
    "hidden_states",
    "host_and_port",
    "host_name",
    "is_gguf_file",
    "is_loopback",
    "require_free",
    "require_gguf_file",
    "require_llama_cpp",
    "taken",
    "tokenized",
]
