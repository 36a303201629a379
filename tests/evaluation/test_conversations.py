"""Conversations are scored and asked turn by turn, in exactly the form in which they were trained."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lexitrain import Answerer, evaluate, train
from lexitrain.errors import InputError
from lexitrain.evaluation import answering
from lexitrain.evaluation.conversations.turns import turns_of
from lexitrain.evaluation.generation import Continuation, continuations
from lexitrain.recipe.schema import Recipe
from lexitrain.records.record import Record
from lexitrain.samples.rendering import Renderer
from lexitrain.tasks import bootstrap, pooled_mean, registry
from tests.evaluation.scored import evaluate_records
from tests.said import said
from tests.taught import RECORDS, save_records
from tests.tiny import tiny_model, tiny_tokenizer

TASKS = registry()
ANSWER = '{"corrected":"He goes.","errors":[]}'


def talk(*texts: str, task: str = "dialogue", system: str | None = None) -> Record:
    """A conversation that begins with the learner, turn by turn."""
    turns = [{"role": "system", "content": system}] if system else []
    turns += [
        {"role": ("user", "assistant")[place % 2], "content": text}
        for place, text in enumerate(texts)
    ]
    asked = "\n".join(turn["content"] for turn in turns if turn["role"] == "user")
    return Record(task, asked, None, {}, tuple(turns))


TWO = talk("Hi", "Hello.", "He go?", "He goes.")


def renderer(**options: Any) -> Renderer:
    return Renderer(tiny_tokenizer(), registry(**options), 256)


def plain_loss(model: Any, prompt: Sequence[int], answer: Sequence[int]) -> float:
    """Nats of an answer after its prompt, one forward pass over the whole of both."""
    ids = torch.tensor([[*prompt, *answer]])
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits[0].double()
    log = logits.log_softmax(-1)
    places = range(len(prompt), ids.shape[1])
    return -sum(float(log[place - 1, ids[0, place]]) for place in places)


def test_each_turn_stands_after_all_that_training_showed_before_it() -> None:
    [sample], turns = turns_of(renderer(), 3, TWO)
    whole = [*sample.prompt_ids, *sample.completion_ids]
    assert [turn.text for turn in turns] == ["Hello.", "He goes."]
    assert [turn.question for turn in turns] == ["Hi", "He go?"]
    assert [len(turn.record.messages or ()) for turn in turns] == [2, 4]
    for turn in turns:
        size = len(turn.prompt)
        assert whole[:size] == turn.prompt.tolist()
        assert whole[size : size + len(turn.answer_ids)] == turn.answer_ids.tolist()
    supervised = sum(len(turn.answer_ids) for turn in turns)
    assert supervised == int(sample.supervised.sum())


def evaluated(model: Any, *records: Record, train_records: Sequence[Record] = ()) -> Any:
    return evaluate_records(
        model,
        tiny_tokenizer(),
        tuple(enumerate(records)),
        TASKS,
        train_records=train_records,
        max_length=256,
    )


def test_losses_are_those_of_a_plain_forward_pass() -> None:
    model = tiny_model()
    found = evaluated(model, TWO, talk("a", "b")).conversations["dialogue"]
    turns = [turn for row in (TWO, talk("a", "b")) for turn in turns_of(renderer(), 0, row)[1]]
    nats = [plain_loss(model, turn.prompt, turn.answer_ids) for turn in turns]
    sizes = [len(turn.answer_ids) for turn in turns]
    assert [each.loss for each in found.answers] == pytest.approx(
        [total / size for total, size in zip(nats, sizes, strict=True)], rel=1e-5
    )
    assert found.scores["loss"].value == pytest.approx(sum(nats) / sum(sizes), rel=1e-5)
    assert found.scores["loss"].n == 2  # conversations, not turns


def test_free_text_is_compared_and_json_is_scored_by_the_task() -> None:
    mixed = talk("Hi", "Hello.", "Task: grammar_correction\nText: He go.", ANSWER, task="grammar")
    found = evaluated(tiny_model(), mixed, RECORDS[4], train_records=(mixed,))
    grammar, talks = found.tasks["grammar"], found.conversations["grammar"]
    assert found.n == 2
    assert [(each.row, each.turn) for each in grammar.answers] == [(0, 2), (1, None)]
    assert len(talks.answers) == 2
    assert [each.text is None for each in talks.answers] == [False, True]
    assert talks.scores["exact_match"].value == 0.0
    assert talks.trivial["exact_match"].value == 1.0  # "Hello." is all that the training data say
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["conversations"]["grammar"]["free_text_turns"] == 1
    lines = [each.to_json() for each in talks.answers]
    assert lines[0]["reference"] == "Hello."
    assert set(lines[0]) >= {"row", "turn", "loss", "chrf", "exact_match", "text"}


def test_a_model_that_says_the_turns_matches_them_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = said("Hello.", "He goes.")
    monkeypatch.setattr(
        "lexitrain.evaluation.sources.answer_source.ask", lambda *_args, **_options: answers
    )
    scores = evaluated(tiny_model(), TWO).conversations["dialogue"].scores
    assert (scores["chrf"].value, scores["exact_match"].value) == (1.0, 1.0)


def test_a_model_is_better_than_the_most_frequent_turn_by_the_interval_of_the_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each conversation's reply is missed by both, by the model a little less. The replies are so unlike that the
    interval of the model's own score holds the trivial one's value; that of the difference does not hold 0."""
    more = " and all of them"
    words = [f"a kind word for you{more * (number % 7)} {number * 7919}" for number in range(40)]
    trained = talk("Hi", "A kind word for you")
    monkeypatch.setattr(
        "lexitrain.evaluation.sources.answer_source.ask",
        lambda _model, _renderer, _task, prompts, **_options: said(
            *["a kind word for you"] * len(prompts)
        ),
    )
    rows = tuple(talk(f"q {number}", word) for number, word in enumerate(words))
    found = evaluated(tiny_model(), *rows, train_records=(trained,)).conversations["dialogue"]
    score, trivial = found.scores["chrf"], found.trivial["chrf"]
    assert score.low is not None
    assert trivial.value is not None
    assert score.low < trivial.value < (score.value or 0)
    assert found.beats_trivial("chrf") is True
    assert found.beats_trivial("loss") is None
    assert found.to_json()["scores"]["chrf"]["beats_trivial"] is True


def test_the_loss_is_the_validation_loss_of_training(
    recipe_of: Callable[..., Recipe], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    save_records(
        data / "train.jsonl", tuple(talk(f"a {n}", "b", f"c {n}", f"d {n}") for n in range(20))
    )
    validation = tuple(talk(f"x {n}", f"y {n}", system="Be kind.") for n in range(4))
    save_records(data / "validation.jsonl", validation)
    result = train(recipe_of(["schedule.epochs=1"]), data, tmp_path / "run")
    report = evaluate(tmp_path / "run", data / "validation.jsonl")
    loss = report.evaluation.conversations["dialogue"].scores["loss"]
    assert loss.value == pytest.approx(result.best_loss, rel=1e-4)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The prompts that a model is asked with."""
    prompts: list[list[int]] = []

    def generate(_model: Any, tokenizer: Any, given: Any, *_args: Any, **_options: Any) -> Any:
        prompts.extend(prompt.tolist() for prompt in given)
        return [[Continuation(tokenizer.encode("Yes."), False)] for _ in given]

    monkeypatch.setattr(continuations, "generate", generate)
    return prompts


@pytest.mark.parametrize("system", [None, "Be kind."])
def test_a_conversation_is_asked_with_the_ids_of_training(
    base: Path, asked: list[list[int]], system: str | None
) -> None:
    record = talk("Hi", "Hello.", "He go?", "He goes.", system=system)
    turns = [dict(turn) for turn in record.messages or ()]
    (given,) = Answerer(base, "dialogue").answer_conversations([turns[:-1]])
    expected = turns_of(renderer(), 0, record)[1][-1].prompt
    assert asked == [expected.tolist()]
    assert (given.text, given.answer, given.valid, given.input) == ("Yes.", None, True, "He go?")
    assert given.to_json()["messages"] == turns[:-1]


def test_sharegpt_turns_are_asked_alike(base: Path, asked: list[list[int]]) -> None:
    answerer = Answerer(base, "dialogue")
    answerer.answer_conversations([[{"from": "human", "value": "Hi"}]])
    answerer.answer_conversations([[{"role": "user", "content": "Hi"}]])
    assert asked[0] == asked[1]


def test_a_given_system_text_is_that_of_the_recipe_field(
    base: Path, asked: list[list[int]]
) -> None:
    """`--system` asks as a run was trained whose recipe has the same `data.system`; a text is then a user's turn."""
    for system in ("Be kind.", "none"):
        Answerer(base, "dialogue", system=system).answer(["Hi"])
        sample = renderer(system=system).render(talk("Hi", "x"))
        assert asked.pop() == sample.prompt_ids.tolist()
    Answerer(base, "dialogue").answer(["Hi"])
    plain = renderer().render(Record("dialogue", "Hi", RECORDS[5].output, {}))
    assert asked.pop() == plain.prompt_ids.tolist()


def test_the_system_text_of_a_runs_recipe_is_asked_with(
    recipe_of: Callable[..., Recipe], tmp_path: Path, asked: list[list[int]]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    save_records(data / "train.jsonl", tuple(talk(f"a {n}", "b") for n in range(10)))
    recipe = recipe_of(["schedule.epochs=1", "data.system=Be kind."])
    train(recipe, data, tmp_path / "run")
    Answerer(tmp_path / "run").answer_conversations([[{"role": "user", "content": "Hi"}]])
    assert "Be kind." in tiny_tokenizer().decode(asked[0])
    assert "ONLY" not in tiny_tokenizer().decode(asked[0])


def test_texts_are_made_tidy_as_the_training_data_were(base: Path, asked: list[list[int]]) -> None:
    untidy = unicodedata.normalize("NFD", "\ufeffHe  go\u00a0to  the café.")
    answerer = Answerer(base, "grammar")
    (given,) = answerer.answer([untidy])
    assert given.input == "He go to the café."
    answerer.answer([given.input])
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([], "nothing to answer"),
        (
            [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
            "nothing to answer",
        ),
        ([{"role": "system", "content": "a"}], "nothing to answer"),
        ([{"role": "user", "content": " "}], "no text"),
        ([{"role": "user", "content": "a\ud800"}], "surrogate"),
        ([{"role": "robot", "content": "a"}, {"role": "user", "content": "a"}], "robot"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    base: Path, turns: list[dict[str, str]], reason: str
) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        Answerer(base, "dialogue").answer_conversations([turns])
    assert caught.value.where == "conversations[0]"


def test_two_system_texts_are_one_too_many(base: Path) -> None:
    turns = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
    with pytest.raises(InputError, match="system turn of its own"):
        Answerer(base, "dialogue", system="Be kind.").answer_conversations([turns])
    with pytest.raises(InputError, match="no system text"):
        Answerer(base, "dialogue", system=" ")


def test_an_answer_that_begins_like_json_must_be_valid(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([said(ANSWER), said('{"corrected": 3}'), said(""), said("Yes.")])
    monkeypatch.setattr(answering, "ask", lambda *_args, **_options: next(answers))
    answerer = Answerer(base, "grammar")
    found = [
        answerer.answer_conversations([[{"role": "user", "content": "a"}]])[0] for _ in range(4)
    ]
    assert [each.valid for each in found] == [True, False, False, True]
    assert [each.answer is None for each in found] == [False, True, True, True]


def test_intervals_are_over_conversations() -> None:
    """Ten turns of two conversations are two draws: one wholly right and one wholly wrong say nothing of a third."""
    right = talk(*["q", "Hello."] * 5)
    score = bootstrap(pooled_mean([5.0, 0.0], [5, 5]), 2)
    assert (score.value, score.n) == (0.5, 2)
    assert score.low is not None
    assert score.high is not None
    assert score.low < 0
    assert score.high > 1
    found = evaluated(tiny_model(), right, talk("a", "b")).conversations["dialogue"]
    assert found.scores["chrf"].n == 2
    assert len(found.answers) == 6
    assert np.isfinite([each.loss for each in found.answers]).all()
