"""Writing a GGUF file, a tensor at a time.

Matrices go in the mixture's types; vectors (norms and biases) in fp32, as llama.cpp's own converter does. The file
appears when it is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch

from lexitrain.errors import MissingExtra, ModelError
from lexitrain.exporting.gguf.families import family_of
from lexitrain.exporting.gguf.metadata import About, add_settings, add_vocabulary
from lexitrain.exporting.gguf.mixtures import Mixture, tensor_type
from lexitrain.exporting.gguf.pre_tokenizers import pre_tokenizer_of
from lexitrain.exporting.gguf.tensors import ROPE_FACTORS, GgufTensor, gguf_tensors, rope_factors
from lexitrain.storage import file_at_once

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType, GGUFWriter

    from lexitrain.exporting.merging.merged_weights import MergedWeights

_CHUNK = 1 << 22
"""Numbers that a thread quantizes at once: 16 MB in fp32."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class WrittenTensor:
    """Attributes:
    name: in the file.
    type: of its numbers.
    shape: rows and numbers of a row, as in the model.
    bytes: in the file.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    bytes: int


def require_gguf() -> None:
    """Nothing, where the packages are installed.

    Raises:
        MissingExtra: one of them is not.
    """
    for package in ("gguf", "libgguf"):
        try:
            __import__(package)
        except ImportError:
            raise MissingExtra(package, "export") from None


def write_gguf(
    path: Path,
    weights: MergedWeights,
    tokenizer: Any,
    end_of_turn: int,
    chosen: Mixture,
    about: About,
    *,
    importance: Mapping[str, np.ndarray] | None = None,
    progress: Progress | None = None,
) -> list[WrittenTensor]:
    """Write a model as GGUF; returns what was written, in the file's order.

    Args:
        path: of the file; it is replaced at once.
        weights: of the model.
        tokenizer: with its chat template.
        end_of_turn: id of the token that ends an answer.
        chosen: types of the matrices.
        about: what the file says of the model.
        importance: weight's name in the model -> mean square of each of its inputs, fp32.
        progress: called with the file's name, tensors written and tensors in all.

    Raises:
        ModelError: llama.cpp would compute another model, or a weight is too large for the type.
        Stopped: the disk is full; nothing is left.
        InputError: the file cannot be written.
    """
    import gguf

    config: Any = weights.config
    family = family_of(config)
    rule = pre_tokenizer_of(tokenizer)
    tensors = gguf_tensors(config, family, weights.names)
    types = types_of(weights, tensors, chosen, measured=bool(importance))
    factors = rope_factors(config)
    writer = gguf.GGUFWriter(path=None, arch=family.name)
    with file_at_once(path) as file:
        add_settings(writer, config, family, about)
        writer.add_file_type(gguf.LlamaFileType[chosen.file_type])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        add_vocabulary(writer, tokenizer, rule, weights.shapes[tensors[0].source][0], end_of_turn)
        if factors is not None:
            _announce(writer, ROPE_FACTORS, tuple(factors.shape), gguf.GGMLQuantizationType.F32)
        for each in tensors:
            _announce(writer, each.name, weights.shapes[each.source], types[each.name])
        write_head(writer, file)
        written: list[WrittenTensor] = []
        if factors is not None:
            written.append(
                _write(file, ROPE_FACTORS, iter([factors]), gguf.GGMLQuantizationType.F32)
            )
        for number, each in enumerate(tensors, 1):
            parts = (
                iter([each.rows(weights.tensor(each.source))])
                if each.heads
                else weights.in_rows(each.source)
            )
            mattering = (importance or {}).get(each.source)
            kind = types[each.name]
            written.append(_write(file, each.name, parts, kind, mattering))
            if progress:
                progress(path.name, number, len(tensors))
    return written


def types_of(
    weights: MergedWeights,
    tensors: Sequence[GgufTensor],
    chosen: Mixture,
    *,
    measured: bool = False,
) -> dict[str, GGMLQuantizationType]:
    """Name in GGUF -> type that a mixture gives the tensor.

    Args:
        measured: whether it was measured which inputs matter.
    """
    import gguf

    config: Any = weights.config
    tied = not any(each.name == "output.weight" for each in tensors)
    types: dict[str, GGMLQuantizationType] = {}
    for each in tensors:
        shape = weights.shapes[each.source]
        types[each.name] = (
            gguf.GGMLQuantizationType.F32
            if len(shape) < 2
            else tensor_type(
                chosen,
                each.name,
                shape[-1],
                layers=config.num_hidden_layers,
                queries_per_key=config.num_attention_heads // config.num_key_value_heads,
                tied=tied,
                measured=measured,
            )
        )
    return types


def predicted_bytes(weights: MergedWeights, chosen: Mixture) -> int:
    """Bytes of the tensors of a file; its head with the vocabulary comes on top."""
    tensors = gguf_tensors(weights.config, family_of(weights.config), weights.names)
    types = types_of(weights, tensors, chosen)
    return sum(_bytes(weights.shapes[each.source], types[each.name]) for each in tensors)


def _bytes(shape: tuple[int, ...], kind: GGMLQuantizationType) -> int:
    import gguf

    block, size = gguf.GGML_QUANT_SIZES[kind]
    return int(np.prod(shape)) // block * size


def _announce(
    writer: GGUFWriter, name: str, shape: tuple[int, ...], kind: GGMLQuantizationType
) -> None:
    import gguf

    stored = gguf.quant_shape_to_byte_shape(shape, kind) if _is_packed(kind) else shape
    writer.add_tensor_info(
        name,
        stored,
        np.dtype(np.uint8 if _is_packed(kind) else _NUMPY[kind.name]),
        _bytes(shape, kind),
        kind,
    )


def write_head(writer: GGUFWriter, file: BinaryIO) -> None:
    """Write all but the tensors' numbers into a file that is open already, so that it can appear at once."""
    import gguf

    writer.fout = [file]  # pyright: ignore[reportAttributeAccessIssue]
    writer.state = gguf.WriterState.EMPTY
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()


def align(file: BinaryIO) -> None:
    """Write as many zeros as GGUF asks for before a tensor."""
    import gguf

    file.write(bytes(-file.tell() % gguf.GGUF_DEFAULT_ALIGNMENT))


def write_numbers(file: BinaryIO, numbers: np.ndarray) -> None:
    """Write numbers of a tensor. gguf's own function for this loses the reason where a disk is full."""
    file.write(np.ascontiguousarray(numbers).view(np.uint8).data)


_NUMPY = {"F32": np.float32, "F16": np.float16}


def _is_packed(kind: GGMLQuantizationType) -> bool:
    return kind.name not in _NUMPY


def _write(
    file: BinaryIO,
    name: str,
    parts: Iterator[torch.Tensor],
    kind: GGMLQuantizationType,
    importance: np.ndarray | None = None,
) -> WrittenTensor:
    """Write a tensor that comes in parts of whole rows."""
    align(file)
    rows = size = 0
    rest: tuple[int, ...] = ()
    for part in parts:
        numbers = part.contiguous().numpy()
        stored = in_type(numbers, kind, name, importance)
        write_numbers(file, stored)
        rows, rest, size = rows + numbers.shape[0], numbers.shape[1:], size + stored.nbytes
    return WrittenTensor(name, kind.name, (rows, *rest), size)


def in_type(
    numbers: np.ndarray,
    kind: GGMLQuantizationType,
    name: str,
    importance: np.ndarray | None = None,
) -> np.ndarray:
    """Numbers in a type of GGUF: fp32 or fp16 as they are, others as bytes.

    Args:
        numbers: fp32 [..., row].
        name: for errors.
        importance: mean square of each of a row's places; types without room for it ignore it.

    Raises:
        ModelError: a number is larger than the type holds.
    """
    from libgguf import quantize_rows

    if kind.name == "F32":
        return numbers
    if kind.name == "F16":
        with np.errstate(over="ignore"):
            half = numbers.astype(np.float16)
        if not np.isfinite(half).all():
            raise ModelError(
                f"The weight {name} holds numbers up to {np.abs(numbers).max():.3g}, too large for F16.",
                fix="Use BF16 or Q8_0.",
            )
        return half
    rows = numbers.reshape(-1, numbers.shape[-1])
    each = max(1, _CHUNK // rows.shape[1])
    chunks = [rows[start : start + each] for start in range(0, len(rows), each)]
    if importance is not None and kind.name in _WITHOUT_IMPORTANCE:
        importance = None
    with ThreadPoolExecutor(min(cpu_count() or 1, 8)) as pool:  # libgguf lets other threads run
        packed = list(pool.map(lambda part: quantize_rows(part, kind, importance), chunks))
    return np.concatenate(packed).reshape(*numbers.shape[:-1], -1).view(np.uint8)


_WITHOUT_IMPORTANCE = {"BF16", "Q8_0"}
