"""Does `lexitrain data prepare` take a million records in 90 s and 1 GB, and does it grow linearly?

    python -m benchmarks.prepare_scale [--counts 125000,250000,500000,1000000] [--out FILE.json]

Generates synthetic tutor records, runs the command as a user would, and writes seconds, processor seconds and the peak
of the resident memory of the whole process tree (sampled 20 times a second; pages shared by two processes count
twice, so that the true peak is not above it). Records whether the machine had other work.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "prepare_scale.json"
LIMIT_SECONDS, LIMIT_MB = 90.0, 1000.0
_SAMPLES_A_SECOND = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=measure.__doc__)
    parser.add_argument("--counts", default="125000,250000,500000,1000000")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    load_before = os.getloadavg()[0]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for count in (int(each) for each in arguments.counts.split(",")):
            rows.append(measure(count, Path(folder)))
            print(json.dumps(rows[-1]))
    last = rows[-1]
    result = {
        "command": "python -m benchmarks.prepare_scale",
        "limits": {"seconds": LIMIT_SECONDS, "resident_mb": LIMIT_MB, "records": 1_000_000},
        "within_limits": last["seconds"] <= LIMIT_SECONDS and last["resident_mb"] <= LIMIT_MB,
        # Cost of a record at the largest size over that at the smallest: 1 is linear growth.
        "growth": {key: growth(rows, key) for key in ("seconds", "processor_seconds")},
        "runs": rows,
        "machine": {
            "processor": processor(),
            "cores": len(os.sched_getaffinity(0)),
            "load_before": round(load_before, 2),
            "python": platform.python_version(),
            "numpy": version("numpy"),
            "lexitrain": version("lexitrain"),
        },
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"within limits: {result['within_limits']}; written to {arguments.out.name}")


def growth(rows: list[dict[str, Any]], key: str) -> float:
    """Cost of a record in the last run over that in the first."""
    first, last = rows[0], rows[-1]
    return round((last[key] / last["records"]) / (first[key] / first["records"]), 3)


def measure(count: int, folder: Path) -> dict[str, Any]:
    """Measure `lexitrain data prepare` at one size: seconds of the whole command, memory of its process tree."""
    raw, out = folder / "raw.jsonl", folder / f"data-{count}"
    lexitrain = [sys.executable, "-m", "lexitrain", "data"]
    subprocess.run(
        [*lexitrain, "generate", "--count", str(count), "--seed", "1", "--out", str(raw)],
        check=True,
        capture_output=True,
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start, peak = time.monotonic(), 0
    with (folder / "report.json").open("wb") as report:
        process = subprocess.Popen(
            [*lexitrain, "prepare", str(raw), "--out", str(out), "--json"], stdout=report
        )
        while process.poll() is None:
            peak = max(peak, resident_bytes(process.pid))
            time.sleep(1 / _SAMPLES_A_SECOND)
    seconds = time.monotonic() - start
    if process.returncode:
        raise SystemExit(f"data prepare ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return {
        "records": count,
        "megabytes": round(raw.stat().st_size / 1e6, 1),
        "kept": told["records"]["kept"],
        "seconds": round(seconds, 2),
        "processor_seconds": round(
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2
        ),
        "resident_mb": round(peak / 1e6, 1),
        "load_during": round(os.getloadavg()[0], 2),
    }


def resident_bytes(root: int) -> int:
    """Resident memory of a process and all its descendants, from /proc."""
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    page = os.sysconf("SC_PAGE_SIZE")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # ended meanwhile
                continue
            parents[int(entry.name)], resident[int(entry.name)] = int(fields[1]), int(fields[21])
    total = 0
    for process in parents:
        ancestor = process
        while ancestor not in (0, root):
            ancestor = parents.get(ancestor, 0)
        if ancestor == root:
            total += resident[process] * page
    return total


def processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
