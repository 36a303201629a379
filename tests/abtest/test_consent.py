"""The text that learners agree to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lexitrain.abtest.pages.languages import LANGUAGES
from lexitrain.abtest.service.consent import own_consent, read_consent, version_of

TEXTS = {"en": "Read this.", "vi": "Hãy đọc."}


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "with a byte order mark"])
def test_a_text_is_read_as_other_texts_are(tmp_path: Path, mark: str) -> None:
    """Editors of Windows begin a file with a byte order mark, which is no part of the text."""
    (tmp_path / "c.json").write_text(mark + json.dumps(TEXTS), encoding="utf-8")
    (tmp_path / "c.txt").write_text(mark + "Read this.\n", encoding="utf-8")
    assert read_consent(tmp_path / "c.json") == TEXTS
    assert read_consent(tmp_path / "c.txt") == dict.fromkeys(LANGUAGES, "Read this.")
    assert version_of(read_consent(tmp_path / "c.json")) == version_of(TEXTS)


@pytest.mark.parametrize("keep_texts", [True, False])
def test_the_products_own_text_is_there_in_all_languages(keep_texts: bool) -> None:
    assert set(own_consent(keep_texts=keep_texts)) == set(LANGUAGES)
