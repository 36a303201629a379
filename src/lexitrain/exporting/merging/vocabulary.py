"""Whether a tokenizer is for a model: a token without a row would be read past the end of the embedding."""

from __future__ import annotations

from typing import Any

from lexitrain.errors import ModelError


def require_rows(tokenizer: Any, rows: int) -> None:
    """Nothing, where the embedding has a row for each token.

    Args:
        rows: of the embedding; there may be more than tokens.

    Raises:
        ModelError: it has not.
    """
    text, number = max(tokenizer.get_vocab().items(), key=lambda each: each[1])
    if number >= rows:
        raise ModelError(
            f"The tokenizer has a token {number} ({text!r}), and the model {rows} rows for tokens.",
            where=tokenizer.name_or_path,
            fix="Give the tokenizer that the base was trained with.",
        )
