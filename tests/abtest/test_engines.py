"""What answers for an arm: an address, a GGUF file, a model in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.stub_engine import ANSWER, StubEngine

from lexitrain import answer
from lexitrain.abtest.engines.engine import Engine, EngineFailure, Question, Said
from lexitrain.abtest.engines.open_engine import EngineSettings, arms_of
from lexitrain.errors import ModelError, RunError, TaskError
from lexitrain.records import Record
from lexitrain.tasks import registry
from tests.abtest.served import ServedTest, wait_until
from tests.browser import chromium

__all__ = ["chromium"]

TEXTS = ["She go to school.", "He like cats.", "They is happy."]


def question(text: str = TEXTS[0], *, streamed: bool = False, task: str = "grammar") -> Question:
    return Question(registry()[task], Record(task, text, None, {}), streamed)


def asked(engine: Engine, *questions: Question) -> list[tuple[Said, list[str]]]:
    """What it says to all at once, and in which pieces."""

    async def all_of_them() -> list[tuple[Said, list[str]]]:
        await engine.open()
        try:

            async def one(each: Question) -> tuple[Said, list[str]]:
                pieces: list[str] = []
                return await engine.answer(each, pieces.append), pieces

            return list(await asyncio.gather(*map(one, questions)))
        finally:
            await engine.close()

    return asyncio.run(all_of_them())


# An address


class Misbehaving(StubEngine):
    """Answers each connection with given bytes, or as the stub does where there are none."""

    raw = b""

    async def _reply(self, path: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        if path == b"/v1/models" or not self.raw:
            await super()._reply(path, body, writer)
            return
        writer.write(self.raw)
        await writer.drain()
        writer.close()


def behind(stub: StubEngine, work: Callable[[Engine], Any]) -> Any:
    """What `work` gives, of an engine at the stub's address."""

    async def run() -> Any:
        server = await stub.serve()
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with server:
            arms = await asyncio.to_thread(
                arms_of, address, address, ["grammar"], EngineSettings(seconds=2)
            )
            await arms.a.open()
            try:
                return await work(arms.a)
            finally:
                await arms.a.close()

    return asyncio.run(run())


@pytest.mark.parametrize("streamed", [False, True])
def test_an_address_answers(streamed: bool) -> None:
    pieces: list[str] = []
    said = behind(
        StubEngine(0), lambda engine: engine.answer(question(streamed=streamed), pieces.append)
    )
    assert said == Said(ANSWER, cut=False)
    assert "".join(pieces) == ANSWER
    assert len(pieces) == (len(ANSWER) + 11) // 12 if streamed else 1


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def whole(body: bytes) -> bytes:
    return OK + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize(
    ("raw", "streamed"),
    [
        (b"", False),  # the stub's, but it takes too long
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno", False),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\nContent-Length: 0\r\n\r\n",
            False,
        ),
        (whole(b"[" * 10_000), False),
        (whole(b"{}"), False),
        (whole(b'{"choices": []}'), False),
        (whole(b'{"choices": [{"message": {"content": 5}}]}'), False),
        (whole(b"[]"), False),
        (OK + b"\r\n" + b"a" * 2_000_000, False),
        (OK + b"Content-Length: 100\r\n\r\nhalf", False),
        (b"SSH-2.0-OpenSSH\r\n", False),
        (EVENTS + b'data: {"choices": [{"delta": {"content": "half', True),
        (EVENTS + b'data: {"choices": [{"delta": {"content": "half"}}]}\n\n', True),
        (EVENTS + b'data: {"error": "out of memory"}\n\n', True),
        (EVENTS + b'data: {"choices": [{"delta": {"content": {"a": 1}}}]}\n\n', True),
        (EVENTS + b"data: 5\n\n", True),
        (EVENTS + b"data: " + b"a" * 2_000_000, True),
        (
            whole(b'{"choices": [{"message": {"content": "half"}, "finish_reason": "error"}]}'),
            False,
        ),
        (
            EVENTS
            + b'data: {"choices": [{"delta": {"content": "half"}, "finish_reason": "error"}]}\n\ndata: [DONE]\n\n',
            True,
        ),
    ],
    ids=range(19),
)
def test_an_address_that_misbehaves_is_a_failure_and_no_fault(raw: bytes, streamed: bool) -> None:
    stub = Misbehaving(wait=0.0 if raw else 60.0)
    stub.raw = raw
    with pytest.raises(EngineFailure):
        behind(stub, lambda engine: engine.answer(question(streamed=streamed), lambda _: None))


def test_an_answer_that_was_cut_off_says_so() -> None:
    stub = Misbehaving()
    stub.raw = whole(
        b'{"choices": [{"message": {"content": "{\\"corr"}, "finish_reason": "length"}]}'
    )
    said = behind(stub, lambda engine: engine.answer(question(), lambda _: None))
    assert said == Said('{"corr', cut=True)


class Dripping(StubEngine):
    """Sends a piece of an answer every tenth of a second, for ever."""

    async def _reply(self, path: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        if path == b"/v1/models":
            await super()._reply(path, body, writer)
            return
        streamed = b'"stream": true' in body
        writer.write(EVENTS if streamed else OK + b"Content-Length: 100000\r\n\r\n")
        piece = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n' if streamed else b" "
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("streamed", [False, True])
def test_the_time_is_for_the_whole_answer(streamed: bool) -> None:
    """Pieces that keep coming do not begin it anew."""

    async def work(engine: Engine) -> float:
        begun = time.monotonic()
        with pytest.raises(EngineFailure, match="No answer in 2 s"):
            async with asyncio.timeout(20):
                await engine.answer(question(streamed=streamed), lambda _: None)
        return time.monotonic() - begun

    assert 1.9 < behind(Dripping(), work) < 6


def test_what_was_given_up_ends_at_the_address_too() -> None:
    """The connection is closed, which is how such servers learn that nobody waits any more."""

    async def run() -> bool:
        closed = asyncio.Event()

        class Watching(StubEngine):
            async def _connection(self, reader: Any, writer: Any) -> None:
                while await reader.read(1000):
                    pass
                writer.close()
                closed.set()

        server = await Watching().serve()
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1#m"
        arms = await asyncio.to_thread(arms_of, address, address, ["grammar"], EngineSettings())
        await arms.a.open()
        work = asyncio.create_task(arms.a.answer(question(), lambda _: None))
        await asyncio.sleep(0.3)
        work.cancel()
        await asyncio.wait_for(closed.wait(), 10)
        await arms.a.close()
        server.close()
        return closed.is_set()

    assert asyncio.run(run())


def test_a_model_that_is_not_there_is_told_before_anything_is_served(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name, kind in (
        ("http://127.0.0.1:1/v1", ModelError),
        (str(tmp_path / "folder"), ModelError),
        (str(tmp_path / "none"), RunError),
    ):
        with pytest.raises(kind):
            arms_of("nano", name, [], EngineSettings())


def test_a_task_that_one_does_not_know_is_refused() -> None:
    with pytest.raises(TaskError, match="poetry"):
        arms_of("nano", "nano", ["poetry"], EngineSettings())


# nano


@pytest.mark.slow
def test_a_model_in_a_process_answers_as_predict_does() -> None:
    arms = arms_of("nano", "nano", ["grammar", "fluency"], EngineSettings(threads=1))
    said = asked(arms.a, *(question(text) for text in TEXTS), question(task="fluency"))
    here = answer("nano", TEXTS, task="grammar") + answer("nano", TEXTS[:1], task="fluency")
    assert [each.text for each, _ in said] == [each.text for each in here]
    assert [each.cut for each, _ in said] == [each.truncated for each in here]
    assert [pieces for _, pieces in said] == [[each.text] for each in here]


@pytest.mark.slow
def test_a_process_that_is_killed_is_started_again() -> None:
    async def run() -> tuple[str, str]:
        engine: Any = arms_of("nano", "nano", ["grammar"], EngineSettings(threads=1)).a
        await engine.open()
        try:
            first = (await engine.answer(question(), lambda _: None)).text
            work = asyncio.create_task(engine.answer(question("x " * 200), lambda _: None))
            await asyncio.sleep(0.05)
            os.kill(engine._process.pid, signal.SIGKILL)
            with pytest.raises(EngineFailure, match="has ended"):
                await work
            for _ in range(1200):
                try:
                    return first, (await engine.answer(question(), lambda _: None)).text
                except EngineFailure:
                    await asyncio.sleep(0.1)
            raise AssertionError
        finally:
            await engine.close()

    first, again = asyncio.run(run())
    assert first == again


@pytest.fixture(scope="module")
def nano_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("xllamacpp")
    from tests.exported import write_nano

    return write_nano(tmp_path_factory.mktemp("gguf") / "nano-F32.gguf")


@pytest.mark.slow
def test_a_file_answers_piece_by_piece_and_survives_its_process(nano_file: Path) -> None:
    async def run() -> None:
        settings = EngineSettings(threads=1, json_schema=True)
        engine: Any = arms_of(str(nano_file), "nano", ["grammar"], settings).a
        await engine.open()
        try:
            pieces: list[str] = []
            said = await engine.answer(question(streamed=True), pieces.append)
            assert said.text.startswith('{"corrected":"')
            assert "".join(pieces) == said.text
            assert len(pieces) > 3
            assert (await engine.answer(question(), lambda _: None)).text == said.text
            os.kill(engine._server.pid, signal.SIGKILL)
            failures = 0
            for _ in range(600):
                try:
                    again = await engine.answer(question(), lambda _: None)
                    break
                except EngineFailure:
                    failures += 1
                    await asyncio.sleep(0.1)
            assert again.text == said.text
            assert failures
        finally:
            await engine.close()

    asyncio.run(run())


@pytest.fixture(scope="module")
def nano_test(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedTest]:
    """nano, trained for a minute: the run in a process of its own against its export on llama.cpp."""
    pytest.importorskip("xllamacpp")
    from lexitrain import export, generate_file, load_recipe, prepare, train

    folder = tmp_path_factory.mktemp("nano")
    generate_file(folder / "records.jsonl", 1500, seed=1)
    prepare([str(folder / "records.jsonl")], folder / "data", seed=1)
    run = folder / "run"
    train(load_recipe("demo", ["data.tasks=[grammar,fluency]"]), folder / "data", run)
    file = export(run, ["gguf"], quantize=["Q8_0"]).files[0].path
    settings = EngineSettings(threads=1, json_schema=True)
    arms = arms_of(str(run), str(file), [], settings)
    assert list(arms.tasks_a) == ["grammar", "fluency"]
    with ServedTest(folder / "t.db", arms.a, arms.b, tasks=("grammar", "fluency")) as found:
        yield found


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_both_arms_of_nano_answer_learners(nano_test: ServedTest) -> None:
    for _ in range(8):
        learner = nano_test.learner()
        assert nano_test.ask(learner)["answer"]["corrected"]
        assert 0 <= nano_test.ask(learner, task="fluency")["answer"]["fluency_score"] <= 1
    wait_until(lambda: set(nano_test.states()) == {"answered"})
    assert len(nano_test.rows("SELECT DISTINCT served FROM exposures")) == 2


@pytest.mark.browser
@pytest.mark.timeout(1200)
def test_a_learner_is_answered_by_nano_and_the_team_sees_it(
    chromium: Any, nano_test: ServedTest
) -> None:
    from tests.abtest.served import TOKEN
    from tests.abtest.test_pages_in_a_browser import agree, ask, opened

    before = nano_test.rows("SELECT COUNT(*) FROM ratings")[0][0]
    page, told = opened(chromium, f"{nano_test.address}/?lang=en")
    agree(page)
    ask(page)
    assert page.locator("#said .sentence").count() >= 1
    shots = os.environ.get("LEXITRAIN_SHOTS")
    if shots:
        page.screenshot(path=f"{shots}/nano.png", full_page=True)
    page.check("input[name=helpful][value=true]")
    page.wait_for_function("() => document.getElementById('saved').textContent.match(/Thank/)")
    page.goto(f"{nano_test.address}/team?lang=en#token={TOKEN}")
    page.wait_for_selector("#tiles section")
    rated = page.evaluate(
        "[...document.querySelectorAll('#tiles tr')].filter(each => each.cells[0].textContent === 'Rated')"
        ".map(each => Number(each.cells[1].textContent))"
    )
    assert sum(rated) == before + 1
    assert told == []
    page.context.close()
