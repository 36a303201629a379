"""Several adapters on one base: each answer is that of the merged model."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lexitrain.errors import ModelError
from lexitrain.serving import LlamaServer, applied_template, completion, tokenized
from tests.exported import random_adapter, write_adapter, write_nano
from tests.serving.served import Served, nano_offer

pytestmark = pytest.mark.slow

KINDS: dict[str, dict[str, Any]] = {
    "plain": {"r": 4, "lora_alpha": 8},
    "rslora": {"r": 8, "lora_alpha": 16, "use_rslora": True},
    "patterns": {
        "r": 4,
        "lora_alpha": 4,
        "rank_pattern": {"q_proj": 2, "down_proj": 6},
        "alpha_pattern": {"v_proj": 12, "down_proj": 3},
    },
}
SHARED = "You are a tutor. Answer what the learner asks, with care, and in one line. " * 4


@dataclass
class Forms:
    """The adapters as files of their own, and each merged into the base."""

    base: Path
    adapters: dict[str, Path]
    merged: dict[str, Path]


@pytest.fixture(scope="module")
def forms(nano_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Forms:
    folder = tmp_path_factory.mktemp("adapters")
    found = Forms(nano_file, {}, {})
    for seed, (name, settings) in enumerate(KINDS.items()):
        adapter = random_adapter(folder / name, seed, size=0.05, **settings)
        found.adapters[name] = write_adapter(folder / f"{name}.gguf", adapter)
        found.merged[name] = write_nano(folder / f"merged-{name}.gguf", "F32", adapter)
    return found


@pytest.fixture(scope="module")
def served(forms: Forms) -> Iterator[Served]:
    paths = list(forms.adapters.values())
    server = LlamaServer(forms.base, adapters=paths, slots=2, context=1024, threads=1)
    with server, Served(server, nano_offer(forms.base, adapters=tuple(forms.adapters))) as found:
        yield found


def prompts(count: int) -> list[list[dict[str, str]]]:
    """Questions whose beginnings are long and the same."""
    words = (
        "cat",
        "school",
        "garden",
        "friend",
        "river",
        "window",
        "lamp",
        "teacher",
        "rain",
        "song",
    )
    return [
        [{"role": "user", "content": f"{SHARED}\nText: The {words[n % 10]} and {n // 10} more."}]
        for n in range(count)
    ]


def expected(file: Path, asked: list[list[dict[str, str]]]) -> list[tuple[int, ...]]:
    """What a model answers that has no adapters."""
    with LlamaServer(file, slots=1, context=1024, threads=1, cache_prompt=False) as server:
        return [completion(server, tokens(server, each), most_tokens=12).tokens for each in asked]


def tokens(server: LlamaServer, asked: list[dict[str, str]]) -> list[int]:
    return tokenized(server, applied_template(server, asked))


def alternated(served: Served, forms: Forms, count: int) -> list[str]:
    """Names of the models whose answer was not that of the merged model, of so many requests in no order."""
    asked = prompts(max(count // 10, 3))
    models = [None, *forms.adapters]
    answers = {
        name: expected(forms.base if name is None else forms.merged[name], asked) for name in models
    }
    assert len({answers[name][0] for name in models}) == len(models), "they differ"
    chance = random.Random(0)
    wrong: list[str] = []
    for _ in range(count):
        name, number = chance.choice(models), chance.randrange(len(asked))
        place = None if name is None else list(forms.adapters).index(name)
        found = completion(
            served.server, tokens(served.server, asked[number]), most_tokens=12, adapter=place
        )
        if found.tokens != answers[name][number]:
            wrong.append(str(name))
    return wrong


def test_adapters_in_turn_answer_as_their_merged_models(served: Served, forms: Forms) -> None:
    assert alternated(served, forms, 40) == []


def test_400_requests_in_turn_are_answered_as_by_merged_models(
    served: Served, forms: Forms
) -> None:
    # Products of the halves are rounded otherwise than merged weights: a tie may break.
    assert len(alternated(served, forms, 400)) <= 2


def test_a_request_names_an_adapter_as_its_model(served: Served, forms: Forms) -> None:
    asked = prompts(3)
    for name in (None, *forms.adapters, None, *forms.adapters):
        file = forms.base if name is None else forms.merged[name]
        with LlamaServer(file, slots=1, context=1024, threads=1) as alone:
            for each in asked:
                wanted = completion(alone, tokens(alone, each), most_tokens=12).text
                named = {} if name is None else {"model": name}
                status, reply = served.chat(each, max_tokens=12, **named)
                assert status == 200
                assert reply["model"] == (name or "nano-F32")
                assert reply["choices"][0]["message"]["content"] == wanted
    streamed = served.events(messages=asked[0], max_tokens=3, model="rslora")
    assert all('"model": "rslora"' in each for each in streamed[:-1])


def test_a_model_of_no_name_is_refused(served: Served, forms: Forms) -> None:
    status, reply = served.chat(model="other")
    assert status == 400
    assert "nano-F32, plain, rslora, patterns" in reply["error"]["message"]
    found = served.raw("", method="GET", path="/v1/models")[1]["data"]
    assert [each["id"] for each in found] == ["nano-F32", *forms.adapters]


def test_an_adapter_for_another_base_is_refused(
    forms: Forms, tiny_base: Path, tmp_path: Path
) -> None:
    from lexitrain import export

    other = export(tiny_base, quantize=["F32"], out=tmp_path).files[0].path
    with pytest.raises(ModelError, match="must be for this base"):
        LlamaServer(other, adapters=[forms.adapters["plain"]], threads=1, context=256).start()
