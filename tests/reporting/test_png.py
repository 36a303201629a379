"""Pictures: the name is checked, matplotlib asked for, and the file whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from lexitrain.errors import InputError, MissingExtra
from lexitrain.reporting import png
from lexitrain.reporting.png import check_png, new_figure, save_png


def test_only_a_png_is_drawn():
    check_png(Path("plan.PNG"))
    with pytest.raises(InputError, match="is a PNG") as caught:
        check_png(Path("plan.svg"))
    assert caught.value.where == "plan.svg"


def test_a_figure_is_saved_whole(tmp_path: Path):
    figure = new_figure(4, 2)
    figure.add_subplot().plot([1, 2])
    save_png(figure, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert [each.name for each in tmp_path.iterdir()] == ["plot.png"]


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(png, "import_module", missing)
    with pytest.raises(MissingExtra, match="matplotlib") as caught:
        new_figure(4, 2)
    assert "lexitrain[report]" in str(caught.value.fix)
