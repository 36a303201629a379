"""The page of a run: what it says of a run that has all, of one that lacks something, and of hostile files."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from itertools import cycle
from pathlib import Path

import pytest

from lexitrain import InputError, MissingExtra, Run, RunError, train, write_run_page
from lexitrain.reporting import png
from tests.reporting.run_folders import changed, hostile, run, small_recipe, trained
from tests.small_runs import write_data

__all__ = ["run", "trained"]

MARKUP = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
#: Elements that the templates and charts write; anything else came out of a file.
OWN = {
    *("html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section", "footer"),
    *("h1", "h2", "h3", "h4", "h5", "p", "a", "ul", "li", "i", "span", "small", "code", "pre", "div"),
    *("dl", "dt", "dd", "table", "caption", "thead", "tbody", "tr", "th", "td", "details", "summary"),
    *("figure", "figcaption", "svg", "g", "path", "text", "defs", "use", "clippath", "rect"),
}  # fmt: skip


class Page(HTMLParser):
    """Elements, ids and references of a page, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.addresses: set[str] = set()
        self.handlers: set[str] = set()
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in {"href", "src", "xlink:href"}:
                self.addresses.add(str(value))
            if name.startswith("on"):
                self.handlers.add(name)

    def handle_data(self, data: str) -> None:
        self.words += f"{data} "


def page_of(folder: Path) -> Page:
    return Page(write_run_page(folder).read_text(encoding="utf-8"))


def said(folder: Path) -> str:
    return " ".join(page_of(folder).words.split())


def test_a_page_says_all_that_the_run_holds(run: Path):
    page = write_run_page(run)
    assert page == run / "report.html"
    text = page.read_text(encoding="utf-8")
    words = " ".join(Page(text).words.split())
    for expected in (
        "finished",
        "16 of 16",
        "best validation loss",
        "Loss",
        "Validation loss by task",
        "Learning rate",
        "Tokens a second",
        "Waiting for data",
        "Peak memory so far",
        "training steps, all together",
        "Memory by part, predicted",
        "Sample lengths",
        "Samples by task",
        "40 samples of train: grammar 26 (65%); fluency 14 (35%)",
        "fluency: learnt. mae 0.191",
        "vocabulary, true (rows) and answered (columns)",
        "31 × Q5_0, 26 × F32, 5 × Q8_0 (15 biases)",
        "5.1e-03",
        "98.62%",
        "No waterfall of levers",
        "lexitrain train --recipe recipe.yaml --data",
        "lexitrain evaluate again --data data/test.jsonl --limit 1000",
        "lexitrain export again --to gguf --quantize Q4_K_M --verify data/test.jsonl --margin 0.05",
        "effective_batch: 5",
        "versions.torch",
    ):
        assert expected in words, expected
    finished = json.loads((run / "events.jsonl").read_text().splitlines()[-1])
    assert f"best {finished['best_loss']:.4f} at step {finished['best_step']}" in words
    assert len(text) < 3_000_000


def test_a_page_needs_nothing_and_its_ids_are_its_own(run: Path):
    page = page_of(run)
    assert page.tags <= OWN
    assert len(page.ids) == len(set(page.ids))
    assert page.addresses <= {f"#{each}" for each in page.ids}
    text = (run / "report.html").read_text(encoding="utf-8")
    references = set(re.findall(r"url\(#([^)]+)\)", text))
    assert references
    assert references <= set(page.ids)
    assert "default-src 'none'" in text
    assert not re.search(r"@font-face|@import|url\((?!#)|http-equiv=\"refresh\"", text)


def test_every_chart_has_words_and_the_pages_colours(run: Path):
    text = write_run_page(run).read_text(encoding="utf-8")
    charts = re.findall(r"<svg .*?</svg>", text, re.DOTALL)
    assert len(charts) >= 10
    for chart in charts:
        assert re.match(r'<svg [^>]*role="img"[^>]*>', chart)
        name = re.search(r'aria-labelledby="([^"]+)"', chart)
        assert name is not None
        assert f'<title id="{name.group(1)}">' in chart
        assert "currentColor" in chart
        assert not re.search(r"#[0-9a-f]{6}\b(?!-)", chart), (
            "a colour that no mode of the page knows"
        )
        assert "font:" not in chart


def test_the_same_folder_gives_the_same_bytes(run: Path, tmp_path: Path):
    first = write_run_page(run, tmp_path / "one.html").read_bytes()
    assert write_run_page(run, tmp_path / "two.html").read_bytes() == first
    moved = shutil.copytree(run, tmp_path / "elsewhere" / "first")
    shutil.copystat(tmp_path, moved)
    elsewhere = write_run_page(moved, tmp_path / "three.html").read_bytes()
    assert elsewhere.replace(str(moved).encode(), str(run).encode()) == first


@pytest.mark.parametrize(
    ("lacking", "expected"),
    [
        ("evaluation", "Not evaluated yet"),
        ("export", "Not exported"),
        ("plan.json", "There is no plan.json"),
        ("data.json", "There is no data.json"),
        ("environment.json", "There is no environment.json"),
        ("metrics.jsonl", "There are no metrics"),
        ("events.jsonl", "No events were written"),
        ("recipe.yaml", "There is no recipe.yaml"),
        ("evaluation/test-1000.answers.jsonl", "the file of answers is not there"),
    ],
)
def test_what_a_run_lacks_is_said(run: Path, lacking: str, expected: str):
    gone = run / lacking
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    assert expected in said(run)


FILES = (
    *("recipe.yaml", "metrics.jsonl", "events.jsonl", "plan.json", "data.json", "environment.json"),
    *("evaluation/test-1000.json", "export/export.json"),
)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00binary",
        b"[" * 100_000,
        b"7",
        b'"a text"',
        b'{"a": ' + b"9" * 5000,
        MARKUP.encode(),
    ],
    ids=["binary", "deep", "number", "text", "digits", "markup"],
)
def test_files_of_something_else_are_told_and_never_a_crash(run: Path, content: bytes):
    for file in FILES:
        (run / file).write_bytes(content + b"\n\n")
    (run / "evaluation/test-1000.answers.jsonl").write_bytes(content)
    page = page_of(run)
    assert page.tags <= OWN
    words = " ".join(page.words.split())
    for file in FILES:
        assert f"{file} cannot be used" in words


def test_one_damaged_file_leaves_the_others_shown(run: Path):
    (run / "metrics.jsonl").write_bytes(b"\xff\n\n")
    (run / "evaluation/test-1000.answers.jsonl").write_bytes(b"\xff\n[]\n" + b"x" * 300_000)
    words = said(run)
    assert "metrics.jsonl cannot be used" in words
    assert "3 lines are not answers, and passed over" in words
    assert "Samples by task" in words


def test_a_folder_in_the_place_of_a_file_is_told(run: Path):
    (run / "plan.json").unlink()
    (run / "plan.json").mkdir()
    assert "plan.json cannot be used: This is not a file." in said(run)


ODD = (
    *(MARKUP, "$\\frac{$_x", "\ud800\x00\x1b[31m", "日本語 😀", "a" * 100_000, "", "_hidden"),
    *(10**400, 1e308, -1e308, 5e-324, -1, 0, None, True, [], {}, [[]], {"<b>": {"": [1]}}),
)


@pytest.mark.parametrize("shift", range(4))
def test_hostile_values_are_text_or_passed_over(run: Path, shift: int):
    """Every leaf of every file is something odd, each time something else."""
    odd = cycle(ODD[shift * 5 :] + ODD[: shift * 5])
    for file in FILES[3:]:
        changed(run / file, lambda content: content.update(hostile(content, odd)))
    for file in ("events.jsonl", "evaluation/test-1000.answers.jsonl"):
        lines = [json.loads(line) for line in (run / file).read_text().splitlines()]
        kept = ("event", "step", "time", "task")
        spoilt = [
            {key: value if key in kept else hostile(value, odd) for key, value in line.items()}
            for line in lines
        ]
        (run / file).write_text("".join(json.dumps(line) + "\n" for line in spoilt))
    numbers = cycle((10**400, -1, 0, 1e308, 5e-324, 10**25, 3))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    spoilt = [{key: next(numbers) for key in line} for line in lines]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in spoilt))
    text = write_run_page(run).read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags <= OWN
    assert not page.handlers
    assert len(page.ids) == len(set(page.ids))
    assert len(text) < 3_000_000


def test_hostile_names_of_tasks_records_and_recipes_are_text(run: Path):
    def rename(content: dict) -> None:
        content["tasks"] = {MARKUP: content["tasks"]["vocabulary"]}
        confusion = content["tasks"][MARKUP]["confusion"]
        confusion["predicted"][0] = MARKUP

    changed(run / "evaluation/test-1000.json", rename)
    changed(run / "data.json", lambda content: content["samples"]["train"].update({MARKUP: 3}))
    answers = run / "evaluation/test-1000.answers.jsonl"
    lines = [json.loads(line) for line in answers.read_text().splitlines()]
    for line in lines:
        line |= {"task": MARKUP, "input": MARKUP, "text": MARKUP, "valid": False, "invalid": MARKUP}
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    recipe = run / "recipe.yaml"
    recipe.write_text(
        re.sub("^name: .*", f"name: '{MARKUP}'", recipe.read_text(), flags=re.MULTILINE)
    )
    page = page_of(run)
    assert page.tags <= OWN
    assert page.words.count("<script>alert(1)</script>") >= 6


def test_a_run_that_goes_on_and_has_no_validation_says_so(
    tiny_base: Path, tmp_path: Path, data_dir: Path
):
    for folder, stop in (("one", 1), ("three", 3)):
        recipe = small_recipe(tiny_base, "log_every=1", "checkpoints.every=100")
        train(recipe, data_dir, tmp_path / folder, stop_after_step=stop)
    words = said(tmp_path / "one")
    assert "stopped" in words
    assert "1 of 16" in words
    assert "It goes on with: lexitrain train --run" in words
    unvalidated = tmp_path / "three" / "metrics.jsonl"
    lines = [json.loads(line) for line in unvalidated.read_text().splitlines()]
    for line in lines:
        line.pop("validation_loss", None), line.pop("validation_losses", None)
    unvalidated.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = said(tmp_path / "three")
    assert "No validation loss was measured" in words
    assert "so nothing is said of overfitting" in words


def test_free_text_is_near_or_far_and_not_wrong(run: Path):
    answers = run / "evaluation/test-1000.answers.jsonl"
    explained = ("Viết 'is'.", "Viết 'is' nhé.", "Sai rồi.", "không")
    lines = [
        {
            **{"row": row, "task": "explanation", "input": f"question {row}", "valid": True},
            "reference": {"explanation": "Viết 'is'."},
            "text": json.dumps({"explanation": said}),
        }
        for row, said in enumerate(explained)
    ]
    lines.append({**lines[0], "row": 9, "task": "vocabulary", "reference": {"level": "A1"}})
    lines[-1]["text"] = json.dumps({"level": "B1"})
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = said(run)
    assert "explanation: 1 of 4 answers have the reference's explanation Nearest to the" in words
    near, far = words.index("Nearest to the reference"), words.index("Farthest from it")
    assert near < words.index("row 0") < words.index("row 1") < far < words.index("row 3")
    assert "vocabulary: 0 of 1 answer has the reference's level Right None. Wrong row 9" in words


def test_a_run_that_trains_at_the_moment_is_told_as_such(run: Path):
    with Run(run).lock():
        assert "still training" in said(run)


@pytest.mark.slow
def test_a_folder_with_one_run_a_task_shows_each(tiny_base: Path, tmp_path: Path):
    data = write_data(tmp_path / "data")
    train(small_recipe(tiny_base, "data.adapters=per_task"), data, tmp_path / "both")
    words = said(tmp_path / "both")
    for task in ("fluency", "grammar"):
        assert f"{task}: Loss" in words
        assert f"--recipe {task}.yaml --data {data} --run again/{task}" in words
    assert len(set(page_of(tmp_path / "both").ids)) == len(page_of(tmp_path / "both").ids)


def test_a_loss_that_is_no_number_is_counted_and_not_drawn(run: Path):
    metrics = run / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    lines[1]["loss"] = None
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "1 logged losses are not numbers, and not drawn." in said(run)


@pytest.mark.slow
def test_the_page_of_a_very_long_run_stays_small(run: Path):
    line = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    with (run / "metrics.jsonl").open("w") as file:
        for step in range(1, 20_001):
            loss = 9.5 if step == 7_777 else 1 + 1 / step
            losses = {f"task {number}": loss for number in range(30)}
            named = {
                "step": step,
                "loss": loss,
                "validation_loss": loss,
                "validation_losses": losses,
            }
            file.write(json.dumps({**line, **named}) + "\n")
    event = (run / "events.jsonl").read_text().splitlines()[1]
    (run / "events.jsonl").write_text(f"{event}\n" * 20_000)
    answer = (run / "evaluation/test-1000.answers.jsonl").read_text()
    (run / "evaluation/test-1000.answers.jsonl").write_text(answer * 300)
    page = write_run_page(run)
    assert page.stat().st_size < 3_000_000
    words = " ".join(Page(page.read_text(encoding="utf-8")).words.split())
    assert "19,850 more" in words
    assert "Examples are chosen among the first 5,000 answers." in words


def test_the_waterfall_is_drawn_where_the_plan_compares(run: Path):
    def compare(content: dict) -> None:
        content["a"], content["b"] = {"hours": {"expected": 4.0}}, {"hours": {"expected": 1.0}}
        content["levers"] = [{"lever": "base", "hours": 2.5}, {"lever": "epochs", "hours": 0.5}]

    changed(run / "plan.json", compare)
    words = said(run)
    assert "From 4 h to 1 h; what each saves: base +2.500 h; epochs +0.500 h." in words
    assert "No waterfall" not in words


def test_what_is_no_run_is_refused(tmp_path: Path, run: Path):
    with pytest.raises(RunError, match="There is no such folder"):
        write_run_page(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="not the folder of a run"):
        write_run_page(tmp_path / "empty")
    with pytest.raises(RunError, match="holds runs and is none itself") as caught:
        write_run_page(run.parent)
    assert "first" in str(caught.value.fix)


def test_only_a_page_of_its_own_is_replaced(run: Path, tmp_path: Path):
    write_run_page(run)
    write_run_page(run)
    other = tmp_path / "mine.html"
    other.write_text("<p>mine</p>")
    with pytest.raises(InputError, match="left as it is"):
        write_run_page(run, other)
    assert other.read_text() == "<p>mine</p>"
    with pytest.raises(InputError, match="is HTML"):
        write_run_page(run, run / "metrics.jsonl")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError, match="left as it is"):
        write_run_page(run, tmp_path / "folder.html")
    with pytest.raises(InputError, match="cannot be written"):
        write_run_page(run, run / "metrics.jsonl" / "report.html")


def test_without_matplotlib_the_extra_is_named(run: Path, monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(png, "import_module", missing)
    with pytest.raises(MissingExtra, match="matplotlib"):
        write_run_page(run)
    assert not (run / "report.html").exists()
