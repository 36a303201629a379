"""What a background thread has done or met, until the training loop turns it into an event.

Only the loop's thread writes events: the writer of checkpoints and the mirror hand theirs over in this form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """Something that was done, or went wrong, in a background thread: an event to be.

    Attributes:
        event: its name.
        step: that it is about; None: whatever step the run is at.
        details: whatever tells the reader more.
    """

    event: str
    step: int | None = None
    details: dict[str, Any] = field(default_factory=dict[str, Any])
