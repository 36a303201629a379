"""The benchmark mixture: real tutor records in the proportions of the training split that the product replaces.

14,250 records: grammar 6,657, dialogue 3,805, vocabulary 2,362, fluency 1,426, drawn with a fixed seed from the public
corpora beside the checkout (`../shared/data/real`). A corpus is repeated only where it has too few records.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from lexitrain.records.prepared import read_split
from lexitrain.records.record import Record

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "real"
PROPORTIONS = {"grammar": 6657, "dialogue": 3805, "vocabulary": 2362, "fluency": 1426}


def benchmark_mixture(folder: Path = REAL_DATA, seed: int = 42) -> list[Record]:
    """The records in a fixed, shuffled order.

    Raises:
        FileNotFoundError: the corpora are not there.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"the real corpora are not at {folder}")
    draw = Random(seed)
    mixture: list[Record] = []
    for task, count in PROPORTIONS.items():
        pool = [
            record for file in sorted(folder.glob(f"{task}_*.jsonl")) for record in read_split(file)
        ]
        whole, rest = divmod(count, len(pool))
        mixture += pool * whole + draw.sample(pool, rest)
    draw.shuffle(mixture)
    return mixture
