"""What the host needs for a step around its recorded cuts: `python -m benchmarks.host_time`.

With `step.graphs=always` a GPU starts a cut with one call. All else of a step is the host's: looking whether the base
has been changed, taking the adapter's numbers, the gradients' places, reading the loss, the update. Here recordings do
nothing when they are replayed, and the base is as deep as Qwen2.5 and very narrow, so that hardly anything is left but
that. A step is one cut, laid out before, as a run's workers do it. Taken on a CPU; a GPU's own launches come on top.
"""

from __future__ import annotations

import argparse
import json
import time
from statistics import median
from typing import Any
from unittest.mock import patch

from benchmarks.timing import built_step, prepare
from benchmarks.workload import RESULTS, Shape, circumstances, rendered_samples, step_samples
from lexitrain.step.graphs.recording import RepeatingRecorder, Work

RESULT = RESULTS / "host_time.json"
DEPTHS = {"Qwen2.5-0.5B": 24, "Qwen2.5-1.5B": 28}
STEPS = 200


class Once:
    """A recording that does its work when it is held against the plain computation, and nothing afterwards."""

    def __init__(self, work: Work) -> None:
        self._work = [work]

    def replay(self) -> None:
        """Do it the first time."""
        if self._work:
            self._work.pop()()


def measure(layers: int, steps: int = STEPS) -> dict[str, Any]:
    """Milliseconds of a step of so many layers."""
    shape = Shape(64, layers, 2, 128, 32_000)
    step = built_step(shape, "step.graphs=always", "step.micro_batch=24")
    samples = step_samples(rendered_samples("generated"), 0)
    batches = step.lay_out(samples)
    with patch.object(RepeatingRecorder, "record", lambda _recorder, work: Once(work)):
        prepare(step, [batches])
    assert step.graphs is not None
    assert step.graphs.recorded
    seconds: list[float] = []
    for _ in range(steps):
        start = time.perf_counter()
        step.gradients(samples, batches)
        step.update(1e-4)
        seconds.append(time.perf_counter() - start)
    return {
        "layers": layers,
        "modules": sum(1 for _ in step.model.modules()),
        "trained_tensors": len(step.parameters),
        "cuts": len(batches),
        "milliseconds": round(1e3 * median(seconds), 3),
        "shortest": round(1e3 * min(seconds), 3),
    }


def main() -> None:
    """Measure both depths, print, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="two layers, a few steps, not saved")
    tiny = parser.parse_args().tiny
    found = {
        "command": "python -m benchmarks.host_time",
        "what": "host's time of a step with recorded cuts, without what these compute",
        **circumstances(),
        "rows": {
            name: measure(2 if tiny else depth, 5 if tiny else STEPS)
            for name, depth in DEPTHS.items()
        },
    }
    text = json.dumps(found, indent=1) + "\n"
    print(text)
    if not tiny:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
