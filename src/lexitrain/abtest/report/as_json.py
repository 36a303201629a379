"""A report as JSON."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from lexitrain.abtest.report.content import AbReport
from lexitrain.abtest.statistics.effects import Effect


def report_json(report: AbReport) -> dict[str, Any]:
    """All of a report; a number that cannot be told is null."""
    experiment = report.experiment
    ratio = report.sample_ratio
    return {
        "experiment": {
            "name": experiment.name,
            "arms": list(experiment.arms),
            "ratio": list(experiment.ratio),
            "planned": None if experiment.planned is None else asdict(experiment.planned),
        },
        "verdict": asdict(report.verdict),
        "alpha": report.alpha,
        "margin": report.margin,
        "learners": report.learners,
        "exposures": report.exposures,
        "first": _moment(report.first),
        "last": _moment(report.last),
        "days": report.days,
        "learners_who_saw_both_arms": report.crossed,
        "metrics": {
            each.metric.name: {
                "title": each.metric.title,
                "kind": each.metric.kind,
                "higher_is_better": each.metric.higher_is_better,
                "decides": place == 0,
                **_effect(each.effect),
                "adjusted_p": each.adjusted_p,
                "adjusted_always_valid_p": each.adjusted_always_valid_p,
            }
            for place, each in enumerate(report.metrics)
        },
        "guardrails": {each.name: asdict(each) for each in report.guardrails},
        "sample_ratio": {**asdict(ratio), "broken": ratio.broken},
        "pre_period_imbalance_p": report.pre_imbalance,
        "tasks": {
            each.task: {
                "shares": list(each.shares),
                **_effect(each.effect),
                "adjusted_p": each.adjusted_p,
                "adjusted_always_valid_p": each.adjusted_always_valid_p,
            }
            for each in report.tasks.tasks
        },
        "difference_at_equal_task_shares": report.tasks.equal_shares,
        "task_mix_p": report.tasks.mix_p,
        "moments": [
            {
                "time": _moment(each.time),
                "learners": each.learners,
                "difference": each.effect.difference,
                "sequence": [each.effect.sequence_low, each.effect.sequence_high],
                "fixed": [each.effect.low, each.effect.high],
            }
            for each in report.moments
        ],
        "cautions": list(report.cautions),
    }


def _effect(effect: Effect) -> dict[str, Any]:
    adjusted = effect.adjusted
    return {
        "arms": [asdict(arm) for arm in effect.arms],
        "difference": effect.difference,
        "error": effect.error,
        "fixed": {"low": effect.low, "high": effect.high, "p": effect.p},
        "sequence": {
            "low": effect.sequence_low,
            "high": effect.sequence_high,
            "p": effect.always_valid_p,
        },
        "pre_period": None
        if adjusted is None or effect.unadjusted is None
        else {
            "width": adjusted.width,
            "known": adjusted.known,
            "difference_without": effect.unadjusted[0],
            "error_without": effect.unadjusted[1],
        },
        "lacking": effect.lacking,
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
