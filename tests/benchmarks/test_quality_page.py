from __future__ import annotations

from benchmarks import quality_page


def test_the_page_is_what_the_results_say() -> None:
    assert quality_page.PAGE.read_text(encoding="utf-8") == quality_page.page()
