from __future__ import annotations

import pytest

from lexitrain.cli.terminal.console import console, errors_console, print_error
from lexitrain.errors import DataError


def test_a_place_and_quoted_data_are_printed_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Rich prints a picture for `:100:` and `:smile:` where nobody tells it not to."""
    print_error(DataError("The first ones:\n  a.jsonl:100: 'say :smile:'", where="b.csv:100"))
    console().print("a.jsonl:100: no output :smile:", markup=False)
    errors_console().print("a.jsonl:100: :smile:")
    shown = capsys.readouterr()
    assert "a.jsonl:100: 'say :smile:'" in shown.err
    assert "b.csv:100" in shown.err
    assert "a.jsonl:100: :smile:" in shown.err
    assert "a.jsonl:100: no output :smile:" in shown.out
