"""Writes docs/api.md from the docstrings of what `lexitrain` exports: `python docs/make_api.py`.

A test holds the page to what this writes.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import lexitrain

PAGE = Path(__file__).parent / "api.md"

#: Room of the package -> its heading, in the order of the page.
SECTIONS = {
    "recipe": "Recipes",
    "records": "Records",
    "preparation": "Preparing data",
    "synthetic": "Synthetic data",
    "samples": "Lengths",
    "planning": "Planning",
    "training": "Training",
    "tuning": "Tuning",
    "runs": "Runs",
    "watching": "Watching a run",
    "evaluation": "Evaluation and answers",
    "comparison": "Comparison",
    "exporting": "Export",
    "building": "The whole way",
    "diagnosis": "Diagnosis",
    "abtest": "A/B tests",
    "tasks": "Scores",
    "reporting": "Pictures and pages",
    "errors": "Errors",
}

INTRODUCTION = """# The library

Everything that the commands do is a function of the package `lexitrain`; the commands call these and nothing else.
Nothing here prints. What can go wrong with what a caller gives is an `InputError` or one of its children, whose message
says what, where and what to do.

```python
from lexitrain import answer, evaluate, load_recipe, plan, prepare, train

prepare(["records.jsonl"], "data")
recipe = load_recipe("demo", ["schedule.epochs=2"])
print(plan(recipe, gpu="T4", data="data").hours.expected)
result = train(recipe, "data", "runs/first")
report = evaluate("runs/first", "data", limit=100)
print(report.evaluation.tasks["grammar"].scores["f0.5"].value)
print(answer("runs/first", ["She go to school every day."], task="grammar")[0].text)
```

This page is written from the docstrings by `python docs/make_api.py`.
"""


def page() -> str:
    """The page's text."""
    by_section: dict[str, list[tuple[str, Any]]] = {room: [] for room in SECTIONS}
    for name in sorted(lexitrain.__all__, key=str.lower):
        thing = getattr(lexitrain, name)
        if callable(thing):
            by_section[thing.__module__.split(".")[1]].append((name, thing))
    parts = [INTRODUCTION]
    for room, things in by_section.items():
        if not things:
            continue
        parts.append(f"## {SECTIONS[room]}\n")
        functions = [each for each in things if not inspect.isclass(each[1])]
        classes = [each for each in things if inspect.isclass(each[1])]
        parts += [_function(name, thing) for name, thing in functions]
        parts += [_class(name, thing) for name, thing in classes]
    return "\n".join(parts).rstrip() + "\n"


def _function(name: str, thing: Any) -> str:
    return f"### {name}\n\n```python\n{_signature(name, thing)}\n```\n\n{_described(thing)}\n"


def _class(name: str, thing: type) -> str:
    text = f"### {name}\n\n"
    if not issubclass(thing, Exception) and "__init__" in vars(thing) and not _is_data(thing):
        text += f"```python\n{_signature(name, thing)}\n```\n\n"
    base = thing.__mro__[1].__name__
    if issubclass(thing, Exception) and base != "Exception":
        text += f"A kind of `{base}`. "
    text += _described(thing) + "\n"
    methods = [
        f"- `{_signature(key, value) if callable(value) else key}`: {_first_line(value)}"
        for key, value in vars(thing).items()
        if not key.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    ]
    return text + ("\n" + "\n".join(methods) + "\n" if methods else "")


def _is_data(thing: type) -> bool:
    return hasattr(thing, "__dataclass_fields__") or hasattr(thing, "model_fields")


def _signature(name: str, thing: Any) -> str:
    """The signature as it stands in the source, an argument a line where it is long."""
    function = thing.__init__ if inspect.isclass(thing) else thing
    node: Any = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("self")
    arguments = re.sub(r"(?<=[\w\]])=(?=\S)", " = ", arguments)
    returns = "" if inspect.isclass(thing) else f" -> {ast.unparse(node.returns)}"
    if len(name) + len(arguments) + len(returns) <= 96:
        return f"{name}({arguments}){returns}"
    each = "".join(f"    {part},\n" for part in re.split(r", (?=[\w*]+(?::|, |$))", arguments))
    return f"{name}(\n{each}){returns}"


def _described(thing: Any) -> str:
    """The docstring as Markdown: its sections become lists."""
    lines = (inspect.getdoc(thing) or "").splitlines()
    out: list[str] = []
    for line in lines:
        heading = re.fullmatch(r"(Args|Returns|Raises|Attributes|Yields):", line)
        entry = re.fullmatch(r"    (\w[\w, ]*): (.*)", line)
        if heading:
            out += ["", f"**{heading[1]}**", ""]
        elif entry:
            out.append(f"- `{entry[1]}`: {entry[2]}")
        elif line.startswith("        "):
            out.append("  " + line.strip())
        else:
            out.append(line.strip() if line.startswith("    ") else line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip()


def _first_line(thing: Any) -> str:
    text = inspect.getdoc(thing.fget if isinstance(thing, property) else thing) or ""
    return " ".join(text.partition("\n\n")[0].split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
