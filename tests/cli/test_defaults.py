"""What a command does unless told otherwise is what its function does."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

import lexitrain


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("compare", {"margin", "batch_size"}),
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
