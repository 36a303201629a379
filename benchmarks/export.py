"""What an export loses and costs: nano's files held against its adapter, and the files of a half-billion shape.

    python -m benchmarks.export [--run RUN --data DIR] [--folder DIR] [--only nano,half]

Without --run the recipe `demo` is trained on the demo's records. Every GGUF type is verified on the whole test split
(positions of reference answers, scores with intervals, speed), with and without importance. The half-billion shape has
Qwen2.5-0.5B's sizes, random weights and nano's tokens: it is written, not asked.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.race import demo_data, machine
from lexitrain import export, load_recipe, train

RESULT = Path(__file__).parent / "results" / "export.json"
TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_K_M", "Q2_K", "Q4_0")
IMPORTANCE = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", default="nano,half")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--half", choices=("F16", "Q4_K_M"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.half:
        print(json.dumps(written_half(arguments.folder, arguments.half)))
        return
    about = machine()
    result: dict[str, Any] = (
        json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    )
    result |= {
        "command": "python -m benchmarks.export",
        "date": date.today().isoformat(),
        "device": about["processor"],
        "threads": about["threads"],
        "versions": {
            **{name: about[name] for name in ("torch", "transformers", "peft", "lexitrain")},
            **{name: version(name) for name in ("gguf", "libgguf", "xllamacpp")},
        },
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if "nano" in arguments.only:
            result["nano"] = verified_nano(folder, arguments.run, arguments.data)
        if "half" in arguments.only:
            result["half_billion"] = [in_a_process(folder, name) for name in ("F16", "Q4_K_M")]
    arguments.out.write_text(
        json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def verified_nano(folder: Path, run: Path | None, data: Path | None) -> dict[str, Any]:
    """Each type's verification, and that of the four-bit ones with importance."""
    if run is None or data is None:
        data = demo_data(folder)
        run = folder / "run"
        train(load_recipe("demo"), data, run)
    plain = export(run, ["merged", "gguf"], quantize=TYPES, out=folder / "plain", verify=data)
    weighed = export(
        run,
        ["gguf"],
        quantize=("Q4_K_M", "Q2_K"),
        out=folder / "weighed",
        verify=data,
        importance=IMPORTANCE,
    )
    return {
        "records": "the whole test split of the demo's data",
        "merged": plain.files[0].to_json()["merge"],
        "files": [_told(each.to_json()) for each in plain.files[1:]],
        "with_importance": {
            "samples": IMPORTANCE,
            "files": [_told(each.to_json()) for each in weighed.files],
        },
    }


def _told(file: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a file: no paths, no single tensors, no answers."""
    found = file["verification"]
    return {
        **{name: file[name] for name in ("quantization", "bytes", "seconds", "types", "biases")},
        **{name: found[name] for name in ("passed", "missed", "distances", "text", "margin")},
        **{
            name: found[name]
            for name in ("equal_answers", "valid_answers", "under_the_grammar", "speed")
        },
        "tasks": {
            name: {
                "score": task["primary"],
                "no_worse": task["no_worse_by_margin"],
                **{
                    key: task["differences"][task["primary"]][key]
                    for key in ("value", "low", "high", "n")
                },
            }
            for name, task in found["tasks"].items()
        },
    }


def in_a_process(folder: Path, name: str) -> dict[str, Any]:
    """Written in a process of its own, whose memory is then its own."""
    command = [sys.executable, "-m", "benchmarks.export", "--folder", str(folder), "--half", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def written_half(folder: Path, name: str) -> dict[str, Any]:
    """Seconds, bytes, largest memory and types of one file of the half-billion shape."""
    import resource

    base = half_billion(folder / "half")
    report = export(base, ["gguf"], quantize=[name], out=folder / "half-export")
    file = report.files[0].to_json()
    return {
        **{key: file[key] for key in ("quantization", "bytes", "seconds", "types", "biases")},
        "largest_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
        "tensors": {each["name"]: each["type"] for each in file["tensors"]},
    }


def half_billion(folder: Path) -> Path:
    """A folder with a random model of Qwen2.5-0.5B's shape, made once, in a process of its own."""
    if (folder / "config.json").is_file():
        return folder
    subprocess.run(
        [sys.executable, "-c", _MAKE, str(folder)], check=True, capture_output=True, text=True
    )
    from lexitrain.models import resolve_base

    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(Path(resolve_base("nano")) / file, folder / file)
    return folder


_MAKE = """
import sys, torch
from transformers import Qwen2Config, Qwen2ForCausalLM
torch.manual_seed(0)
Qwen2ForCausalLM(Qwen2Config(
    vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14,
    num_key_value_heads=2, tie_word_embeddings=True, bos_token_id=None, eos_token_id=2, pad_token_id=0,
)).to(torch.bfloat16).save_pretrained(sys.argv[1])
"""


if __name__ == "__main__":
    main()
