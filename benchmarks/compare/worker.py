"""A competitor's process: `python -m benchmarks.compare.worker NAME WORK`, commands on stdin, answers on stdout."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from contextlib import nullcontext

from benchmarks.compare import unsloth
from benchmarks.compare.competitors import COMPETITORS
from benchmarks.compare.turns import Turns
from benchmarks.compare.work import Work


def main() -> None:
    """Train as the competitor does, in turns."""
    # Trainers print; only answers may reach stdout.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    competitor, work = COMPETITORS[sys.argv[1]], Work(**json.loads(sys.argv[2]))
    turns = Turns(sys.stdin, replies, work.device)
    with unsloth.imported() if competitor.kind == "unsloth" else nullcontext():
        if competitor.kind == "lexitrain":
            from benchmarks.compare.engine import run
        else:
            from benchmarks.compare.trainers import run
        run(competitor, work, turns)


if __name__ == "__main__":
    main()
