"""One thing that was looked at before a run: what was found, whether it is right, why it matters, what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from lexitrain.errors import LexiTrainError

Verdict = Literal["ok", "warn", "refuse"]


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found.

    Attributes:
        name: its name for programs.
        verdict: `ok`; `warn` where the run would be slower, smaller or less safe than it could be; `refuse` where it
            would fail, or train something wrong: `train` refuses that too.
        found: a sentence with its numbers.
        why: why it matters; empty where all is well.
        fix: what to do; empty where all is well.
    """

    name: str
    verdict: Verdict
    found: str
    why: str = ""
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def passed(name: str, found: str) -> Check:
    """All is well."""
    return Check(name, "ok", found)


def warned(name: str, found: str, why: str, fix: str) -> Check:
    """It runs, and could be better."""
    return Check(name, "warn", found, why, fix)


def refused(name: str, error: LexiTrainError, why: str) -> Check:
    """What `train` refuses by the same error."""
    where = "" if error.where is None else f"{error.where}: "
    return Check(name, "refuse", f"{where}{error.what}", why, error.fix or "")
