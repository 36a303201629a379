"""From the answers to one task's questions to its scores: with intervals, beside the trivial predictor, by target."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from lexitrain.errors import InputError, RecipeError, nearest
from lexitrain.evaluation.generation import Said, numbered
from lexitrain.evaluation.groups import Grouping
from lexitrain.evaluation.questions import Question
from lexitrain.evaluation.task_scores import Answered, TaskEvaluation
from lexitrain.records import Record
from lexitrain.tasks import (
    Answer,
    Difference,
    Predictor,
    Score,
    Statistic,
    Targets,
    Task,
    bootstrap,
    difference,
    loads_strict,
    mean,
    pooled_mean,
)


class TaskJudge:
    """The scores of one task's answers. What can fail for want of a package or of training records is done first."""

    def __init__(
        self,
        task: Task,
        questions: Sequence[Question],
        train_records: Sequence[Record],
        grouping: Grouping,
        targets: Targets | None = None,
    ) -> None:
        """Args: targets: instead of the task's own.

        Raises:
            RecipeError: a target is of no score of the task.
            MissingExtra: a score needs a package that is not installed.
        """
        self.task = task
        self.questions = questions
        self.grouping = grouping
        own = [record for record in train_records if record.task == task.short]
        records = [question.record for question in questions]
        self.targets = task.targets if targets is None else targets
        scores = task.statistics(records, [None] * len(records))  # a package may be missing
        _require_scores(task, targets or {}, {*scores, *task.scores_of_some})
        try:
            self.predict: Predictor | None = task.trivial(own)
        except InputError:  # nothing to learn from
            self.predict = None

    def evaluation(
        self,
        said: Sequence[Sequence[Said]],
        losses: Sequence[tuple[float, int] | None],
        *,
        seconds: float,
        trained: bool | None,
    ) -> TaskEvaluation:
        task = self.task
        answered = [
            _answered(task, question, each, number, None if loss is None else loss[0] / loss[1])
            for question, answers, loss in zip(self.questions, said, losses, strict=True)
            for number, each in numbered(answers)
        ]
        rows = [each.row for each in answered]
        records = [each.record for each in answered]
        answers = [each.answer for each in answered]
        groups = self.grouping.of(rows)

        def scored(statistics: Mapping[str, Statistic]) -> dict[str, Score]:
            return {
                name: bootstrap(statistic, len(records), groups=groups)
                for name, statistic in statistics.items()
            }

        scores = scored(task.statistics(records, answers))
        validity = {
            "json": mean([_is_json(each.text) for each in answered]),
            "schema": mean([answer is not None for answer in answers]),
        }
        valid = scored(validity)
        trivial, gains = self._beside_trivial(records, answers, groups)
        return TaskEvaluation(
            task=task.short,
            json_validity=valid["json"],
            validity=valid["schema"],
            loss=self._loss(losses),
            scores=scores,
            trivial=trivial,
            gains=gains,
            primary=task.primary or next(iter(scores), ""),
            targets=self.targets,
            lower_is_better=task.lower_is_better,
            neither_is_better=task.neither_is_better,
            answers=answered,
            seconds=seconds,
            details={
                table: scored(parts) for table, parts in task.details(records, answers).items()
            },
            confusion=task.confusion(records, answers),
            trained=trained,
        )

    def _loss(self, losses: Sequence[tuple[float, int] | None]) -> Score | None:
        if all(loss is None for loss in losses):
            return None
        nats, tokens = zip(*(loss or (0.0, 0) for loss in losses), strict=True)
        groups = self.grouping.of([question.row for question in self.questions])
        return bootstrap(pooled_mean(nats, tokens), len(nats), groups=groups)

    def _beside_trivial(
        self,
        records: Sequence[Record],
        answers: Sequence[Answer | None],
        groups: Sequence[int],
    ) -> tuple[dict[str, Score], dict[str, Difference]]:
        """The trivial predictor's scores, and the scores less these on the same records."""
        if self.predict is None:
            return {}, {}
        trivial = [self.predict(record) for record in records]
        n = len(records)
        scores = {
            name: bootstrap(each, n, groups=groups)
            for name, each in self.task.statistics(records, trivial).items()
        }
        both = self.task.statistics([*records, *records], [*trivial, *answers])
        gains = {
            name: difference(each, n, groups=groups, test=False) for name, each in both.items()
        }
        return scores, gains


def _require_scores(task: Task, targets: Targets, scores: Collection[str]) -> None:
    """A target that nothing is held against would be taken for one that is met."""
    for name in targets:
        if name not in scores:
            close = nearest(name, scores)
            raise RecipeError(
                f"evaluation.targets.{task.short} names the score {name!r}, which there is not.",
                where="evaluation.targets",
                fix=(f"Did you mean {close}? " if close else "")
                + f"Scores: {', '.join(sorted(scores))}.",
            )


def _answered(
    task: Task, question: Question, said: Said, sample: int | None, loss: float | None
) -> Answered:
    """An answer that was cut off is none, even where it happens to be one so far."""
    return Answered(
        row=question.row,
        record=question.record,
        reference=question.reference,
        text=said.text,
        answer=None if said.truncated else task.parse(said.text),
        invalid=said.truncated or task.invalid(said.text),
        turn=question.turn,
        loss=loss,
        truncated=said.truncated is not None,
        sample=sample,
    )


def _is_json(text: str) -> bool:
    try:
        loads_strict(text)
    except ValueError:
        return False
    return True
