"""How long `--help` takes: `python benchmarks/help_speed.py`.

Each help page is shown five times in a fresh process; the median, in seconds, is saved.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from lexitrain.cli.main import COMMANDS

RESULT = Path(__file__).parent / "results" / "help_speed.json"
PAGES = [(), *((name,) for name in COMMANDS)]


def seconds(page: tuple[str, ...]) -> float:
    """Wall-clock seconds of one `lexitrain PAGE --help`."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "lexitrain", *page, "--help"], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - start


def main() -> None:
    """Measure every page and save the medians."""
    medians = {
        " ".join(("lexitrain", *page)): round(statistics.median(seconds(page) for _ in range(5)), 3)
        for page in PAGES
    }
    document = {
        "what": "median seconds of five runs of `COMMAND --help`",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "seconds": medians,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    for page, median in medians.items():
        print(f"{median:6.3f} s  {page}")


if __name__ == "__main__":
    main()
