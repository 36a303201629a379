"""A base's safetensors files, read a tensor at a time: what is exported is never in memory whole.

The names in the files are held against the model that the configuration describes. A weight that is missing would be
random where transformers loads it and absent where others do; one that nothing reads would be lost without a word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from lexitrain.errors import ModelError
from lexitrain.models import require_plain_base, resolve_base
from lexitrain.storage import hub_answers

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_INDEX = "model.safetensors.index.json"
_WHOLE = "model.safetensors"
_NOT_WEIGHTS = (".rotary_emb.inv_freq", ".attn.masked_bias", ".attn.bias")
"""Ends of names that older files hold and that are computed from the configuration."""


def base_folder(base: str, revision: str | None = None) -> Path:
    """The folder of a base's files: its own, or the local copy of the Hub's.

    Raises:
        ModelError: there is none.
    """
    source = Path(resolve_base(base))
    if source.is_dir():
        return source
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                base,
                revision=revision,
                allow_patterns=["*.json", "*.safetensors", "*.jinja"],
                local_files_only=not hub_answers(),
            )
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"The files of the base {base} cannot be had: {reason}", where="model.base"
        ) from error


class BaseFiles:
    """The weights of a base, by the names that its model gives them. A context manager: files stay open in it.

    Attributes:
        folder: that holds the files.
        config: of the model.
        names: of all weights, in the model's order; a head that is the embedding is not among them.
        shapes: name -> shape.

    Raises:
        ModelError: files are missing, damaged, quantized, or not those of the model in config.json.
    """

    def __init__(self, folder: Path) -> None:
        from huggingface_hub.errors import StrictDataclassError
        from transformers import AutoConfig

        self.folder = folder
        try:
            self.config: PretrainedConfig = AutoConfig.from_pretrained(
                folder, trust_remote_code=False
            )
        except (OSError, ValueError, StrictDataclassError) as error:
            reason = " ".join(str(error).split())
            raise ModelError(
                f"The base's config.json cannot be read: {reason}",
                where=folder,
                fix="Get the base's files anew: config.json must be of the model in the safetensors files.",
            ) from error
        require_plain_base(self.config, str(folder))
        self._open = ExitStack()
        try:
            self._files = self._opened()
            self.shapes = self._checked()
        except BaseException:
            self._open.close()
            raise
        self.names = tuple(self.shapes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    @property
    def dtype(self) -> torch.dtype:
        """In which most of the base is stored, by its first matrix."""
        matrix = next(
            (name for name, shape in self.shapes.items() if len(shape) > 1), self.names[0]
        )
        return self.stored(matrix).dtype

    def stored(self, name: str, rows: slice = slice(None)) -> Tensor:
        """A weight, or some of its rows, as it is stored.

        Raises:
            ModelError: it cannot be read.
        """
        try:
            return self._files[name].get_slice(name)[rows]
        except Exception as error:  # SafetensorError is no child of anything more special
            raise ModelError(
                f"The weight {name} cannot be read: {error}.", where=self.folder
            ) from error

    def _opened(self) -> dict[str, Any]:
        """Name of each weight -> the open file that holds it."""
        from safetensors import safe_open

        index = self.folder / _INDEX
        if (self.folder / _WHOLE).is_file():  # transformers takes it first too
            files = [_WHOLE]
        elif index.is_file():
            files = sorted(set(_weight_map(index).values()))
        else:
            raise ModelError(
                "The base has no model.safetensors.",
                where=self.folder,
                fix="Save it in that format: model.save_pretrained(folder).",
            )
        found: dict[str, Any] = {}
        for file in files:
            try:
                opened: Any = self._open.enter_context(
                    safe_open(str(self.folder / file), framework="pt", device="cpu")
                )
            except Exception as error:  # as above
                raise ModelError(
                    f"This file of the base is cut off or damaged: {error}.",
                    where=self.folder / file,
                    fix="Get the base's files anew.",
                ) from error
            for name in opened.keys():  # noqa: SIM118 - no mapping
                found[name] = opened
        return found

    def _checked(self) -> dict[str, tuple[int, ...]]:
        expected, tied = _weights_of(self.config)
        found = {n for n in self._files if not n.endswith(_NOT_WEIGHTS)}
        self._require_same_head(tied, found)
        missing = [name for name in expected if name not in found]
        unknown = sorted(found - expected.keys() - tied.keys())
        if missing or unknown:
            named = ", ".join((missing or unknown)[:3])
            more = f" and {len(missing or unknown) - 3} more" if len(missing or unknown) > 3 else ""
            raise ModelError(
                f"The files of the base {'lack' if missing else 'hold'} weights that its configuration "
                f"{'asks for' if missing else 'does not know'}: {named}{more}.",
                where=self.folder,
                fix="config.json and the safetensors files must be of one model, as transformers saves it.",
            )
        for name, shape in expected.items():
            stored = tuple(self._files[name].get_slice(name).get_shape())
            if stored != shape:
                raise ModelError(
                    f"The weight {name} has the shape {list(stored)}; the configuration asks for {list(shape)}.",
                    where=self.folder,
                    fix="config.json and the safetensors files must be of one model.",
                )
        return dict(expected)

    def _require_same_head(self, tied: Mapping[str, str], found: set[str]) -> None:
        for name, original in tied.items():
            if name in found and not torch.equal(self.stored(name), self.stored(original)):
                raise ModelError(
                    f"The base's configuration ties {name} to {original}, and its files hold another one.",
                    where=self.folder,
                    fix="Set tie_word_embeddings to false in config.json if the head was trained apart.",
                )


def _weight_map(index: Path) -> dict[str, str]:
    try:
        return dict(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"This index cannot be read ({error}).", where=index) from error


def _weights_of(config: PretrainedConfig) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Shapes of the weights that a model of this configuration has, by name; and those that are another one's, with
    its name. Nothing is allocated."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
    shapes = {name: tuple(each.shape) for name, each in model.state_dict().items()}
    head = model.get_output_embeddings()
    tied: dict[str, str] = {}
    if config.tie_word_embeddings and head is not None:
        by_id = {id(module): name for name, module in model.named_modules()}
        name = f"{by_id[id(head)]}.weight"
        tied[name] = f"{by_id[id(model.get_input_embeddings())]}.weight"
        shapes.pop(name, None)
    return shapes, tied
