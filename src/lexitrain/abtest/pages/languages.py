"""The languages of the pages and of the consent."""

from __future__ import annotations

LANGUAGES = {"en": "English", "vi": "Tiếng Việt"}
"""Code -> name, as its speakers call it."""
