"""Corrections as token edits: how many a model got right, wrong, or missed.

Source and correction are aligned token by token (Levenshtein 1966), and each run of changed tokens is one edit (start,
end, new tokens), as ERRANT's "all-merge" does (Bryant et al. 2017). An edit is right when the reference has the same
one. Counts are summed over the corpus, with the reference that gives the sentence its best F0.5 (M2 scorer, Dahlmeier
& Ng 2012). Cost: some 0.1 ms a reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lexitrain.tasks.metrics.bootstrap import Array
from lexitrain.tasks.metrics.scores import ratio

Edit = tuple[int, int, tuple[str, ...]]


def edits(source: Sequence[str], target: Sequence[str]) -> list[Edit]:
    """The token edits that turn `source` into `target`, neighbouring ones merged, from left to right."""
    start = 0
    while start < min(len(source), len(target)) and source[start] == target[start]:
        start += 1
    end = 0
    shortest = min(len(source), len(target)) - start
    while end < shortest and source[-1 - end] == target[-1 - end]:
        end += 1
    middle = source[start : len(source) - end]
    wanted = target[start : len(target) - end]
    return [
        (start + i, start + j, tuple(wanted[k:last])) for i, j, k, last in _changed(middle, wanted)
    ]


def _changed(source: Sequence[str], target: Sequence[str]) -> list[tuple[int, int, int, int]]:
    """Maximal changed runs as (source start, source end, target start, target end)."""
    distance = _distances(source, target)
    i, j = len(source), len(target)
    kept: list[tuple[int, int]] = []
    while i and j:
        if source[i - 1] == target[j - 1] and distance[i][j] == distance[i - 1][j - 1]:
            i, j = i - 1, j - 1
            kept.append((i, j))
        elif distance[i][j] == distance[i - 1][j - 1] + 1:
            i, j = i - 1, j - 1
        elif distance[i][j] == distance[i - 1][j] + 1:
            i -= 1
        else:
            j -= 1
    runs: list[tuple[int, int, int, int]] = []
    i = j = 0
    for a, b in [*reversed(kept), (len(source), len(target))]:
        if (i, j) != (a, b):
            runs.append((i, a, j, b))
        i, j = a + 1, b + 1
    return runs


def _distances(source: Sequence[str], target: Sequence[str]) -> list[list[int]]:
    table = [list(range(len(target) + 1))]
    for i, word in enumerate(source, 1):
        above, row = table[-1], [i]
        for j, other in enumerate(target, 1):
            if word == other:
                row.append(above[j - 1])
            else:
                row.append(1 + min(above[j - 1], above[j], row[j - 1]))
        table.append(row)
    return table


class EditCounts(NamedTuple):
    """Right, wrong and missed edits."""

    right: float
    wrong: float
    missed: float


def f_score(right: Array, wrong: Array, missed: Array, beta: float = 0.5) -> Array:
    """F-beta of edit counts; NaN, not defined, where there was nothing to correct and nothing was corrected."""
    weighted = (1 + beta**2) * right
    return ratio(weighted, weighted + wrong + beta**2 * missed)


def precision(right: Array, wrong: Array, missed: Array) -> Array:
    """The share of edits that are right. Where nothing was edited: 0 when something should have been, else NaN."""
    made = right + wrong
    return ratio(right, np.where((made == 0) & (missed > 0), 1.0, made))


def recall(right: Array, _wrong: Array, missed: Array) -> Array:
    """The share of the reference's edits that were made; NaN, not defined, where it has none."""
    return ratio(right, right + missed)


def count_edits(
    source: Sequence[str], answer: Sequence[str] | None, references: Sequence[Sequence[str]]
) -> EditCounts:
    """Counts against the best reference: highest F0.5, then most right, then fewest wrong, then fewest missed.

    An invalid answer (None) misses every edit of the reference with the fewest, and makes as many wrong ones, at
    least one: saying nothing usable is no better than saying something wrong.
    """
    wanted = [set(edits(source, reference)) for reference in references]
    if answer is None:
        fewest = min(len(reference) for reference in wanted)
        return EditCounts(0, max(fewest, 1), fewest)
    made = set(edits(source, answer))
    candidates = [
        EditCounts(len(made & reference), len(made - reference), len(reference - made))
        for reference in wanted
    ]
    return max(candidates, key=_quality)


def _quality(counts: EditCounts) -> tuple[float, float, float, float]:
    right, wrong, missed = (np.array([float(count)]) for count in counts)
    score = 1.0 if not sum(counts) else float(f_score(right, wrong, missed)[0])
    return score, counts.right, -counts.wrong, -counts.missed
