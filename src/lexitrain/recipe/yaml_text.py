"""YAML that a user gives, as values, with a limit on what its aliases stand for.

An alias repeats what its anchor holds, and aliases of aliases multiply: half a kilobyte can stand for millions of
values. What a text stands for is counted while it is read, each node once, so that such a text is refused before
anything of it is repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast

import yaml

from lexitrain.errors import RecipeError

MOST_VALUES = 10_000
"""Values, keys included, that the aliases of a text may stand for together. A recipe has about a hundred."""
_DEEPEST = 50
"""Levels of nesting; a recipe has three."""
_MEND = "Mend the file at this place."

_TAG = "tag:yaml.org,2002:"
_KINDS = {"map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value"}
"""YAML's own types that a recipe can hold. The others have no order (`!!set`) or are no text (`!!binary`)."""
_READ_IN_TWO_WAYS = re.compile(r"[-+]?(0[0-9_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
"""Octal and sexagesimal numbers: 010 is 8 and 1:30 is 90 to YAML 1.1, 10 and a text to YAML 1.2."""


class _Loader(yaml.SafeLoader):
    """The safe loader, counting what aliases stand for."""

    def __init__(self, text: str, where: str, lines: bool) -> None:
        super().__init__(text)
        self._where, self._lines = where, lines
        self._sizes: dict[int, int] = {}
        self._repeated = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = cast("yaml.Event", self.peek_event())  # pyright: ignore[reportUnknownMemberType]
        mark: Any = event.start_mark
        place = f"{self._where}:{mark.line + 1}" if self._lines else self._where
        self._depth += 1
        if self._depth > _DEEPEST:
            raise RecipeError(
                f"This is nested more than {_DEEPEST} levels deep.",
                where=place,
                fix="Close the brackets, or write it flatter.",
            )
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        kind = str(node.tag).removeprefix(_TAG)
        if kind != node.tag and kind not in _KINDS:
            raise RecipeError(
                f"This is of YAML's type {kind}, which no setting has.",
                where=place,
                fix="Write a list, a mapping, or a plain value.",
            )
        if isinstance(event, yaml.AliasEvent):
            self._count(node, place)
        elif isinstance(node, yaml.ScalarNode):
            self._sizes[id(node)] = 1
            _require_one_meaning(node, place)
        else:
            self._sizes[id(node)] = 1 + sum(self._sizes[id(part)] for part in _parts(node))
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Before `<<` is resolved: what a mapping takes over from another one, it may give anew.
        node = super().compose_mapping_node(anchor)
        self._require_each_once(key for key, _ in node.value)
        for key, value in node.value:
            if key.tag == f"{_TAG}merge" and isinstance(value, yaml.SequenceNode):
                # Readers differ in which of the mappings wins.
                merged = {
                    id(part): part for part in value.value if isinstance(part, yaml.MappingNode)
                }
                self._require_each_once(key for part in merged.values() for key, _ in part.value)
        return node

    def _require_each_once(self, keys: Iterable[yaml.Node]) -> None:
        seen: set[str] = set()
        for key in keys:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                mark: Any = key.start_mark
                raise RecipeError(
                    f"{key.value} is given twice.",
                    where=f"{self._where}:{mark.line + 1}" if self._lines else self._where,
                    fix="Keep one of the two.",
                )
            seen.add(str(key.value))

    def _count(self, node: yaml.Node, place: str) -> None:
        if id(node) not in self._sizes:
            raise RecipeError(
                "This alias stands for something that holds the alias itself.",
                where=place,
                fix="Write the values out.",
            )
        self._repeated += self._sizes[id(node)]
        if self._repeated > MOST_VALUES:
            raise RecipeError(
                f"The aliases up to here stand for more than {MOST_VALUES:,} values.",
                where=place,
                fix="Write the values out; a recipe needs no aliases of aliases.",
            )


def _require_one_meaning(node: yaml.ScalarNode, place: str) -> None:
    """Refuse a number that another reader of YAML takes for another one."""
    number = node.tag in {f"{_TAG}int", f"{_TAG}float"} and node.style is None
    if number and _READ_IN_TWO_WAYS.fullmatch(node.value):
        raise RecipeError(
            f"{node.value} is not the same number to all readers of YAML.",
            where=place,
            fix="Write it as a decimal number without zeros before it; a text, in quotes.",
        )


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [each for pair in node.value for each in pair]
    return cast("list[yaml.Node]", node.value) if isinstance(node, yaml.SequenceNode) else []


def _values(loader: Any, root: yaml.Node) -> Any:
    return loader.construct_document(root)


def read_yaml(text: str, where: str, *, lines: bool = True) -> tuple[yaml.Node | None, Any]:
    """The nodes of a text with their places, and its values. Nothing but YAML's own types is made.

    Args:
        text: one document.
        where: the file, or what else it was given as.
        lines: whether `where` has lines to name.

    Raises:
        RecipeError: it is not valid YAML, or its aliases stand for too much.
    """
    try:
        loader = _Loader(text, where, lines)
        try:
            root: Any = loader.get_single_node()
            return root, None if root is None else _values(loader, root)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise RecipeError(
            f"This is not valid YAML: {problem}.",
            where=f"{where}:{mark.line + 1}" if mark and lines else where,
            fix=_MEND if lines else "Quote it, or check its brackets.",
        ) from error
    except (RecursionError, ValueError, LookupError, AttributeError, TypeError) as error:
        # What PyYAML's constructors raise for a value that is none of its tag, such as `!!bool maybe`.
        raise RecipeError(
            f"This cannot be read as YAML: {type(error).__name__}: {error}.",
            where=where,
            fix=_MEND if lines else "Quote it, or check its brackets.",
        ) from error
