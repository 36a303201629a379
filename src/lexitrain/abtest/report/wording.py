"""Numbers of a test as a person reads them: shares in points of a hundred."""

from __future__ import annotations

from lexitrain.abtest.sentences import sentence
from lexitrain.abtest.statistics.effects import Effect
from lexitrain.abtest.statistics.metrics import Metric


def amount(metric: Metric, value: float) -> str:
    """A difference without its sign, as a person reads it."""
    if metric.kind == "share":
        return sentence("points", value=f"{100 * abs(value):.1f}")
    return _with_unit(metric, f"{abs(value):.3g}")


def signed(metric: Metric, value: float) -> str:
    """A difference with its sign."""
    if metric.kind == "share":
        return sentence("points", value=f"{100 * value:+.1f}")
    return _with_unit(metric, f"{value:+.2f}")


def _with_unit(metric: Metric, number: str) -> str:
    return sentence(f"unit_{metric.unit.strip()}", value=number) if metric.unit else number


def between(metric: Metric, gains: tuple[float, float]) -> str:
    """An interval of gains as one of differences."""
    low, high = gains if metric.higher_is_better else (-gains[1], -gains[0])
    return interval_text(metric, low, high)


def to(learners: tuple[float, float]) -> str:
    """Learners of both arms, as `1,000 to 980`."""
    first, other = learners
    return sentence("to", first=f"{first:,.0f}", other=f"{other:,.0f}")


def in_words(p: float) -> str:
    """A p value, no more exactly than it is known."""
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}" if p > 1e-15 else "0"


def value_text(metric: Metric, value: float | None) -> str:
    """A metric's value; a dash where there is none."""
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if metric.kind == "share" else f"{value:.2f}{metric.unit}"


def interval_text(metric: Metric, low: float | None, high: float | None) -> str:
    """An interval; a dash where there is none."""
    if low is None or high is None:
        return "–"
    first = f"{100 * low:+.1f}" if metric.kind == "share" else f"{low:+.2f}"
    return sentence("from_to", low=first, high=signed(metric, high))


def cells(title: str, metric: Metric, effect: Effect) -> list[str]:
    """A row of a table: what it is, both arms, the difference, the interval for any number of looks, that for one."""
    return [
        title,
        *(value_text(metric, arm.value) for arm in effect.arms),
        "–" if effect.difference is None else signed(metric, effect.difference),
        interval_text(metric, effect.sequence_low, effect.sequence_high),
        interval_text(metric, effect.low, effect.high),
    ]
