"""What a test says, as numbers: everything that its page, its JSON and its verdict show."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lexitrain.abtest.observations import Experiment
from lexitrain.abtest.report.breakdown import Breakdown
from lexitrain.abtest.report.verdict import Verdict
from lexitrain.abtest.report.wording import cells
from lexitrain.abtest.statistics.effects import Effect
from lexitrain.abtest.statistics.harm import Guardrail
from lexitrain.abtest.statistics.metrics import Metric
from lexitrain.abtest.statistics.sample_ratio import SampleRatio
from lexitrain.errors import InputError
from lexitrain.storage import write_json

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class MetricEffect:
    """One metric of the test.

    Attributes:
        metric: what is asked.
        effect: the difference.
        adjusted_p, adjusted_always_valid_p: for how many metrics there are besides the first; of the first as they are.
    """

    metric: Metric
    effect: Effect
    adjusted_p: float | None
    adjusted_always_valid_p: float | None

    def row(self) -> list[str]:
        """As a row of a table: what it is, both arms, the difference, its intervals."""
        return cells(self.metric.title, self.metric, self.effect)


@dataclass(frozen=True, slots=True)
class Moment:
    """The metric that decides as it was at a moment.

    Attributes:
        time: seconds since 1970.
        learners: who had come, both arms together.
        effect: of all that was seen until then.
    """

    time: float
    learners: int
    effect: Effect


@dataclass(frozen=True, slots=True)
class AbReport:
    """What a test says.

    Attributes:
        experiment: what is tested.
        alpha: chance of a wrong call.
        margin: how much worse is no worse, in units of the metric that decides.
        learners, exposures: in all.
        first, last: moments of the first and the last exposure, seconds since 1970.
        crossed: learners who were shown the other arm too.
        verdict: in plain language.
        metrics: the first one decides.
        guardrails: what must not get worse.
        sample_ratio: of the assignment.
        pre_imbalance: p value of the values from before being alike; None: there are none.
        tasks: the metric that decides by task.
        moments: and over time.
        cautions: what to know besides.
    """

    experiment: Experiment
    alpha: float
    margin: float
    learners: int
    exposures: int
    first: float
    last: float
    crossed: int
    verdict: Verdict
    metrics: tuple[MetricEffect, ...]
    guardrails: tuple[Guardrail, ...]
    sample_ratio: SampleRatio
    pre_imbalance: float | None
    tasks: Breakdown
    moments: tuple[Moment, ...]
    cautions: tuple[str, ...]

    @property
    def days(self) -> float:
        """From the first exposure to the last."""
        return (self.last - self.first) / DAY

    def to_json(self) -> dict[str, Any]:
        """All of the report as JSON; a number that cannot be told is null."""
        experiment = self.experiment
        ratio = self.sample_ratio
        return {
            "experiment": {
                "name": experiment.name,
                "arms": list(experiment.arms),
                "ratio": list(experiment.ratio),
                "planned": None if experiment.planned is None else asdict(experiment.planned),
            },
            "verdict": asdict(self.verdict),
            "alpha": self.alpha,
            "margin": self.margin,
            "learners": self.learners,
            "exposures": self.exposures,
            "first": _moment(self.first),
            "last": _moment(self.last),
            "days": self.days,
            "learners_who_saw_both_arms": self.crossed,
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
                for place, each in enumerate(self.metrics)
            },
            "guardrails": {each.name: asdict(each) for each in self.guardrails},
            "sample_ratio": {**asdict(ratio), "broken": ratio.broken},
            "pre_period_imbalance_p": self.pre_imbalance,
            "tasks": {
                each.task: {
                    "shares": list(each.shares),
                    **_effect(each.effect),
                    "adjusted_p": each.adjusted_p,
                    "adjusted_always_valid_p": each.adjusted_always_valid_p,
                }
                for each in self.tasks.tasks
            },
            "difference_at_equal_task_shares": self.tasks.equal_shares,
            "task_mix_p": self.tasks.mix_p,
            "moments": [
                {
                    "time": _moment(each.time),
                    "learners": each.learners,
                    "difference": each.effect.difference,
                    "sequence": [each.effect.sequence_low, each.effect.sequence_high],
                    "fixed": [each.effect.low, each.effect.high],
                }
                for each in self.moments
            ],
            "cautions": list(self.cautions),
        }

    def save(self, folder: str | Path) -> Path:
        """Write `ab.json`; returns its path.

        Raises:
            InputError: the folder cannot be written to.
        """
        path = Path(folder) / "ab.json"
        try:
            write_json(path, self.to_json())
        except OSError as error:
            raise InputError(
                f"The report cannot be saved: {error.strerror}.", where=path
            ) from error
        return path


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
