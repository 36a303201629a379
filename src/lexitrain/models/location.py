"""Where a model is: a base inside this package, in a folder, or on the Hub, and the files of an adapter in PEFT form.

Apart from loading it, so that what needs only a model's name or configuration does not load torch.
"""

from __future__ import annotations

from pathlib import Path

from lexitrain.errors import ModelError
from lexitrain.recipe import NANO
from lexitrain.storage import user_path

WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
_NANO_CHARACTERS = (
    "“”‘’«»„「」–—…•àáảãạăằắẳẵặâầấẩẫậèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵđ"
    "ÀÁẢÃẠĂẰẮẲẴẶÂẦẤẨẪẬÈÉẺẼẸÊỀẾỂỄỆÌÍỈĨỊÒÓỎÕỌÔỒỐỔỖỘƠỜỚỞỠỢÙÚỦŨỤƯỪỨỬỮỰỲÝỶỸỴĐ"
)
"""What the fifth stage of its pretraining showed (`nano/typography.py`)."""


def characters_learnt_as_bytes(base: str) -> str:
    """Characters that a base is known to write well although its vocabulary spells them byte by byte."""
    return _NANO_CHARACTERS if base == NANO else ""


def resolve_base(base: str) -> str:
    """What transformers can load for `base`: the packaged folder for `nano`, an existing folder, or a Hub id.

    Raises:
        ModelError: `base` is written as a path and no such folder exists.
    """
    if base == NANO:
        return str(Path(__file__).parent / NANO)
    folder = user_path(base)
    if folder.is_dir():
        return str(folder)
    if base.startswith((".", "/", "~")) or "\\" in base or base.count("/") > 1:
        raise ModelError(
            f"There is no base model at {base}.",
            where="model.base",
            fix="Give a folder that holds config.json, a Hub id such as Qwen/Qwen2.5-0.5B-Instruct, or nano.",
        )
    return base
