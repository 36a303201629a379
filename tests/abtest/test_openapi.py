"""The service against its own description: Schemathesis makes requests of every form that it allows and forbids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from lexitrain.abtest.service.guarding import gate
from tests.abtest.served import TOKEN, ServedTest

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("default"),  # those of schemathesis and what it imports
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedTest]:
    with pytest.MonkeyPatch.context() as patch:
        # Hundreds of wrong tokens are sent here, and each is to be refused as one; that there is a limit of ten a
        # minute is shown in test_gate.py and the like.
        patch.setattr(gate, "_WRONG_TOKENS", 1_000_000)
        with ServedTest(tmp_path_factory.mktemp("api") / "t.db") as found:
            yield found


OPERATIONS = [
    ("GET", "/health"),
    ("GET", "/v1/consent"),
    ("POST", "/v1/consent"),
    ("GET", "/v1/learner"),
    ("DELETE", "/v1/learner"),
    ("GET", "/v1/tasks"),
    ("POST", "/v1/tutor/{task}"),
    ("POST", "/v1/ratings"),
    ("POST", "/v1/outcomes"),
    ("GET", "/v1/team"),
    ("POST", "/v1/team/stop"),
    ("POST", "/v1/team/resume"),
    ("DELETE", "/v1/team/learners/{learner}"),
]


@pytest.fixture(scope="module")
def description(whole: ServedTest) -> Any:
    return schemathesis.openapi.from_url(f"{whole.address}/openapi.json")


def test_every_path_is_tried(description: Any) -> None:
    found = [each.ok() for each in description.get_all_operations()]
    assert sorted((each.method.upper(), each.path) for each in found) == sorted(OPERATIONS)


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=str)
@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=" ".join)
def test_every_reply_is_as_described(
    description: Any, whole: ServedTest, method: str, path: str, mode: Any
) -> None:
    operation = description[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    def every(case: Any) -> None:
        who = TOKEN if path.startswith("/v1/team") else _learner(whole)
        case.call_and_validate(headers={"Authorization": f"Bearer {who}"})

    try:
        every()
    except Unsatisfiable:
        pytest.skip("nothing can be sent there that is forbidden")


def test_the_service_is_sound_afterwards(whole: ServedTest) -> None:
    whole.call("POST", "/v1/team/resume", {"arm": "a"}, TOKEN)
    whole.call("POST", "/v1/team/resume", {"arm": "b"}, TOKEN)
    assert whole.ask(whole.learner())["answer"]
    assert not [each for each in whole.told if "fault" in each]


_known: list[str] = []


def _learner(whole: ServedTest) -> str:
    """One who has agreed; another one where the last was deleted."""
    if not _known or not whole.call("GET", "/v1/consent", who=_known[-1])[1]["agreed"]:
        _known.append(whole.learner())
    return _known[-1]
