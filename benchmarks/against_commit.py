"""Is the step faster than it was at another commit? `python -m benchmarks.against_commit COMMIT`.

The other commit is checked out into a temporary git worktree. Both step the same samples of the same random weights on
this machine's CPU, each in a process of its own, in turns: whichever goes first in one round goes second in the next,
so that whatever the machine does strikes both alike. What is told is the ratio of seconds, other commit over this
checkout, step by step. Their losses must agree, so that both computed the same.

The worker is this file, started with the tree that it measures on its path. Each tree builds the step by its own
`benchmarks.timing.built_step`, since names within the package have moved; samples are made once, by this checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
SHAPES = ("nano", "cpu")
ROUNDS = {"nano": 12, "cpu": 6}
STEPS = {"nano": 5, "cpu": 2}
SAME_LOSS = 1e-3
"""By how much the losses of the two may differ, relative to them, over all steps of a run (fp32)."""


@dataclass
class Side:
    """One package in a process of its own.

    Attributes:
        name: `now` or `then`.
        tree: its checkout.
        job: file with what it is to step.
        seconds: of each timed step.
        losses: of all steps.
        facts: where its package lies and what it is.
    """

    name: str
    tree: Path
    job: Path
    seconds: list[float] = field(default_factory=list[float])
    losses: list[float] = field(default_factory=list[float])
    facts: dict[str, Any] = field(default_factory=dict[str, Any])

    def __enter__(self) -> Side:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker", str(self.job)],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(self.tree / "src"), str(self.tree)]),
                "PYTHONSAFEPATH": "1",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.facts = self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes its stdin, at which it ends

    def turn(self, steps: int, *, count: bool = True) -> None:
        """Take some steps."""
        assert self._process.stdin is not None
        print(steps, file=self._process.stdin, flush=True)
        found = self._answer()
        self.losses += found["losses"]
        self.seconds += found["seconds"] if count else []

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of '{self.name}' has ended, see above")
        return json.loads(line)


def worker(job: Path) -> None:
    """The process of one side: a number of steps on each line of stdin, their seconds and losses on stdout."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    import lexitrain
    from benchmarks.timing import Sample, built_step
    from benchmarks.workload import Shape

    given = pickle.loads(job.read_bytes())
    step = built_step(Shape(**given["shape"]))
    names = [each.name for each in fields(Sample)]
    work = [
        [Sample(**{name: sample[name] for name in names}) for sample in samples]
        for samples in given["steps"]
    ]

    def say(found: dict[str, Any]) -> None:
        print(json.dumps(found), file=answers, flush=True)

    say({"package": str(Path(lexitrain.__file__).parent), "version": lexitrain.__version__})
    taken = 0
    for line in sys.stdin:
        losses: list[float] = []
        seconds: list[float] = []
        for samples in work[taken : taken + int(line)]:
            start = time.perf_counter()
            losses.append(step.gradients(samples).loss)
            step.update(1e-4)
            seconds.append(time.perf_counter() - start)
        taken += int(line)
        say({"losses": losses, "seconds": seconds})


def write_job(shape: str, steps: int, data: str, file: Path) -> None:
    """What both sides step: the shape and the samples of each step, as plain fields.

    Raises:
        ValueError: there are too few samples.
    """
    from benchmarks.compare import work
    from benchmarks.workload import rendered_samples, step_samples

    samples = rendered_samples(data)
    chosen = [step_samples(samples, number) for number in range(steps)]
    if len(chosen[-1]) < len(chosen[0]):
        raise ValueError(
            f"there are no {steps} steps of {len(chosen[0])} samples in {len(samples)}"
        )
    plain = [[asdict(sample) for sample in each] for each in chosen]
    file.write_bytes(pickle.dumps({"shape": asdict(work.SHAPES[shape]), "steps": plain}))


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """The commit in a temporary worktree, which is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "then"
        _git("worktree", "add", "--detach", "--quiet", str(place), commit)
        try:
            yield place
        finally:
            _git("worktree", "remove", "--force", str(place))


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"git {' '.join(arguments[:2])}: {done.stderr.strip()}")
    return done.stdout.strip()


def measure(
    shape: str, then: Path, rounds: int, steps: int, data: str = "mixture"
) -> dict[str, Any]:
    """Both sides in turns on one shape.

    Args:
        shape: a name of `benchmarks.compare.work.SHAPES`.
        then: the other commit's checkout.
        rounds: turns of each, after one that is not timed.
        steps: of a turn.
        data: `mixture` or `generated`.

    Raises:
        RuntimeError: a side has failed, or they have not computed the same.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        job = folder / "job"
        write_job(shape, (rounds + 1) * steps, data, job)
        sides = [Side("now", ROOT, job), Side("then", then, job)]
        for side in sides:
            stack.enter_context(side)
            if Path(side.facts["package"]).parents[1].resolve() != side.tree.resolve():
                raise RuntimeError(f"'{side.name}' has taken {side.facts['package']}")
        for side in sides:
            side.turn(steps, count=False)
        for number in range(rounds):
            for side in sides if number % 2 == 0 else sides[::-1]:
                side.turn(steps)
    return compared(*sides)


def compared(now: Side, then: Side) -> dict[str, Any]:
    """The ratios of seconds, step by step.

    Raises:
        RuntimeError: the losses differ.
    """
    apart = max(
        abs(one - other) / max(1.0, abs(other))
        for one, other in zip(now.losses, then.losses, strict=True)
    )
    if apart > SAME_LOSS:
        raise RuntimeError(f"the two do not compute the same: losses differ by {apart:.2g}")
    paired = sorted(other / one for one, other in zip(now.seconds, then.seconds, strict=True))
    return {
        "then_over_now": round(median(paired), 3),
        "of_all_steps": round(sum(then.seconds) / sum(now.seconds), 3),
        "quartiles": [round(paired[len(paired) * part // 4], 3) for part in (1, 3)],
        "lowest": round(paired[0], 3),
        "highest": round(paired[-1], 3),
        "steps": len(paired),
        "step_seconds": {
            side.name: round(sum(side.seconds) / len(side.seconds), 5) for side in (now, then)
        },
        "largest_loss_difference": apart,
    }


def main() -> None:
    """Measure all shapes, print, save; `--tiny` takes a few steps of nano and saves nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", nargs="?", help="that is held against this checkout")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--shapes", default=",".join(SHAPES), help="comma-separated")
    parser.add_argument("--tiny", action="store_true", help="a few steps of nano, not saved")
    parser.add_argument("--out", type=Path, help="file, instead of results/against_COMMIT.json")
    chosen = parser.parse_args()
    if chosen.worker:
        worker(chosen.worker)
        return
    if not chosen.commit:
        parser.error("name a commit")
    sys.path.insert(0, str(ROOT))
    found = document(chosen.commit, chosen.shapes.split(","), tiny=chosen.tiny)
    text = json.dumps(found, indent=1) + "\n"
    print(text)
    if not chosen.tiny:
        usual = ROOT / "benchmarks" / "results" / f"against_{found['then']['commit']}.json"
        (chosen.out or usual).write_text(text, encoding="utf-8")


def document(commit: str, shapes: Sequence[str], *, tiny: bool = False) -> dict[str, Any]:
    """What is saved."""
    from benchmarks.workload import circumstances, real_data_is_there

    data = "mixture" if real_data_is_there() and not tiny else "generated"
    then = _git("rev-parse", "--short", f"{commit}^{{commit}}")
    start = time.perf_counter()
    with checked_out(then) as place:
        rows = {
            shape: measure(
                shape,
                place,
                2 if tiny else ROUNDS.get(shape, 6),
                1 if tiny else STEPS.get(shape, 2),
                data,
            )
            for shape in (["nano"] if tiny else shapes)
        }
    return {
        "command": f"python -m benchmarks.against_commit {commit}",
        "what": "seconds of a step of 24 samples of the recipe `fast`, another commit over this checkout, in turns",
        **circumstances(),
        "now": {
            "commit": _git("rev-parse", "--short", "HEAD"),
            "changed": bool(_git("status", "--porcelain", "--untracked-files=no", "src")),
        },
        "then": {"commit": then, "subject": _git("log", "-1", "--format=%s", then)},
        "data": data,
        "load": round(os.getloadavg()[0], 2),
        "shapes": rows,
        "seconds": round(time.perf_counter() - start, 1),
    }


if __name__ == "__main__":
    main()
