"""What a run was trained with: versions, machine, seed, commit. Written once, and compared when a run goes on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

_PACKAGES = (
    "lexitrain",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "bitsandbytes",
    "safetensors",
    "tokenizers",
    "numpy",
)


def environment(
    device: torch.device,
    dtype: torch.dtype,
    seed: int,
    processes: int = 1,
    base: str | None = None,
) -> dict[str, Any]:
    """The content of environment.json.

    Args:
        device: that the run is trained on.
        dtype: of weights and computation.
        seed: of the recipe.
        processes: those that train together.
        base: identity of the base's weights, where it is known.
    """
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "platform": platform.platform(),
        "device": _device_name(device),
        "compute_dtype": str(dtype).removeprefix("torch."),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": processes,
        "seed": seed,
        "base": base,
        "commit": _commit(),
    }


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two environments, as `torch: 2.11 -> 2.13`. A difference is reported, not refused: a run may
    move to another machine, and is then no longer bit-equal."""
    old: dict[str, Any] = {**before, **before.get("versions", {})}
    new: dict[str, Any] = {**now, **now["versions"]}
    return [
        f"{key}: {old.get(key)} -> {value}"
        for key, value in new.items()
        if key not in ("versions", "base") and old.get(key) != value
    ]


#: Changing any of these cannot change a result.
_WITHOUT_EFFECT = {"cores", "seed", "safetensors", "tokenizers", "accelerate", "python", "commit"}


def no_longer_exact(differences: list[str]) -> list[str]:
    """Of the differences that `changes` found, the names of those that may change results in their last bits.

    Tokens that a new tokenizer library would change are found by the data's own hash, and the order of samples does not
    depend on any of these.
    """
    names = [each.partition(":")[0] for each in differences]
    return [name for name in names if name not in _WITHOUT_EFFECT]


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _device_name(device: torch.device) -> str:
    if device.type != "cuda":
        return device.type
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name}, {properties.total_memory / 1e9:.1f} GB"


def _commit() -> str | None:
    """Commit of this package's own checkout; None when it is installed from elsewhere."""
    here = Path(__file__)
    git = ["git", "-C", str(here.parent)]
    try:
        subprocess.run(
            [*git, "ls-files", "--error-unmatch", here.name], check=True, capture_output=True
        )
        head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.decode().strip()
