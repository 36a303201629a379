"""GLEU: n-grams of a correction that the reference has, less those that should have been changed.

Napoles et al. 2015 with the correction of 2016 ("GLEU Without Tuning"): n-grams shared with the reference count for,
n-grams of the source that the reference lacks count against, 1 to 4 tokens, with BLEU's brevity penalty. Several
references: the corpus is scored with each sentence's first reference, then with each second one, and so on (a sentence
with fewer starts again at its first), and the mean taken, where the original draws 500 times at random.
Unchanged JFLEG sentences score 38.3 (dev) and 40.6 (test); its authors publish 38.2 and 40.5.

Cost: some 0.15 ms a reference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from lexitrain.tasks.metrics.bootstrap import Array
from lexitrain.tasks.metrics.tokens import ngrams

GLEU_ORDER = 4
"""Tokens of the longest n-grams."""


def gleu_counts(
    source: Sequence[str], answer: Sequence[str], reference: Sequence[str]
) -> list[float]:
    """What a sentence adds to GLEU: answer length, reference length, then (matches, n-grams) for 1 to 4 tokens."""
    counts: list[float] = [len(answer), len(reference)]
    for order in range(1, GLEU_ORDER + 1):
        said = Counter(ngrams(answer, order))
        wanted = Counter(ngrams(reference, order))
        unwanted = Counter(
            {gram: n for gram, n in Counter(ngrams(source, order)).items() if gram not in wanted}
        )
        matches = (said & wanted).total() - (said & unwanted).total()
        counts += [max(matches, 0), max(len(answer) + 1 - order, 0)]
    return counts


def gleu(sums: Array) -> Array:
    """GLEU from sums of `gleu_counts`, `[..., 10]` to `[...]`; 0 where any n-gram order has no match."""
    said, wanted = sums[..., 0], sums[..., 1]
    matches, possible = sums[..., 2::2], sums[..., 3::2]
    defined = (said > 0) & np.all((matches > 0) & (possible > 0), axis=-1)
    safe = np.where(defined[..., None], matches / np.maximum(possible, 1), 1.0)
    penalty = np.minimum(0.0, 1.0 - wanted / np.maximum(said, 1))
    return np.where(defined, np.exp(penalty + np.log(safe).mean(axis=-1)), 0.0)
