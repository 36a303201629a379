"""The text that learners agree to, in each language, and its version, which changes with it."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from lexitrain.abtest.pages.languages import LANGUAGES
from lexitrain.errors import InputError
from lexitrain.storage import user_path
from lexitrain.tasks import loads_strict

_LONGEST = 20_000  # characters


def own_consent(*, keep_texts: bool) -> dict[str, str]:
    """Language -> the text that comes with the product, which says whether sentences are kept."""
    place = files("lexitrain.abtest.pages") / "files"
    found: dict[str, str] = {}
    for language in LANGUAGES:
        said = json.loads((place / f"{language}.json").read_text(encoding="utf-8"))["consent"]
        kept = said["kept" if keep_texts else "not_kept"]
        found[language] = "\n\n".join([said["text"], kept, said["end"]])
    return found


def read_consent(path: str | Path) -> dict[str, str]:
    """Language -> the team's own text.

    Args:
        path: JSON with a text for each of `en` and `vi`, or plain text for both.

    Raises:
        InputError: it cannot be read, is empty, or names other languages.
    """
    file = user_path(path)
    try:
        text = file.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The text cannot be read ({error}).", where=file) from None
    if file.suffix != ".json":
        found: dict[str, Any] = dict.fromkeys(LANGUAGES, text)
    else:
        try:
            found = cast("dict[str, Any]", loads_strict(text))
        except ValueError as error:
            raise InputError(f"This is no JSON ({error}).", where=file) from None
    right = isinstance(found, dict) and set(found) == set(LANGUAGES)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not right or not all(
        isinstance(each, str) and 0 < len(each.strip()) <= _LONGEST for each in found.values()
    ):
        raise InputError(
            "These are not the texts of a consent.",
            where=file,
            fix='Write {"en": "…", "vi": "…"}, or one plain text for both in a file that is no .json.',
        )
    return found


def version_of(consent: dict[str, str]) -> str:
    """12 hexadecimal digits of the texts."""
    said = json.dumps(consent, ensure_ascii=False, sort_keys=True).encode()
    return hashlib.sha256(said).hexdigest()[:12]
