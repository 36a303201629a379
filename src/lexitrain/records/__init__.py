"""Records: raw rows of many kinds of files become one type, normalized; and the folder of prepared ones."""

from __future__ import annotations

from lexitrain.records.chunk import Chunk
from lexitrain.records.drawing import draw_records
from lexitrain.records.normalization import (
    TOO_SHORT,
    emptiness,
    loose_words,
    normalize_text,
    tidy_record,
)
from lexitrain.records.prepared import (
    REPORT,
    SPLITS,
    TEST,
    TRAIN,
    VALIDATION,
    file_name,
    iterate_split,
    prepared_record,
    split_file,
)
from lexitrain.records.reading import read_records
from lexitrain.records.record import BadRecord, BadRow, Record, is_learnt
from lexitrain.records.rows import NO_TASK
from lexitrain.records.sources import chunks, expanded, source_bytes

__all__ = [
    "NO_TASK",
    "REPORT",
    "SPLITS",
    "TEST",
    "TOO_SHORT",
    "TRAIN",
    "VALIDATION",
    "BadRecord",
    "BadRow",
    "Chunk",
    "Record",
    "chunks",
    "draw_records",
    "emptiness",
    "expanded",
    "file_name",
    "is_learnt",
    "iterate_split",
    "loose_words",
    "normalize_text",
    "prepared_record",
    "read_records",
    "source_bytes",
    "split_file",
    "tidy_record",
]
