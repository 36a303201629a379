"""The part of Go's text/template that a Modelfile needs: range, if, else if, eq, fields and strings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Turn = tuple[str, str]


@dataclass
class Node:
    """Attributes:
    kind: `text`, `value`, `range`, `if`, or `root`.
    said: the text, or what stands behind the word.
    inside: nodes within.
    otherwise: of an `if`, the one behind `else`.
    """

    kind: str
    said: str = ""
    inside: list[Node] = field(default_factory=list["Node"])
    otherwise: Node | None = None


def pieces(source: str) -> list[tuple[bool, str]]:
    """Texts and actions. As Go's lexer has it, an action begins at the first two braces and ends behind the first two
    that close it outside of a string."""
    found: list[tuple[bool, str]] = []
    while source:
        text, opened, source = source.partition("{{")
        found.append((False, text))
        if not opened:
            break
        assert not source.startswith("-"), "blanks before it would be lost"
        place, quoted = 0, False
        while quoted or not source.startswith("}}", place):
            assert place < len(source), "an action without an end"
            quoted ^= source[place] == '"'
            place += 1
        action, source = source[:place].strip(), source[place + 2 :]
        assert action
        assert not action.endswith("-")
        found.append((True, action))
    return found


def parsed(source: str) -> Node:
    """The template as a tree."""
    root = Node("root")
    open_nodes: list[Node] = [root]
    for is_action, said in pieces(source):
        inside = open_nodes[-1].inside
        if not is_action:
            inside.append(Node("text", said))
        elif said == "end":
            while open_nodes.pop().kind == "else if":
                pass
        elif said.startswith("else if "):
            node = Node("else if", said.removeprefix("else if "))
            open_nodes[-1].otherwise = node
            open_nodes.append(node)
        elif said.startswith(("range ", "if ")):
            kind, _, rest = said.partition(" ")
            node = Node(kind, rest)
            inside.append(node)
            open_nodes.append(node)
        else:
            inside.append(Node("value", said))
    assert open_nodes == [root], "something is not closed"
    return root


def executed(source: str, messages: Sequence[Turn]) -> str:
    """What Ollama makes of it for messages."""
    turns = [{"Role": role, "Content": content} for role, content in messages]
    return "".join(_run(each, {"Messages": turns}) for each in parsed(source).inside)


def _run(node: Node, dot: dict[str, Any]) -> str:
    if node.kind == "text":
        return node.said
    if node.kind == "value":
        return str(_value(node.said, dot))
    if node.kind == "range":
        turns = _value(node.said, dot)
        return "".join(_run(inner, turn) for turn in turns for inner in node.inside)
    name, left, right = node.said.split(" ")
    assert name == "eq"
    if _value(left, dot) == _value(right, dot):
        return "".join(_run(inner, dot) for inner in node.inside)
    return "" if node.otherwise is None else _run(node.otherwise, dot)


def _value(said: str, dot: dict[str, Any]) -> Any:
    if said.startswith('"'):
        assert said.endswith('"')
        assert "\\" not in said
        return said[1:-1]
    assert said.startswith(".")
    return dot[said[1:]]
