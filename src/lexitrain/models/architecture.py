"""The shape of a base model: enough to rehearse a step, without its weights.

Known Hub ids come from `architectures.yaml`, a local folder (and `nano`) from its config.json, any other Hub id from
the Hub's cache or, where there is a network, the Hub. Costs milliseconds unless the Hub is asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import yaml

from lexitrain.batching import DecoderShape
from lexitrain.errors import ModelError, nearest
from lexitrain.models.families import sliding_window
from lexitrain.models.location import resolve_base
from lexitrain.models.without_network import without_network
from lexitrain.recipe import NANO
from lexitrain.storage import hub_answers

_HUB_SECONDS = 10.0


@dataclass(frozen=True)
class Architecture:
    """What decides a model's memory and arithmetic.

    Attributes:
        name: what the recipe calls the base.
        config: content of its config.json, as far as it matters here.
    """

    name: str
    config: Mapping[str, Any]

    @property
    def decoder(self) -> DecoderShape:
        """Widths of the decoder.

        Raises:
            ModelError: the configuration does not state one that a decoder such as Llama's has.
        """
        return DecoderShape.of_config(self.config)

    @property
    def windowed_layers(self) -> int:
        """How many of its layers have a sliding window."""
        if sliding_window(self.config) is None:
            return 0
        # config.json may leave the pattern to the family.
        types = self.config.get("layer_types") or getattr(
            self.transformers_config(), "layer_types", None
        )
        return types.count("sliding_attention") if types else self.decoder.layers

    @property
    def fingerprint(self) -> str:
        """Hash of the shape; two names of one shape have the same."""
        return hashlib.sha256(json.dumps(dict(self.config), sort_keys=True).encode()).hexdigest()

    def transformers_config(self, layers: int | None = None) -> Any:
        """The configuration that transformers builds the model from, `layers` deep instead of its own depth.

        Raises:
            ModelError: transformers does not know this kind of model, or its fields contradict each other.
        """
        from huggingface_hub.errors import StrictDataclassError
        from transformers import AutoConfig

        content = {key: value for key, value in self.config.items() if key != "torch_dtype"}
        if layers is not None:
            content["num_hidden_layers"] = layers
            if "layer_types" in content:
                content["layer_types"] = content["layer_types"][:layers]
        kind = content.pop("model_type", None)
        try:
            return AutoConfig.for_model(kind, **content)
        except ValueError as error:
            raise ModelError(
                f"The kind of model '{kind}' is not known.", where=self.name
            ) from error
        except StrictDataclassError as error:  # fields that contradict each other
            raise ModelError(
                f"This configuration is none: {' '.join(str(error).split())}", where=self.name
            ) from error


def built_in() -> tuple[str, ...]:
    """Hub ids whose shapes are built in; each also with `-Instruct`."""
    return tuple(_built_in_configs())


def architecture_of(base: str, revision: str | None = None) -> Architecture:
    """The shape of a recipe's `model.base`.

    Args:
        base: a Hub id, a folder that holds config.json, or `nano`.
        revision: branch, tag or commit on the Hub, for an id that is not built in.

    Raises:
        ModelError: there is no such folder, its config.json is missing or unreadable, or the id is not built in and
            the Hub cannot be asked.
    """
    source = resolve_base(base)
    if base == NANO or Path(source).is_dir():
        return Architecture(base, _read_config(Path(source) / "config.json"))
    config = _built_in_configs().get(base.removesuffix("-Instruct"))
    return Architecture(base, _from_hub(base, revision) if config is None else config)


@cache
def _built_in_configs() -> dict[str, dict[str, Any]]:
    text = files("lexitrain.models").joinpath("architectures.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ModelError(
            "There is no config.json, which says what shape the model has.", where=path.parent
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"The file cannot be read: {error}.", where=path) from error
    return _checked_config(text, path)


def _checked_config(text: str, where: object) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ModelError(f"This is not valid JSON: {error}.", where=where) from error
    if isinstance(content, dict) and "text_config" in content and "hidden_size" not in content:
        raise ModelError(
            f"This is a model of several kinds of input ({content.get('model_type')}); what the parts beside its text "
            "model cost is not known.",
            where=where,
            fix="Use a base of text alone, or the text model of this one, saved in a folder of its own.",
        )
    needed = {"model_type", "num_hidden_layers", "hidden_size", "vocab_size"}
    missing = needed - set(content) if isinstance(content, dict) else needed
    if missing:
        raise ModelError(
            f"This configuration does not say {', '.join(sorted(missing))}.", where=where
        )
    return content


def _from_hub(base: str, revision: str | None) -> dict[str, Any]:
    """The configuration of a Hub id: from the local cache where it is there, else asked for once.

    The Hub's own client asks six times over 23 seconds when there is no network; a plan should not.
    """
    from huggingface_hub import hf_hub_download

    try:
        cached = hf_hub_download(base, "config.json", revision=revision, local_files_only=True)
    except (OSError, ValueError):
        return _checked_config(_asked_for(base, revision), base)
    return _read_config(Path(cached))


def _asked_for(base: str, revision: str | None) -> str:
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    try:
        if constants.HF_HUB_OFFLINE:
            raise OSError("HF_HUB_OFFLINE is set")
        if not hub_answers():
            raise OSError(f"{constants.ENDPOINT} does not answer")
        request = Request(hf_hub_url(base, "config.json", revision=revision))
        for name, value in build_hf_headers().items():
            request.add_header(name, value)
        with urlopen(request, timeout=_HUB_SECONDS) as answer:
            return answer.read().decode("utf-8")
    except (OSError, ValueError) as error:
        instructed = (f"{name}-Instruct" for name in built_in())
        close = nearest(base, [*built_in(), *instructed])
        raise ModelError(
            f"The shape of {base} is not built in, and the Hub did not give it: {error}.",
            where="model.base",
            fix=(f"Did you mean {close}? " if close else "")
            + f"Built in: {', '.join(built_in())} (each also as -Instruct) and nano. {without_network()}",
        ) from error
