"""The result: one document that names the card, and a short table made from it. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.against.card import machine
from benchmarks.against.parts import Bench

SAME = (
    "base and its commit",
    "records and split",
    "rank, alpha, dropout 0 and the adapter at the beginning",
    "optimizer, learning rate of each step, weight decay, clipping",
    "samples a step, epochs, seed, checkpoints",
    "supervised tokens (answers only), compared sample by sample",
    "no validation while it is timed; one scorer for both afterwards",
)
OTHERWISE = (
    "the order of the samples: each side's own, drawn with the same seed",
    "LexiTrain: prefix tree, its own choice of cuts and of recomputation",
    "Unsloth: its kernels, its gradient checkpointing, its choice of padded or padding-free micro-batches",
    "checkpoints: LexiTrain writes its own in the background, Unsloth by transformers' trainer in between",
)


def assembled(bench: Bench) -> dict[str, Any]:
    """The document."""
    own = machine()
    return {
        "command": "python -m benchmarks.against",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "device": own["device"],
        "driver": own["driver"],
        "memory_mib": own["memory_mib"],
        "cores": own["cores"],
        "threads": own["threads"],
        "commit": bench.commit,
        "settings": asdict(bench.settings),
        "same": list(SAME),
        "otherwise": list(OTHERWISE),
        "parts": {
            name: {key: value for key, value in part.items() if key != "key"}
            for name, part in bench.parts.items()
        },
        "ratios": ratios(bench.parts),
    }


def ratios(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The rival's figures over ours; empty unless both were measured on the same device."""
    ours, theirs = parts.get("lexitrain", {}), parts.get("unsloth", {})
    if not (ours.get("state") == theirs.get("state") == "done"):
        return {}
    if ours["machine"]["device"] != theirs["machine"]["device"]:
        return {}
    pairs = {
        name: (ours[name], theirs[name])
        for name in ("seconds_of_process", "seconds_of_steps", "seconds_after_warm_up")
    }
    for name in ("allocated_gb", "reserved_gb"):
        if name in ours["memory"] and name in theirs["memory"]:
            pairs[name] = (ours["memory"][name], theirs["memory"][name])
    return {name: round(other / own, 3) for name, (own, other) in pairs.items() if own}


def shown(document: Mapping[str, Any]) -> str:
    """The table: a line for each side, then what else was found, a sentence each."""
    parts = document["parts"]
    lines = [f"{document['device']}, commit {_short(document['commit'])}, {document['date']}", ""]
    lines += aligned(halves(parts))
    lines += ["", *others(parts)]
    return "\n".join(lines) + "\n"


def _short(commit_of_it: str) -> str:
    return commit_of_it[:12] + ("+" if commit_of_it.endswith("+") else "")


def halves(parts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A head and a row for each side: seconds, memory, loss."""
    head = ("", "from start, s", "steps, s", "after warm-up, s", "peak memory", "validation loss")
    losses = parts.get("loss", {}).get("losses", {})
    rows = [
        (
            name,
            f"{part['seconds_of_process']:,.1f}",
            f"{part['seconds_of_steps']:,.1f}",
            f"{part['seconds_after_warm_up']:,.1f}",
            _memory(part),
            f"{losses[key]:.4f}" if key in losses else "-",
        )
        for key, name in (("lexitrain", "LexiTrain"), ("unsloth", "Unsloth"))
        if (part := parts.get(key, {})).get("state") == "done"
    ]
    if (old := parts.get("old_way", {})).get("state") == "done":
        reckoned = f"{old['seconds_of_steps_of_the_same_epochs']:,.1f} (reckoned)"
        rows.append(("the team's notebook", "-", reckoned, "-", _memory(old), "-"))
    return [head, *rows]


def _memory(part: Mapping[str, Any]) -> str:
    taken = part["memory"]
    if "reserved_gb" in taken:
        return f"{taken['allocated_gb']:.2f} GB, {taken['reserved_gb']:.2f} reserved"
    return f"{taken['resident_gb']:.2f} GB resident"


def others(parts: Mapping[str, Any]) -> list[str]:
    """What else was found, and what was not and why, a sentence each."""
    lines = [
        f"{name}: {part['state']}, {part['reason'].splitlines()[0]}"
        for name, part in parts.items()
        if part["state"] != "done" and part.get("reason")
    ]
    if (scores := parts.get("scores", {})).get("state") == "done":
        lines += [
            f"on {scores['records']} test records: {each['verdict'].rstrip('.')}"
            for each in scores["differences"].values()
        ]
    if (lost := parts.get("disconnect", {})).get("state") == "done":
        same = lost["same_adapter"]
        how = (
            "the same bytes"
            if same["bytes"]
            else f"another by {same['relative_difference']:.1e} of its norm"
        )
        lines.append(
            f"killed at step {lost['killed_at_step']}, its disk gone: {lost['minutes_lost']:.2f} minutes lost, "
            f"the adapter is {how}"
        )
    if (file := parts.get("export", {})).get("state") == "done":
        lines.append(
            f"{file['file']}: mean KL {file['distances']['mean_kl']:.2g}, "
            f"{file['equal_answers']:.0%} of its answers equal letter by letter"
        )
    return lines


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as columns: the first to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
