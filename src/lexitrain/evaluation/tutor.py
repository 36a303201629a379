"""A model that is loaded once and asked by any of its tasks: the short way for a program of one's own.

Loading costs what the base weighs; an answer costs what it costs in `lexitrain predict`, and is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from lexitrain.evaluation.answering import Answerer, Prediction
from lexitrain.evaluation.generation import Decoding


class Tutor:
    """A trained model in a program of your own: `Tutor("runs/first").answer("grammar", text).answer["corrected"]`.

    It answers as `lexitrain predict` does, with the most likely tokens. Threads may share one: a call waits for the
    one before it. `Answerer` does conversations and drawn answers, too.

    Attributes:
        tasks: short names of the tasks that it was trained for; of a base alone all that are known.
        unfinished: checkpoints that stand for the adapter of a run that has not finished.

    Args:
        model: a run, an adapter folder, a base folder, `nano`, or a Hub id.
        json_schema: let it write nothing but what the task's schema allows (extra `eval`).
        custom_tasks: `path.py` or `module:attribute` of tasks of your own. Their code is executed.
        trust_tasks: execute the code of the tasks that a run names as its own.

    Raises:
        TaskError: all of its tasks are the run's own, and their code is not trusted.
        ModelError: the model cannot be had, or is a GGUF file or an address.
        RunError: the run has neither an adapter nor a checkpoint.
        MissingExtra: answers are to be held to a schema, and llguidance is not installed.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        json_schema: bool = False,
        custom_tasks: Sequence[str] = (),
        trust_tasks: bool = False,
    ) -> None:
        self._answerer = Answerer(
            model,
            any_task=True,
            decoding=Decoding(json_schema=json_schema),
            custom_tasks=custom_tasks,
            trust_tasks=trust_tasks,
        )
        self.tasks = self._answerer.tasks
        self.unfinished = self._answerer.unfinished
        self._one_at_a_time = Lock()

    def answer(self, task: str, text: str) -> Prediction:
        """The answer to one text.

        Args:
            task: short name, or name in the prompt.
            text: the learner's; made tidy (NFC, blanks) as in training.

        Returns:
            the answer's fields in `answer`; where it is not valid None, with the reason in `problem`.

        Raises:
            TaskError: there is no such task, or every task has an adapter of its own and this one has none.
            DataError: the text is empty or no Unicode text.
        """
        return self._ask(task, [text], ["text"])[0]

    def answers(self, task: str, texts: Sequence[str]) -> list[Prediction]:
        """The answer to each text, computed together, which is faster than one by one.

        Raises:
            InputError: it is one text, where a list of texts is wanted; else as `answer`.
        """
        return self._ask(task, texts)

    def _ask(
        self, task: str, texts: Sequence[str], places: Sequence[str] | None = None
    ) -> list[Prediction]:
        with self._one_at_a_time:
            return self._answerer.for_task(task).answer(texts, places=places)
