"""`build` on real records, killed at ten random moments: `python -m benchmarks.build_killed`.

The same command is given until it ends. Before that it is killed with SIGKILL, with all that it started, ten times: at
a random moment of its preparing, three times while it trains, and so on, by what is left of the times that an
undisturbed build took. A stage may be over before its kill, as it goes on from where it was: the result says which
stage each kill hit.
What counts must then be equal to the undisturbed build byte for byte: the split, the adapter, exported files, every
answer, the losses of every step, and what the page says of scores, data and export. And nothing is done twice that
need not be: from which steps training went on, and whether an answer that was kept was asked for again.

The corpora are read where they lie, and are no part of the project. Twenty-five minutes on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.mixture import REAL_DATA
from benchmarks.workload import circumstances
from lexitrain.building.build import STAGES

RESULT = Path(__file__).parent / "results" / "build_killed.json"
MOMENTS = (
    "prepare",
    "plan",
    "preflight",
    "train",
    "train",
    "train",
    "evaluate",
    "evaluate",
    "export",
    "report",
)
"""The stage of each kill."""
SETTINGS = (
    "--recipe demo --limit 150 --quantize Q4_K_M,Q8_0 --margin 0.5"
    " --set step.effective_batch=48 --set checkpoints.every=30 --set validation.limit=40"
)
"""That keep it to minutes."""
_BEGINS = re.compile(rf"^(\d)/{len(STAGES)} (\w+)$")


class _Build:
    """One call of the command.

    Attributes:
        process: that runs it.
        stage: that it is in; empty before the first.
    """

    def __init__(self, records: Path, folder: Path, settings: list[str]) -> None:
        command = [sys.executable, "-m", "lexitrain", "build", str(records), "--out", str(folder)]
        # A cache of its own: else the second build finds the plan that the first one made.
        cache = {"XDG_CACHE_HOME": str(folder.parent / "cache")}
        self.process = subprocess.Popen(
            [*command, *settings],
            env={**os.environ, **cache},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.stage = ""
        self.since = time.perf_counter()
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr or ():
            self.said.append(line)
            if found := _BEGINS.match(line.strip()):
                self.stage, self.since = found[2], time.perf_counter()

    def wait(self) -> int:
        """Until it ends; its exit status."""
        status = self.process.wait()
        self._reader.join()
        return status

    def kill(self) -> None:
        """With all that it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.wait()

    def reaches(self, stage: str, seconds: float) -> bool:
        """Wait until it has been in a stage for so long, or is in a later one; False where it ended before."""
        number = STAGES.index(stage)
        while self.process.poll() is None:
            at = STAGES.index(self.stage) if self.stage else -1
            if at > number or (at == number and time.perf_counter() - self.since >= seconds):
                return True
            time.sleep(0.01)
        return False


def contents(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of all that counts."""
    run = folder / "run"
    files = [
        *(folder / "data").glob("*.jsonl"),
        *(run / "adapter").glob("adapter_model.safetensors"),
        *(run / "export").glob("*.gguf"),
        *(run / "export").rglob("*.gbnf"),
        *(run / "evaluation").glob("*.answers.jsonl"),
    ]
    found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    lines = [json.loads(each) for each in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [(each["step"], each["loss"], each.get("validation_loss")) for each in lines]
    found["losses of metrics.jsonl"] = json.dumps(losses).encode()
    page = (run / "report.html").read_text(encoding="utf-8")
    for anchor in ("scores", "data", "export"):
        section = page.partition(f'<section id="{anchor}"')[2].partition("</section>")[0]
        section = section.replace(str(folder.parent), "…")
        if anchor == "export":
            section = _without_file_answers(section)
        found[f"report.html, {anchor}"] = _without_times(section).encode()
    return {name: hashlib.sha256(each).hexdigest() for name, each in sorted(found.items())}


def _without_times(html: str) -> str:
    """How long something took differs from build to build."""
    return re.sub(r"[\d.,]+ (s|ms|min|h|tokens/s)\b", "…", html)


def _without_file_answers(html: str) -> str:
    """What a file's own answers came to differs between two verifications of the same file: llama.cpp's sums depend on
    which prompts share its batch. These are percentages of one decimal, and differences of scores."""
    return re.sub(r"(?<![\d.])\d+\.\d%|[+-]\d\.\d{3}\b", "…", html)


def repeated(folder: Path) -> dict[str, Any]:
    """What was done more than once."""
    events = [
        json.loads(each) for each in (folder / "run" / "events.jsonl").read_text().splitlines()
    ]
    resumed = [each["step"] for each in events if each["event"] == "resumed"]
    # By file: base and run are asked the same, and may answer alike.
    journals = Counter(
        (path, line)
        for path in (folder / "answers").rglob("*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    )
    return {
        "resumed_from_step": resumed,
        "answers_given_twice": sum(each - 1 for each in journals.values()),
    }


def disturbed(
    records: Path, folder: Path, settings: list[str], took: dict[str, float], seed: int
) -> list[dict[str, Any]]:
    """Build with ten kills; where each hit."""
    draw, kills = random.Random(seed), list[dict[str, Any]]()
    spent: dict[str, float] = dict.fromkeys(STAGES, 0.0)
    for stage in MOMENTS:
        build = _Build(records, folder, settings)
        still = MOMENTS[len(kills) :].count(
            stage
        )  # so that each of them finds the stage unfinished
        after = draw.uniform(0.1, 0.9) * max(0.0, took[stage] - spent[stage]) / (still + 1)
        if not build.reaches(stage, after):
            build.wait()
            raise SystemExit(f"It ended before it was killed in {stage}:\n{''.join(build.said)}")
        inside = time.perf_counter() - build.since
        hit = {"stage": build.stage, "seconds_in_it": round(inside, 2)}
        spent[build.stage] += inside
        build.kill()
        kills.append({"meant": stage, **hit})
        print(f"killed: {json.dumps(kills[-1])}", file=sys.stderr, flush=True)
    last = _Build(records, folder, settings)
    if (status := last.wait()) not in {0, 3}:
        raise SystemExit(f"The last call ended with {status}:\n{''.join(last.said)}")
    return kills


def main() -> None:
    """Build twice, compare, save."""
    parser = argparse.ArgumentParser(description="A build on real records, killed ten times.")
    parser.add_argument("--records", type=Path, default=REAL_DATA)
    parser.add_argument("--settings", default=SETTINGS, help="of `lexitrain build`")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    settings = shlex.split(given.settings)
    with tempfile.TemporaryDirectory() as name:
        undisturbed, killed = (Path(name) / each / "tutor" for each in ("undisturbed", "killed"))
        start = time.perf_counter()
        first = _Build(given.records, undisturbed, settings)
        if (status := first.wait()) not in {0, 3}:
            raise SystemExit(f"The undisturbed build ended with {status}:\n{''.join(first.said)}")
        whole = time.perf_counter() - start
        stages = json.loads((undisturbed / "build.json").read_text())["stages"]
        took = {stage: max(0.5, float(each["seconds"])) for stage, each in stages.items()}
        kills = disturbed(given.records, killed, settings, took, given.seed)
        expected, found = contents(undisturbed), contents(killed)
        again = repeated(killed)
        splits = stages["prepare"]["made"]["splits"]
    different = sorted(each for each in expected | found if expected.get(each) != found.get(each))
    result = {
        "command": "python -m benchmarks.build_killed",
        **circumstances(),
        "settings": given.settings,
        "splits": splits,
        "undisturbed_seconds": round(whole, 1),
        "stage_seconds": took,
        "kills": kills,
        "compared": sorted(expected),
        "different": different,
        **again,
        "passed": not different and not again["answers_given_twice"],
    }
    given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({key: result[key] for key in ("different", "passed")}), file=sys.stderr)
    raise SystemExit(0 if result["passed"] else 1)


if __name__ == "__main__":
    main()
