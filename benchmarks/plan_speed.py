"""How long a plan takes: `python -m benchmarks.plan_speed [cold] [cached] [versus] [within]`.

Each command runs five times as a process of its own, as a user runs it; the median counts. All but `cached` start
with an empty cache folder, so that everything is rehearsed anew. Without names all four are measured; with names only
those, and the saved file keeps the others.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "plan_speed.json"
RUNS = 5
COMMANDS: dict[str, list[str]] = {
    "cold": ["--recipe", "fast"],
    "cached": ["--recipe", "fast"],
    "versus": ["--recipe", "notebook", "--versus", "slow"],
    "within": ["--within", "4h", "--memory", "15"],
}
LIMITS = {"cold": 12.0, "cached": 2.0, "versus": 30.0, "within": 30.0}


def main() -> None:
    """Measure, print, save."""
    document: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    rows: dict[str, Any] = document.get("results", {})
    for name in sys.argv[1:] or COMMANDS:
        seconds = measure(name)
        rows[name] = {
            "command": " ".join(["lexitrain", "plan", *COMMANDS[name]]),
            "seconds": [round(each, 2) for each in seconds],
            "median": round(statistics.median(seconds), 2),
            "limit": LIMITS[name],
            "load_before": round(os.getloadavg()[0], 2),
        }
        print(f"{name:8} {rows[name]['median']:6.2f} s (limit {LIMITS[name]:g})")
    document = {
        "command": "python -m benchmarks.plan_speed",
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "results": rows,
    }
    RESULT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def measure(name: str) -> list[float]:
    """Seconds of each run."""
    found = []
    with tempfile.TemporaryDirectory() as kept:
        if name == "cached":
            run(name, kept)
        for _ in range(RUNS):
            with tempfile.TemporaryDirectory() as empty:
                start = time.perf_counter()
                run(name, kept if name == "cached" else empty)
                found.append(time.perf_counter() - start)
    return found


def run(name: str, cache: str) -> None:
    """One command line, its output thrown away."""
    subprocess.run(
        [sys.executable, "-m", "lexitrain", "plan", *COMMANDS[name], "--json"],
        env=os.environ | {"XDG_CACHE_HOME": cache, "XDG_CONFIG_HOME": cache},
        stdout=subprocess.DEVNULL,
        check=True,
    )


if __name__ == "__main__":
    main()
