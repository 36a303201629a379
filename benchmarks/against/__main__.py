"""The command: all parts, or (called by it) one part in this process.

    python -m benchmarks.against --work DIR [--keep DIR] [--base 0.5B] [--records 6000] [--epochs 2] [--out FILE]
    python -m benchmarks.against --work DIR --only data,lexitrain        one half alone

With `--make-environments` each side gets a virtual environment beside the work folder, with pinned packages and the
machine's own torch; without it our half runs in this interpreter, and the rival's where `--unsloth-python` says.
Standard library only, as it also starts in the rival's environment.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks.against.card import card, machine
from benchmarks.against.parts import PARTS, SETTINGS, Bench, own_interpreter, write_whole
from benchmarks.against.result import assembled, shown
from benchmarks.against.settings import NotRun, Settings


def one_part(name: str, work: Path, out: Path) -> None:
    """Run a part here and write what it found."""
    part = next(each for each in PARTS if each.name == name)
    settings = Settings(**json.loads((work / SETTINGS).read_text(encoding="utf-8")))
    found: dict[str, Any]
    try:
        module = importlib.import_module(f"benchmarks.against.{part.module}")
        found = {"state": "done", **getattr(module, part.function)(work, settings)}
    except NotRun as reason:
        found = {"state": "not run", "reason": str(reason)}
    write_whole(out, {**found, "machine": machine()})


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, help="a folder on this machine's disk")
    parser.add_argument("--keep", type=Path, help="where results are kept, such as a drive")
    parser.add_argument("--out", type=Path, help="the result file")
    parser.add_argument("--only", default="", help="parts, with commas between")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--make-environments", action="store_true")
    parser.add_argument("--unsloth-python", default="", help="interpreter that has Unsloth")
    for each in fields(Settings):
        kind = {"int": int, "str": str}[str(each.type)]
        name = f"--{each.name.replace('_', '-')}"
        parser.add_argument(name, type=kind, default=each.default)
    arguments = parser.parse_args()
    work = (arguments.work or Path(tempfile.mkdtemp())).absolute()
    if arguments.part:
        one_part(arguments.part, work, arguments.out)
        return
    settings = Settings(**{each.name: getattr(arguments, each.name) for each in fields(Settings)})
    keep = (arguments.keep or work).absolute()
    pythons, why_not = own_interpreter() | {"unsloth": arguments.unsloth_python}, ""
    if arguments.make_environments:
        from benchmarks.against.environments import make_environments

        pythons, why_not = make_environments(
            work.with_name(f"{work.name}-environments"), rival=card() is not None
        )
    elif not arguments.unsloth_python:
        why_not = "no environment with Unsloth was named (--make-environments, --unsloth-python)"
    only = [name for name in arguments.only.split(",") if name]
    unknown = sorted(set(only) - {part.name for part in PARTS})
    if unknown:
        parser.error(f"--only: no part is called {', '.join(unknown)}")
    bench = Bench(settings, work, keep, pythons, why_not)
    bench.run(only)
    document = assembled(bench)
    write_whole(arguments.out or keep / "result.json", document)
    print(shown(document))


if __name__ == "__main__":
    main()
