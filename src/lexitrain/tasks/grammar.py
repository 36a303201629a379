"""Grammar: the corrected sentence and its errors.

Scores: precision, recall and F0.5 of token edits with the best of the references, GLEU, exact match with any of them
(`metrics/edits.py` and `metrics/gleu.py` have the formulae), and over-correction: of the sentences that every reference
leaves as they are, the share that was changed. Recall is about the records with something to correct, precision and
F0.5 about those with something to correct or corrected, over-correction about the others; without any they are not
defined. References are `metadata.references`, else the record's own correction. Details: recall by error type, where
the record's errors have types (`metrics/typed_edits.py`). The list of errors is learnt and not scored: most corpora do
not annotate it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lexitrain.tasks.metrics.bootstrap import Array, Statistic
from lexitrain.tasks.metrics.edits import count_edits, edits, f_score, precision, recall
from lexitrain.tasks.metrics.gleu import gleu, gleu_counts
from lexitrain.tasks.metrics.scores import Sums, mean, pooled_mean
from lexitrain.tasks.metrics.tokens import tokenize
from lexitrain.tasks.metrics.typed_edits import made_by_type
from lexitrain.tasks.schema import Schema
from lexitrain.tasks.task import Answer, Predictor, Targets, Task, metadata_list

if TYPE_CHECKING:
    from lexitrain.records import Record


class Grammar(Task):
    """Corrects a sentence."""

    name = "grammar_correction"
    short = "grammar"
    maximum_answer_tokens = 256
    score_names = frozenset(
        {"precision", "recall", "f0.5", "gleu", "exact_match", "over_correction"}
    )
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "corrected": {"type": "string", "minLength": 1},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"type": {"type": "string"}, "span": {"type": "string"}},
                },
                "default": [],
            },
        },
    }
    targets: ClassVar[Targets] = {"f0.5": (">", 0.68), "precision": (">", 0.78)}
    lower_is_better = frozenset({"over_correction"})
    primary = "f0.5"
    scored_by: ClassVar = {"corrected": ("f0.5", "gleu", "exact_match")}
    english = True

    def statistics(
        self, records: Sequence[Record], answers: Sequence[Answer | None]
    ) -> dict[str, Statistic]:
        sources = [tokenize(self.source(record)) for record in records]
        references = [
            [tokenize(text) for text in self.corrections(record, answer)]
            for record, answer in zip(records, self.references(records), strict=True)
        ]
        said = [None if answer is None else tokenize(answer["corrected"]) for answer in answers]
        counts = np.array(
            [count_edits(*row) for row in zip(sources, said, references, strict=True)],
            dtype=np.float64,
        )
        edited = counts.sum(axis=1) > 0  # corrected, or to be corrected
        wanted = (counts[:, 0] + counts[:, 2]) > 0
        clean = [
            all(reference == source for reference in correct)
            for source, correct in zip(sources, references, strict=True)
        ]
        changed = [answer != source for source, answer in zip(sources, said, strict=True)]
        return {
            "precision": Sums(counts, _of_counts(precision), edited),
            "recall": Sums(counts, _of_counts(recall), wanted),
            "f0.5": Sums(counts, _of_counts(f_score), edited),
            "gleu": Sums(_gleu_columns(sources, said, references), _mean_gleu),
            "exact_match": mean(
                [answer in correct for answer, correct in zip(said, references, strict=True)]
            ),
            "over_correction": mean(changed, clean),
        }

    def details(
        self, records: Sequence[Record], answers: Sequence[Answer | None]
    ) -> dict[str, dict[str, Statistic]]:
        parts = [
            made_by_type(
                tokenize(self.source(record)),
                None if answer is None else tokenize(answer["corrected"]),
                tokenize(gold["corrected"]),
                gold["errors"],
            )
            for record, answer, gold in zip(records, answers, self.references(records), strict=True)
        ]
        kinds = sorted({kind for found in parts for kind in found})
        by_type: dict[str, Statistic] = {
            kind: pooled_mean(
                [found.get(kind, (0, 0))[0] for found in parts],
                [found.get(kind, (0, 0))[1] for found in parts],
            )
            for kind in kinds
        }
        return {"recall by error type": by_type} if by_type else {}

    def source(self, record: Record) -> str:
        """The learner's sentence: of a conversation, what follows `Text:` in its last question. In the task's own
        prompt that is all the rest, in another the last one: examples may stand before it."""
        if record.messages is None:
            return record.input
        question = [m["content"] for m in record.messages if m["role"] == "user"][-1]
        opening = self.user_turn(replace(record, input="")).rstrip()
        if question.lstrip().startswith(opening):
            return question.lstrip().removeprefix(opening).strip()
        return question.rpartition("Text:")[2].strip()

    def corrections(self, record: Record, answer: Answer) -> list[str]:
        """All accepted corrections of the record, whose own one is `answer`."""
        listed = [text for text in metadata_list(record, "references") if isinstance(text, str)]
        return listed or [answer["corrected"]]

    def lacking(self, record: Record) -> tuple[str, ...]:
        """As of every task, but an unchanged sentence has no errors."""
        missing = super().lacking(record)
        return missing if missing and _corrected(record) != record.input else ()

    def completed(self, record: Record) -> Record:
        """The record with `errors` of its token edits, where it has none: of each edit its kind (`missing`,
        `unnecessary`, `replacement`) and the words concerned, or the one after which something is missing."""
        if not self.lacking(record):
            return record
        corrected = _corrected(record)
        before = tokenize(record.input)
        errors = [
            {
                "type": ("replacement" if new else "unnecessary") if end > start else "missing",
                "span": " ".join(before[start:end] or before[max(0, start - 1) : max(1, start)]),
            }
            for start, end, new in edits(before, tokenize(corrected))
        ]
        return replace(record, output={"corrected": corrected, "errors": errors})

    def trivial(self, train_records: Sequence[Record]) -> Predictor:  # noqa: ARG002
        """The sentence unchanged."""
        return lambda record: {"corrected": self.source(record), "errors": []}


def _corrected(record: Record) -> str:
    output = record.output
    return str(output["corrected"] if isinstance(output, dict) else output)


def _of_counts(score: Callable[[Array, Array, Array], Array]) -> Callable[[Array], Array]:
    return lambda sums: score(sums[:, 0], sums[:, 1], sums[:, 2])


def _gleu_columns(
    sources: Sequence[Sequence[str]],
    answers: Sequence[Sequence[str] | None],
    references: Sequence[Sequence[Sequence[str]]],
) -> Array:
    """`[N, R, 10]`: each record against its first, second, ... reference."""
    most = max(len(correct) for correct in references)
    return np.array(
        [
            [
                gleu_counts(source, answer or [], correct[place % len(correct)])
                for place in range(most)
            ]
            for source, answer, correct in zip(sources, answers, references, strict=True)
        ]
    )


def _mean_gleu(sums: Array) -> Array:
    return gleu(sums).mean(axis=1)
