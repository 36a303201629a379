"""What a GGUF file says of its model besides the weights: settings, vocabulary, chat template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.exporting.gguf.families import Family, head_size, rope
from lexitrain.exporting.gguf.pre_tokenizers import PreTokenizer
from lexitrain.exporting.merging.vocabulary import require_rows
from lexitrain.samples import chosen_template
from lexitrain.serving import MAX_LENGTH, SYSTEM, TASKS

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from transformers import PretrainedConfig


@dataclass(frozen=True, slots=True)
class About:
    """What an export knows of its model.

    Attributes:
        name: of the model, for people.
        tasks: that it was trained for.
        system: `data.system` of its recipe.
        max_length: tokens of a sample in training; 0 where unknown.
    """

    name: str
    tasks: tuple[str, ...] = ()
    system: str | None = None
    max_length: int = 0


def add_settings(
    writer: GGUFWriter, config: PretrainedConfig, family: Family, about: About
) -> None:
    """The model's shape and what changes its computation."""
    from gguf import RopeScalingType

    writer.add_type("model")
    writer.add_name(about.name)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    size = head_size(config)
    writer.add_key_length(size)
    writer.add_value_length(size)
    if family.interleaved:
        writer.add_rope_dimension_count(size)
    positions = rope(config)
    writer.add_rope_freq_base(float(positions["rope_theta"]))
    if positions["rope_type"] == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(positions["factor"]))
    if about.tasks:
        writer.add_array(TASKS, list(about.tasks))
    if about.system is not None:
        writer.add_string(SYSTEM, about.system)
    if about.max_length:
        writer.add_uint32(MAX_LENGTH, about.max_length)


def add_vocabulary(
    writer: GGUFWriter, tokenizer: Any, rule: PreTokenizer, rows: int, end_of_turn: int
) -> None:
    """The tokenizer.

    Args:
        rows: of the embedding; ids without a token are filled with unused ones.
        end_of_turn: id of the token that ends an answer.

    Raises:
        ModelError: the tokenizer has more tokens than the model.
    """
    tokens, types = _tokens(tokenizer, rows)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(rule.name)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(rule.merges)
    end = tokenizer.eos_token_id
    writer.add_eos_token_id(end_of_turn if end is None else end)
    writer.add_eot_token_id(end_of_turn)
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    # Training adds no token to what the chat template writes. With true here llama.cpp would begin a prompt with one
    # also where the template has none, and other programs with two where it has one.
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(chosen_template(tokenizer))


def _tokens(tokenizer: Any, rows: int) -> tuple[list[str], list[int]]:
    from gguf import TokenType

    by_id = {number: text for text, number in tokenizer.get_vocab().items()}
    require_rows(tokenizer, rows)
    added = tokenizer.added_tokens_decoder
    tokens: list[str] = []
    types: list[int] = []
    for number in range(rows):
        text = by_id.get(number)
        if text is None:
            tokens.append(f"[UNUSED{number}]")
            types.append(TokenType.UNUSED)
            continue
        tokens.append(text)
        if number in added:
            types.append(TokenType.CONTROL if added[number].special else TokenType.USER_DEFINED)
        else:
            types.append(TokenType.NORMAL)
    return tokens, types
