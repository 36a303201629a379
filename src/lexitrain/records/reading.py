"""Reading raw records one by one, from any source in any form.

`data prepare` reads in bulk and in parallel (`preparation/scan.py`); everything else that accepts raw records reads
them here, with the same parsing, the same tidying and the same reasons.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from lexitrain.records.normalization import emptiness, tidy_record
from lexitrain.records.record import BadRecord, BadRow, Record
from lexitrain.records.sources import chunks


def read_records(
    source: str | Path, *, aliases: Mapping[str, str] | None = None, task: str | None = None
) -> Iterator[Record | BadRecord]:
    """Every record of a file, folder or Hub data set in order, normalized; a row that is none comes as `BadRecord`, and
    so does an empty one, which `data prepare` drops.

    Args:
        source: a file by its ending, a folder of such files, or a data set through `datasets`.
        aliases: accepted task names and their short names; None accepts any name.
        task: the task of rows that name none.

    Raises:
        DataError: the source itself cannot be read.
    """
    for chunk in chunks(str(source)):
        for line, row in chunk.parsed():
            if isinstance(row, str):
                yield BadRecord(chunk.file, line, row)
                continue
            try:
                record, _ = tidy_record(row, aliases, task)
            except BadRow as error:
                yield BadRecord(chunk.file, line, str(error))
                continue
            reason = emptiness(record, [], 0)
            yield record if reason is None else BadRecord(chunk.file, line, reason)
