"""Synthetic tutor data, as many as wanted and the same for the same seed."""

from __future__ import annotations

from lexitrain.synthetic.file import generate_file
from lexitrain.synthetic.records import generate

__all__ = [
    "generate",
    "generate_file",
]
