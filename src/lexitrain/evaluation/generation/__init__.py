"""Generation: what a model says after a prompt, in batches, drawn or most likely, free or held to a schema."""

from __future__ import annotations

from lexitrain.evaluation.generation.asked_schema import asked_gbnf
from lexitrain.evaluation.generation.asking import Said, ask, numbered
from lexitrain.evaluation.generation.continuations import Continuation, generate
from lexitrain.evaluation.generation.decoding import Decoding
from lexitrain.evaluation.generation.gbnf import answer_gbnf, chosen_gbnf, schema_of
from lexitrain.evaluation.generation.schema_masks import SchemaMasks, require_llguidance

__all__ = [
    "Continuation",
    "Decoding",
    "Said",
    "SchemaMasks",
    "answer_gbnf",
    "ask",
    "asked_gbnf",
    "chosen_gbnf",
    "generate",
    "numbered",
    "require_llguidance",
    "schema_of",
]
