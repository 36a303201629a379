"""Which records are not independent of each other: those of one learner, document, conversation.

Scores of such records vary together, so an interval that takes each for itself is too narrow. Records are of one group
that share a value of one of the keys below in their metadata, or of the key that the user names; so are the turns of
one conversation, and records linked through others (a learner's documents).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lexitrain.errors import DataError

if TYPE_CHECKING:
    from lexitrain.records import Record

GROUP_KEYS = (
    *("group", "learner", "learner_id", "student", "student_id", "user_id", "author_id"),
    *("speaker_id", "document", "document_id", "doc_id", "essay_id", "conversation"),
    *("conversation_id", "dialogue_id", "dialog_id", "session_id"),
)
"""Keys of `metadata` whose equal values make a group."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """The groups of scored records.

    Attributes:
        of_row: row of a record in its file -> its group.
        keys: of the metadata that made them; empty where each record stands for itself.
    """

    of_row: dict[int, int]
    keys: tuple[str, ...]

    def of(self, rows: Sequence[int]) -> list[int]:
        """The group of each row."""
        return [self.of_row[row] for row in rows]


def grouped(rows: Sequence[tuple[int, Record]], key: str | None = None) -> Grouping:
    """The groups of records, each given with its row.

    Args:
        key: of the metadata; the only one that makes groups. By default `GROUP_KEYS`.

    Raises:
        DataError: no record has the key that was named.
    """
    leader: dict[int, int] = {row: row for row, _ in rows}

    def find(row: int) -> int:
        while leader[row] != row:
            leader[row] = leader[leader[row]]
            row = leader[row]
        return row

    first: dict[tuple[str, object], int] = {}
    for row, record in rows:
        for name in (key,) if key else GROUP_KEYS:
            value: object = record.metadata.get(name)
            if not isinstance(value, str | int | float) or value == "":
                continue
            other = first.setdefault((name, value), row)
            leader[find(row)] = find(other)
    if key and not first:
        raise DataError(
            f"No record has the key {key!r} in its metadata, so nothing can be grouped by it.",
            where="--group",
        )
    leaders = sorted({find(row) for row in leader})
    number = {row: place for place, row in enumerate(leaders)}
    groups = {row: number[find(row)] for row in leader}
    keys = tuple(dict.fromkeys(name for name, _ in first)) if len(leaders) < len(leader) else ()
    return Grouping(groups, keys)
