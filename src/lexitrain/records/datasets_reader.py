"""Reading data sets through the library `datasets`: those of the Hub, and folders that are one.

Rows stream, a thousand a chunk; a chunk's file is `NAME[SPLIT]` and its rows are numbered within the split, from 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from itertools import groupby, islice
from pathlib import Path
from typing import Any, cast

from lexitrain.errors import DataError, MissingExtra
from lexitrain.records.chunk import CHUNK_ROWS, Chunk
from lexitrain.records.tables import row_as_json
from lexitrain.storage import hub_answers, hub_is_switched_off

_CARD_WITH_CONFIGS = re.compile(r"---\s*\n(?:.*\n)*?configs:")
"""The head of a data set's card (README.md) that names its files."""


def is_data_set(folder: Path) -> bool:
    """Whether a folder is to be read by `datasets`: it saved it, or the card says which files are which."""
    if _is_saved(folder):
        return True
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    return _CARD_WITH_CONFIGS.match(text.partition("\n---\n")[0] + "\n") is not None


def _is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def data_set_chunks(name: str) -> Iterator[Chunk]:
    """The chunks of every split of a data set.

    Args:
        name: a Hub id, or a folder that `is_data_set`.

    Raises:
        MissingExtra: `datasets` is not installed.
        DataError: it cannot read the data set.
    """
    for split, rows in groupby(_rows(name), key=lambda row: row[0]):
        numbered = ((number, row) for _, number, row in rows)
        while held := list(islice(numbered, CHUNK_ROWS)):
            yield Chunk(f"{name}[{split}]", 0, rows=held, split=split)


def _rows(name: str) -> Iterator[tuple[str, int | str, Any]]:
    """`(split, row number, row)` of every split."""
    try:
        datasets: Any = import_module("datasets")
    except ImportError:
        raise MissingExtra("datasets", "hub") from None
    if not Path(name).is_dir() and not hub_is_switched_off() and not hub_answers():
        raise DataError(
            "The Hub does not answer, and there is no folder of this name.",
            where=name,
            fix="Check the network; or set HF_HUB_OFFLINE=1 to read at once what `datasets` has loaded before, or name "
            "the files themselves.",
        )
    try:
        if _is_saved(Path(name)):
            found: Any = datasets.load_from_disk(name)
        else:
            found = datasets.load_dataset(name, streaming=True)
        by_split = cast("dict[Any, Any]", found if isinstance(found, dict) else {"train": found})
        for split, rows in by_split.items():
            for number, row in enumerate(rows, start=1):
                yield str(split), number, row_as_json(row)
    except Exception as error:
        # The library has no common error: whatever it was, this source cannot be read.
        raise DataError(
            f"`datasets` cannot read this data set ({type(error).__name__}: {str(error).splitlines()[0][:200]}).",
            where=name,
            fix="Check the id and the network, or name the files themselves.",
        ) from None
