"""How often the statistics of `lexitrain ab` err: `python -m benchmarks.ab_simulation`.

Simulated are experiments of 2,000 learners who ask 1 to 20 times each, at moments between their arrival and the end of
the test, some of them rated. A learner's chance to call an answer helpful is drawn from a beta distribution, so that a
learner's ratings are alike. Every experiment is read again and again, as somebody does who looks at a page, all looks
at once in arrays; that these say what the product's own function says is checked in every world before.

Four questions, each with its limit:

* false alarms of two equal models, looked at 200 times: of the sequence at most 5 % (by its lower 95 % limit, in every
  way in which learners may come and rate), with those of the interval for one look beside it;
* power against what `ab plan` promises, read once and read daily: within 3 points;
* the check of the assignment finds 52 to 48 at 20,000 learners, and how often it is wrong;
* an interval with values from before is as wide as sqrt(1 - r²), within 10 %, and covers the truth as often as without,
  also where newcomers have no value and differ from others.

Some minutes on one core; `--experiments 100` tries it in half a minute.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from scipy.stats import t as student

from lexitrain.abtest.planning.plan import AbQuestion, plan_ab
from lexitrain.abtest.planning.traffic import AbTraffic
from lexitrain.abtest.statistics.effects import Looking, effect_of
from lexitrain.abtest.statistics.learner_sums import LearnerSums
from lexitrain.abtest.statistics.sample_ratio import sample_ratio
from lexitrain.abtest.statistics.sequence import LEAST_LEARNERS, TUNED_FOR, best_time, harmonic

RESULT = Path(__file__).parent / "results" / "ab-simulation.json"
LEARNERS, MOST_VISITS = 2000, 20
VISITS, VISITS_SD = 10.5, math.sqrt((20**2 - 1) / 12)
BASELINE, ALIKE, TOLD = 0.6, 0.2, 0.5
LOOKS, DAYS = 200, 28
ALPHA, POWER = 0.05, 0.8

Array = np.ndarray


@dataclass(frozen=True)
class World:
    """How learners come and rate.

    `early` learners are all there at the start; `late_bloom` makes those who come late ask more than those who come
    early; who asks `at_once` is done on the day of arrival. `values` draws the values of exposures, given each one's
    learner and arm.
    """

    values: Callable[[np.random.Generator, Array, Array], Array]
    told: float = TOLD
    early: bool = False
    late_bloom: bool = False
    at_once: bool = False
    learners: int = LEARNERS


def shares(baseline: float, alike: float, effect: float = 0.0) -> Callable[..., Array]:
    """Yes and no, with a chance that differs between learners."""

    def draw(random: np.random.Generator, arm: Array, learner: Array) -> Array:
        mean = baseline + effect * arm
        size = 1 / alike - 1 if alike else math.inf
        chance = mean if math.isinf(size) else random.beta(mean * size, (1 - mean) * size)
        return (random.random(len(learner)) < chance[learner]).astype(float)

    return draw


def seconds(random: np.random.Generator, arm: Array, learner: Array) -> Array:
    """Log-normal waiting times with learners whose networks differ."""
    slow = random.normal(0, 0.4, len(arm))
    return np.exp(random.normal(0, 0.6, len(learner)) + slow[learner])


@dataclass(frozen=True)
class Drawn:
    """One experiment: of each exposure with a value its learner, value and moment (0 to 1); of each learner the arm."""

    arm: Array
    arrival: Array
    learner: Array
    value: Array
    moment: Array


def drawn(random: np.random.Generator, world: World) -> Drawn:
    """Draw an experiment."""
    arm = (random.random(world.learners) < 0.5).astype(np.int64)
    arrival = np.zeros(world.learners) if world.early else np.sort(random.random(world.learners))
    visits = random.integers(1, MOST_VISITS + 1, world.learners)
    if world.late_bloom:
        visits = np.where(arrival < 0.5, 1 + visits // 10, visits * 3)
    learner = np.repeat(np.arange(world.learners), visits)
    moment = arrival[learner] + random.random(len(learner)) * (1 - arrival[learner])
    if world.at_once:
        moment = arrival[learner]
    value = world.values(random, arm, learner)
    told = random.random(len(learner)) < world.told
    return Drawn(arm, arrival, learner[told], value[told], moment[told])


@dataclass(frozen=True)
class Looks:
    """What is read at each look: difference, both p values, and whether there are 50 learners in each arm."""

    difference: Array
    once: Array
    always: Array
    enough: Array


def looks_at(seen: Drawn, looks: int, looking: Looking) -> Looks:
    """What `effect_of` says at each look, all looks at once; `agrees` holds it to `effect_of` itself."""
    n = len(seen.arm)
    place = np.minimum((seen.moment * looks).astype(np.int64), looks - 1)
    cell = place * n + seen.learner
    total, count = (
        np.bincount(cell, weights=weights, minlength=looks * n).reshape(looks, n).cumsum(axis=0)
        for weights in (seen.value, np.ones(len(cell)))
    )
    squared = np.bincount(place, weights=seen.value**2, minlength=looks)
    arms = [_arm(total[:, own], count[:, own]) for own in (seen.arm == 0, seen.arm == 1)]
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(arms[0].variance + arms[1].variance)
        difference = arms[1].value - arms[0].value
        exposures = arms[0].exposures + arms[1].exposures
        left = squared.cumsum() - sum(each.value**2 * each.exposures for each in arms)
        together = arms[0].exposures * arms[1].exposures / exposures
        x = (error * together) ** 2 / (left / exposures) / looking.planned * best_time(ALPHA)
        z = difference / error
        always = np.exp(-np.maximum(0.0, z * z * x / (2 * (x + 1)) - np.log(x + 1) / 2))
        parts = sum(each.variance**2 / (each.even - 1) for each in arms)
        once = 2 * student.sf(np.abs(z), np.floor(error**4 / parts))
    enough = np.minimum(arms[0].even, arms[1].even) >= LEAST_LEARNERS
    return Looks(difference, once, np.where(enough, always, 1.0), enough)


@dataclass(frozen=True)
class _Arm:
    value: Array
    variance: Array
    exposures: Array
    even: Array


def _arm(total: Array, count: Array) -> _Arm:
    exposures = count.sum(axis=1)
    learners = np.count_nonzero(count, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = total.sum(axis=1) / exposures
        pulled = (total - value[:, None] * count) / (exposures[:, None] - count)
        variance = (pulled * pulled).sum(axis=1) * (learners - 1) / learners
        even = exposures**2 / (count * count).sum(axis=1)
    return _Arm(
        value, np.maximum(variance, (1 / (learners + 2)) ** 2), exposures, np.nan_to_num(even)
    )


def agrees(seen: Drawn, looks: int, looking: Looking) -> float:
    """Largest difference of any look between this file and the product."""
    fast, worst = looks_at(seen, looks, looking), 0.0
    for look in range(looks):
        early = seen.moment < (look + 1) / looks
        come = seen.arrival <= (look + 1) / looks
        learner, value = seen.learner[early], seen.value[early]
        total, count, squares = (
            np.bincount(learner, weights=weights, minlength=len(seen.arm))[come].astype(float)
            for weights in (value, np.ones(len(value)), value**2)
        )
        sums = LearnerSums(seen.arm[come], total, count, squares, np.full(int(come.sum()), np.nan))
        found = effect_of(sums, looking)
        if not fast.enough[look]:
            assert found.always_valid_p is None
            continue
        for mine, its in (
            (fast.difference, found.difference),
            (fast.once, found.p),
            (fast.always, found.always_valid_p),
        ):
            assert its is not None
            worst = max(worst, abs(float(mine[look]) - its))
    return worst


def share(hits: int, n: int) -> dict[str, float]:
    """A share with its 95 % Wilson interval."""
    p, z = hits / n, 1.96
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return {"share": p, "low": middle - half, "high": middle + half, "experiments": n}


WORLDS = {
    "learners come all the time": World(shares(BASELINE, ALIKE)),
    "all are there at the start": World(shares(BASELINE, ALIKE), early=True),
    "at the start, and visits are independent": World(shares(BASELINE, 0.0), early=True),
    "who comes late asks more": World(shares(BASELINE, ALIKE), late_bloom=True),
    "one in a hundred": World(shares(0.01, 0.05), told=1.0),
    "seconds": World(seconds, told=1.0),
    "200 learners": World(shares(BASELINE, ALIKE), learners=200),
}


def false_alarms(experiments: int) -> dict[str, Any]:
    """Of equal models, looked at again and again."""
    result = {}
    looking = Looking(ALPHA, harmonic(TUNED_FOR / 2, TUNED_FOR / 2))
    for name, world in WORLDS.items():
        sequence = naive = once = 0
        worst = agrees(drawn(np.random.default_rng([0, 0]), world), 12, looking)
        assert worst < 1e-5, worst
        for seed in range(experiments):
            found = looks_at(drawn(np.random.default_rng([1, seed]), world), LOOKS, looking)
            sequence += bool((found.always < ALPHA).any())
            naive += bool(((found.once < ALPHA) & found.enough).any())
            once += bool(found.once[-1] < ALPHA)
        result[name] = {
            "sequence": share(sequence, experiments),
            "interval_for_one_look_looked_at_always": share(naive, experiments),
            "interval_for_one_look_looked_at_once": share(once, experiments),
            "meets_target": share(sequence, experiments)["low"] <= ALPHA
            and sequence / experiments <= ALPHA + 0.005,
        }
        print(name, json.dumps(result[name]), flush=True)
    return result


def power(experiments: int) -> dict[str, Any]:
    """Of the smallest effect that 2,000 learners find, by the plan."""
    traffic = AbTraffic(LEARNERS / DAYS, VISITS, VISITS_SD, TOLD, ALIKE, learners=LEARNERS)
    first = plan_ab(AbQuestion("helpful", BASELINE, 0.1, alpha=ALPHA, power=POWER), traffic)
    result = {}
    for name, kind, at_once in (
        ("fixed", "fixed", False),
        ("sequential", "sequential", False),
        ("sequential, all visits at arrival", "sequential", True),
    ):
        smallest = first.smallest[0 if kind == "fixed" else 1]
        assert smallest is not None
        question = AbQuestion("helpful", BASELINE, smallest, alpha=ALPHA, power=POWER)
        plan = plan_ab(question, traffic, kind="fixed" if kind == "fixed" else "sequential")
        size = plan.chosen.exposures * traffic.design_effect
        looking = Looking(ALPHA, harmonic(size / 2, size / 2))
        world = World(
            shares(BASELINE, ALIKE, smallest), at_once=at_once, learners=plan.chosen.learners
        )
        hits, ends = 0, []
        for seed in range(experiments):
            seen = drawn(np.random.default_rng([2, seed]), world)
            found = looks_at(seen, 1 if kind == "fixed" else DAYS, looking)
            called = (found.once if kind == "fixed" else found.always) < ALPHA
            first_day = int(np.argmax(called))
            hits += bool(called[first_day] and found.difference[first_day] > 0)
            ends += [first_day + 1] if called[first_day] else []
        told = share(hits, experiments)
        result[name] = {
            "effect": smallest,
            "learners": plan.chosen.learners,
            "promised": POWER,
            "found": told,
            "meets_target": abs(told["share"] - POWER) <= 0.03,
        }
        if kind == "sequential":
            result[name]["ends_at_share_of_the_days"] = float(np.median(ends)) / DAYS
            result[name]["planned_typical_share"] = plan.chosen.typical_learners / LEARNERS
        print(name, json.dumps(result[name]), flush=True)
    return result


def assignment(experiments: int, learners: int = 20_000) -> dict[str, Any]:
    """52 to 48, and half to half."""
    found = {}
    for name, chance in (("52_to_48", 0.52), ("half_to_half", 0.5)):
        watched = both = 0
        for seed in range(experiments):
            arms = (np.random.default_rng([3, seed]).random(learners) < chance).astype(np.int64)
            both += sample_ratio(arms, (1, 1)).always_valid_p < 0.01
            n = np.arange(100, learners + 1)
            off = np.abs(2 * np.cumsum(arms)[99:] - n) / np.sqrt(n)
            watched += bool((off > 3.2905).any())
        # One look needs no order of arrival, and one in a thousand many experiments.
        others = np.random.default_rng([6]).binomial(learners, chance, 100 * experiments)
        hits = np.abs(2 * others - learners) / math.sqrt(learners) > 3.2905
        found[name] = {
            "read_once": share(int(hits.sum()), len(hits)),
            "chi_squared_read_always": share(watched, experiments),
            "always_valid_p_below_0.01": share(both, experiments),
        }
    found["meets_target"] = (
        found["52_to_48"]["read_once"]["share"] >= 0.98
        and found["half_to_half"]["read_once"]["low"] <= 0.001
        and found["half_to_half"]["always_valid_p_below_0.01"]["low"] <= 0.01
    )
    print("assignment", json.dumps(found), flush=True)
    return found


def pre_period(experiments: int, effect: float = 0.03) -> dict[str, Any]:
    """Intervals with values from before."""
    looking = Looking(ALPHA, harmonic(TUNED_FOR / 2, TUNED_FOR / 2))
    result, truth = {}, true_effect(effect)
    size = 1 / ALIKE - 1
    spread = BASELINE * (1 - BASELINE) * ALIKE  # variance between learners
    for name, noise, newcomers in (
        ("known of all", 0.15, 0.0),
        ("known of all, hardly related", 1.0, 0.0),
        ("newcomers have none and differ", 0.15, 0.4),
    ):
        widths, covered, plain, shifts = [], 0, 0, []
        for seed in range(experiments):
            random = np.random.default_rng([4, seed])
            arm = (random.random(LEARNERS) < 0.5).astype(np.int64)
            chance = random.beta(BASELINE * size, (1 - BASELINE) * size, LEARNERS)
            pre = chance + random.normal(0, noise, LEARNERS)
            if newcomers:  # the weaker ones
                pre[random.random(LEARNERS) < 2 * newcomers * (chance < BASELINE)] = np.nan
            chance = np.clip(chance + effect * arm, 0, 1)
            visits = random.binomial(random.integers(1, MOST_VISITS + 1, LEARNERS), TOLD).astype(
                float
            )
            total = random.binomial(visits.astype(np.int64), chance).astype(float)
            sums = LearnerSums(arm, total, visits, total, pre)
            found = effect_of(sums, looking)
            without = effect_of(
                LearnerSums(arm, total, visits, total, np.full(LEARNERS, np.nan)), looking
            )
            covered += found.low <= truth <= found.high
            plain += without.low <= truth <= without.high
            widths.append((found.high - found.low) / (without.high - without.low))
            shifts.append(found.difference - truth)
        m, square = VISITS * TOLD, VISITS * TOLD + TOLD**2 * (VISITS_SD**2 + VISITS**2 - VISITS)
        own = BASELINE * (1 - BASELINE) * (m + ALIKE * (square - m)) / m**2
        theory = math.sqrt(1 - spread**2 / (own * (spread + noise**2))) if not newcomers else None
        width = float(np.mean(widths))
        result[name] = {
            "width": width,
            "theory": theory,
            "covers_with": share(covered, experiments),
            "covers_without": share(plain, experiments),
            "bias": float(np.mean(shifts)),
            "bias_error": float(np.std(shifts) / math.sqrt(experiments)),
            "meets_target": (theory is None or abs(width / theory - 1) <= 0.1)
            and share(covered, experiments)["high"] >= 1 - ALPHA
            and width < 1,
        }
        print(name, json.dumps(result[name]), flush=True)
    return result


def true_effect(effect: float) -> float:
    """What `effect` adds on average where no chance exceeds 1."""
    random, size = np.random.default_rng(5), 1 / ALIKE - 1
    chance = random.beta(BASELINE * size, (1 - BASELINE) * size, 2_000_000)
    return float(np.mean(np.clip(chance + effect, 0, 1) - chance))


def main() -> None:
    """Simulate, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--experiments", type=int, default=2000)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    started = perf_counter()
    parts = {
        "false_alarms": false_alarms,
        "power": power,
        "assignment": assignment,
        "pre_period": pre_period,
    }
    found = {name: part(asked.experiments) for name, part in parts.items() if asked.only in name}
    result = {
        "experiments": asked.experiments,
        "learners": LEARNERS,
        "visits": [1, MOST_VISITS],
        "baseline": BASELINE,
        "alike": ALIKE,
        "rated": TOLD,
        "looks": LOOKS,
        "days": DAYS,
        **found,
        "seconds": round(perf_counter() - started, 1),
        "machine": platform.machine(),
    }
    asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
