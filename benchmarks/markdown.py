"""Saved results as Markdown: what all tables of the documents are made with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.workload import RESULTS


def result(name: str) -> dict[str, Any]:
    """A saved result; empty when there is none."""
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table, the first column to the left, numbers to the right."""
    lines = [list(head), ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def on_what(found: dict[str, Any]) -> str:
    """A line that says where and with what a result was measured."""
    versions = found["versions"]
    named = ", ".join(
        f"{name} {versions[name]}"
        for name in ("torch", "transformers", "peft", "trl", "gguf", "libgguf", "xllamacpp")
        if name in versions
    )
    threads = "" if "thread" in found["device"] else f", {found['threads']} threads"
    return f"Measured on {found['device']}{threads}, {found['date']}; {named}.\n\n"
