"""`evaluate`: a model scored on held-out records, as a report that can be kept in the run's folder.

Scores go to `evaluation/<name>.json`, answers to `evaluation/<name>.answers.jsonl`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lexitrain.errors import InputError
from lexitrain.evaluation.answering import not_loaded, tasks_of, wanted_task
from lexitrain.evaluation.generation import Decoding, require_llguidance
from lexitrain.evaluation.held_out import HeldOut, read_held_out
from lexitrain.evaluation.located_model import LocatedModel, load_model, locate_model
from lexitrain.evaluation.scoring import Evaluation, evaluate_records
from lexitrain.runs import Run
from lexitrain.storage import json_text, write_file

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """What was evaluated, on what, and what came out.

    Attributes:
        model: that was evaluated.
        data: the records, and those that the trivial predictor learnt from.
        evaluation: scores and answers.
        decoding: how answers were chosen.
    """

    model: LocatedModel
    data: HeldOut
    evaluation: Evaluation
    decoding: Decoding = field(default_factory=Decoding)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON, without the answers."""
        return {
            "model": self.model.name,
            "base": self.model.model.base,
            "unfinished": list(self.model.unfinished),
            "data": {
                "name": self.data.name,
                "file": str(self.data.file),
                "sha256": hashlib.sha256(self.data.file.read_bytes()).hexdigest(),
            },
            "trivial_from": str(self.data.train_file),
            "decoding": self.decoding.to_json(),
            **self.evaluation.to_json(),
        }

    def save(self, run: str | Path | None = None, *, name: str | None = None) -> Path | None:
        """Write scores and answers to a run's `evaluation/`; returns the scores' path.

        A file of the same name with other records keeps its evaluation: the new one's name ends in the file's hash.

        Args:
            run: folder of the run; that of the model by default. Where the model is no run, nothing is written.
            name: of the files; by default that of the data, with what differs from the default decoding.

        Raises:
            InputError: the folder cannot be written to.
        """
        folder = self.model.run if run is None else Run(run)
        if folder is None:
            return None
        content = self.to_json()
        if name is None:
            name = "-".join(filter(None, [self.data.name, self.decoding.label]))
        else:
            content["data"]["name"] = name
        lines = [
            json_text(answered.to_json()) + "\n"
            for part in (self.evaluation.tasks, self.evaluation.conversations)
            for task in part.values()
            for answered in task.answers
        ]
        if _of_other_records(folder, name, content):
            name += f"-{content['data']['sha256'][:8]}"
        try:
            write_file(folder.evaluation / f"{name}.answers.jsonl", "".join(lines).encode())
            return folder.write_evaluation(name, content)
        except OSError as error:
            raise InputError(
                f"The evaluation cannot be saved: {error.strerror}.",
                where=folder.evaluation,
                fix="The scores above are complete; free space or permissions, then evaluate again to keep them.",
            ) from error


def evaluate(
    model: str | Path,
    data: str | Path,
    *,
    task: str | None = None,
    limit: int | None = None,
    decoding: Decoding | None = None,
    batch_size: int = 64,
    custom_tasks: Sequence[str] = (),
    trust_tasks: bool = False,
    progress: Progress | None = None,
) -> EvaluationReport:
    """Score a model on held-out records, with 95 % intervals, beside a trivial predictor. Nothing is written.

    Args:
        model: a run, an adapter folder, a base folder, `nano`, or a Hub id.
        data: a file of records, or a folder that `prepare` wrote (its test.jsonl).
        task: score this task alone; short name or name in the prompt.
        limit: most records to score, spread evenly over the tasks.
        decoding: how answers are chosen; greedily, one to each record, by default. Of several each counts as a share
            of its record, and intervals are over records.
        batch_size: prompts answered together; fewer need less memory.
        custom_tasks: `path.py` or `module:attribute` of tasks of your own. Their code is executed.
        trust_tasks: execute the code of the tasks that a run names as its own. Without it their records are counted
            as not scored.
        progress: called with what is being done, how much of it is done, and how much there is.

    Raises:
        DataError: there are no such records, or none that can be scored.
        TaskError: there is no such task, or the model has no adapter for one of them.
        ModelError: base or adapter cannot be loaded.
        MissingExtra: a score needs a package that is not installed (known before anything is generated).
    """
    decoding = decoding or Decoding()
    if decoding.json_schema:
        require_llguidance()
    located = locate_model(model)
    tasks, hint = tasks_of(located, custom_tasks, trust_tasks)
    held_out = read_held_out(
        Path(data),
        tasks,
        task=None if task is None else wanted_task(task, tasks, located, hint).short,
        limit=limit,
        run_data=located.data,
        skip_unknown=bool(hint),
    )
    if not held_out.records:
        raise not_loaded(next(iter(held_out.unknown)), located, hint)
    located.require(sorted({record.task for _, record in held_out.records}))
    loaded = load_model(located)
    evaluation = evaluate_records(
        loaded.model,
        loaded.tokenizer,
        held_out.records,
        tasks,
        train_records=held_out.train,
        max_length=located.max_length,
        day=located.day,
        decoding=decoding,
        batch_size=batch_size,
        select=loaded.select,
        progress=progress,
    )
    unknown = {
        f"the task {name!r} is not built in. {hint}": count
        for name, count in held_out.unknown.items()
    }
    evaluation = replace(evaluation, unscored={**evaluation.unscored, **unknown})
    return EvaluationReport(located, held_out, evaluation, decoding)


def _of_other_records(run: Run, name: str, content: dict[str, Any]) -> bool:
    try:
        return run.read_evaluation(name)["data"]["sha256"] != content["data"]["sha256"]
    except (InputError, KeyError, TypeError):
        return False  # there is none, or none that could be compared
