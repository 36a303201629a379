"""`evaluate`: a model scored on held-out records, as a report that can be kept in the run's folder.

Scores go to `evaluation/<name>.json`, answers to `evaluation/<name>.answers.jsonl`. While answers come they are kept in
`evaluation/<name>.partial.jsonl`, so that an evaluation that was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lexitrain.errors import InputError
from lexitrain.evaluation.answer_journal import AnswerJournal
from lexitrain.evaluation.answering import not_loaded, tasks_of, wanted_task
from lexitrain.evaluation.generation import Decoding, require_llguidance
from lexitrain.evaluation.held_out import HeldOut, read_held_out
from lexitrain.evaluation.scoring import Evaluation, evaluate_source
from lexitrain.evaluation.sources.answer_source import AnswerSource, LoadedAnswerSource
from lexitrain.evaluation.sources.gguf_model import asked_file
from lexitrain.evaluation.sources.located_model import LocatedModel, load_model, locate_model
from lexitrain.evaluation.sources.remote_model import RemoteAnswerSource
from lexitrain.models import WEIGHTS_FILE, base_identity
from lexitrain.runs import Run
from lexitrain.samples import Renderer
from lexitrain.storage import file_sha256, json_text, user_path, write_file, write_json
from lexitrain.tasks import Task, own_targets

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """What was evaluated, on what, and what came out.

    Attributes:
        model: that was evaluated.
        data: the records, and those that the trivial predictor learnt from.
        evaluation: scores and answers.
        registry: the tasks, by short name.
        decoding: how answers were chosen.
        folder: where it is to be kept; None: nowhere.
        journal: the answers as they came, where they were kept.
    """

    model: LocatedModel
    data: HeldOut
    evaluation: Evaluation
    registry: Mapping[str, Task]
    decoding: Decoding = field(default_factory=Decoding)
    folder: Path | None = None
    journal: AnswerJournal | None = None

    def to_json(self) -> dict[str, Any]:
        """The report as JSON, without the answers."""
        return {
            "model": self.model.name,
            "base": self.model.model.base if self.model.loads_here else None,
            "unfinished": list(self.model.unfinished),
            "data": {
                "name": self.data.name,
                "file": str(self.data.file),
                "sha256": file_sha256(self.data.file),
            },
            "trivial_from": str(self.data.train_file),
            "decoding": self.decoding.to_json(),
            **self.evaluation.to_json(),
        }

    def save(
        self,
        run: str | Path | None = None,
        *,
        name: str | None = None,
        keep_answers: bool = False,
    ) -> Path | None:
        """Write scores and answers; returns the scores' path.

        A file of the same name keeps its evaluation where that is of other records or, outside the run's own folder,
        of another model: the new one's name then ends in a hash of what differs.

        Args:
            run: folder of a run, into whose `evaluation/` they go; by default `folder`. Where there is neither,
                nothing is written.
            keep_answers: leave the journal of answers as they came, for another evaluation that asks the same.
            name: of the files; by default that of the data, with what differs from the default decoding.

        Raises:
            InputError: the folder cannot be written to.
        """
        folder = self.folder if run is None else Run(run).evaluation
        if folder is None:
            return None
        content = self.to_json()
        if name is None:
            name = _name(self.data, self.decoding)
        else:
            content["data"]["name"] = name
        lines = [
            json_text(answered.to_json()) + "\n"
            for part in (self.evaluation.tasks, self.evaluation.conversations)
            for task in part.values()
            for answered in task.answers
        ]
        own = self.model.run is not None and folder == self.model.run.evaluation
        name = "-".join([name, *_differing(folder / f"{name}.json", content, any_model=own)])
        try:
            write_file(folder / f"{name}.answers.jsonl", "".join(lines).encode())
            write_json(folder / f"{name}.json", content)
            if self.journal is not None and not keep_answers:
                self.journal.remove()
        except OSError as error:
            raise InputError(
                f"The evaluation cannot be saved: {error.strerror}.",
                where=folder,
                fix="The scores above are complete; free space or permissions, then evaluate again to keep them.",
            ) from error
        return folder / f"{name}.json"


def evaluate(
    model: str | Path,
    data: str | Path,
    *,
    task: str | None = None,
    limit: int | None = None,
    decoding: Decoding | None = None,
    batch_size: int = 64,
    group: str | None = None,
    out: str | Path | None = None,
    resumable: bool = False,
    custom_tasks: Sequence[str] = (),
    trust_tasks: bool = False,
    progress: Progress | None = None,
) -> EvaluationReport:
    """Score a model on held-out records, with 95 % intervals, beside a trivial predictor.

    Nothing is written, but for answers as they come where `resumable` asks for it; `EvaluationReport.save` writes.

    Args:
        model: a run, an adapter folder, a base folder, `nano`, a Hub id, a GGUF file, or the address of an
            OpenAI-compatible API, such as `http://localhost:8000/v1` (`…#name` where it has several models).
        data: a file of records, or a folder that `prepare` wrote (its test.jsonl).
        task: score this task alone; short name or name in the prompt.
        limit: most records to score; each task keeps its share.
        decoding: how answers are chosen; greedily, one to each record, by default. Of several each counts as a share
            of its record, and intervals are over records.
        batch_size: prompts answered together; fewer need less memory.
        group: key of the records' metadata; records of one value are not independent, and intervals take them
            together. By default what is told by the usual keys, such as `group`, `learner_id`, `document_id`.
        out: folder to keep the evaluation in; by default the run's `evaluation/`.
        resumable: keep answers there as they come, and take those that an interrupted evaluation has left.
        custom_tasks: `path.py` or `module:attribute` of tasks of your own. Their code is executed.
        trust_tasks: execute the code of the tasks that a run names as its own. Without it their records are counted
            as not scored.
        progress: called with what is being done, how much of it is done, and how much there is.

    Raises:
        DataError: there are no such records, or none that can be scored.
        TaskError: there is no such task, or the model has no adapter for one of them.
        RecipeError: a target of the recipe is of no task or score.
        ModelError: base or adapter cannot be loaded, or the server does not answer.
        MissingExtra: a score needs a package that is not installed (known before anything is generated).
    """
    decoding = decoding or Decoding()
    located = locate_model(model)
    if decoding.json_schema and located.loads_here:
        require_llguidance()
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
    where = located.name if located.run is None else located.run.recipe_file
    targets = own_targets(located.targets, tasks, where=where, skip_unknown=bool(hint))
    folder = located.run.evaluation if located.run is not None else None
    folder = folder if out is None else user_path(out)
    journal = None
    if resumable and folder is not None:
        journal = AnswerJournal(
            folder / f"{_name(held_out, decoding)}.partial.jsonl",
            {**identity(located), "decoding": decoding.to_json()},
        )
    with _source(located, tasks, batch_size) as source:
        evaluation = evaluate_source(
            source,
            held_out.records,
            tasks,
            train_records=held_out.train,
            decoding=decoding,
            trained=located.tasks,
            targets=targets,
            group=group,
            journal=journal,
            progress=progress,
        )
    unknown = {
        f"the task {name!r} is not built in. {hint}": count
        for name, count in held_out.unknown.items()
    }
    evaluation = replace(evaluation, unscored={**evaluation.unscored, **unknown})
    return EvaluationReport(located, held_out, evaluation, tasks, decoding, folder, journal)


def _name(data: HeldOut, decoding: Decoding) -> str:
    """Of the files of an evaluation."""
    return "-".join(filter(None, [data.name, decoding.label]))


@contextmanager
def _source(
    located: LocatedModel, tasks: Mapping[str, Task], batch_size: int
) -> Generator[AnswerSource]:
    if located.remote is not None:
        yield RemoteAnswerSource(located.remote)
        return
    if located.file is not None:
        with asked_file(located.file, located.file_adapter) as source:
            yield source
        return
    loaded = load_model(located)
    renderer = Renderer(loaded.tokenizer, tasks, located.max_length, day=located.day)
    yield LoadedAnswerSource(loaded.model, renderer, batch_size=batch_size, select=loaded.select)


def identity(located: LocatedModel) -> dict[str, Any]:
    """What tells one model from another: the weights of base and adapters, and how they are stored."""
    if located.remote is not None:
        return {"remote": located.remote.name}
    if located.file is not None:
        adapter = located.file_adapter
        return {
            "file": file_sha256(located.file),
            "adapter": None if adapter is None else file_sha256(adapter),
        }
    return {
        "base": base_identity(located.model.base, located.model.revision),
        "name": located.model.base,
        "revision": located.model.revision,
        "quantization": located.model.quantization,
        "precision": located.model.precision,
        "adapters": {
            str(task): file_sha256(folder / WEIGHTS_FILE)
            for task, folder in located.adapters.items()
        },
    }


def _differing(path: Path, content: Mapping[str, Any], *, any_model: bool) -> list[str]:
    """Short hashes of the records and of the model, each where the evaluation that is kept at `path` is of another."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        records, model = saved["data"]["sha256"], saved["model"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []  # there is none, or none that could be compared
    found = [content["data"]["sha256"][:8]] if records != content["data"]["sha256"] else []
    if not any_model and model != content["model"]:
        found.append(hashlib.sha256(str(content["model"]).encode()).hexdigest()[:8])
    return found
