"""Chat templates in the shapes of the well-known families, and tokenizers of several kinds for them."""

from __future__ import annotations

from functools import cache
from typing import Any

SPECIALS = ("<pad>", "<s>", "</s>", "<open>", "<close>", "<thought>", "</thought>")

_EACH = "{% for m in messages %}"
_DONE = "{% endfor %}"
_LAST_USER = (
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}"
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
)

#: Name -> template. What is expected of each stands in the tests.
TEMPLATES: dict[str, str] = {
    "marks and a line": _EACH
    + "<open>{{ m.role }}\n{{ m.content }}<close>\n"
    + _DONE
    + "{% if add_generation_prompt %}<open>assistant\n{% endif %}",
    "default system": "{% if messages[0].role != 'system' %}<open>system\nBe kind.<close>\n{% endif %}"
    + _EACH
    + "<open>{{ m.role }}\n{{ m.content }}<close>\n"
    + _DONE
    + "{% if add_generation_prompt %}<open>assistant\n{% endif %}",
    "trimmed, two lines": "<s>"
    + _EACH
    + "<open>{{ m.role }}<open>\n\n{{ m.content | trim }}<close>"
    + _DONE
    + "{% if add_generation_prompt %}<open>assistant<open>\n\n{% endif %}",
    "system inside the first question": (
        "{% set system = messages[0].content if messages[0].role == 'system' else '' %}"
        "{% set turns = messages[1:] if messages[0].role == 'system' else messages %}"
        "{% for m in turns %}{% if m.role == 'user' %}<s>[INST] "
        "{% if loop.first and system %}[SYS]{{ system }}[/SYS] {% endif %}{{ m.content }} [/INST]"
        "{% else %} {{ m.content }} </s>{% endif %}{% endfor %}"
    ),
    "no space around": "<s>"
    + _EACH
    + "{% if m.role == 'assistant' %}{{ m.content }}</s>{% else %}[{{ m.role }}]{{ m.content }}[/]{% endif %}"
    + _DONE,
    "answers by model, no system": "<s>"
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    + _EACH
    + "{% set role = 'model' if m.role == 'assistant' else m.role %}"
    "<open>{{ role }}\n{{ m.content | trim }}<close>\n"
    + _DONE
    + "{% if add_generation_prompt %}<open>model\n{% endif %}",
    "turns have to take turns": "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}"
    "<open>system\n{{ messages[0].content }}<close>{% else %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must take turns') }}{% endif %}<open>{{ m.role }}\n{{ m.content }}<close>"
    "{% endfor %}{% if add_generation_prompt %}<open>assistant\n{% endif %}",
    "a thought can be left out": _LAST_USER + "{% for m in messages %}<open>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.index0 > ns.last %}<thought>\n\n</thought>\n\n{% endif %}"
    "{{ m.content }}<close>\n{% endfor %}{% if add_generation_prompt %}<open>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<thought>\n\n</thought>\n\n{% endif %}{% endif %}",
    "a thought is always written": _LAST_USER + "{% for m in messages %}<open>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.index0 > ns.last %}<thought>\n\n</thought>\n\n{% endif %}"
    "{{ m.content }}<close>\n{% endfor %}{% if add_generation_prompt %}<open>assistant\n{% endif %}",
    "a thought is opened": _EACH
    + "{% if m.role == 'assistant' %}<open>assistant{{ m.content.split('</thought>')[-1] }}<close>"
    "{% else %}<open>{{ m.role }}{{ m.content }}{% endif %}"
    + _DONE
    + "{% if add_generation_prompt %}<open>assistant<thought>\n{% endif %}",
    "no header when asked": _EACH + "<open>{{ m.role }}\n{{ m.content }}<close>\n" + _DONE,
    "end after the last answer only": _EACH
    + "<open>{{ m.role }}\n{{ m.content }}{% if not loop.last %}\n{% endif %}"
    + _DONE
    + "{% if messages[-1].role == 'assistant' %}<close>{% endif %}"
    "{% if add_generation_prompt %}\n<open>assistant\n{% endif %}",
    "content has to be a list": _EACH
    + "<open>{{ m.role }}\n{% for part in m.content %}{{ part['text'] }}{% endfor %}<close>\n"
    + _DONE
    + "{% if add_generation_prompt %}<open>assistant\n{% endif %}",
    "dated": "<open>system\nToday is {{ strftime_now('%d %b %Y') }}.<close>\n"
    + _EACH
    + "<open>{{ m.role }}\n{{ m.content }}<close>\n"
    + _DONE
    + "{% if add_generation_prompt %}<open>assistant\n{% endif %}",
    "words for marks": _EACH
    + "{% if m.role == 'system' %}{{ m.content }}\n\n{% elif m.role == 'user' %}### Question: {{ m.content }}\n"
    "{% else %}### Answer: {{ m.content }}</s>\n{% endif %}"
    + _DONE
    + "{% if add_generation_prompt %}### Answer:{% endif %}",
    "another header when asked": _EACH
    + "<open>{{ m.role }}\n{{ m.content }}<close>\n"
    + _DONE
    + "{% if add_generation_prompt %}<open>tutor\n{% endif %}",
    "nothing ends": _EACH
    + "{{ m.role }}: {{ m.content }}\n"
    + _DONE
    + "{% if add_generation_prompt %}assistant: {% endif %}",
    "changes answers": _EACH
    + "<open>{{ m.role }}\n{{ m.content | upper }}<close>\n"
    + _DONE
    + "{% if add_generation_prompt %}<open>assistant\n{% endif %}",
}

#: Templates that no answer can be learnt with, and a word of the reason.
REFUSED = {
    "a thought is opened": "thought",
    "another header when asked": "begins an answer with",
    "nothing ends": "no special token",
    "changes answers": "does not appear",
}

#: Tokenizers that change what they read.
LOSSY = ("words in small letters",)

_TEXT = (
    "system user assistant model tutor Task: grammar_correction Text: She go to school every day.",
    '{"corrected":"She goes to school.","errors":[{"type":"agreement","span":"go"}]} Yes, it is right now.',
    "### Question: ### Answer: [INST] [/INST] [SYS] [/SYS] Be kind. Today is the day. Hello! What is it?",
    "You are LexiLingo's unified English tutor model. Follow the task instruction and respond ONLY with valid JSON",
)


@cache
def tokenizer_of(kind: str) -> Any:
    """A tokenizer of this kind, without a chat template, made in memory."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(
        {letter for text in _TEXT for letter in text} | set("\nabcdefghijklmnopqrstuvwxyz")
    )
    if kind in {"bytes", "bytes, offsets trimmed", "bytes, no splitting"}:
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(
            add_prefix_space=False, use_regex=kind != "bytes, no splitting"
        )
        backend.decoder = decoders.ByteLevel()
        if kind == "bytes, offsets trimmed":
            from tokenizers import processors

            backend.post_processor = processors.ByteLevel(trim_offsets=True)
        trainer: Any = trainers.BpeTrainer(
            vocab_size=420,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    elif kind.startswith("pieces"):
        backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        scheme = kind.removeprefix("pieces, ")
        if scheme == "normalizer":
            backend.normalizer = normalizers.Sequence(
                [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
            )
            backend.decoder = decoders.Sequence(
                [
                    decoders.Replace("▁", " "),
                    decoders.ByteFallback(),
                    decoders.Fuse(),
                    decoders.Strip(" ", 1, 0),
                ]
            )
        else:
            backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=True)
            backend.decoder = decoders.Sequence(
                [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme=scheme)]
            )
        trainer = trainers.BpeTrainer(
            vocab_size=420,
            special_tokens=["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))],
            initial_alphabet=[*alphabet, "▁"],
            show_progress=False,
        )
    elif kind == "unigrams":
        backend = Tokenizer(models.Unigram())
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        backend.decoder = decoders.Metaspace(prepend_scheme="first")
        trainer = trainers.UnigramTrainer(
            vocab_size=150,
            unk_token="<unk>",
            special_tokens=["<unk>"],
            initial_alphabet=[*alphabet, "▁"],
            show_progress=False,
        )
    elif kind == "words in small letters":
        backend = Tokenizer(models.WordPiece(unk_token="<unk>"))
        backend.normalizer = normalizers.Lowercase()
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), "removed", invert=True)
        backend.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(
            vocab_size=300, special_tokens=["<unk>"], initial_alphabet=alphabet, show_progress=False
        )
    else:
        raise KeyError(kind)
    backend.train_from_iterator(_TEXT, trainer)
    backend.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIALS]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="</s>", bos_token="<s>", pad_token="<pad>"
    )


KINDS = (
    "bytes",
    "bytes, offsets trimmed",
    "bytes, no splitting",
    "pieces, first",
    "pieces, always",
    "pieces, never",
    "pieces, normalizer",
    "unigrams",
    *LOSSY,
)
