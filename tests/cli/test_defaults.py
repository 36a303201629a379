"""What a command does unless told otherwise is what its function does."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

import pytest

import lexitrain
from lexitrain.cli.options.exports import parts


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("compare", {"margin", "batch_size"}),
        ("export", {"margin"}),
        ("evaluate", {"batch_size"}),
        ("tune", {"workers"}),
    ],
)
def test_an_options_default_is_the_functions_own(command: str, names: set[str]) -> None:
    """An option cannot read it from there: help would load what the function needs."""
    options = inspect.signature(getattr(import_module(f"lexitrain.cli.{command}"), command))
    function = inspect.signature(getattr(lexitrain, command))
    for name in names:
        own = function.parameters[name].default
        assert own is not inspect.Parameter.empty
        assert options.parameters[name].default == own


def test_a_build_is_what_its_choices_are() -> None:
    options = inspect.signature(import_module("lexitrain.cli.build").build).parameters
    own = lexitrain.Choices(records=(), folder=Path())
    for name in ("recipe", "margin", "limit", "max_mb", "gpu", "mirror"):
        assert options[name].default == getattr(own, name), name
    for name in ("to", "quantize"):
        assert parts(options[name].default) == getattr(own, name), name
