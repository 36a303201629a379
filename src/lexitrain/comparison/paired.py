"""The differences between two models that answered the same records, task by task.

Records are those that both have answered. The first score of a task decides: its p value is adjusted for the number of
comparisons (Holm), and it is asked whether the other model is no worse by the margin. The other scores have intervals
and no verdict: with so many of them some differ by chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lexitrain.tasks import POWER, Difference, NoWorse, difference, pooled_mean, records_in_words

if TYPE_CHECKING:
    from lexitrain.evaluation import ConversationEvaluation, EvaluationReport, TaskEvaluation
    from lexitrain.tasks import Answer, Statistic, Task

Sign = Literal["better", "worse", "no difference shown"]

ALPHA = 0.05
CONVERSATION_PRIMARY = "chrf"
_MOST_REGRESSIONS = 5
_CHUNK = 200


@dataclass(frozen=True, slots=True)
class Regression:
    """A record that the other model answers worse.

    Attributes:
        row: of the record in its file.
        score: name of the score that fell.
        first, other: its value on this record alone.
        input, reference, first_text, other_text: what was asked, what is right, what each said.
    """

    row: int
    score: str
    first: float
    other: float
    input: str
    reference: Any
    first_text: str
    other_text: str


@dataclass(frozen=True, slots=True)
class PairedTask:
    """One task's differences, the other model's scores less the first one's.

    Attributes:
        task: short name; of free text in conversations with `, conversations`.
        primary: the score that decides.
        differences: by score name.
        lower_is_better: names of scores where less is better.
        adjusted_p: of the primary score, for the number of comparisons.
        margin: how much worse is still no worse.
        regressions: the records whose score fell most.
        left_out: records that one of the two has not answered.
    """

    task: str
    primary: str
    differences: Mapping[str, Difference]
    lower_is_better: frozenset[str]
    margin: float
    adjusted_p: float | None = None
    regressions: Sequence[Regression] = ()
    left_out: int = 0

    @property
    def decisive(self) -> Difference:
        """The difference in the primary score."""
        return self.differences[self.primary]

    @property
    def sign(self) -> Sign:
        """Whether the other model is better, worse, or neither is shown at a level of 5 %."""
        value = self.decisive.value
        if self.adjusted_p is None or value is None or self.adjusted_p > ALPHA or value == 0:
            return "no difference shown"
        return "better" if (value < 0) == (self.primary in self.lower_is_better) else "worse"

    @property
    def no_worse(self) -> NoWorse:
        """Whether the other model is no worse by the margin."""
        return self.decisive.no_worse(
            self.margin, lower_is_better=self.primary in self.lower_is_better
        )

    @property
    def records_to_show(self) -> int | None:
        """Records that it would take to show or refute that; None where it has been, or nobody can tell."""
        if self.no_worse != "not enough evidence":
            return None
        return self.decisive.records_to_show(
            self.margin, lower_is_better=self.primary in self.lower_is_better
        )

    @property
    def no_worse_in_words(self) -> str:
        """Whether the other model is no worse by the margin, and the records that it would take to tell."""
        wanted = self.records_to_show
        return self.no_worse + ("" if wanted is None else f" ({records_in_words(wanted)} records)")

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "primary": self.primary,
            "sign": self.sign,
            "adjusted_p": self.adjusted_p,
            "no_worse_by_margin": self.no_worse,
            "records_to_show": self.records_to_show,
            "records_to_find_the_margin": self.decisive.records_for(self.margin),
            "power": POWER,
            "left_out": self.left_out,
            "differences": {
                name: {
                    **asdict(each),
                    "lower_is_better": name in self.lower_is_better,
                }
                for name, each in self.differences.items()
            },
            "regressions": [asdict(each) for each in self.regressions],
        }


def paired_tasks(
    first: EvaluationReport, other: EvaluationReport, margin: float
) -> list[PairedTask]:
    """The differences in every task that both have answered; p values are not adjusted yet."""
    found = [
        _paired(first.registry[name], first, one, other.evaluation.tasks[name], margin)
        for name, one in first.evaluation.tasks.items()
        if name in other.evaluation.tasks
    ]
    found += [
        _paired_conversations(first, one, other.evaluation.conversations[name], margin)
        for name, one in first.evaluation.conversations.items()
        if name in other.evaluation.conversations and one.free_turns
    ]
    return [each for each in found if each.differences]


def adjusted(task: PairedTask, p: float | None) -> PairedTask:
    """The task with its adjusted p value."""
    return replace(task, adjusted_p=p)


def _paired(
    task: Task,
    report: EvaluationReport,
    first: TaskEvaluation,
    other: TaskEvaluation,
    margin: float,
) -> PairedTask:
    theirs = {each.key: each for each in other.answers}
    pairs = [(each, theirs[each.key]) for each in first.answers if each.key in theirs]
    keys = {each.key for each in first.answers} | set(theirs)
    if not pairs:
        return PairedTask(task.short, first.primary, {}, first.lower_is_better, margin)
    records = [one.record for one, _ in pairs]
    said: list[Answer | None] = [one.answer for one, _ in pairs]
    said += [two.answer for _, two in pairs]
    statistics = task.statistics([*records, *records], said)
    groups = report.evaluation.grouping.of([one.row for one, _ in pairs])
    n, primary = len(pairs), first.primary
    differences = {
        name: difference(each, n, groups=groups, test=name == primary)
        for name, each in statistics.items()
    }
    lower = primary in first.lower_is_better
    worst = _worst(statistics[primary], n, lower_is_better=lower) if primary in statistics else []
    regressions = [
        Regression(
            *(pairs[place][0].row, primary, before, after, pairs[place][0].record.input),
            *(pairs[place][0].reference, pairs[place][0].text, pairs[place][1].text),
        )
        for place, before, after in worst
    ]
    return PairedTask(
        task.short,
        primary,
        differences if primary in differences else {},
        first.lower_is_better,
        margin,
        regressions=regressions,
        left_out=len(keys) - n,
    )


def _worst(
    statistic: Statistic, n: int, *, lower_is_better: bool
) -> list[tuple[int, float, float]]:
    """Records whose score, each taken alone, falls most: (place, before, after)."""
    values: list[np.ndarray] = []
    for start in range(0, 2 * n, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, 2 * n))
        alone = np.zeros((len(rows), 2 * n))
        alone[np.arange(len(rows)), rows] = 1.0
        values.append(statistic(alone))
    both = np.concatenate(values)
    before, after = both[:n], both[n:]
    loss = np.nan_to_num((after - before) if lower_is_better else (before - after), nan=-1.0)
    order = np.argsort(-loss, kind="stable")[:_MOST_REGRESSIONS]
    return [(int(i), float(before[i]), float(after[i])) for i in order if loss[i] > 0]


def _paired_conversations(
    report: EvaluationReport,
    first: ConversationEvaluation,
    other: ConversationEvaluation,
    margin: float,
) -> PairedTask:
    """Of the turns of free text, by conversation."""
    theirs = {each.key: each for each in other.answers if each.text is not None}
    ours = {each.key: each for each in first.answers if each.text is not None}
    keys = sorted(ours.keys() & theirs.keys())
    rows = sorted({key[0] for key in keys})
    place = {row: number for number, row in enumerate(rows)}
    n = len(rows)
    totals = {name: np.zeros(2 * n) for name in (CONVERSATION_PRIMARY, "exact_match")}
    counts = np.zeros(2 * n)
    for start, answers in ((0, ours), (n, theirs)):
        for key in keys:
            at, turn = start + place[key[0]], answers[key]
            totals[CONVERSATION_PRIMARY][at] += turn.chrf or 0.0
            totals["exact_match"][at] += bool(turn.exact)
            counts[at] += 1
    groups = report.evaluation.grouping.of(rows)
    differences = {
        name: difference(
            pooled_mean(total, counts), n, groups=groups, test=name == CONVERSATION_PRIMARY
        )
        for name, total in totals.items()
        if n
    }
    return PairedTask(
        f"{first.task}, conversations",
        CONVERSATION_PRIMARY,
        differences,
        frozenset(),
        margin,
        left_out=len(ours.keys() ^ theirs.keys()),
    )
