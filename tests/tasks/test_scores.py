"""The names that task files of users import from `lexitrain.tasks.scores`: the documentation of 0.1.0 says so."""

from __future__ import annotations

from pathlib import Path

import lexitrain.tasks
from lexitrain.records.record import Record
from lexitrain.tasks import registry, scores

DOCUMENTED = """
from lexitrain.tasks import Task
from lexitrain.tasks.scores import chrf, mean, texts


class Paraphrase(Task):
    name = "paraphrase"
    short = "paraphrase"
    schema = {
        "type": "object",
        "properties": {"paraphrase": {"type": "string", "minLength": 1}},
    }

    def statistics(self, records, answers):
        references = [[each["paraphrase"]] for each in self.references(records)]
        return {"chrf": mean(chrf(texts(answers, "paraphrase"), references))}

    def trivial(self, train_records):
        return lambda record: {"paraphrase": record.input}
"""


def test_a_task_file_written_for_0_1_0_still_works(tmp_path: Path) -> None:
    path = tmp_path / "paraphrase.py"
    path.write_text(DOCUMENTED)
    task = registry([str(path)])["paraphrase"]
    record = Record("paraphrase", "I am glad.", "I am happy.", {})
    assert task.scores([record], [{"paraphrase": "I am happy."}]) == {"chrf": 1.0}


def test_the_names_are_the_very_ones_that_tasks_offers() -> None:
    for name in ("chrf", "mean", "texts"):
        assert getattr(scores, name) is getattr(lexitrain.tasks, name)
    offered = {
        "bootstrap",
        "distinct",
        "macro_f1",
        "most_frequent",
        "ngrams",
        "pearson",
        "point",
        "Sums",
    }
    assert offered <= set(scores.__all__)
