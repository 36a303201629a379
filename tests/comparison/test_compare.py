"""Models compared on the same records: the taught model, an untaught one, and runs of both."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lexitrain import ModelComparison, compare, write_comparison_page
from lexitrain.comparison.compare import told_apart
from lexitrain.comparison.costs import training_seconds
from lexitrain.comparison.paired import Regression
from lexitrain.errors import InputError, ModelError, RunError
from lexitrain.runs.journals import Event
from tests.taught import RECORDS, save_base, save_records, save_run, taught_model
from tests.tiny import tiny_model

HOSTILE = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bases")
    save_base(folder / "taught", taught_model())
    save_base(folder / "untaught", tiny_model(hidden=64))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Each record twelve times, so that a difference can be told."""
    return save_records(tmp_path / "records.jsonl", RECORDS * 12)


def task(comparison: ModelComparison, name: str):  # type: ignore[no-untyped-def]
    return next(each for each in comparison.pairs[0] if each.task == name)


def test_a_model_that_knows_nothing_is_worse_and_its_worst_answers_are_shown(
    bases: Path, data: Path
) -> None:
    found = compare([bases / "taught", bases / "untaught"], data)
    assert found.names == ("taught", "untaught")
    vocabulary = task(found, "vocabulary")
    assert (vocabulary.sign, vocabulary.no_worse) == ("worse", "refuted")
    assert vocabulary.decisive.value == -1.0
    assert vocabulary.adjusted_p is not None
    assert vocabulary.adjusted_p >= (vocabulary.decisive.p or 1) > 0
    fluency = task(found, "fluency")
    assert (fluency.primary, fluency.sign) == ("mae", "worse")  # more error
    assert fluency.decisive.value == pytest.approx(0.75)
    worst = vocabulary.regressions[0]
    assert (worst.first, worst.other) == (1.0, 0.0)
    assert json.loads(worst.first_text) == worst.reference
    assert "worse in fluency, vocabulary" in found.verdict(1)
    turned = compare([bases / "untaught", bases / "taught"], data)
    assert task(turned, "vocabulary").sign == "better"
    assert task(turned, "vocabulary").no_worse == "shown"
    assert not task(turned, "vocabulary").regressions


def test_equal_models_do_not_differ_and_few_records_show_little(bases: Path, data: Path) -> None:
    few = save_records(data.parent / "few.jsonl", RECORDS)
    for path, verdict in ((data, "shown"), (few, "not enough evidence")):
        found = compare([bases / "taught", bases / "taught"], path, margin=0.3)
        assert len(set(found.names)) == 2
        vocabulary = task(found, "vocabulary")
        assert (vocabulary.sign, vocabulary.no_worse) == ("no difference shown", verdict)
        assert (vocabulary.records_to_show is None) == (verdict == "shown")


def test_copies_of_one_learner_are_no_more_evidence(bases: Path, tmp_path: Path) -> None:
    records = tuple(
        replace(each, metadata={"learner_id": n % 2}) for n, each in enumerate(RECORDS * 12)
    )
    path = save_records(tmp_path / "learners.jsonl", records)
    found = compare([bases / "taught", bases / "untaught"], path, task="vocabulary")
    vocabulary = task(found, "vocabulary")
    assert (vocabulary.decisive.n, vocabulary.decisive.groups) == (24, 2)
    assert vocabulary.sign == "no difference shown"


def test_costs_are_read_from_the_runs(bases: Path, data: Path, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", bases / "taught")
    run.append_event("started", 0, total_steps=1)
    run.write_environment({"device": "CPU"})
    found = compare([bases / "taught", run.path], data, limit=7)
    base, trained = found.costs
    assert (base.training_hours, base.adapter_mb) == (None, None)
    assert trained.training_device == "CPU"
    weights = (run.adapter / "adapter_model.safetensors").stat().st_size
    assert trained.adapter_mb == weights / 1e6
    assert trained.answer_tokens_per_second is not None


def test_the_time_of_training_is_that_of_its_sessions() -> None:
    def event(name: str, second: int) -> Event:
        return Event(name, 0, f"2026-05-01T12:00:{second:02d}.000+00:00", {})

    events = [event("planned", 0), event("started", 2), event("checkpoint", 7)]
    events += [event("resumed", 30), event("finished", 40)]
    assert training_seconds(events) == 15
    assert training_seconds([]) == 0


def test_page_and_document_hold_everything_and_run_nothing(bases: Path, tmp_path: Path) -> None:
    path = save_records(tmp_path / "records.jsonl")
    out = tmp_path / "out"
    found = compare([bases / "untaught", bases / "taught"], path, out=out)
    back = compare([bases / "taught", bases / "untaught"], path, out=out / "back")
    said = Regression(0, "f0.5", 1.0, 0.0, HOSTILE, {"corrected": HOSTILE}, HOSTILE, HOSTILE)
    pairs = (replace(back.pairs[0][0], regressions=[said]), *back.pairs[0][1:])
    back = replace(back, names=(HOSTILE, "untaught"), pairs=(pairs,))
    for each, folder in ((found, out), (back, out / "back")):
        page = write_comparison_page(each, folder / "comparison.html").read_text(encoding="utf-8")
        assert HOSTILE not in page
        assert "default-src 'none'" in page
        assert "http" not in page.replace("http-equiv", "")
        document = json.loads(each.save(folder).read_text(encoding="utf-8"))
        assert [model["name"] for model in document["models"]] == list(each.names)
        assert document["differences"][0]["tasks"]["grammar"]["primary"] == "f0.5"
    assert page.count("&lt;script&gt;") > 5
    answers = sorted(path.parent.name for path in out.glob("*/*.answers.jsonl"))
    assert answers == ["1-untaught", "2-taught"]


@pytest.mark.parametrize("margin", [0.0, -1.0, float("nan"), float("inf"), 1.0, 5.0])
def test_a_margin_is_a_number_above_0_that_does_not_allow_everything(
    bases: Path, data: Path, margin: float
) -> None:
    with pytest.raises(InputError, match="margin"):
        compare([bases / "taught", bases / "untaught"], data, margin=margin)


def test_the_second_models_mistake_is_told_before_the_first_is_asked(
    bases: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for wrong in (bases, bases / "nothing"):
        with pytest.raises((ModelError, RunError)):
            compare([bases / "taught", wrong], data, out=out)
    assert not out.exists()
    with pytest.raises(InputError, match="two models"):
        compare([bases / "taught"], data)


def test_names_are_as_short_as_they_can_be() -> None:
    assert told_apart(["runs/a", "runs/b/"]) == ["a", "b"]
    assert told_apart(["x/run", "y/run"]) == ["x/run", "y/run"]
    assert told_apart(["nano", "nano"]) == ["nano (1)", "nano (2)"]
    assert told_apart(["http://a/v1#m", "b"]) == ["http://a/v1#m", "b"]
