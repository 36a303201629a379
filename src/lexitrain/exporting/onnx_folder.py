"""The merged model as a folder for onnxruntime-genai, in four bits, for CPUs.

The conversion is that of onnxruntime-genai's own builder. What it guesses of the tokens is written anew: a wrong stop
token makes a model that never ends an answer.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lexitrain.errors import MissingExtra, ModelError
from lexitrain.storage import folder_at_once

if TYPE_CHECKING:
    from lexitrain.samples import Renderer

_CONFIG = "genai_config.json"


def write_onnx(folder: Path, merged: Path, renderer: Renderer) -> None:
    """Convert a merged folder.

    Args:
        folder: receives the files.
        merged: that `write_merged` wrote.
        renderer: of the model's prompts: it knows the tokens that end an answer.

    Raises:
        MissingExtra: onnxruntime-genai is not installed.
        ModelError: it cannot convert this model.
        Stopped: the disk is full; nothing is left.
    """
    if find_spec("onnxruntime_genai") is None:
        raise MissingExtra("onnxruntime_genai", "onnx")
    with folder_at_once(folder, _CONFIG) as partial, TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
        places = ["-i", str(merged), "-o", str(partial), "-c", cache]
        done = subprocess.run(
            [*command, *places, "-p", "int4", "-e", "cpu"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not (partial / _CONFIG).is_file():
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise ModelError(
                f"onnxruntime-genai cannot convert this model: {''.join(last)[:300]}",
                where=merged,
                fix="Use --to gguf.",
            )
        _set_tokens(partial / _CONFIG, renderer)


def _set_tokens(path: Path, renderer: Renderer) -> None:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    tokenizer = renderer.tokenizer
    content["model"]["eos_token_id"] = sorted(renderer.stop_ids)
    content["model"]["pad_token_id"] = tokenizer.pad_token_id
    if tokenizer.bos_token_id is not None:
        content["model"]["bos_token_id"] = tokenizer.bos_token_id
    search = content.setdefault("search", {})
    search.update({"do_sample": False, "top_k": 1, "temperature": 1.0, "repetition_penalty": 1.0})
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
