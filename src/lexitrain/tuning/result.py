"""What a study found, as typed values and as result.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from lexitrain.errors import number_of
from lexitrain.tuning.designs.race import Race, ranking
from lexitrain.tuning.designs.sweep import Sweep
from lexitrain.tuning.designs.unit import in_words
from lexitrain.tuning.spread import Spread, diminishing

if TYPE_CHECKING:
    from lexitrain.tuning.designs.unit import Changes, Design, Outcome
    from lexitrain.tuning.price import Price


@dataclass(frozen=True)
class SweepPoint:
    """One combination of a sweep.

    Attributes:
        title: as `field=value`.
        values: of the swept fields.
        loss: over the seeds that are done; None where none is.
        losses: one a seed, in the order of the seeds.
        seconds: mean of a run.
        memory_gb: largest peak, as an outcome has it.
        parameters: that are trained.
        failed: reasons of the seeds that failed.
    """

    title: str
    values: Mapping[str, Any]
    loss: Spread | None
    losses: tuple[float, ...]
    seconds: float | None
    memory_gb: float | None
    parameters: int | None
    failed: tuple[str, ...]


@dataclass(frozen=True)
class Best:
    """What came out best.

    Attributes:
        changes: of the recipe; empty: the recipe itself.
        loss: its validation loss, nats a supervised token; the mean over seeds of a sweep.
        share: of a whole run after which that was measured.
        baseline: the recipe's own loss at the same share; None where it was not run so far, or in a sweep that leaves
            its values out.
        run: folder of its run, the first seed's in a sweep.
    """

    changes: Changes
    loss: float
    share: float
    baseline: float | None
    run: Path

    @property
    def changed(self) -> str:
        """The changes as `field=value`, or that it is the recipe itself."""
        return in_words(self.changes)


@dataclass(frozen=True)
class TuningResult:
    """What a call of `tune` found.

    Attributes:
        state: `complete`; `budget`, where trials that were due were not begun for it; `planned` after a dry run.
        out: folder of the study.
        kind: `race` or `sweep`.
        recipe: name of the recipe that was changed.
        price: as foreseen; None where runs cannot be planned, and `not_foreseen` says why.
        budget: in words.
        hours: of machines, spent on the trials that have ended.
        outcomes: of all trials that have ended, best first within a rung.
        best: what came out best; None where no trial has a loss.
        best_recipe: the file that holds it.
        points: of a sweep.
        diminishing: title of the combination from which on no larger value is shown to be better, for a sweep of one
            numeric field with two seeds at least.
        scale: alpha / rank that a swept rank kept.
        incomparable: why the losses of a sweep's values do not compare, so that there is no best; empty: they do.
    """

    state: Literal["complete", "budget", "planned"]
    out: Path
    kind: Literal["race", "sweep"]
    recipe: str
    price: Price | None
    not_foreseen: str
    budget: str
    hours: float = 0.0
    outcomes: tuple[Outcome, ...] = ()
    best: Best | None = None
    best_recipe: Path | None = None
    points: tuple[SweepPoint, ...] = ()
    diminishing: str | None = None
    scale: float | None = None
    incomparable: str = ""
    _axes: Sequence[str] = field(default=(), repr=False)

    @property
    def axes(self) -> tuple[str, ...]:
        """The fields that were varied."""
        return tuple(self._axes)

    def to_json(self) -> dict[str, Any]:
        """The document of result.json and of `tune --json`."""
        best = self.best
        return {
            "state": self.state,
            "kind": self.kind,
            "recipe": self.recipe,
            "out": str(self.out),
            "fields": list(self.axes),
            "budget": self.budget,
            "hours": round(self.hours, 5),
            "price": None if self.price is None else self.price.to_json(),
            **({"not_foreseen": self.not_foreseen} if self.not_foreseen else {}),
            "best": None
            if best is None
            else {
                "changes": dict(best.changes),
                "loss": best.loss,
                "share": round(best.share, 6),
                "baseline": best.baseline,
                "run": str(best.run),
                "recipe": None if self.best_recipe is None else str(self.best_recipe),
            },
            **self._sweep_json(),
            "trials": [each.to_json() for each in self.outcomes],
        }

    def _sweep_json(self) -> dict[str, Any]:
        if self.kind == "race":
            return {}
        return {
            "points": [
                {
                    "values": dict(each.values),
                    "loss": None if each.loss is None else each.loss.mean,
                    "interval": None
                    if each.loss is None or each.loss.low is None
                    else [each.loss.low, each.loss.high],
                    "losses": list(each.losses),
                    "seconds": each.seconds,
                    "memory_gb": each.memory_gb,
                    "parameters": each.parameters,
                    **({"failed": list(each.failed)} if each.failed else {}),
                }
                for each in self.points
            ],
            "diminishing_from": self.diminishing,
            "scale_kept": self.scale,
            **({"incomparable": self.incomparable} if self.incomparable else {}),
        }


def sorted_outcomes(outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
    """By share, and the lowest loss first; failed ones last."""

    def place(each: Outcome) -> tuple[float, bool, float]:
        return each.unit.share, each.loss is None, each.loss or 0.0

    return tuple(sorted(outcomes, key=place))


def best_of(design: Design, outcomes: Sequence[Outcome], out: Path) -> Best | None:
    """The best of those that came furthest; None where none has a loss."""
    ranked = ranking(outcomes)
    if not ranked:
        return None
    share = max(each.unit.share for each in ranked)
    last = [each for each in ranked if each.unit.share == share]
    means = {each.unit.key: each.loss or 0.0 for each in last}
    if isinstance(design, Sweep):
        last, means = _complete_points(design, last)
    best = min(last, key=lambda each: means[each.unit.key])
    itself = design.own_point if isinstance(design, Sweep) else {}
    own = [means[each.unit.key] for each in last if each.unit.changes == itself]
    return Best(
        changes=best.unit.changes,
        loss=means[best.unit.key],
        share=share,
        baseline=own[0] if own else None,
        run=out / "trials" / best.run,
    )


def _complete_points(
    design: Sweep, outcomes: Sequence[Outcome]
) -> tuple[list[Outcome], dict[str, float]]:
    """The combinations that have the most seeds, each by its first run; and the mean over their seeds."""
    groups = [[each for each in outcomes if each.unit.changes == point] for point in design.points]
    most = max(len(group) for group in groups)
    chosen = [group for group in groups if len(group) == most]
    firsts = [min(group, key=lambda each: each.unit.seed) for group in chosen]
    means = [fmean(each.loss or 0.0 for each in group) for group in chosen]
    return firsts, {each.unit.key: mean for each, mean in zip(firsts, means, strict=True)}


def sweep_points(design: Design, outcomes: Sequence[Outcome]) -> tuple[SweepPoint, ...]:
    """The combinations of a sweep in their order; none for a race."""
    if not isinstance(design, Sweep):
        return ()
    return tuple(
        _point(design, point, [each for each in outcomes if each.unit.changes == point])
        for point in design.points
    )


def _point(design: Sweep, point: Changes, outcomes: Sequence[Outcome]) -> SweepPoint:
    done = sorted(ranking(outcomes), key=lambda each: each.unit.seed)
    losses = tuple(each.loss or 0.0 for each in done)
    return SweepPoint(
        title=design.title(point),
        values={name: point[name] for name in design.axes},
        loss=Spread.of(losses) if losses else None,
        losses=losses,
        seconds=round(fmean(each.seconds for each in done), 1) if done else None,
        memory_gb=max(
            (each.memory_gb for each in done if each.memory_gb is not None), default=None
        ),
        parameters=max((each.parameters or 0 for each in done), default=None),
        failed=tuple(each.reason for each in outcomes if each.loss is None),
    )


def diminishing_from(design: Design, points: Sequence[SweepPoint]) -> str | None:
    """Title of the point from which on no larger value is shown to be better, as `diminishing` says."""
    if not isinstance(design, Sweep) or len(design.axes) != 1:
        return None
    (name,) = design.axes
    numeric = [each for each in points if isinstance(each.values[name], int | float)]
    if len(numeric) != len(points) or any(len(each.losses) != len(design.seeds) for each in points):
        return None
    rising = sorted(points, key=lambda each: each.values[name])
    index = diminishing([each.losses for each in rising])
    return None if index is None else rising[index].title


_OTHER_MEASURE = {
    "step.loss": "over which tokens the loss is",
    "validation.limit": "how many validation samples count",
    "data.adapters": "whether the loss is a mean over tasks",
}


def incomparable(design: Design, outcomes: Sequence[Outcome]) -> str:
    """Why losses of different values do not compare; empty where they do.

    A loss is a mean over tokens: with another tokenizer, template, length or choice of tasks it is one over others.
    """
    reasons = [text for name, text in _OTHER_MEASURE.items() if len(design.axes.get(name, ())) > 1]
    if len({each.samples for each in outcomes if each.loss is not None}) > 1:
        reasons.append("the samples as the model sees them, in tokens")
    return f"the values differ in {', '.join(reasons)}" if reasons else ""


def why(result: TuningResult, design: Design) -> str:
    """Why the best recipe is what it is, in a sentence for its description."""
    best = result.best
    if best is None:
        return ""
    device = "" if result.price is None else f" on {result.price.device}"
    ended = sum(each.loss is not None for each in result.outcomes)
    if isinstance(design, Race):
        among = f"a race of {number_of(design.entrants, 'candidate')} over {', '.join(design.axes)}"
    else:
        among = f"a sweep of {', '.join(design.axes)}"
    cost = f"{number_of(ended, 'trial')}, {result.hours:.2g} h{device}, budget: {result.budget}"
    at = (
        ""
        if best.share >= 1
        else f" after {best.share:.0%} of the samples, as the budget ended there"
    )
    others = sorted(
        each.loss.mean
        for each in result.points
        if each.loss is not None and each.loss.mean > best.loss
    )
    if best.baseline is not None and best.baseline <= best.loss:
        beat = f"nothing beat {result.recipe} itself, {best.loss:.4f}"
    elif best.baseline is not None:
        less = 1 - best.loss / best.baseline
        beat = (
            f"{best.loss:.4f} instead of {best.baseline:.4f} of {result.recipe} ({less:.1%} less)"
        )
    else:
        beat = f"{best.loss:.4f}" + (f", the next best {others[0]:.4f}" if others else "")
    return f"Found by {among}: validation loss {beat}{at}; {cost}."
