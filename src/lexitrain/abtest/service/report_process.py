"""The process that computes a live report: `python -m lexitrain.abtest.service.report_process`.

One line of JSON on standard input says of which test; one on standard output has the report, null where there is too
little for one, or why there is none. As people look again and again, intervals are those that hold at all times.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from lexitrain.abtest.pages.languages import LANGUAGES
from lexitrain.errors import DataError, LexiTrainError
from lexitrain.storage import json_text


def main() -> None:
    asked: dict[str, Any] = json.loads(sys.stdin.readline())
    if hasattr(os, "nice"):
        os.nice(10)  # learners come first
    try:
        said = {"report": live_report(asked["data"], asked["experiment"])}
    except LexiTrainError as error:
        said = {"refused": str(error)}
    sys.stdout.write(json_text(said) + "\n")


def live_report(data: str, experiment: str) -> dict[str, Any] | None:
    """What the team's page shows of a test; None where there is too little for it.

    Raises:
        InputError: the log cannot be read, or a limit of the report is wrong.
    """
    from lexitrain.abtest.log.observed import observed
    from lexitrain.abtest.report import report_ab

    try:
        report = report_ab(observed(data, experiment), moments=0)
    except DataError:
        return None
    return {
        "kind": report.verdict.kind,
        "arms": list(report.experiment.arms),
        "harmful": report.verdict.harmful,
        "headline": _said([report.verdict.headline]),
        "reasons": _said([*report.verdict.reasons, *report.cautions]),
        "learners": report.learners,
        "exposures": report.exposures,
        "effects": [
            {
                "name": each.metric.name,
                "title": each.metric.title,
                "difference": each.effect.difference,
                "low": each.effect.sequence_low,
                "high": each.effect.sequence_high,
            }
            for each in report.metrics
        ],
        "sample_ratio_p": report.sample_ratio.p,
    }


def _said(texts: Sequence[str]) -> dict[str, list[str]]:
    """Language -> the texts in it."""
    from lexitrain.abtest.sentences import said_in

    return {language: [said_in(each, language) for each in texts] for language in LANGUAGES}


if __name__ == "__main__":
    main()
