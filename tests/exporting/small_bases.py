"""Bases small enough to build in a test, of each family and split rule that a GGUF file can be of."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from tests.tiny import CHAT_TEMPLATE, SPECIALS

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

#: As the published tokenizer.json of Qwen2.5, Llama 3, SmolLM2 and GPT-2 have them.
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
RULES = ("qwen2", "llama-bpe", "smollm", "gpt-2")

_SENTENCES: tuple[str, ...] = (
    "Hôm qua chị ấy đã đi chợ mua rau, thịt bò và một ít trái cây.",
    "Động từ phải chia theo chủ ngữ ngôi thứ ba số ít, ví dụ: she goes.",
    "Tiếng Việt có sáu thanh điệu: ngang, huyền, sắc, hỏi, ngã, nặng.",
    "Em nên dùng thì quá khứ đơn vì việc đã xảy ra năm 1998 rồi nhé!",
    "She don't like the cats; they're 2,500 km away, aren't they?",
    '{"corrected": "She goes to school.", "errors": [{"type": "agreement", "span": "go"}]}',
    "Nguyễn Thị Phượng sống ở Thủ Đức, đường số 12, nhà 34/5.",
    "for i in range(100):\n    print(f'{i:03d}\t{words[i]}')\r\n",
)
_EXTRAS: tuple[str, ...] = (
    *("🙂", "👩‍👩‍👧", "a\u200db", "\u200b", "\ufeff", "\r\n", "\r", "\n\n\n", "\t\t", " " * 17),
    *("1234567", "३४५", "½", "x²", "III", "'S", "'ll", "’s", "…", "—", "<|im_end|>", "\u00a0"),
    *(
        "\u3000",
        "\u2028",
        "日本語",
        "ภาษาไทย",
        "السلام",
        "if (a != b) { return; }",
        "`x`",
        "\\n",
        "́",
    ),
    *("{{ }}", "$9.99", "50%", "a_b-c", "http://x.vn/?q=ô", "#", "\u0301", "Ⅷ", "①", "ﬁ", "ẞ", "İ"),
)


def vietnamese(count: int, seed: int = 0) -> list[str]:
    """Texts in composed, decomposed and mixed characters, tone marks before and behind the others, and things that
    come between words."""
    random = Random(seed)
    return [_text(random) for _ in range(count)]


def _text(random: Random) -> str:
    words = random.choice(_SENTENCES).split(" ")
    start = random.randrange(len(words))
    kept: list[str] = words[start : start + random.randrange(1, 9)]
    for _ in range(random.randrange(4)):
        kept.insert(random.randrange(len(kept) + 1), random.choice(_EXTRAS))
    joined = "".join(word + random.choice((" ", " ", " ", "", "  ", "\n")) for word in kept)
    form = random.choice(("NFC", "NFD", "mixed", "swapped"))
    return joined[: random.randrange(1, 200)] if form == "NFC" else "".join(_form(joined, form))


def _form(text: str, form: str) -> Iterator[str]:
    for place, letter in enumerate(normalize("NFC", text)):
        apart = normalize("NFD", letter)
        if form == "swapped" and len(apart) == 3:
            yield apart[0] + apart[2] + apart[1]
        elif form == "NFD" or (form == "mixed" and place % 2):
            yield apart
        else:
            yield letter


def rule_of(name: str) -> tuple[Any, Any, bool]:
    """Normalizer, pre-tokenizer, and whether a text that is a token is taken without merging."""
    from tokenizers import Regex, normalizers, pre_tokenizers

    def split(pattern: str) -> Any:
        return pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )

    whole = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if name == "qwen2":
        return normalizers.NFC(), split(QWEN_SPLIT), False
    if name == "llama-bpe":
        return None, split(LLAMA_SPLIT), True
    if name == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        return None, pre_tokenizers.Sequence([digits, whole]), False
    return None, whole, False


@lru_cache(maxsize=8)
def _backend(name: str, size: int) -> str:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    normalizer, splits, whole_words = rule_of(name)
    backend = Tokenizer(models.BPE(ignore_merges=whole_words))
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.pre_tokenizer = splits
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator([*_SENTENCES * 3, *vietnamese(300, seed=9)], trainer)
    backend.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    return str(backend.to_str())


def tokenizer_of(name: str = "qwen2", *, size: int = 500) -> PreTrainedTokenizerFast:
    """A tokenizer with the ChatML template, that splits text by the rule of this name."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_backend(name, size)),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def model_of(kind: str, rows: int, *, seed: int = 0, **settings: Any) -> PreTrainedModel:
    """A randomly initialized model in fp32; its biases and norms are random too, so that a lost one shows."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        kind,
        **{
            "vocab_size": rows,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "max_position_embeddings": 512,
            "tie_word_embeddings": True,
            "initializer_range": 0.2,
            "bos_token_id": None,
            **settings,
        },
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for name, parameter in model.named_parameters():
            if name.endswith(".bias"):
                parameter.data.normal_(0.0, 0.3)
            elif parameter.ndim == 1:
                parameter.data.uniform_(0.5, 1.5)
    return model.eval()


def save_base(folder: Path, kind: str = "qwen2", *, rule: str = "qwen2", **settings: Any) -> Path:
    """A base folder with a model and tokenizer of these kinds."""
    tokenizer = tokenizer_of(rule)
    model = model_of(kind, settings.pop("rows", len(tokenizer)), **settings)
    model.config.eos_token_id = tokenizer.eos_token_id
    model.config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@contextmanager
def as_peft_calls_it() -> Iterator[None]:
    """PEFT asks transformers by an older name, which warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def save_lora(folder: Path, base: Path, *, seed: int = 3, **settings: Any) -> Path:
    """A LoRA adapter of a base as PEFT saves it, with both halves random."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = LoraConfig(
        **{
            "r": 4,
            "lora_alpha": 6,
            "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"],
            "task_type": "CAUSAL_LM",
            **settings,
        }
    )
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with as_peft_calls_it():
        adapted = get_peft_model(model, config)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in adapted.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) / 8)
        elif "magnitude" in name:
            parameter.data.mul_(torch.rand(parameter.shape, generator=generator) + 0.5)
    adapted.save_pretrained(str(folder), save_embedding_layers=False)
    return folder
