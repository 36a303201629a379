"""`--verify`: the same held-out records through the adapter and through an exported file, and what came of it.

A file passes when llama.cpp reads prompts as training did, when its distributions are as near to the adapter's as its
type allows, when it is shown no worse than the adapter by the margin in the score that decides each task, and when
every finished answer under the task's grammar is valid. What is not shown does not pass: with few records that is told
as what it is, with the number that it would take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.comparison import paired_tasks
from lexitrain.errors import number_of
from lexitrain.evaluation import (
    EvaluationReport,
    LoadedModel,
    answer_context,
    answer_gbnf,
    evaluate,
    plain_text,
    with_adapter,
)
from lexitrain.exporting.counted import Progress, counted
from lexitrain.exporting.verification.distributions import (
    Distances,
    FileLogits,
    distances,
    logits_of,
)
from lexitrain.exporting.verification.same_text import SameText, same_text
from lexitrain.exporting.verification.speed import Speed, speed_of
from lexitrain.serving import LlamaServer, completion, file_facts

if TYPE_CHECKING:
    from lexitrain.comparison import PairedTask
    from lexitrain.samples import Renderer, Sample
    from lexitrain.tasks import Task

MOST_KL: Mapping[str, float] = {"F32": 1e-4, "F16": 1e-4, "BF16": 1e-3, "Q8_0": 1e-3}
"""Quantization -> mean KL that a file of it may have, nats; what is smaller is judged by its scores alone."""
_TEXTS = 100
_HELD = 8
_TIMED = 8


@dataclass(frozen=True, slots=True)
class Held:
    """Answers under the tasks' grammars.

    Attributes:
        answers: asked; `finished` ended by themselves, and `invalid` of those are not valid.
    """

    answers: int
    finished: int
    invalid: int


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found of one file.

    Attributes:
        file: that was verified.
        distances: to the adapter, along reference answers.
        text: whether llama.cpp reads as training did.
        tasks: differences in scores, the file's less the adapter's.
        report: the file's evaluation.
        equal_answers: share of answers that are the adapter's letter by letter.
        held: answers under the grammars.
        speed: of the file here.
        most_kl: mean KL that it may have; None: no limit.
        margin: how much worse is no worse.
    """

    file: Path
    distances: Distances
    text: SameText
    tasks: Sequence[PairedTask]
    report: EvaluationReport
    equal_answers: float
    held: Held
    speed: Speed
    most_kl: float | None
    margin: float

    @property
    def missed(self) -> list[str]:
        """Why the file does not pass, a sentence each; none where it does."""
        found: list[str] = []
        if not self.text.same:
            found.append(f"llama.cpp reads {self.text.first_difference} otherwise.")
        mean = self.distances.kl / max(self.distances.positions, 1)
        if self.most_kl is not None and mean > self.most_kl:
            found.append(f"The mean KL divergence is {mean:.2g}, above {self.most_kl:g}.")
        found += scores_missed(self.tasks, self.margin)
        if self.held.invalid:
            found.append(
                number_of(self.held.invalid, "finished answer is", "finished answers are")
                + " not valid under a grammar."
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """As JSON, without the answers."""
        return {
            "passed": not self.missed,
            "missed": self.missed,
            "distances": self.distances.to_json(),
            "most_kl": self.most_kl,
            "text": self.text.to_json(),
            "margin": self.margin,
            "tasks": {task.task: task.to_json() for task in self.tasks},
            "equal_answers": self.equal_answers,
            "valid_answers": self.report.evaluation.validity,
            "under_the_grammar": {
                "answers": self.held.answers,
                "finished": self.held.finished,
                "invalid": self.held.invalid,
            },
            "speed": self.speed.to_json(),
        }


def scores_missed(tasks: Sequence[PairedTask], margin: float) -> list[str]:
    """A sentence for each task in which it is not shown to be no worse."""
    return [_missed(task, margin) for task in tasks if task.no_worse != "shown"]


def _missed(task: PairedTask, margin: float) -> str:
    if task.no_worse == "refuted":
        return f"{task.task}: worse than the adapter by more than {margin:g} ({task.primary})."
    needed = task.records_to_show
    more = f"; {number_of(needed, 'record')} might show it" if needed else ""
    return f"{task.task}: it is not shown to be no worse by {margin:g} ({task.primary}){more}."


@dataclass(frozen=True, slots=True)
class Verifier:
    """What files of one model are verified with; made once for all of them.

    Attributes:
        loaded: the adapter's model.
        renderer: of its prompts.
        samples: held-out records as tokens, with their answers.
        reference: the adapter's evaluation.
        data: the records, as `evaluate` was given them.
        limit, task: as `evaluate` was given them.
        margin: how much worse is no worse.
    """

    loaded: LoadedModel
    renderer: Renderer
    samples: Sequence[Sample]
    reference: EvaluationReport
    data: Path
    limit: int | None
    task: str | None
    margin: float

    def verify(
        self,
        file: Path,
        quantization: str | None,
        progress: Progress | None = None,
        *,
        adapter: Path | None = None,
    ) -> Verification:
        """Verify one file.

        Args:
            quantization: of the file.
            adapter: in GGUF, used on all of the file's answers.

        Raises:
            MissingExtra: llama.cpp is not installed.
            ModelError: it cannot load the file.
        """
        facts = file_facts(file)
        records = [record for _, record in self.reference.data.records]
        with LlamaServer(
            file,
            adapters=[] if adapter is None else [adapter],
            adapter_scale=1.0,
            context=answer_context(facts),
            # llama.cpp's sums depend on what else is in its batch, and rounding them to 8 bits makes much of it.
            slots=1,
            embeddings=True,
            cache_prompt=False,
        ) as server:
            counter = counted(f"{file.name}: distributions", len(self.samples), progress)
            found = distances(
                self._logits, FileLogits(server).of(self.samples), self.samples, counter
            )
            text = same_text(
                server,
                self.renderer,
                _spread(records, _TEXTS),
                plain_text(facts.specials),
            )
            held = self._held(server, file, progress)
            timed = _spread(self.samples, _TIMED)
            speed = speed_of(server, timed, max(t.maximum_answer_tokens for t in self._tasks))
        report = evaluate(
            str(file) if adapter is None else with_adapter(file, adapter),
            self.data,
            task=self.task,
            limit=self.limit,
            progress=None if progress is None else _named(progress, file.name),
        )
        pairs = paired_tasks(self.reference, report, self.margin)
        return Verification(
            file,
            found,
            text,
            pairs,
            report,
            _equal(self.reference, report),
            held,
            speed,
            MOST_KL.get(quantization or ""),
            self.margin,
        )

    def scores(self, folder: Path, progress: Progress | None = None) -> list[PairedTask]:
        """Differences in scores of a merged folder, its own less the adapter's."""
        report = evaluate(
            folder,
            self.data,
            task=self.task,
            limit=self.limit,
            progress=None if progress is None else _named(progress, folder.name),
        )
        return paired_tasks(self.reference, report, self.margin)

    @property
    def _tasks(self) -> list[Task]:
        names = {sample.task for sample in self.samples}
        return [task for name, task in self.renderer.registry.items() if name in names]

    def _logits(self, sample: Sample) -> Any:
        self.loaded.select(sample.task)
        return logits_of(self.loaded.model, sample)

    def _held(self, server: LlamaServer, file: Path, progress: Progress | None) -> Held:
        """Drawn at a high temperature, so that the grammar is what holds the answers."""
        answers = finished = invalid = 0
        counter = counted(f"{file.name}: grammars", _HELD * len(self._tasks), progress)
        for task in self._tasks:
            grammar = answer_gbnf(task)
            samples = _spread([each for each in self.samples if each.task == task.short], _HELD)
            for seed, sample in enumerate(samples):
                said = completion(
                    server,
                    sample.prompt_ids.tolist(),
                    most_tokens=task.maximum_answer_tokens,
                    temperature=1.5,
                    seed=seed,
                    grammar=grammar,
                )
                answers += 1
                finished += said.finished
                invalid += said.finished and task.invalid(said.text) is not None
                counter(1)
        return Held(answers, finished, invalid)


def _equal(first: EvaluationReport, other: EvaluationReport) -> float:
    """Share of the answers that both give letter by letter."""
    texts = [
        {
            (name, each.key): each.text
            for name, task in report.evaluation.tasks.items()
            for each in task.answers
        }
        for report in (first, other)
    ]
    both = texts[0].keys() & texts[1].keys()
    return sum(texts[0][key] == texts[1][key] for key in both) / max(len(both), 1)


def _spread(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many, evenly spread."""
    if len(items) <= most:
        return list(items)
    return [items[place * len(items) // most] for place in range(most)]


def _named(progress: Progress, name: str) -> Progress:
    return lambda stage, done, total: progress(f"{name}: {stage}", done, total)
