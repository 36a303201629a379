"""`lexitrain data` as a user meets it: one clear message, the right exit code, nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lexitrain.cli.main import run
from lexitrain.synthetic import generate
from tests.disks import mounted
from tests.tiny import tiny_tokenizer


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "raw.jsonl"
    path.write_text("".join(record.to_json() + "\n" for record in generate(300, 3)), "utf-8")
    return path


@pytest.fixture
def base(tmp_path: Path) -> str:
    """A model folder with a tokenizer; measuring lengths needs no weights."""
    tiny_tokenizer().save_pretrained(tmp_path / "base")
    return f"model.base={tmp_path / 'base'}"


def prepare(*arguments: object) -> int:
    return run(["data", "prepare", *map(str, arguments)])


def test_generate_then_prepare_then_lengths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], base: str
) -> None:
    raw, out, plot = tmp_path / "raw.jsonl", tmp_path / "data", tmp_path / "lengths.png"
    command = ["data", "generate", "--count", "400", "--seed", "5", "--out", str(raw), "--json"]
    assert run(command) == 0
    generated = json.loads(capsys.readouterr().out)
    assert generated["records"] == sum(generated["tasks"].values()) == 400
    assert prepare(raw, "--out", out, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["records"]["read"] == 400
    measure = [
        "data",
        "lengths",
        "--recipe",
        "demo",
        "--set",
        base,
        "--set",
        "data.max_length=1024",
    ]
    assert run([*measure, str(out), "--cover", "0.8", "--json"]) == 0
    lengths = json.loads(capsys.readouterr().out)
    assert lengths["tasks"]["all"]["samples"] == report["splits"]["train"]["records"]
    assert set(lengths["covering"]) == {"0.8", "0.9", "0.95", "0.99"}
    tokens = lengths["step_tokens"]
    assert tokens["tree"] < tokens["packed"] < tokens["padded_to_longest"] < tokens["padded"]
    assert tokens["packed"] == tokens["real"]
    assert run([*measure, str(raw), "--limit", "50", "--plot", str(plot)]) == 0
    shown = capsys.readouterr().out
    assert "prefix tree" in shown
    assert "all" in shown
    assert "50" in shown
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_lengths_shorten_what_is_too_long_for_the_recipe(
    raw: Path, capsys: pytest.CaptureFixture[str], base: str
) -> None:
    command = ["data", "lengths", str(raw), "--recipe", "demo", "--set", base, "--json"]
    assert run([*command, "--set", "data.max_length=1024"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert (whole["shortened"], whole["unfit"]) == (0, 0)
    limit = whole["tasks"]["all"]["total"]["p90"]
    assert run([*command, "--set", f"data.max_length={limit}"]) == 0
    cut = json.loads(capsys.readouterr().out)
    assert cut["tasks"] == whole["tasks"]
    assert 0 < cut["shortened"] <= 0.1
    assert cut["step_tokens"]["packed"] < whole["step_tokens"]["packed"]
    assert run([*command, "--set", "data.max_length=256"]) == 0
    assert 0 < json.loads(capsys.readouterr().out)["unfit"] < 300
    assert run([*command, "--set", "data.max_length=64"]) == 2
    assert "No sample fits 64 tokens" in capsys.readouterr().err


def test_generate_is_repeatable_and_takes_one_task(tmp_path: Path) -> None:
    for name in ("a", "b"):
        command = ["data", "generate", "--count", "20", "--out", str(tmp_path / name)]
        assert run([*command, "--task", "grammar_correction"]) == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    lines = (tmp_path / "a").read_text("utf-8").splitlines()
    assert {json.loads(line)["task"] for line in lines} == {"grammar"}


def test_the_summary_names_what_was_dropped_and_what_is_bad(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = raw.read_text("utf-8").splitlines()
    raw.write_text("\n".join([*lines, lines[0], "{broken"]), "utf-8")
    assert prepare(raw, "--out", tmp_path / "out") == 0
    shown = capsys.readouterr()
    assert "dropped: exact duplicate" in shown.out
    assert f"{raw}:302: malformed JSON" in " ".join(shown.out.split())
    assert shown.err == ""


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{broken", "malformed JSON"),
        ('{"task": "grammar", "input": "He go."}', "no output"),
        ('{"task": "gramar", "input": "He go.", "output": {}}', "did you mean 'grammar'?"),
        ('{"input": "He go.", "output": {}}', "--task"),
    ],
)
def test_bad_records_stop_everything_with_their_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, reason: str
) -> None:
    path, out = tmp_path / "bad.jsonl", tmp_path / "out"
    path.write_text(line + "\n")
    assert prepare(path, "--out", out) == 2
    shown = capsys.readouterr()
    assert f"{path}:1: " in shown.err
    assert reason in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert not out.exists()


def test_missing_and_forbidden_places(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare(tmp_path / "none" / "*.jsonl", "--out", tmp_path / "out") == 2
    assert "no such file or folder" in capsys.readouterr().err
    assert prepare(raw, "--out", raw) == 2
    assert "a file, not a folder" in capsys.readouterr().err
    assert prepare(raw, "--out", tmp_path / "out", "--task", "gramar") == 2
    assert "Did you mean grammar?" in capsys.readouterr().err
    with mounted(tmp_path / "fixed", "size=64k,ro") as disk:
        assert prepare(raw, "--out", disk / "out") == 2
    assert "Read-only" in capsys.readouterr().err


def test_a_full_disk_is_exit_4_and_leaves_nothing(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with mounted(tmp_path / "small", "size=32k") as disk:
        assert prepare(raw, "--out", disk / "out") == 4
        command = ["data", "generate", "--count", "2000", "--out", str(disk / "a.jsonl")]
        assert run(command) == 4
        assert list(disk.iterdir()) == []
    assert capsys.readouterr().err.count("The disk is full") == 2


def test_lengths_of_records_that_cannot_be_used_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.jsonl"
    for line, reason in (
        ("{broken", "malformed JSON"),
        ('{"task": "grammar", "input": "a", "output": {"x": 1}}', "Record 1 cannot be used"),
        ("", "no records"),
    ):
        path.write_text(line + "\n")
        assert run(["data", "lengths", str(path), "--recipe", "demo"]) == 2
        assert reason in capsys.readouterr().err


def test_a_task_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = tmp_path / "paraphrase.py"
    task.write_text(
        "from lexitrain.tasks.task import Task\n"
        "class Paraphrase(Task):\n"
        "    name = short = 'paraphrase'\n"
        "    schema = {'type': 'object', 'properties': {'paraphrase': {'type': 'string', 'minLength': 1}}}\n"
        "    def statistics(self, records, answers): return {}\n"
        "    def trivial(self, train_records): return lambda record: {'paraphrase': record.input}\n"
    )
    raw = tmp_path / "raw.csv"
    raw.write_text("input,output\n" + "".join(f"text {n},other {n}\n" for n in range(30)))
    arguments = (raw, "--out", tmp_path / "out", "--task", "paraphrase", "--json")
    assert prepare(*arguments) == 2
    capsys.readouterr()
    assert prepare(*arguments, "--custom-task", task) == 0
    assert json.loads(capsys.readouterr().out)["tasks"]["paraphrase"]["kept"] == 30


def test_a_plot_of_another_kind_is_refused_before_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["data", "lengths", str(tmp_path / "missing.jsonl"), "--plot", "lengths.gif"]
    assert run(arguments) == 2
    assert "ends in .png" in capsys.readouterr().err


def test_own_columns_with_a_scale_and_what_the_summary_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    sheet = tmp_path / "sheet.csv"
    lines = [f"He go to place {n},He goes to place {n},{n % 9 + 1}\n" for n in range(50)]
    sheet.write_text("learner_text,corrected_text,band\n" + "".join(lines), "utf-8")
    maps = ("--map", "input=learner_text,output=corrected_text,task=grammar")
    both = (*maps, "--map", "input=learner_text,output.fluency_score=band/9,task=fluency")
    assert prepare("~/sheet.csv", "--out", "~/out", *both) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "50 grammar records have no `errors`" in shown
    assert "--derive-errors" in shown
    assert "50 fluency records have no `reasoning`" in shown
    assert (tmp_path / "out" / "train.jsonl").is_file()
    assert prepare("~/sheet.csv", "--out", "~/derived", *maps, "--derive-errors", "--json") == 0
    assert json.loads(capsys.readouterr().out)["lacking"] == {}
    line = (tmp_path / "derived" / "train.jsonl").read_text("utf-8").splitlines()[0]
    assert json.loads(line)["output"]["errors"] == [{"type": "replacement", "span": "go"}]
    unscaled = ("--map", "input=learner_text,output.fluency_score=band,task=fluency")
    assert prepare("~/sheet.csv", "--out", "~/no", *unscaled) == 2
    assert "--max-dropped" in capsys.readouterr().err
    assert prepare("~/sheet.csv", "--out", "~/no", "--map", "input=text,output=band") == 2
    assert "learner_text, corrected_text, band" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "no").exists()
    command = ["data", "generate", "--count", "5", "--out", "~/made.jsonl"]
    assert run(command) == 0
    assert (tmp_path / "made.jsonl").is_file()


def test_own_splits_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, first in (("train", 0), ("test", 30)):
        lines = [
            {"task": "grammar", "input": f"Text {n}", "output": "Right."}
            for n in range(first, first + 40)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    assert prepare(tmp_path, "--out", tmp_path / "out") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "own splits are used: train 40, test 40; --new-splits splits anew" in shown
    assert "in train and in test, by text, group or duplicate: 10" in shown
    assert prepare(tmp_path, "--out", tmp_path / "anew", "--new-splits") == 0
    assert "all was split anew" in " ".join(capsys.readouterr().out.split())


def test_lengths_take_a_task_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], base: str
) -> None:
    task = tmp_path / "own.py"
    task.write_text(
        "from lexitrain.tasks import Task\n"
        "class Own(Task):\n"
        "    name = short = 'own'\n"
        "    schema = {'type': 'object', 'properties': {'own': {'type': 'string'}}}\n"
        "    def statistics(self, records, answers): return {}\n"
        "    def trivial(self, train_records): return lambda record: {'own': record.input}\n"
    )
    raw = tmp_path / "raw.jsonl"
    raw.write_text('{"task": "own", "input": "a text", "output": "b"}\n' * 3)
    command = ["data", "lengths", str(raw), "--recipe", "demo", "--set", base, "--json"]
    assert run(command) == 2
    capsys.readouterr()
    assert run([*command, "--custom-task", str(task)]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"]["all"]["samples"] == 3


def test_keys_of_an_output_that_are_not_taught_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw.jsonl"
    outputs = [
        {"corrected": "a b c", "errors": [{"type": "x", "span": "y", "offset": 3}], "note": "n"},
        json.dumps({"corrected": "d e f", "note": {"deep": 1}}),
        {"corrected": "g h i", "errors": []},
        "plain text",
    ]
    rows = [
        {"task": "grammar", "input": f"sentence {n}", "output": each}
        for n, each in enumerate(outputs)
    ]
    raw.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert prepare(str(raw), "--out", str(tmp_path / "out"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["unlearnt"] == {
        "grammar": {"note": 2, "errors[].offset": 1}
    }
    assert prepare(str(raw), "--out", str(tmp_path / "shown")) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "grammar records these keys are not taught: `note` in 2, `errors[].offset` in 1" in shown


def test_what_is_worth_knowing_is_shown_by_prepare_and_again_by_lengths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], base: str
) -> None:
    raw, out = tmp_path / "raw.jsonl", tmp_path / "data"
    rows = [record.to_json() for record in generate(300, 3)]
    rows += [
        json.dumps({"task": "vocabulary", "input": text, "output": {"level": level}})
        for text, level in (("Water [cold]", "A1"), ("water cold!", "C2"))
    ]
    raw.write_text("".join(f"{row}\n" for row in rows), "utf-8")
    assert prepare(raw, "--out", out) == 0
    shown = capsys.readouterr().out
    assert "Worth knowing\n" in shown
    assert "- vocabulary: 1 input with more than one `level`, in 2 records" in shown
    assert "which limits accuracy and macro_f1. What to do: decide on one answer" in shown
    assert f"    {raw}:301 (A1), {raw}:302 (C2)\n" in shown
    saved = json.loads((out / "report.json").read_text())["advice"]
    command = ["data", "lengths", str(out), "--recipe", "demo", "--set", base]
    assert run(command) == 0
    assert f"    {raw}:301 (A1), {raw}:302 (C2)\n" in capsys.readouterr().out
    assert run([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["advice"] == saved
    assert run([*command[:2], str(raw), *command[3:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["advice"] == []  # raw records hold none
