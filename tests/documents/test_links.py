"""What a document points to is there: files, anchors, and the paths, modules and names that it speaks of."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

import lexitrain
from tests.documents.markdown import Document, documents, github_slug, parsed, read_document
from tests.paths import ROOT

DOCUMENTS = list(documents())
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: each.name)

#: A path in the repository; what has a placeholder in it is none.
PATH = re.compile(
    r"(?<![\w./-])((?:src|tests|benchmarks|nano|notebooks|docs|\.ci)/[\w./-]*[\w/])(?:::(\w+))?"
)
#: What benchmarks write that nobody has run: one needs a GPU, one hours.
NOT_YET = {"benchmarks/results/gpu.json"}
MODULE = re.compile(r"python -m (benchmarks(?:\.\w+)*)")


@cache
def anchors_of(path: Path) -> set[str]:
    return read_document(path).anchors


@each_document
def test_links_lead_to_files_and_anchors(document: Document) -> None:
    for link in document.links:
        if re.match(r"[a-z]+:", link):
            assert link.startswith("https://"), f"{link} is neither a file nor https"
            continue
        file, _, anchor = link.partition("#")
        target = (document.path.parent / unquote(file)).resolve() if file else document.path
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leaves the repository"
        if anchor:
            assert target.suffix == ".md", f"{link}: only pages have anchors"
            assert unquote(anchor) in anchors_of(target), f"{link}: there is no such heading"


@each_document
def test_paths_and_modules_that_are_named_are_there(document: Document) -> None:
    for code in [*document.inline_code, *(block.text for block in document.blocks)]:
        if "…" in code or "*" in code:
            continue
        for path, name in PATH.findall(code):
            if path in NOT_YET:
                continue
            # docs/architecture.md names files below the package, whose rooms may be called alike.
            places = [ROOT / path, ROOT / "src" / "lexitrain" / path]
            there = next((each for each in places if each.exists()), None)
            assert there is not None, f"{path} is not there"
            assert not name or re.search(rf"^ *def {name}\(", there.read_text("utf-8"), re.M), name
        for module in MODULE.findall(code):
            place = ROOT.joinpath(*module.split("."))
            runs = place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()
            assert runs, f"python -m {module}"


@each_document
def test_python_is_python_and_imports_what_there_is(document: Document) -> None:
    for block in document.blocks:
        if block.language != "python":
            continue
        if re.match(r"\w+\(\n?.*\) -> [^\n]+\n\Z|\w+\(.*\)\n\Z", block.text, re.DOTALL):
            continue  # a signature, as of docs/api.md
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom) and str(node.module) == "lexitrain":
                for alias in node.names:
                    assert alias.name in lexitrain.__all__, f"line {block.line}: {alias.name}"


@pytest.mark.parametrize(
    ("heading", "slug"),
    [
        ("Held to the schema", "held-to-the-schema"),
        ("`lexitrain runs list`", "lexitrain-runs-list"),
        ("A loss that is not a number", "a-loss-that-is-not-a-number"),
        ("Before: what, and *why*?", "before-what-and-why"),
        ("[Data](data.md) & tables", "data--tables"),
        ("Bắt đầu từ con số không", "bắt-đầu-từ-con-số-không"),
    ],
)
def test_anchors_are_those_of_github(heading: str, slug: str) -> None:
    assert github_slug(heading) == slug


def test_a_document_is_taken_apart_rightly() -> None:
    text = "# One\n\nsee [it](a.md#b) and `x [no](link)`\n\n```text\n# no heading\n```\n\n# One\n"
    found = parsed(ROOT / "x.md", text)
    assert (found.links, found.inline_code) == (["a.md#b"], ["x [no](link)"])
    assert found.anchors == {"one", "one-1"}
    assert [(each.language, each.text) for each in found.blocks] == [("text", "# no heading\n")]
