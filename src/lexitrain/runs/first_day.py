"""The day on which a run began: the date that a chat template writes in it, whenever it goes on or is asked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from lexitrain.runs.folder import Run


def first_day(runs: Iterable[Run]) -> date | None:
    """The first day of the first of these runs that has begun; None where none has.

    It is the one that data.json names; of a run without that, which an earlier version began, that of its first event,
    in this machine's time.

    Args:
        runs: a run, its parts and its copies, the most trusted first.
    """
    begun = [run for run in runs if run.exists()]
    for run in begun:
        if run.data_file.is_file() and (written := run.read_data().day):
            try:
                return date.fromisoformat(written)
            except ValueError:
                continue
    for run in begun:
        for event in run.events()[:1]:
            return datetime.fromisoformat(event.time).astimezone().date()
    return None
