"""What the adapter's rank buys on nano: ranks 4 to 48, three seeds each, with intervals and a drawn curve.

    python -m benchmarks.rank_sweep [--ranks 4,8,16,32,48] [--seeds 3] [--folder DIR] [--out FILE.json]

`lexitrain tune --sweep lora.rank=…` on the demo's data, alpha following the rank so that the scale stays that of the
recipe. About 35 minutes on two idle cores; with --folder it goes on where it was stopped. Writes the curve beside the
result, as rank_sweep.svg.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.race import demo_data, machine
from lexitrain import draw_tuning, tune

RESULT = Path(__file__).parent / "results" / "rank_sweep.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", default="4,8,16,32,48")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--folder", type=Path, help="keeps all runs; goes on where it was stopped")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        found = tune(
            "demo",
            demo_data(folder),
            folder / "ranks",
            overrides=arguments.overrides,
            sweep=[f"lora.rank={arguments.ranks}"],
            seeds=arguments.seeds,
        )
    document = found.to_json()
    result = {
        "command": "python -m benchmarks.rank_sweep",
        **{
            name: document[name]
            for name in ("points", "diminishing_from", "scale_kept", "hours", "price")
        },
        "machine": machine(),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    draw_tuning(found, arguments.out.with_suffix(".svg"))
    for point in found.points:
        loss = point.loss
        between = (
            "" if loss is None or loss.low is None else f" ({loss.low:.4f} to {loss.high:.4f})"
        )
        print(
            f"{point.title}: {'failed' if loss is None else f'{loss.mean:.4f}'}{between}, {point.seconds} s"
        )
    print(f"no larger value is shown to be better from: {found.diminishing}")


if __name__ == "__main__":
    main()
