"""GBNF read apart from llama.cpp: a grammar without recursion becomes a regular expression of Python's."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""\s*(?:(?P<literal>"(?:[^"\\]|\\.)*")|(?P<set>\[(?:[^\]\\]|\\.)*\])|(?P<times>\{[0-9,]+\})"""
    r"""|(?P<mark>[()|?*+])|(?P<rule>[a-zA-Z0-9-]+))"""
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_LETTERS = {"n": "\n", "r": "\r", "t": "\t"}
_MOST_REPEATED = 1999  # what every llama.cpp of these years takes


def pattern_of(grammar: str) -> re.Pattern[str]:
    """A regular expression that matches what the grammar does."""
    rules = dict(line.split(" ::= ", 1) for line in grammar.splitlines())
    done: dict[str, str] = {}

    def expression(name: str, within: tuple[str, ...]) -> str:
        assert name not in within, f"{name} is part of itself"
        if name not in done:
            done[name] = _expression(rules[name], lambda inner: expression(inner, (*within, name)))
        return done[name]

    return re.compile(expression("root", ()))


def _expression(rule: str, expand: object) -> str:
    found, place = "", 0
    while place < len(rule.rstrip()):
        token = _TOKEN.match(rule, place)
        assert token is not None, rule[place : place + 40]
        place = token.end()
        kind, text = str(token.lastgroup), str(token.group(str(token.lastgroup)))
        if kind == "literal":
            found += "(?:" + re.escape(_ESCAPE.sub(_letter, text[1:-1])) + ")"
        elif kind == "set":
            found += _set(text)
        elif kind == "rule":
            found += f"(?:{expand(text)})"  # pyright: ignore
        else:
            assert all(int(n) <= _MOST_REPEATED for n in re.findall(r"[0-9]+", text))
            found += "(?:" if text == "(" else text
    return found


def _set(text: str) -> str:
    """A set of characters, those beyond Unicode left out."""
    inside = text[1:-1].replace(r"\U00110000-\U003FFFFF", "")
    inverted = inside.startswith("^")
    letters = _ESCAPE.sub(lambda found: f"\\U{ord(_letter(found)):08x}", inside.lstrip("^"))
    return f"[{'^' if inverted else ''}{letters}]"


def _letter(found: re.Match[str]) -> str:
    code = found[1] or found[2] or found[3]
    return chr(int(code, 16)) if code else _LETTERS.get(found[4], found[4])
