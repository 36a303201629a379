"""`compare`: models on the same records, each against the first one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexitrain.comparison.costs import Costs, cost_rows, costs_of
from lexitrain.comparison.paired import PairedTask, adjusted, paired_tasks
from lexitrain.errors import DataError, InputError
from lexitrain.evaluation import EvaluationReport, evaluate, require_model
from lexitrain.storage import told_apart, write_json
from lexitrain.tasks import holm

Progress = Callable[[str, int, int], None]

MARGIN = 0.05
"""How much worse counts as no worse, unless said otherwise: five points of a hundred."""


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """Models on the same records.

    Attributes:
        names: of the models, told apart; the first is what the others are compared with.
        reports: their evaluations.
        costs: of each.
        pairs: of each model but the first, its differences to the first by task.
        margin: how much worse counts as no worse, in units of the score.
    """

    names: tuple[str, ...]
    reports: tuple[EvaluationReport, ...]
    costs: tuple[Costs, ...]
    pairs: tuple[tuple[PairedTask, ...], ...]
    margin: float

    def verdict(self, other: int) -> str:
        """What model number `other` (from 1) lost and saved against the first, in a sentence or two."""
        tasks = self.pairs[other - 1]
        parts = [
            f"{sign} in {', '.join(named)}"
            for sign in ("better", "worse")
            if (named := [task.task for task in tasks if task.sign == sign])
        ]
        said = "; ".join(parts) or "no difference shown in any task"
        kept = {
            verdict: [task.task for task in tasks if task.no_worse == verdict]
            for verdict in ("shown", "refuted", "not enough evidence")
        }
        words = {
            "shown": f"no worse by {self.margin:g} shown in",
            "refuted": f"worse by more than {self.margin:g} in",
            "not enough evidence": f"not enough evidence for {self.margin:g} in",
        }
        margins = "; ".join(f"{words[v]} {', '.join(named)}" for v, named in kept.items() if named)
        saved = self._saved(other)
        return f"{self.names[other]} against {self.names[0]}: {said}. {margins or 'Nothing to compare'}.{saved}"

    @property
    def cost_rows(self) -> list[tuple[str, list[str]]]:
        """The costs as a table: what each is, then that of every model."""
        return cost_rows(self.costs)

    def _saved(self, other: int) -> str:
        pairs = (
            ("training time", self.costs[0].training_hours, self.costs[other].training_hours),
            ("memory", self.costs[0].training_memory_gb, self.costs[other].training_memory_gb),
        )
        told = [f"{b / a:.2f} times the {name}" for name, a, b in pairs if a and b]
        return f" It took {' and '.join(told)}." if told else ""

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON, without the answers."""
        first = self.reports[0]
        return {
            "data": {"name": first.data.name, "file": str(first.data.file)},
            "margin": self.margin,
            "models": [
                {"name": name, "costs": costs.to_json(), "evaluation": report.to_json()}
                for name, costs, report in zip(self.names, self.costs, self.reports, strict=True)
            ],
            "differences": [
                {
                    "model": self.names[number],
                    "against": self.names[0],
                    "verdict": self.verdict(number),
                    "tasks": {task.task: task.to_json() for task in tasks},
                }
                for number, tasks in enumerate(self.pairs, start=1)
            ],
        }

    def save(self, folder: str | Path) -> Path:
        """Write `comparison.json`; returns its path.

        Raises:
            InputError: the folder cannot be written to.
        """
        path = Path(folder) / "comparison.json"
        try:
            write_json(path, self.to_json())
        except OSError as error:
            raise InputError(
                f"The comparison cannot be saved: {error.strerror}.", where=path
            ) from error
        return path


def compare(
    models: Sequence[str | Path],
    data: str | Path,
    *,
    margin: float = MARGIN,
    task: str | None = None,
    limit: int | None = None,
    batch_size: int = 64,
    group: str | None = None,
    out: str | Path | None = None,
    custom_tasks: Sequence[str] = (),
    trust_tasks: bool = False,
    progress: Progress | None = None,
) -> ModelComparison:
    """Score models on the same records and tell how they differ from the first one.

    Args:
        models: two or more, each a run, an adapter, a base, a merged model or an address, as `evaluate` takes them.
        margin: how much worse is still no worse, in units of the score that decides a task.
        out: folder in which each model's answers are kept as they come, so that an interrupted comparison goes on; by
            default nothing is written.
        data, task, limit, batch_size, group, custom_tasks, trust_tasks: as of `evaluate`.
        progress: called with what is being done, how much of it is done, and how much there is.

    Raises:
        InputError: fewer than two models, a margin that is not above 0 or allows everything, or whatever `evaluate`
            raises.
    """
    if len(models) < 2:
        raise InputError("A comparison takes two models or more.", where="MODEL")
    if not margin > 0 or margin == float("inf"):
        raise InputError("A margin is more than 0.", where="--margin")
    if margin >= 1 and not (custom_tasks or trust_tasks):  # whose scores may be of any scale
        raise InputError(
            f"A margin of {margin:g} is as large as the scores themselves, which lie between 0 and 1: any model would "
            "be no worse by it.",
            where="--margin",
            fix=f"Five points of a hundred are 0.05. Did you mean {margin / 100:g}?",
        )
    names = told_apart([str(model) for model in models])
    for model in models:
        require_model(model)  # the second one's mistake should not cost the first one's minutes
    reports: list[EvaluationReport] = []
    for number, (model, name) in enumerate(zip(models, names, strict=True)):
        report = evaluate(
            model,
            data,
            task=task,
            limit=limit,
            batch_size=batch_size,
            group=group,
            out=None if out is None else Path(out) / f"{number + 1}-{_folder_name(name)}",
            resumable=out is not None,
            custom_tasks=custom_tasks,
            trust_tasks=trust_tasks,
            progress=_named(progress, name),
        )
        if out is not None:
            report.save()
        reports.append(report)
    return compared(reports, margin)


def compared(reports: Sequence[EvaluationReport], margin: float = MARGIN) -> ModelComparison:
    """How evaluated models differ from the first one, on the records that both have answered.

    Raises:
        DataError: two of them have none in common.
    """
    names = told_apart([report.model.name for report in reports])
    pairs = [paired_tasks(reports[0], other, margin) for other in reports[1:]]
    if not any(pairs):
        raise DataError(
            "The models have answered no record of one task in common.",
            where=reports[0].data.file,
            fix="Give records of tasks that all models have adapters for, or --task.",
        )
    p_values = iter(holm([each.decisive.p for tasks in pairs for each in tasks]))
    return ModelComparison(
        names=tuple(names),
        reports=tuple(reports),
        costs=tuple(costs_of(report) for report in reports),
        pairs=tuple(tuple(adjusted(each, next(p_values)) for each in tasks) for tasks in pairs),
        margin=margin,
    )


def _folder_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in name)[-60:]


def _named(progress: Progress | None, name: str) -> Progress | None:
    if progress is None:
        return None
    return lambda stage, done, total: progress(f"{name}: {stage}", done, total)
