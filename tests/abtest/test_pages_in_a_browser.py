"""The pages of a test in Chromium: a learner with the keyboard, on a phone, in two languages, in the dark; the team."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.abtest.served import TOKEN, ScriptedEngine, ServedTest
from tests.browser import axe, chromium

__all__ = ["axe", "chromium"]

pytestmark = pytest.mark.browser

PHONE, DESKTOP = (390, 844), (1280, 900)
SERIOUS = {"serious", "critical"}
SENTENCE = "She go to the school every days."
ANSWERS = {
    "grammar": '{"corrected":"She goes to school every day.","errors":[{"type":"replacement","span":"go"}]}',
    "fluency": '{"fluency_score":0.85,"reasoning":"Natural."}',
    "vocabulary": '{"level":"B1","key_words":["school"]}',
    "dialogue": '{"response":"Do you like it?","strategy":"ask","pedagogical_goal":"questions"}',
    "explanation": '{"explanation":"Chủ ngữ là ngôi thứ ba số ít."}',
}


class TaskEngine(ScriptedEngine):
    """Answers each task with something of it."""

    async def answer(self, question: Any, tell: Any) -> Any:
        self.answer_text = ANSWERS[question.task.short]
        return await super().answer(question, tell)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedTest]:
    with ServedTest(tmp_path / "t.db", TaskEngine("model-a"), TaskEngine("model-b")) as found:
        yield found


def opened(
    chromium: Any, address: str, size: tuple[int, int] = PHONE, scheme: str = "light", **more: Any
) -> tuple[Any, list[str]]:
    """The page, and what it has complained of or asked elsewhere for."""
    context = chromium.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, **more
    )
    page, told = context.new_page(), []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    host = address.split("/")[2]
    page.on("request", lambda r: None if r.url.split("/")[2] == host else told.append(r.url))
    page.goto(address)
    return page, told


def barriers(page: Any, axe: str) -> list[str]:
    # The page's own policy allows no script but its files: axe-core is handed over beside it.
    page.evaluate(axe)
    found = page.evaluate("axe.run()")["violations"]
    return [
        f"{each['id']}: {each['nodes'][0]['html']}" for each in found if each["impact"] in SERIOUS
    ]


def agree(page: Any) -> None:
    page.click("#agree")
    page.wait_for_selector("#text:visible")


def ask(page: Any, text: str = SENTENCE) -> None:
    page.fill("#text", text)
    page.click("#send")
    page.wait_for_selector("#rating:visible")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("language", ["en", "vi"])
def test_a_learner_is_answered_and_rates_without_a_barrier(
    chromium: Any, axe: str, served: ServedTest, language: str, size: tuple[int, int], scheme: str
) -> None:
    page, told = opened(chromium, f"{served.address}/?lang={language}", size, scheme)
    page.wait_for_selector("#agree:visible")
    assert page.get_attribute("html", "lang") == language
    assert barriers(page, axe) == []
    agree(page)
    for task in ANSWERS:
        page.check(f"input[name=task][value={task}]")
        ask(page)
        assert page.inner_text("#said").strip()
        assert barriers(page, axe) == [], task
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    page.check("input[name=helpful][value=true]")
    page.check("input[name=stars][value='4']")
    page.check("#fixed")
    page.click("summary")
    page.fill("#corrected", "She goes to school daily.")
    page.click("#rating button[type=submit]")
    page.wait_for_function("() => document.getElementById('saved').textContent.match(/Thank|Cảm/)")
    deadline = time.monotonic() + 20
    while served.rows("SELECT helpful, stars, corrected FROM ratings") != [
        (1, 4, "She goes to school daily.")
    ]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert served.rows("SELECT fixed FROM outcomes") == [(1,)]
    assert barriers(page, axe) == []
    assert told == []
    page.context.close()


def test_corrections_are_marked_word_by_word(chromium: Any, served: ServedTest) -> None:
    page, _ = opened(chromium, served.address)
    agree(page)
    ask(page)
    seen = page.evaluate(
        "[...document.querySelectorAll('#said del, #said ins')].map(each => [each.tagName, each.lastChild"
        ".previousSibling.textContent])"
    )
    assert seen == [["DEL", "go"], ["INS", "goes"], ["DEL", "the"], ["DEL", "days"], ["INS", "day"]]
    heard = page.evaluate("document.querySelector('.sentence').textContent")
    assert heard.startswith("She removed: go.  added: goes.  to removed: the.  school")
    ask(page, "She goes to school every day.")
    assert page.locator("#said del, #said ins").count() == 0
    page.context.close()


def test_the_keyboard_is_enough(chromium: Any, served: ServedTest) -> None:
    page, told = opened(chromium, f"{served.address}/?lang=en")
    page.wait_for_selector("#agree:visible")

    def tab_to(selector: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({selector!r})"):
                return
        raise AssertionError(f"the keyboard does not reach {selector}")

    tab_to("#agree")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement.id === 'text'")
    page.keyboard.type(SENTENCE)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#rating:visible")
    page.wait_for_function("() => document.activeElement.id === 'answer-heading'")
    tab_to("input[name=helpful]")
    page.keyboard.press("Space")
    tab_to("input[name=stars]")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    tab_to("#fixed")
    page.keyboard.press("Space")
    deadline = time.monotonic() + 20
    while served.rows("SELECT helpful, stars FROM ratings") != [(1, 3)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    tab_to("#delete")
    page.keyboard.press("Enter")
    page.wait_for_selector("#sure[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("#sure[open]", state="detached")
    page.keyboard.press("Enter")
    page.wait_for_selector("#sure[open]")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#consent:visible")
    assert served.rows("SELECT * FROM exposures") == []
    assert told == []
    page.context.close()


def test_what_a_model_says_is_never_markup(chromium: Any, tmp_path: Path) -> None:
    markup = "<img src=x onerror=document.title='taken'><script>document.title='taken'</script>"
    said = json.dumps({"corrected": markup, "errors": [{"type": markup, "span": markup}]})
    engines = [ScriptedEngine(f"{markup}{each}", said) for each in "ab"]
    with ServedTest(tmp_path / "t.db", *engines, title=markup[:60]) as served:
        page, told = opened(chromium, served.address)
        agree(page)
        ask(page, markup)
        assert markup in page.inner_text("#said")
        ask(page, f"nonsense {markup}")
        assert page.locator("main img, main script, #said b").count() == 0
        assert page.title() == markup[:60]
        page.click("#delete")
        page.click("#sure button[value=yes]")
        page.wait_for_selector("#consent:visible")
        page.goto(f"{served.address}/team?lang=en#token={TOKEN}")
        page.wait_for_selector("#tiles section")
        assert markup in page.inner_text("#tiles")
        assert page.title() == "A/B test"
        assert told == []
        page.context.close()


def test_a_learner_hears_what_went_wrong(chromium: Any, served: ServedTest) -> None:
    page, _ = opened(chromium, f"{served.address}/?lang=en")
    agree(page)
    page.fill("#text", "fail")
    page.click("#send")
    page.wait_for_selector("#trouble:visible")
    assert page.inner_text("#trouble") == "The tutor cannot answer just now. Please try again."
    assert not page.is_visible("#answer")
    ask(page)
    assert not page.is_visible("#trouble")
    page.context.set_offline(True)
    page.click("#send")
    page.wait_for_selector("#trouble:visible")
    assert "cannot be reached" in page.inner_text("#trouble")
    page.context.close()


def test_the_team_sees_the_test_and_stops_an_arm(
    chromium: Any, axe: str, served: ServedTest
) -> None:
    for number in range(130):
        learner = served.learner()
        shown = served.ask(learner)["exposure"]
        said = {"exposure": shown, "helpful": number % 3 > 0, "stars": 1 + number % 5}
        served.call("POST", "/v1/ratings", said, learner)
    for language, size, scheme in (("en", PHONE, "light"), ("vi", DESKTOP, "dark")):
        page, told = opened(chromium, f"{served.address}/team?lang={language}", size, scheme)
        page.wait_for_selector("#token:visible")
        assert barriers(page, axe) == []
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector("#tiles section")
        page.wait_for_selector("svg.interval", timeout=120_000)
        assert page.inner_text("#tiles").count("model-") == 2
        verdict, other = ("Not enough yet", "Chưa đủ dữ liệu")[:: 1 if language == "en" else -1]
        assert verdict in page.inner_text("#verdict")
        assert other not in page.inner_text("#verdict")
        age = "The statistics are of" if language == "en" else "Thống kê tính lúc"
        assert age in page.inner_text("#figures")
        assert barriers(page, axe) == []
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        assert told == []
        page.context.close()
    page, told = opened(chromium, f"{served.address}/team?lang=en#token={TOKEN}")
    page.wait_for_selector("#tiles section")
    assert TOKEN not in page.url
    page.click("text=Stop arm b")
    page.click("#sure button[value=yes]")
    page.wait_for_selector("text=Arm b is stopped: all learners get the other one.")
    assert served.tutor.guardrails.stopped == "b"
    page.click("text=Resume arm b")
    page.wait_for_selector("text=Both arms are running.")
    page.click("#close")
    page.wait_for_selector("#token:visible")
    page.reload()
    page.wait_for_selector("#token:visible")
    assert told == []
    page.context.close()
