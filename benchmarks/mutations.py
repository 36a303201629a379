"""10,000 damaged recipes, records, manifests and run folders: `python -m benchmarks.mutations`.

Each is made by the strategies of the tests, from a fixed seed, and read by the product's own commands; what is not
clean is printed with what led to it. The saved result counts, for each kind of file, what came of it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from tests.training.recovery.mutations import Material

RESULT = Path(__file__).parent / "results" / "mutations.json"
CHUNK = 1000


def damage(material: Material, count: int, number: int) -> None:
    """Damage `count` times, from the seed `number`; raises at the first outcome that is not clean."""

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def one(data: Any) -> None:
        material.damage(data.draw)

    one()


def main() -> None:
    """Damage, count, save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=11)
    given_ = parser.parse_args()
    start, not_clean = time.time(), 0
    seeds = [given_.seed + chunk for chunk in range(-(-given_.count // CHUNK))]
    with tempfile.TemporaryDirectory() as folder:
        material = Material.made(Path(folder))
        for number in seeds:
            try:
                damage(material, CHUNK, number)
            except AssertionError as error:
                not_clean += 1
                print(f"seed {number}: {error}")
    total = sum(sum(counts.values()) for counts in material.outcomes.values())
    result = {
        "command": f"python -m benchmarks.mutations --count {given_.count} --seed {given_.seed}",
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {name: version(name) for name in ("hypothesis", "torch", "transformers")},
        "seeds": seeds,
        "mutations": total,
        "not_clean": not_clean,
        "outcomes": {name: dict(sorted(each.items())) for name, each in material.outcomes.items()},
        "seconds": round(time.time() - start, 1),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result["outcomes"], indent=2))
    print(f"{total} mutations, {not_clean} not clean, {result['seconds']} s")


if __name__ == "__main__":
    main()
